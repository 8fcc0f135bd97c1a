# SPDX-License-Identifier: Apache-2.0
"""The package comes from this checkout, unless the environment has put another one first."""

import os
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


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """On a GPU's kernels (tests/rocm): what they do not take is told aloud, with the reason; without one it is a failure."""
    outcome = yield
    report = outcome.get_result()
    raised = call.excinfo.value if call.excinfo else None
    if report.failed and os.environ.get("TENON_STAGED_LIBRARY") and type(raised).__name__ == "Unsupported":
        _, found, reason = str(raised).partition("no kernel takes it: ")
        if found and reason.strip():
            report.outcome = "skipped"
            report.longrepr = (str(item.path), item.location[1], f"no kernel takes it: {reason}")
