# SPDX-License-Identifier: Apache-2.0
"""Finds libtenon.so and opens it, once per process."""

import ctypes
import os
from pathlib import Path

_NAME = "libtenon.so"
_HERE = Path(__file__).resolve().parent


def candidates():
    """Where the library may be, in the order that is tried: (path, how it got on the list)."""
    given = os.environ.get("TENON_LIBRARY")
    if given:
        # A path that was asked for by name is the only one: another library in its place would be a silent surprise.
        return [(Path(given), "TENON_LIBRARY")]
    places = [(_HERE / _NAME, "inside the package")]
    checkout = _HERE.parent.parent
    if (checkout / "abi" / "tenon.h").exists():
        places.append((checkout / "build" / _NAME, "build folder of this checkout"))
    return places


def find():
    """Path of the library; FileNotFoundError names every place that was looked at."""
    tried = []
    for path, origin in candidates():
        if path.exists():
            return path.resolve()
        tried.append(f"{path} ({origin})")
    raise FileNotFoundError(f"{_NAME} not found; set TENON_LIBRARY to its path. Looked at: " + ", ".join(tried))


_library = None
_path = None


def load():
    """The open library. CDLL gives up the interpreter lock during a call, so that other Python threads go on."""
    global _library, _path
    if _library is None:
        _path = find()
        _library = ctypes.CDLL(str(_path))
    return _library


def path():
    load()
    return _path
