# SPDX-License-Identifier: Apache-2.0
"""The package comes from this checkout, unless the environment has put another one first."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if "tenon" not in sys.modules:
    sys.path.insert(0, str(ROOT / "python_shim"))


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: builds a wheel or compiles; still part of a full run")


@pytest.fixture(scope="session")
def tenon():
    import tenon as module
    return module
