"""What all tests share: where the library is, one thread each, and no silent skips in continuous integration."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent

sys.path.insert(0, str(TOP / "local"))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # otherwise numba raises the number of torch's threads
os.environ.setdefault("SALIENCE_TEST_DATA", str(TOP.parent / "shared" / "data"))

_skips: list[tuple[str, str]] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember each skipped test with its reason."""
    _remember(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Remember each skipped file with its reason."""
    _remember(report)


def _remember(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple) and not hasattr(report, "wasxfail"):
        _skips.append((report.nodeid, report.longrepr[2].removeprefix("Skipped: ")))


def unexcused(reason: str) -> bool:
    """Whether this machine could run a test that was skipped for this reason.

    Excused are a GPU, test data, Debian packages and the rights of root, if they
    are not here; the reason must name them.
    """
    if re.search(r"\b(GPU|CUDA)\b", reason) and shutil.which("nvidia-smi") is None:
        return False
    if "test data" in reason and not Path(os.environ["SALIENCE_TEST_DATA"]).is_dir():
        return False
    if re.search(r"\bonly root\b", reason) and os.geteuid() != 0:
        return False
    missing = os.environ.get("SALIENCE_CI_MISSING", "").split()
    return not any(re.search(rf"(?<![\w-]){re.escape(package)}(?![\w-])", reason) for package in missing)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With SALIENCE_CI=1, a test that was skipped although it could have run is a failure."""
    if os.environ.get("SALIENCE_CI") != "1":
        return
    if session.exitstatus == pytest.ExitCode.OK and any(unexcused(reason) for _, reason in _skips):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name those tests."""
    bad = [skip for skip in _skips if unexcused(skip[1])]
    if os.environ.get("SALIENCE_CI") == "1" and bad:
        terminalreporter.section("skipped, although this machine could run them: a failure here")
        for name, reason in bad:
            terminalreporter.line(f"{name}: {reason}")


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium, which shows pages without a screen; closed before the next file, as playwright runs a loop."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium's sandbox needs rights that root and containers do not have.
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()
