"""A pytest plugin that records a test session in RunIndex, as a tree of runs, while it happens.

    pytest -p runindex.pytest_plugin --runindex-address 127.0.0.1:50051

The session is a root; under it is a run for each module, and under that one for each test. A run is ACTIVE
while its test runs and ends as the test does: COMPLETED when it passed, FAILED with the error, CANCELLED
when it was skipped or interrupted. A module ends with its last test, the session after all. What pytest
knows of a test (node id, file, line, outcome, seconds by phase, why it was skipped, the worker of
pytest-xdist) is its run's metadata; its tags are `pytest`, one of `session`, `module` and `test`, and the
names of its markers. The times of a run are the server's; the seconds by phase are pytest's.

The tests come first: what is recorded goes through a bounded buffer, for which no test waits, to a process
of its own that makes the calls. When a call fails, is refused or takes too long, or the buffer is full, the
recording stops, says so in one line of pytest's summary, and changes nothing else. At the end pytest waits
for the rest, a bounded time. When pytest is killed, what was under way is cancelled.

With pytest-xdist the controller records. It is not made for `--dist=each`, where workers run the same tests.
"""

import functools
import os
import platform
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, Final, ParamSpec

import pytest

from runindex._recording import End, Recorder, Run, State, text

OUTCOMES: Final[Mapping[str, State]] = {
    "interrupted": "CANCELLED",
    "passed": "COMPLETED",
    "skipped": "CANCELLED",
    "xpassed": "COMPLETED",
    "xfailed": "COMPLETED",
    "error": "FAILED",
    "failed": "FAILED",
}
"""The outcomes of a test, each with the state in which its run ends. Of several the last one here counts."""

RANKS: Final = tuple(OUTCOMES)
PHASES: Final = ("setup", "call", "teardown")
PLUGIN: Final = "runindex-recorder"

Report = pytest.TestReport | pytest.CollectReport
P = ParamSpec("P")


@dataclass(slots=True)
class _Group:
    """A module or the session: the outcomes of its tests, and what went wrong beside them."""

    run: Run
    expected: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    reason: str = ""
    error: str = ""

    def failures(self) -> str:
        """Return how many of its tests failed, in words; empty for none."""
        failed = self.counts["failed"] + self.counts["error"]
        return f"{failed} of {self.counts.total()} tests failed" if failed else ""

    def end(self) -> End:
        """Return how it ends: CANCELLED when not all of it, or nothing, was run."""
        metadata: dict[str, Any] = {"collected": self.expected, "counts": dict(self.counts)}
        if self.reason:
            metadata["reason"] = self.reason
        if error := self.error or self.failures():
            return End("FAILED", error, metadata=metadata)
        whole = not self.counts["interrupted"] and self.counts.total() >= self.expected
        ran = self.counts.total() > self.counts["skipped"]
        return End("COMPLETED" if whole and ran else "CANCELLED", metadata=metadata)


@dataclass(slots=True)
class _Test:
    """A test under way: what its reports have told."""

    run: Run
    module: _Group
    outcome: str = RANKS[0]
    errors: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    durations_s: dict[str, float] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    def add(self, report: pytest.TestReport) -> None:
        """Take in the report of a phase, or of a subtest, of which only a failure counts."""
        if hasattr(report, "context"):
            if report.failed:
                self._judge(report)
            return
        self.durations_s[str(report.when)] = round(report.duration, 6)
        self.tags += getattr(report, "runindex_tags", ())
        if worker := getattr(report, "worker_id", ""):
            self.metadata["worker"] = worker
        self._judge(report)

    def _judge(self, report: pytest.TestReport) -> None:
        self.outcome = max(self.outcome, _outcome(report), key=RANKS.index)
        if report.failed:
            self.errors.append(_error(report))
        elif reason := _reason(report):
            self.metadata["reason"] = reason

    def end(self) -> End:
        """Return how its run ends."""
        metadata = {"outcome": self.outcome, "durations_s": self.durations_s, **self.metadata}
        return End(OUTCOMES[self.outcome], "\n\n".join(self.errors), self.tags, metadata)


def _harmless(hook: "Callable[Concatenate[_Plugin, P], None]") -> "Callable[Concatenate[_Plugin, P], None]":
    """Make a fault of the plugin the end of the recording, and not of the tests."""

    @functools.wraps(hook)
    def safe(self: "_Plugin", /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            hook(self, *args, **kwargs)
        except Exception as fault:  # noqa: BLE001  # Whatever it is, the tests go on.
            self.recorder.stop(f"{type(fault).__name__}: {fault}")

    return safe


class _Plugin:
    """Makes runs of what pytest tells its plugins."""

    def __init__(self, config: pytest.Config, address: str) -> None:
        self.address = address
        self.recorder = Recorder()
        about = {
            "root": text(config.rootpath.name),
            "python": platform.python_version(),
            "pytest": pytest.__version__,
            "platform": platform.platform(),
        }
        self._session = _Group(Run(["pytest", "session", *config.getoption("runindex_tag")], about))
        self._modules: dict[str, _Group] = {}
        self._tests: dict[str, _Test] = {}
        self._expected: Counter[str] = Counter()
        self._uncollected = 0
        self._interrupted = False

    @pytest.hookimpl(trylast=True)
    @_harmless
    def pytest_sessionstart(self) -> None:
        self.recorder.start(self.address)
        self.recorder.begin(self._session.run)

    @_harmless
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._module(report.nodeid).error = _error(report)
        elif report.skipped:
            self._module(report.nodeid).reason = _reason(report)

    @_harmless
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._expect(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    @_harmless
    def pytest_xdist_node_collection_finished(self, ids: Iterable[str]) -> None:
        if not self._expected:  # Every worker collects the same.
            self._expect(ids)

    @_harmless
    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        if nodeid in self._tests:
            return
        file, line, _ = location
        metadata: dict[str, Any] = {"node_id": text(nodeid), "file": text(file)}
        if line is not None:
            metadata["line"] = line + 1
        module = self._module(nodeid)
        test = _Test(Run(["pytest", "test"], metadata, module.run), module)
        self._tests[nodeid] = test
        self.recorder.begin(test.run)

    @_harmless
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if test := self._tests.get(report.nodeid):
            test.add(report)
            if report.when not in PHASES:  # Its worker crashed, so that nothing more will be told.
                self._end_test(report.nodeid)

    @_harmless
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        if nodeid in self._tests:
            self._end_test(nodeid)

    @_harmless
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        # Not what is derived from KeyboardInterrupt: pytest and xdist stop by such after failures.
        self._interrupted = excinfo.type in {KeyboardInterrupt, pytest.exit.Exception}
        self._session.reason = text(f"{excinfo.typename}: {excinfo.value}".rstrip(": "))

    @pytest.hookimpl(trylast=True)
    @_harmless
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        for nodeid in list(self._tests):
            self._end_test(nodeid)
        for name in list(self._modules):
            self._end_module(name)
        self.recorder.end(self._session.run, self._session_end(session.exitstatus))
        self.recorder.drain()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        recorded, run_id = _number(self.recorder.recorded, "run"), self._session.run.run_id
        if problem := self.recorder.problem:
            after = f" after {recorded}" if self.recorder.recorded else ""
            stopped = f"runindex: {self.address}: recording stopped{after}: {problem}"
            terminalreporter.write_line(stopped, yellow=True)
            return
        children = f'-d \'{{"run_id": "{run_id}"}}\' {self.address} runindex.v1.RunIndex/GetChildRuns'
        terminalreporter.write_line(f"runindex: recorded {recorded}; the session is {run_id}, its modules:")
        terminalreporter.write_line(f"  grpcurl -plaintext {children}")

    def _module(self, nodeid: str) -> _Group:
        """Return the module of a node, begun if it was not."""
        name = _module_name(nodeid)
        if name not in self._modules:
            about = {"node_id": text(name), "file": text(name)}
            run = Run(["pytest", "module"], about, self._session.run)
            self._modules[name] = _Group(run, self._expected[name])
            self.recorder.begin(run)
        return self._modules[name]

    def _expect(self, nodeids: Iterable[str]) -> None:
        """Learn what will be run; a module without tests is over."""
        self._expected = Counter(_module_name(nodeid) for nodeid in nodeids)
        self._session.expected = self._expected.total()
        for name in [*self._modules]:
            self._modules[name].expected = self._expected[name]
            if not self._expected[name]:
                self._end_module(name)

    def _end_test(self, nodeid: str) -> None:
        test = self._tests.pop(nodeid)
        self.recorder.end(test.run, test.end())
        self._session.counts[test.outcome] += 1
        test.module.counts[test.outcome] += 1
        if test.module.counts.total() == test.module.expected:
            self._end_module(_module_name(nodeid))

    def _end_module(self, name: str) -> None:
        module = self._modules.pop(name)
        self._uncollected += bool(module.error)
        self.recorder.end(module.run, module.end())

    def _session_end(self, status: int) -> End:
        """Return how the session ends: by its tests, or else by pytest's exit status."""
        told = [self._session.failures()]
        if self._uncollected:
            told.append(f"{_number(self._uncollected, 'module')} not collected")
        self._session.error = ", ".join(filter(None, told))
        exits = pytest.ExitCode
        by_tests = {exits.OK, exits.INTERRUPTED, exits.NO_TESTS_COLLECTED}
        if not self._session.error and status not in by_tests:
            self._session.error = f"pytest exited with {int(status)}"
        end = self._session.end()
        stopped = status == exits.INTERRUPTED and not end.error
        return replace(end, state="CANCELLED") if self._interrupted or stopped else end


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("runindex", "recording in RunIndex")
    group.addoption(
        "--runindex-address",
        metavar="HOST:PORT",
        default=os.environ.get("RUNINDEX_ADDRESS", ""),
        help="The server to record the session in (default: the environment variable RUNINDEX_ADDRESS).",
    )
    group.addoption(
        "--runindex-tag",
        metavar="TAG",
        action="append",
        default=[],
        help="A further tag of the session's run; may be given more than once.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Record, where there is an address and tests are run, and not in a worker of xdist."""
    address = config.getoption("runindex_address")
    if address and not config.getoption("collectonly") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Plugin(config, address), PLUGIN)


def pytest_report_header(config: pytest.Config) -> str:
    """Say whether the session is recorded, and where."""
    if config.pluginmanager.has_plugin(PLUGIN):
        return f"runindex: recording in {config.getoption('runindex_address')}"
    return "runindex: not recording; --runindex-address or RUNINDEX_ADDRESS says where"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the names of a test's markers into its first report, which leads from a worker to the recorder."""
    report = yield
    if call.when == "setup":
        names = {marker.name for marker in item.iter_markers()}
        report.runindex_tags = sorted(names)  # type: ignore[attr-defined]  # Ours.
    return report


def _module_name(nodeid: str) -> str:
    """Return the node id of a node's module."""
    return nodeid.partition("::")[0] or "."


def _number(count: int, noun: str) -> str:
    """Return a number of things, in words."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _outcome(report: pytest.TestReport) -> str:
    """Return what a phase makes of its test; a test that got no further than its setup is interrupted."""
    if report.failed:
        return "error" if report.when in {"setup", "teardown"} else "failed"
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.skipped:
        return "skipped"
    return "passed" if report.passed and report.when == "call" else "interrupted"


def _reason(report: Report) -> str:
    """Return why a test was skipped, or was expected to fail; empty when nothing is told."""
    if hasattr(report, "wasxfail"):
        return text(report.wasxfail.removeprefix("reason: "))
    if report.skipped and isinstance(report.longrepr, tuple):
        return text(report.longrepr[2].removeprefix("Skipped: "))
    return ""


def _error(report: Report) -> str:
    """Return why a test failed: in a line what was raised, then all that pytest prints."""
    crash = getattr(report.longrepr, "reprcrash", None)
    summary = crash.message.partition("\n")[0] + "\n\n" if crash else ""
    return f"{summary}{report.longrepr}".strip()
