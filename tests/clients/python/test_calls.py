"""Every method of the client against a real server, with asyncio and without."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

import runindex
from runindex import MISSING, DeleteAfter, KeepAll, KeepFor, KeepLatest, RunState
from tests.support.clock import ManualClock

RUN_ID = "0192f3aa-bbcc-7ddd-8eee-ff0011223344"


def test_create_and_get(client: Any) -> None:
    made = client.create(
        tags=["a", "b"], metadata={"n": 3, "deep": {"list": [1.5, None, True]}}, run_id=RUN_ID
    )

    assert made == client.get(RUN_ID) == client.get(UUID(RUN_ID)) == client.get(made)
    assert (made.run_id, made.state, made.version) == (RUN_ID, RunState.ACTIVE, 1)
    assert made.tags == ("a", "b")
    assert made.metadata == {"n": 3, "deep": {"list": [1.5, None, True]}}
    assert made.create_time.tzinfo is UTC
    assert made.end_time is made.duration is made.outcome is made.parent_run_id is made.error is None


def test_a_missing_run(client: Any) -> None:
    with pytest.raises(runindex.RunNotFound) as caught:
        client.get(RUN_ID)

    assert caught.value.run_id == RUN_ID
    assert client.get(RUN_ID, default=None) is None
    assert client.get(RUN_ID, 7) == 7
    assert client.exists(RUN_ID) is False
    assert client.exists("default") is True


def test_lifecycle(client: Any, clock: ManualClock) -> None:
    run = client.create()
    assert client.pause(run).version == 2
    assert client.resume(run).version == 3
    change = client.fail(run, ValueError("no"))

    failed = client.get(run)
    assert (failed.version, failed.update_time, failed.revision) == (
        change.version,
        change.update_time,
        change.revision,
    )
    assert (failed.state, failed.outcome, failed.error) == (
        RunState.FAILED,
        RunState.FAILED,
        "ValueError: no",
    )
    assert failed.duration == failed.end_time - failed.create_time
    client.archive(run)
    assert client.get(run).state is RunState.ARCHIVED
    assert client.get(run).outcome is RunState.FAILED

    closed, cancelled = client.create(), client.create()
    client.close_run(closed)
    client.cancel(cancelled)
    assert client.get(closed).state is RunState.COMPLETED
    assert client.get(cancelled).state is RunState.CANCELLED


def test_a_transition_that_there_is_not(client: Any) -> None:
    run = client.create()
    client.close_run(run)

    with pytest.raises(runindex.InvalidTransition) as caught:
        client.pause(run)

    error = caught.value
    assert (error.run_id, error.from_state, error.to_state) == (
        run.run_id,
        RunState.COMPLETED,
        RunState.PAUSED,
    )
    assert error.allowed_states == (RunState.ARCHIVED,)
    assert error.revision is not None


def test_an_expected_version(client: Any) -> None:
    run = client.create()

    with pytest.raises(runindex.VersionMismatch) as caught:
        client.close_run(run, expected_version=7)

    assert (caught.value.expected, caught.value.current) == (7, 1)
    client.close_run(run, expected_version=1)


def test_a_request_id_of_the_callers(client: Any) -> None:
    first = client.create(tags=["a"], request_id="mine")

    assert client.create(tags=["a"], request_id="mine") == first
    with pytest.raises(runindex.RequestIdReused) as caught:
        client.create(tags=["b"], request_id="mine")
    assert caught.value.request_id == "mine"


def test_metadata(client: Any) -> None:
    run = client.create(metadata={"a": 1, "b": {"c": 2}})

    client.update_metadata(run, {"a": None, "b": {"d": 3}})
    assert client.get(run).metadata == {"b": {"c": 2, "d": 3}}
    client.update_metadata(run, {"x": []}, merge=False)
    assert client.get(run).metadata == {"x": []}


def test_tags(client: Any) -> None:
    run = client.create(tags=["a"])

    client.add_tags(run, "b", "c")
    client.remove_tags(run, "a")
    assert client.tags(run) == client.get(run).tags == ("b", "c")
    with pytest.raises(runindex.InvalidTag):
        client.add_tags(run, "")
    with pytest.raises(TypeError, match=r"write \['nightly'\]"):
        client.create(tags="nightly")


def test_parents_and_children(client: Any) -> None:
    root = client.create()
    first, second = client.create(parent=root), client.create(parent=root.run_id)

    assert client.parent(first) == root.run_id
    assert client.parent(root) is None
    assert list(client.children(root).ids()) == [second.run_id, first.run_id]
    assert client.delete(root).orphaned_children == 2
    assert first.parent_run_id == root.run_id
    with pytest.raises(runindex.ParentRunNotFound) as caught:
        client.create(parent=root)
    assert caught.value.parent_run_id == root.run_id


@pytest.mark.parametrize(
    "policy", [KeepLatest(3), KeepFor(timedelta(days=2)), DeleteAfter(timedelta(hours=1)), KeepAll()]
)
def test_retention(client: Any, policy: runindex.KeepAll) -> None:
    run = client.create()
    assert client.retention(run) == KeepAll()

    client.set_retention(run, policy)

    assert client.retention(run) == policy


def test_counts_and_lists(client: Any) -> None:
    made = [client.create(tags=["odd"] if index % 2 else []) for index in range(6)]
    client.close_run(made[1])
    client.fail(made[3], "no")
    client.archive(made[5])
    ids = [run.run_id for run in made]

    assert client.count() == 6  # The default run is one of them.
    assert client.count(states=["failed", RunState.COMPLETED]) == 2
    assert client.count_by_state(include_archived=True)[RunState.ARCHIVED] == 1
    assert list(client.runs().ids()) == [*reversed(ids[:5]), "default"]
    assert list(client.runs(skip=4).ids()) == [ids[0], "default"]
    assert list(client.runs(states="failed").ids()) == [ids[3]]
    assert list(client.runs(states=RunState.COMPLETED).ids()) == [ids[1]]
    assert list(client.runs(states=["failed", "completed"]).ids()) == [ids[3], ids[1]]
    assert list(client.runs(tag="odd").ids()) == [ids[3], ids[1]]
    assert list(client.runs(tag="odd", include_archived=True).ids()) == [ids[5], ids[3], ids[1]]
    assert list(client.runs(tag="odd", states=["failed", "archived"]).ids()) == [ids[5], ids[3]]
    assert list(client.search("tag:odd -state:failed").ids()) == [ids[1]]
    with pytest.raises(ValueError, match="is no state"):
        client.runs(states=["done"])
    with pytest.raises(runindex.InvalidQuery) as caught:
        client.search("tag:odd (").first()
    assert caught.value.position == 8


def test_tags_that_need_quotes_are_found(client: Any) -> None:
    run = client.create(tags=['a "b" \\ )'])

    assert client.runs(tag='a "b" \\ )', states="active").first() == run


def test_without_metadata(client: Any) -> None:
    client.create(metadata={"a": 1}, tags=["t"])

    (run,) = client.runs(tag="t", with_metadata=False)

    assert run.metadata == {}
    assert run.tags == ("t",)


def test_values(client: Any) -> None:
    data = client.data(client.create())
    assert data.put("k", {"a": [1]}).version == 1
    assert data.put("k", b"\x00\xff", expected_version=1).version == 2

    assert data.get("k") == b"\x00\xff"
    assert data.get_item("k", version=1).value == {"a": [1]}
    assert data.get("none", default="d") == "d"
    with pytest.raises(runindex.ValueNotFound) as caught:
        data.get("none")
    assert caught.value.key == "none"
    data.put("l", None)
    assert [(item.name, item.value) for item in data.items()] == [("k", b"\x00\xff"), ("l", None)]
    assert [item.value for item in data.items("k", with_values=False)] == [None]
    data.delete("k")
    assert [(item.version, item.deleted) for item in data.history("k")] == [(3, True), (2, False), (1, False)]


def test_events(client: Any) -> None:
    data = client.data(client.create())

    assert data.append("log", "a", {"b": 1}).first_sequence == 0
    assert data.append_events([("log", "c"), ("other", b"d")]).first_sequence == 2
    assert [(event.sequence, event.value) for event in data.events("log", page_size=1)] == [
        (0, "a"),
        (1, {"b": 1}),
        (2, "c"),
    ]
    assert [event.stream for event in data.events(backwards=True, limit=2)] == ["other", "log"]
    assert [event.sequence for event in data.events(from_sequence=2)] == [2, 3]
    assert data.count_events().next_sequence == 4
    assert data.count_events("log").count == 3


def test_state_cells(client: Any) -> None:
    data = client.data(client.create())

    data.compare_and_set("step", MISSING, 1)
    data.compare_and_set("step", 1, 2)
    with pytest.raises(runindex.ValueMismatch) as caught:
        data.compare_and_set("step", 1, 3)
    assert (caught.value.cell, caught.value.current) == ("step", 2)
    data.set_state("step", [3])
    assert data.get_state("step") == [3]
    assert data.get_state_item("step", version=1).value == 1
    assert data.get_state("none", None) is None
    assert [cell.name for cell in data.states()] == ["step"]


def test_documents(client: Any) -> None:
    data = client.data(client.create())

    data.set_document("d", {"a": {"b": [1, 2]}})
    data.set_document("d", 3, pointer="/a/b/-")
    data.merge_document("d", {"a": {"c": None}, "e": "f"})
    assert data.get_document("d") == {"a": {"b": [1, 2, 3]}, "e": "f"}
    assert data.get_document("d", pointer="/a/b/0") == 1
    assert data.get_document("d", 0, pointer="/none") == 0
    with pytest.raises(runindex.PointerNotFound) as caught:
        data.get_document("d", pointer="/none")
    assert (caught.value.document, caught.value.pointer) == ("d", "/none")
    data.delete_document("d", pointer="/a")
    assert [document.value for document in data.documents()] == [{"e": "f"}]
    data.delete_document("d")
    assert data.get_document("d", None) is None


def test_insights(client: Any, clock: ManualClock) -> None:
    root = client.create(tags=["a", "b"])
    child = client.create(tags=["a"], parent=root)
    client.fail(child, "Timeout after 31 s")
    insights = client.insights

    assert insights.stats().by_state[RunState.FAILED] == 1
    assert insights.stats(tag="a").finished.error_rate == 1
    hours = insights.stats(interval="hour", start_time=root.create_time - timedelta(hours=1))
    assert [row.finished.count for row in hours.intervals] == [0, 1]
    assert hours.intervals_finished.durations is not None
    assert [(step.from_state, step.to_state) for step in insights.history(child)] == [
        (None, RunState.ACTIVE),
        (RunState.ACTIVE, RunState.FAILED),
    ]
    tree = insights.tree(root)
    assert (tree.root.run.run_id, [node.run.run_id for node in tree.descendants]) == (
        root.run_id,
        [child.run_id],
    )
    assert tree.root.children == {RunState.FAILED: 1}
    assert [(row.tag, row.count) for row in insights.tags(order="count")] == [("a", 2), ("b", 1)]
    assert [group.error for group in insights.errors()] == ["Timeout after <n> s"]
    assert insights.errors().first().example.run_id == child.run_id
    assert list(insights.stale(timedelta(days=1)).ids()) == []
    with pytest.raises(ValueError, match="no time zone"):
        insights.stats(interval="day", start_time=datetime(2026, 1, 1))  # noqa: DTZ001  # That is the point.


def test_templates(client: Any) -> None:
    templates = client.templates
    templates.put(
        "nightly", tags=["n"], metadata={"a": 1, "b": 2}, retention=KeepLatest(2), expected_version=0
    )

    template = templates.get("nightly")
    assert (template.tags, template.metadata, template.retention) == (("n",), {"a": 1, "b": 2}, KeepLatest(2))
    assert templates.get("none", None) is None
    with pytest.raises(runindex.TemplateVersionMismatch) as caught:
        templates.put("nightly", expected_version=0)
    assert (caught.value.template, caught.value.expected, caught.value.current) == ("nightly", 0, 1)
    assert [template.name for template in templates.all("n")] == ["nightly"]
    made = client.get(templates.create_run("nightly", tags=["m"], metadata={"b": None}))
    assert (made.tags, made.metadata) == (("n", "m"), {"a": 1})
    copy = client.get(templates.clone(made, metadata={"c": 3}))
    assert (copy.cloned_from, copy.metadata) == (made.run_id, {"a": 1, "c": 3})
    assert templates.delete("nightly") > 0
    with pytest.raises(runindex.TemplateNotFound):
        templates.get("nightly")
