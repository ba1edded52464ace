"""A pytest plugin that records a test session in RunIndex, as a tree of runs, while it happens.

    pytest -p runindex.pytest_plugin --runindex-address 127.0.0.1:50051

The session is a root; under it is a run for each module, and under that a run for each test. A run is ACTIVE while
its test runs, and ends as the test does: COMPLETED when it passed, FAILED with the error, CANCELLED when it was
skipped or interrupted. Modules end with their last test, the session at last. What pytest knows of a test (node id,
file, line, outcome, seconds by phase, why it was skipped, the worker of pytest-xdist) is its run's metadata; the
names of its markers are its tags, beside `pytest` and one of `session`, `module` and `test`.

The tests come first. One thread makes the calls, from a queue that is never waited for: a test costs two entries in
it. A test that is over before the thread comes to it is created with all that is known by then, so that many short
tests cost two calls each. When a call fails, is refused, or takes too long, or the queue is full, the recording stops,
says so in one line of pytest's summary, and changes nothing else; what was under way then stays ACTIVE. Only
UNAVAILABLE is tried again, with the same request id. At the end pytest waits for the queue, for DRAIN_S at most.

With pytest-xdist the recorder lives in the controller, apart from the tests. Prefer that (`-n 1` will do) for tests
that fork their process or count its threads. Of `--dist=each` it records each test once.
"""

import functools
import os
import platform
import queue
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, Final, ParamSpec

import grpc
import pytest
from google.protobuf.message import Message

from runindex.v1 import run_index_pb2 as pb
from runindex.v1 import run_index_pb2_grpc as pb_grpc

CALL_S: Final = 5.0
"""How long one attempt of a call may take."""

RETRY_PAUSES_S: Final = (0.1, 0.2, 0.4, 0.8, 1.0)
"""The pauses between the attempts of a call to a server that is not there: long enough for it to start again."""

DRAIN_S: Final = 30.0
"""How long the end of the session waits for calls that are still to be made."""

QUEUE_MAX: Final = 10_000
"""Entries of the queue: 5,000 tests by which the server may be behind."""

ERROR_BYTES_MAX: Final = 16 * 1024
TEXT_BYTES_MAX: Final = 4 * 1024
TAG_BYTES_MAX: Final = 128
TAGS_MAX: Final = 64

OUTCOMES: Final = {
    "interrupted": pb.RUN_STATE_CANCELLED,
    "passed": pb.RUN_STATE_COMPLETED,
    "skipped": pb.RUN_STATE_CANCELLED,
    "xpassed": pb.RUN_STATE_COMPLETED,
    "xfailed": pb.RUN_STATE_COMPLETED,
    "error": pb.RUN_STATE_FAILED,
    "failed": pb.RUN_STATE_FAILED,
}
"""The outcomes of a test, each with the state in which its run ends. Of several phases the last one here counts."""

ENDS_BY_TESTS: Final = {
    pytest.ExitCode.OK,
    pytest.ExitCode.TESTS_FAILED,
    pytest.ExitCode.INTERRUPTED,
    pytest.ExitCode.NO_TESTS_COLLECTED,
}
RANKS: Final = tuple(OUTCOMES)
NOT_RUN: Final = ("interrupted", "skipped")
PHASES: Final = ("setup", "call", "teardown")


@dataclass(frozen=True, slots=True)
class _End:
    """How a run ends, and what is known of it only then."""

    state: pb.RunState
    error: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Run:
    """A run, under an id that is made here, so that nobody waits for the server to learn it."""

    kind: str
    metadata: dict[str, Any]
    parent_id: str | None = None
    tags: list[str] = field(default_factory=list)
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    end: _End | None = None
    created_with_end: bool = False


@dataclass(slots=True)
class _Group:
    """A module or the session, with the outcomes of its tests, and what went wrong beside them."""

    run: _Run
    expected: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    reason: str = ""
    error: str = ""

    def failures(self) -> str:
        """Return how many of its tests failed, in words; empty for none."""
        failed = self.counts["failed"] + self.counts["error"]
        return f"{failed} of {self.counts.total()} tests failed" if failed else ""

    def end(self) -> _End:
        """Return how it ends, going by its tests."""
        metadata: dict[str, Any] = {"collected": self.expected, "counts": dict(self.counts)}
        if self.reason:
            metadata["reason"] = self.reason
        if error := self.error or self.failures():
            return _End(pb.RUN_STATE_FAILED, error, metadata)
        ran = self.counts.total() - sum(self.counts[outcome] for outcome in NOT_RUN)
        whole = ran and not self.counts["interrupted"] and self.counts.total() >= self.expected
        return _End(pb.RUN_STATE_COMPLETED if whole else pb.RUN_STATE_CANCELLED, metadata=metadata)


@dataclass(slots=True)
class _Test:
    """A test under way, with what its reports have told."""

    run: _Run
    module: _Group
    outcome: str = RANKS[0]
    errors: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)

    def add(self, report: pytest.TestReport) -> None:
        """Take in the report of one phase; of subtests, which are reported beside them, the failed ones."""
        subtest = hasattr(report, "context")
        if not subtest:
            self.metadata.setdefault("durations_s", {})[report.when] = round(report.duration, 6)
            self.tags += getattr(report, "runindex_tags", ())
        if worker := getattr(report, "worker_id", ""):
            self.metadata["worker"] = worker
        outcome = _outcome(report)
        if outcome is None or (subtest and not report.failed):
            return
        self.outcome = max(self.outcome, outcome, key=RANKS.index)
        if report.failed:
            self.errors.append(_error(report))
        elif reason := _reason(report):
            self.metadata["reason"] = reason

    def end(self) -> _End:
        """Return how its run ends."""
        state = OUTCOMES[self.outcome]
        error = _text("\n\n".join(self.errors), ERROR_BYTES_MAX) if state == pb.RUN_STATE_FAILED else ""
        return _End(state, error, {"outcome": self.outcome, **self.metadata}, self.tags)


class _Writer:
    """Makes the calls in the order in which they were asked for, in a thread, until one of them fails."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.recorded = 0
        self.problem = ""
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue(QUEUE_MAX)
        self._stopped = threading.Event()
        options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1_000)]
        self._channel = grpc.insecure_channel(address, options)
        self._stub = pb_grpc.RunIndexStub(self._channel)
        # A daemon: it never keeps the process from ending.
        self._thread = threading.Thread(target=self._work, name="runindex-recorder", daemon=True)
        self._thread.start()

    def open(self, run: _Run) -> None:
        """Ask for a run to be created."""
        self._put(functools.partial(self._create, run))

    def close(self, run: _Run, end: _End) -> None:
        """Ask for a run to be ended, after it was asked for."""
        run.end = end
        self._put(functools.partial(self._finish, run))

    def drain(self) -> None:
        """Wait until all is done, or has failed, or DRAIN_S are over; then make no more calls."""
        self._put(None)
        try:
            self._thread.join(DRAIN_S)
        except KeyboardInterrupt:
            self.give_up("it was interrupted while it waited for the last calls")
        if self._thread.is_alive():
            self.give_up(f"{self._jobs.qsize()} calls were still to be made after {DRAIN_S:.0f} s")
        self._channel.close()

    def give_up(self, problem: str) -> None:
        """Make no more calls, because of a problem. The first one is told."""
        self.problem = self.problem or _text(" ".join(problem.split()), 300)
        self._stopped.set()

    def _put(self, job: Callable[[], None] | None) -> None:
        if self._stopped.is_set():
            return
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            self.give_up(f"the server is {QUEUE_MAX} calls behind")

    def _work(self) -> None:
        try:
            while (job := self._jobs.get()) is not None and not self._stopped.is_set():
                job()
        except grpc.RpcError as error:
            self.give_up(f"{error.code().name}: {error.details()}")
        except Exception as fault:  # noqa: BLE001  # Whatever it is, the tests go on.
            self.give_up(f"{type(fault).__name__}: {fault}")

    def _create(self, run: _Run) -> None:
        """Create a run, with all that is known of it by now."""
        tags, metadata = ["pytest", run.kind, *run.tags], run.metadata
        if end := run.end:
            run.created_with_end = True
            tags, metadata = [*tags, *end.tags], metadata | end.metadata
        if run.parent_id is None:
            root = pb.CreateRunRequest(run_id=run.run_id, tags=_tags(tags))
            root.metadata.update(metadata)
            self._call(self._stub.CreateRun, root)
        else:
            child = pb.CreateChildRunRequest(run_id=run.run_id, parent_run_id=run.parent_id, tags=_tags(tags))
            child.metadata.update(metadata)
            self._call(self._stub.CreateChildRun, child)
        self.recorded += 1

    def _finish(self, run: _Run) -> None:
        """Record what is new about a run, then its end: a run that has ended is told whole."""
        end, run_id = run.end, run.run_id
        assert end is not None
        if not run.created_with_end:
            if tags := _tags(end.tags):
                self._call(self._stub.AddRunTags, pb.AddRunTagsRequest(run_id=run_id, tags=tags))
            update = pb.UpdateRunMetadataRequest(run_id=run_id, merge=True)
            update.metadata.update(end.metadata)
            self._call(self._stub.UpdateRunMetadata, update)
        if end.state == pb.RUN_STATE_FAILED:
            error = end.error.strip() or "it failed without a word"
            self._call(self._stub.FailRun, pb.FailRunRequest(run_id=run_id, error=error))
        elif end.state == pb.RUN_STATE_CANCELLED:
            self._call(self._stub.CancelRun, pb.CancelRunRequest(run_id=run_id))
        else:
            self._call(self._stub.CloseRun, pb.CloseRunRequest(run_id=run_id))

    def _call(self, method: Callable[..., Message], request: Any) -> None:  # noqa: ANN401  # Any request.
        """Make a call, with one request id in all its attempts."""
        request.request_id = uuid.uuid4().hex
        for pause_s in RETRY_PAUSES_S:
            try:
                method(request, timeout=CALL_S)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            else:
                return
            self._stopped.wait(pause_s)
        method(request, timeout=CALL_S)


P = ParamSpec("P")


def _harmless(
    hook: "Callable[Concatenate[_Recorder, P], None]",
) -> "Callable[Concatenate[_Recorder, P], None]":
    """Make a fault of the recorder the end of recording, and never that of the tests."""

    @functools.wraps(hook)
    def safe(self: "_Recorder", /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            hook(self, *args, **kwargs)
        except Exception as fault:  # noqa: BLE001  # Whatever it is, the tests go on.
            self.writer.give_up(f"{type(fault).__name__}: {fault}")

    return safe


class _Recorder:
    """Turns what pytest tells its plugins into runs."""

    def __init__(self, config: pytest.Config, address: str) -> None:
        self.writer = _Writer(address)
        versions = {"python": platform.python_version(), "pytest": pytest.__version__}
        about = {"root": config.rootpath.name, "platform": platform.platform(), **versions}
        tags = [_text(tag, TAG_BYTES_MAX) for tag in config.getoption("runindex_tag")]
        self._session = _Group(_Run("session", about, tags=tags))
        self._modules: dict[str, _Group] = {}
        self._tests: dict[str, _Test] = {}
        self._expected: Counter[str] = Counter()
        self._uncollected = 0
        self._interrupted = False

    @_harmless
    def pytest_sessionstart(self) -> None:
        self.writer.open(self._session.run)

    @_harmless
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._module(report.nodeid).error = _text(_error(report), ERROR_BYTES_MAX)
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
        module = self._module(nodeid)
        file, line, _ = location
        metadata: dict[str, Any] = {"node_id": _text(nodeid), "file": _text(file)}
        if line is not None:
            metadata["line"] = line + 1
        run = _Run("test", metadata, module.run.run_id)
        self._tests[nodeid] = _Test(run, module)
        self.writer.open(run)

    @_harmless
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if test := self._tests.get(report.nodeid):
            test.add(report)
            if report.when not in PHASES:  # A worker of xdist crashed: the test's last report.
                self._end_test(report.nodeid)

    @_harmless
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._end_test(nodeid)

    @_harmless
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        # Not what is derived from KeyboardInterrupt: pytest and xdist stop by such after failures.
        self._interrupted = excinfo.type in {KeyboardInterrupt, pytest.exit.Exception}
        self._session.reason = _text(f"{excinfo.typename}: {excinfo.value}".rstrip(": "))

    @pytest.hookimpl(trylast=True)
    @_harmless
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        for nodeid in list(self._tests):
            self._end_test(nodeid)
        for name in list(self._modules):
            self._end_module(name)
        self.writer.close(self._session.run, self._session_end(session.exitstatus))
        self.writer.drain()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        address, run_id, recorded = self.writer.address, self._session.run.run_id, self.writer.recorded
        if self.writer.problem:
            line = f"runindex: recording stopped after {recorded} runs: {address}: {self.writer.problem}"
            terminalreporter.write_line(line, yellow=True)
            return
        terminalreporter.write_line(
            f"runindex: recorded {recorded} runs; the session is {run_id}. Its modules:"
        )
        terminalreporter.write_line(
            f'  grpcurl -plaintext -d \'{{"run_id": "{run_id}"}}\' {address} runindex.v1.RunIndex/GetChildRuns'
        )

    def _module(self, nodeid: str) -> _Group:
        """Return the module of a node, under way."""
        name = _module_name(nodeid)
        if name not in self._modules:
            run = _Run("module", {"node_id": _text(name), "file": _text(name)}, self._session.run.run_id)
            self._modules[name] = _Group(run, self._expected[name])
            self.writer.open(run)
        return self._modules[name]

    def _expect(self, nodeids: Iterable[str]) -> None:
        """Learn what will run; a module that was collected without tests is over."""
        self._expected = Counter(_module_name(nodeid) for nodeid in nodeids)
        self._session.expected = self._expected.total()
        for name, module in list(self._modules.items()):
            module.expected = self._expected[name]
            if not module.expected:
                self._end_module(name)

    def _end_test(self, nodeid: str) -> None:
        test = self._tests.pop(nodeid, None)
        if test is None:
            return
        self.writer.close(test.run, test.end())
        test.module.counts[test.outcome] += 1
        self._session.counts[test.outcome] += 1
        if 0 < test.module.expected <= test.module.counts.total():
            self._end_module(_module_name(nodeid))

    def _end_module(self, name: str) -> None:
        module = self._modules.pop(name)
        self._uncollected += bool(module.error)
        self.writer.close(module.run, module.end())

    def _session_end(self, status: int) -> _End:
        """Return how the session ends: by its tests, unless pytest itself ended otherwise."""
        uncollected = f"{self._uncollected} modules could not be collected" if self._uncollected else ""
        self._session.error = ", ".join(filter(None, (self._session.failures(), uncollected)))
        if not self._session.error and status not in ENDS_BY_TESTS:
            self._session.error = f"pytest exited with {int(status)}"
        end = self._session.end()
        if self._interrupted or (status == pytest.ExitCode.INTERRUPTED and not end.error):
            return replace(end, state=pb.RUN_STATE_CANCELLED)
        return end


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's options."""
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
        help="A further tag of the session's run. May be given more than once.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Record, when there is an address, and tests will run in or under this process."""
    address = config.getoption("runindex_address")
    if address and not config.getoption("collectonly") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recorder(config, address), "runindex-recorder")


def pytest_report_header(config: pytest.Config) -> str:
    """Say whether the session is recorded, and where."""
    if config.pluginmanager.has_plugin("runindex-recorder"):
        return f"runindex: recording in {config.getoption('runindex_address')}"
    return "runindex: not recording; --runindex-address or RUNINDEX_ADDRESS says where to"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the names of a test's markers into its first report, which leads from a worker to the recorder."""
    report = yield
    if call.when == "setup":
        report.runindex_tags = sorted({marker.name for marker in item.iter_markers()})  # type: ignore[attr-defined]
    return report


def _module_name(nodeid: str) -> str:
    """Return the node id of a node's module."""
    return nodeid.partition("::")[0] or "."


def _outcome(report: pytest.TestReport) -> str | None:
    """Return what a phase says of its test; None when it says nothing."""
    if report.failed:
        return "error" if report.when in {"setup", "teardown"} else "failed"
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.skipped:
        return "skipped"
    return "passed" if report.passed and report.when == "call" else None


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return why a test was skipped, or was expected to fail; empty when nothing is told."""
    if hasattr(report, "wasxfail"):
        return _text(report.wasxfail.removeprefix("reason: "))
    if report.skipped and isinstance(report.longrepr, tuple):
        return _text(report.longrepr[2].removeprefix("Skipped: "))
    return ""


def _error(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return why a test failed: what was raised in a line, then all that pytest prints."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return report.longreprtext.strip()
    return f"{crash.message.partition(chr(10))[0]}\n\n{report.longreprtext}".strip()


def _text(text: str, bytes_max: int = TEXT_BYTES_MAX) -> str:
    """Return text as the contract takes it: valid UTF-8, cut to a number of bytes."""
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) <= bytes_max:
        return encoded.decode()
    return encoded[: bytes_max - 3].decode("utf-8", "ignore") + "…"


def _tags(names: Iterable[str]) -> list[str]:
    """Return names, without duplicates, as far as they can be tags."""
    fit = (name for name in names if name.isprintable() and 0 < len(name.encode()) <= TAG_BYTES_MAX)
    return list(dict.fromkeys(fit))[:TAGS_MAX]
