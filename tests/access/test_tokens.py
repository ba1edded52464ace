"""Tokens of a running server: made, revoked, replaced and expired without a restart, and who acts by them."""

import os
import statistics
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

import grpc
import pytest
from structlog.testing import capture_logs

from runindex.v1 import insights_pb2 as insights_pb
from runindex.v1 import insights_pb2_grpc as insights_grpc
from runindex.v1 import run_index_pb2 as pb
from runindex.v1 import run_index_pb2_grpc as pb_grpc
from runindex.v1 import templates_pb2 as templates_pb
from runindex.v1 import templates_pb2_grpc as templates_grpc
from runindex_server.access.caller import Caller, Role
from runindex_server.access.token_file import (
    LOOK_INTERVAL_US,
    LiveTokens,
    TokensRefused,
    add_token,
    load_tokens,
    remove_token,
)
from runindex_server.access.tokens import TokenTable, checked_name
from tests.access.conftest import TokenMaker
from tests.access.refusals import reason_of
from tests.support.calls import DEFAULT
from tests.support.clock import SECOND_US, ManualClock
from tests.support.server import RunningServer


def count(server: RunningServer, text: str) -> str:
    """Ask for a count with a token, and return why it is refused; empty when it is not."""
    with grpc.insecure_channel(server.target) as channel:
        try:
            pb_grpc.RunIndexStub(channel).CountRuns(pb.CountRunsRequest(), metadata=bearer(text), timeout=30)
        except grpc.RpcError as error:
            return reason_of(error)
    return ""


def bearer(text: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {text}")]


def test_a_token_works_within_a_second_and_until_a_second_after_it_is_revoked(
    asking: RunningServer, tokens: TokenMaker, clock: ManualClock
) -> None:
    token, text = tokens(Role.READER)
    assert count(asking, text) == "CREDENTIALS_INVALID"
    clock.advance(LOOK_INTERVAL_US)
    assert count(asking, text) == ""

    assert remove_token(tokens.path, token.id) == token
    clock.advance(LOOK_INTERVAL_US)
    assert count(asking, text) == "CREDENTIALS_INVALID"
    assert remove_token(tokens.path, token.id) is None


def test_one_token_takes_over_from_another_without_a_refused_call(
    asking: RunningServer, tokens: TokenMaker, clock: ManualClock
) -> None:
    first, text = tokens(Role.WRITER, name="agent")
    for _ in range(20):
        clock.advance(LOOK_INTERVAL_US)
        assert count(asking, text) == ""
        second, next_text = tokens(Role.WRITER, name="agent")
        clock.advance(LOOK_INTERVAL_US)
        assert (count(asking, text), count(asking, next_text)) == ("", "")
        remove_token(tokens.path, first.id)
        first, text = second, next_text


def test_a_token_expires_to_the_second(asking: RunningServer, tokens: TokenMaker, clock: ManualClock) -> None:
    clock.set(clock.now_us() // SECOND_US * SECOND_US)
    _, text = tokens(Role.READER, expires_in=timedelta(seconds=60))
    clock.advance(60 * SECOND_US - 1)
    assert count(asking, text) == ""
    clock.advance(1)
    assert count(asking, text) == "CREDENTIALS_INVALID"


@pytest.mark.parametrize("content", ["", "{", '{"tokens": [{}]}', '{"tokens": [], "more": 1}', "[]", "\x00"])
def test_a_damaged_file_changes_nothing_but_the_log(
    tokens: TokenMaker, clock: ManualClock, content: str
) -> None:
    _, text = tokens(Role.READER)
    live = LiveTokens(tokens.path, clock)
    tokens.path.write_text(content)
    clock.advance(LOOK_INTERVAL_US)
    with capture_logs() as logs:
        assert live.caller_of(text) == Caller("the reader", Role.READER)
        clock.advance(LOOK_INTERVAL_US)
        assert live.caller_of(text) == Caller("the reader", Role.READER)

    assert [line["event"] for line in logs] == ["tokens not read again"], "once, as long as it stays"
    assert str(tokens.path) in logs[0]["problem"]
    with pytest.raises(TokensRefused, match=r"tokens\.json"):
        LiveTokens(tokens.path, clock)


def test_a_file_that_is_removed_revokes_all(tokens: TokenMaker, clock: ManualClock) -> None:
    _, text = tokens(Role.READER)
    live = LiveTokens(tokens.path, clock)
    tokens.path.unlink()
    clock.advance(LOOK_INTERVAL_US)
    assert live.caller_of(text) is None


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o602, 0o660, 0o644])
def test_a_file_that_others_can_use_is_refused(tokens: TokenMaker, clock: ManualClock, mode: int) -> None:
    tokens()
    tokens.path.chmod(mode)
    with pytest.raises(TokensRefused, match=f"chmod 600 {tokens.path}"):
        LiveTokens(tokens.path, clock)


def test_the_file_holds_no_secret_and_is_its_owners_alone(tokens: TokenMaker) -> None:
    before = os.umask(0)
    try:
        _, text = tokens()
    finally:
        os.umask(before)
    assert text.rpartition("_")[2] not in tokens.path.read_text()
    assert tokens.path.stat().st_mode & 0o777 == 0o600
    assert list(tokens.path.parent.iterdir()) == [tokens.path]


def test_a_file_that_cannot_be_written_is_as_it_was(tokens: TokenMaker, tmp_path: Path) -> None:
    token, _ = tokens()
    before = tokens.path.read_bytes()
    (tmp_path / "tokens.json.new").mkdir()
    with pytest.raises(TokensRefused, match="cannot be written"):
        add_token(tokens.path, token)
    assert tokens.path.read_bytes() == before
    with pytest.raises(TokensRefused, match="cannot be written"):
        add_token(tmp_path / "absent" / "tokens.json", token)
    assert load_tokens(tokens.path) == (token,)


@pytest.mark.parametrize("name", ["", "a" * 129, "two\nlines", "caf\u00e9", "\x1b[31m"])
def test_a_name_that_could_not_be_logged_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="128 printable ASCII"):
        checked_name(name)


ROUNDS: Final = 4_000


def test_an_unknown_id_takes_as_long_as_a_wrong_secret(tokens: TokenMaker, clock: ManualClock) -> None:
    """Both hash and compare; the bound is wide, since what is looked for is a hash that is left out."""
    token, text = tokens()
    table, now_us = TokenTable([token]), clock.now_us()
    unknown, wrong = f"ri_{'0' * 12}_{text[16:]}", f"ri_{token.id}_{'A' * 43}"
    times: dict[str, list[int]] = {unknown: [], wrong: []}
    for _ in range(ROUNDS):
        for each, of_each in times.items():
            begun = time.perf_counter_ns()
            assert table.caller_of(each, now_us) is None
            of_each.append(time.perf_counter_ns() - begun)
    medians = [statistics.median(of_each) for of_each in times.values()]
    assert max(medians) < 2 * min(medians)


def test_who_made_it_is_kept_with_a_run_and_with_each_transition(
    asking: RunningServer, tokens: TokenMaker, clock: ManualClock
) -> None:
    _, one = tokens(Role.WRITER, name="agent one")
    _, two = tokens(Role.WRITER, name="agent two")
    clock.advance(LOOK_INTERVAL_US)
    with grpc.insecure_channel(asking.target) as channel:
        runs, told = pb_grpc.RunIndexStub(channel), insights_grpc.RunInsightsStub(channel)
        run = runs.CreateRun(pb.CreateRunRequest(), metadata=bearer(one)).run
        runs.PauseRun(pb.PauseRunRequest(run_id=run.run_id), metadata=bearer(two))
        runs.CancelRun(pb.CancelRunRequest(run_id=run.run_id), metadata=bearer(one))
        history = told.GetRunHistory(
            insights_pb.GetRunHistoryRequest(run_id=run.run_id), metadata=bearer(two)
        )

        shown = runs.GetRun(pb.GetRunRequest(run_id=run.run_id), metadata=bearer(two)).run

    assert [each.actor for each in history.transitions] == ["agent one", "agent two", "agent one"]
    assert run.creator == shown.creator == "agent one"


def test_who_made_it_is_kept_with_runs_of_all_kinds(
    asking: RunningServer, tokens: TokenMaker, clock: ManualClock
) -> None:
    _, text = tokens(Role.ADMIN, name="agent")
    _, other = tokens(Role.WRITER, name="other")
    clock.advance(LOOK_INTERVAL_US)
    with grpc.insecure_channel(asking.target) as channel:
        runs, templates = pb_grpc.RunIndexStub(channel), templates_grpc.RunTemplatesStub(channel)
        templates.PutTemplate(templates_pb.PutTemplateRequest(name="t"), metadata=bearer(text))
        made = [
            runs.CreateChildRun(
                pb.CreateChildRunRequest(parent_run_id=DEFAULT), metadata=bearer(other)
            ).run.run_id,
            templates.CreateRunFromTemplate(
                templates_pb.CreateRunFromTemplateRequest(name="t"), metadata=bearer(other)
            ).run_id,
            templates.CloneRun(templates_pb.CloneRunRequest(run_id=DEFAULT), metadata=bearer(other)).run_id,
        ]
        again = [
            runs.CreateRun(pb.CreateRunRequest(request_id="r"), metadata=bearer(other)).run for _ in range(2)
        ]
        creators = [
            runs.GetRun(pb.GetRunRequest(run_id=run_id), metadata=bearer(text)).run.creator
            for run_id in (*made, DEFAULT)
        ]

    assert creators == ["other", "other", "other", ""]
    assert again[0] == again[1]
    assert again[0].creator == "other"


def test_request_ids_are_of_a_caller(asking: RunningServer, tokens: TokenMaker, clock: ManualClock) -> None:
    """Two tokens of one name are one caller; another caller's request ids are others."""
    texts = [tokens(Role.WRITER, name=name)[1] for name in ("agent", "agent", "other")]
    clock.advance(LOOK_INTERVAL_US)
    with grpc.insecure_channel(asking.target) as channel:
        runs = pb_grpc.RunIndexStub(channel)
        made = [
            runs.CreateRun(pb.CreateRunRequest(request_id="r1"), metadata=bearer(text)).run.run_id
            for text in texts
        ]
    assert made[0] == made[1] != made[2]
