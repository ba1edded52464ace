"""A pytest plugin: with RUNINDEX_TESTS_NO_SKIPS set, a session in which a test was skipped has failed.

CI sets it, so that a tool that is missing there is found out and not passed over.
"""

import os
from typing import Final

import pytest

VARIABLE: Final = "RUNINDEX_TESTS_NO_SKIPS"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a session that passed, but for what it skipped."""
    if _skipped(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why, before the closing line."""
    if skipped := _skipped(terminalreporter.config):
        terminalreporter.write_line(f"{skipped} skipped, and {VARIABLE} allows none.", red=True)


def _skipped(config: pytest.Config) -> int:
    """Return how many tests were skipped that should not have been. With xdist, the workers report none."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get(VARIABLE) or not isinstance(reporter, pytest.TerminalReporter):
        return 0
    return len(reporter.stats.get("skipped", []))
