"""`export` and `import`: what comes over, and how it fares in the other store."""

from pathlib import Path
from uuid import UUID

import pytest

from runindex.v1 import run_index_pb2 as pb
from runindex_server import limits
from runindex_server.cli.exits import EXIT_REFUSED
from runindex_server.schema import keys
from tests.support import calls, data_calls
from tests.support.bundle_stores import Served, all_rows, drifts_of, entries_of, invoke, use
from tests.support.bundled_runs import all_answers
from tests.support.clock import DAY_US, ManualClock
from tests.support.consistency import check_store


def test_a_round_trip_answers_the_same(
    serve: Served, bundle: Path, filled: list[str], source: Path, target: Path, clock: ManualClock
) -> None:
    code, out, err = invoke("import", bundle, "--data-dir", target)
    assert (code, err) == (0, "")
    assert out.startswith(f"{target} holds 20 runs, ")

    old, new = serve(source), serve(target)
    asked = [(each.stub(), each.data_stub(), each.insights_stub()) for each in (old, new)]
    answers = [all_answers(*stubs, filled) for stubs in asked]
    assert answers[0] == answers[1]
    for query in ("words", "state:completed", "created>2020-01-01", "tag:all", "number", "duration>1s"):
        found, expected = (
            calls.search_ids(stubs[0], query, include_archived=True) for stubs in reversed(asked)
        )
        assert found == expected, query
    everything = [calls.list_ids(stubs[0], include_archived=True) for stubs in asked]
    assert everything[0] == everything[1] == [*reversed(filled), "default"]
    for state in calls.STATES:
        assert calls.count(asked[0][0], state) == calls.count(asked[1][0], state)
    old.stop()
    new.stop()
    use(target, clock, check_store)
    assert use(target, clock, drifts_of) == []


def test_imported_runs_are_listed_in_the_order_in_which_they_came(
    serve: Served, bundle: Path, filled: list[str], target: Path, clock: ManualClock
) -> None:
    clock.advance(DAY_US)
    server = serve(target)
    first = calls.create(server.stub()).run_id
    server.stop()
    assert invoke("import", bundle, "--data-dir", target)[0] == 0
    server = serve(target)
    stub = server.stub()
    last = calls.create(stub).run_id

    assert calls.list_ids(stub, include_archived=True) == [last, *reversed(filled), first, "default"]
    middle = calls.get(stub, filled[9]).create_time
    assert calls.micros(calls.get(stub, first).create_time) > calls.micros(middle)
    for query, expected in {
        f"created<={middle.ToJsonString()}": [*reversed(filled[:10]), "default"],
        f"created>{middle.ToJsonString()}": [last, *reversed(filled[10:]), first],
    }.items():
        assert calls.search_ids(stub, query, include_archived=True) == expected


def test_runs_that_were_imported_change_and_go_as_any(
    serve: Served, bundle: Path, filled: list[str], target: Path, clock: ManualClock
) -> None:
    assert invoke("import", bundle, "--data-dir", target)[0] == 0
    server = serve(target)
    stub, data = server.stub(), server.data_stub()
    finished = [run_id for run_id in filled if calls.get(stub, run_id).state != pb.RUN_STATE_ARCHIVED]
    for run_id in finished[::2]:
        data_calls.put(data, run_id, "key", "more")
        data_calls.append(data, run_id, data_calls.draft("out", "more"))
        calls.add_tags(stub, run_id, "more")
        calls.archive(stub, run_id)
    for run_id in finished[1::2]:
        calls.delete(stub, run_id)
    server.run_jobs()
    server.stop()

    use(target, clock, check_store)
    assert use(target, clock, drifts_of) == []


def test_a_bundle_of_imported_runs_holds_the_same(
    bundle: Path, filled: list[str], target: Path, tmp_path: Path
) -> None:
    assert invoke("import", bundle, "--data-dir", target)[0] == 0
    assert invoke("export", *filled, tmp_path / "again", "--data-dir", target)[0] == 0

    assert entries_of(tmp_path / "again") == entries_of(bundle)


def test_a_dry_run_tells_what_would_come_and_writes_nothing(
    bundle: Path, target: Path, clock: ManualClock
) -> None:
    before = use(target, clock, all_rows)
    code, out, err = invoke("import", bundle, "--data-dir", target, "--dry-run")

    assert (code, err) == (0, "")
    assert out.startswith(f"{bundle} is sound: 20 runs, ")
    assert out.endswith(f" would come into {target} (dry run: nothing was written).\n")
    assert use(target, clock, all_rows) == before


def test_runs_are_exported_from_a_backup_while_a_server_goes_on(
    serve: Served, filled: list[str], source: Path, target: Path, tmp_path: Path
) -> None:
    server = serve(source)
    assert invoke("backup", tmp_path / "backup", "--address", server.target)[0] == 0
    code, out, err = invoke("export", filled[0], tmp_path / "bundle", "--file", tmp_path / "backup")

    assert (code, err) == (0, "")
    assert out.startswith(f"{tmp_path / 'bundle'}: 1 run, ")
    assert invoke("import", tmp_path / "bundle", "--data-dir", target)[0] == 0


def test_ids_come_from_standard_input_in_any_form(filled: list[str], source: Path, tmp_path: Path) -> None:
    forms = f"{UUID(filled[0]).hex.upper()}\n\nurn:uuid:{filled[1]}\n{filled[1]}\n"
    code, out, _ = invoke("export", "-", filled[2], tmp_path / "b", "--data-dir", source, text=forms)

    assert code == 0
    assert out.startswith(f"{tmp_path / 'b'}: 3 runs, ")


def test_an_unfinished_run_is_exported_by_force_only(
    serve: Served, source: Path, target: Path, tmp_path: Path, clock: ManualClock
) -> None:
    server = serve(source)
    active, paused = (calls.create(server.stub()).run_id for _ in range(2))
    calls.pause(server.stub(), paused)
    server.stop()
    path = tmp_path / "bundle"
    for run_id, state in ((active, "ACTIVE"), (paused, "PAUSED")):
        code, out, err = invoke("export", run_id, path, "--data-dir", source)
        assert (code, out) == (EXIT_REFUSED, "")
        assert err.startswith(f"The run {run_id} is {state}: ")
        assert not path.exists()
    assert invoke("export", active, paused, path, "--data-dir", source, "--force")[0] == 0
    assert invoke("import", path, "--data-dir", target)[0] == 0
    server = serve(target)
    for run_id in (active, paused):
        calls.cancel(server.stub(), run_id)
    server.stop()
    use(target, clock, check_store)


def test_what_retention_is_due_is_due_in_the_other_store(
    serve: Served, source: Path, target: Path, tmp_path: Path, clock: ManualClock
) -> None:
    server = serve(source)
    stub, data = server.stub(), server.data_stub()
    run_id = calls.create(stub).run_id
    for version in range(5):
        data_calls.put(data, run_id, "key", version)
    calls.close(stub, run_id)
    calls.set_retention(stub, run_id, pb.RetentionPolicy(keep_latest_n=2))
    server.stop()
    assert invoke("export", run_id, tmp_path / "b", "--data-dir", source)[0] == 0
    assert invoke("import", tmp_path / "b", "--data-dir", target)[0] == 0
    server = serve(target)
    code, out, _ = invoke("compact", "--address", server.target)

    assert (code, out.partition(" ")[0]) == (0, run_id)
    assert [item.version for item in data_calls.history(server.data_stub(), run_id, "key")] == [5, 4]


@pytest.mark.parametrize("room", [19, 20])
def test_the_pending_list_of_search_has_room_for_all_or_nothing_comes(
    bundle: Path, target: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    # The default run of the target waits in it, and is merged before.
    monkeypatch.setattr(limits, "PENDING_ROWS_MAX", room)
    code, _, err = invoke("import", bundle, "--data-dir", target)
    monkeypatch.undo()

    assert (code, bool(err)) == ((0, False) if room == 20 else (EXIT_REFUSED, True))
    use(target, clock, check_store)
    found = [key for key, _ in use(target, clock, all_rows) if key.startswith(keys.RUN.prefix)]
    assert len(found) == (21 if room == 20 else 1)
    # What was staged is no hindrance.
    assert invoke("import", bundle, "--data-dir", target)[0] == (EXIT_REFUSED if room == 20 else 0)
