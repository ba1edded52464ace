"""Workers as forks: their task, their first word, their end, and what they have not from their supervisor."""

import json
import signal
import subprocess
import sys
from typing import Any, Final

from runindex_server.exit_codes import EXIT_FATAL

WAIT_S: Final = 60.0


def lines_of(scenario: str) -> list[str]:
    """Return what a scenario of `forks` prints."""
    command = [sys.executable, "-m", "tests.unit.supervisor.forks", scenario]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def outcome_of(scenario: str) -> Any:
    """Return what came of a scenario."""
    return json.loads(lines_of(scenario)[-1])


def test_a_worker_serves_until_it_is_asked_to_end() -> None:
    assert outcome_of("terminated") == [True, -signal.SIGTERM, -signal.SIGTERM]


def test_a_worker_that_does_not_listen_is_killed() -> None:
    assert outcome_of("killed") == [True, -signal.SIGKILL]


def test_workers_have_their_task_and_a_session_of_their_own_and_learn_that_they_are_alone() -> None:
    assert outcome_of("given_up") == [[True] * 3, [3, 11, 21]]


def test_workers_end_when_their_supervisor_is_killed() -> None:
    command = [sys.executable, "-m", "tests.unit.supervisor.forks", "orphaned"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        assert len(json.loads(supervisor.stdout.readline())) == 3
        supervisor.kill()
        # Which ends when the last of them has.
        assert supervisor.communicate(timeout=WAIT_S)[0] == ""


def test_a_worker_that_refuses_or_breaks_is_never_ready() -> None:
    assert outcome_of("refused") == [[False, 3], [False, EXIT_FATAL]]


def test_what_a_worker_is_sent_does_not_reach_its_supervisor() -> None:
    assert outcome_of("not_woken") == [[False, -signal.SIGINT], []]


def test_a_machine_that_refuses_is_told_of_and_keeps_nothing() -> None:
    assert outcome_of("not_forked") == ["BlockingIOError", 0]


def test_workers_that_ended_keep_nothing() -> None:
    assert outcome_of("ended_and_started") == 0


def test_what_is_forked_has_no_thread_and_its_forks_make_ids_of_their_own() -> None:
    *ids, outcome = lines_of("of_ids")
    assert json.loads(outcome) == [1, [0, 1, 2, 3]]
    assert len(set(ids)) == 4
