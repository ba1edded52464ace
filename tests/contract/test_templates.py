"""Templates: written, read and deleted."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as index_pb
from runindex.v1 import templates_pb2 as pb
from tests.support.calls import DEFAULT, Stub, check_refused, list_ids, micros, struct
from tests.support.clock import HOUR_US, SECOND_US, ManualClock
from tests.support.consistency import check_store
from tests.support.data_calls import revision_of
from tests.support.server import LoopThread, RunningServer
from tests.support.stores import ON_DISK
from tests.support.template_methods import (
    KEEP_2,
    KEEP_ALL,
    POLICIES,
    Templates,
    create_from,
    delete,
    get,
    list_all,
    put,
)
from tests.support.together import outcome_of, together


@pytest.fixture(autouse=True)
def sound(loop: LoopThread, server: RunningServer) -> Iterator[None]:
    """Check the store after each test."""
    yield
    loop.run(check_store(server.store))


def names(templates: Templates, prefix: str = "") -> list[str]:
    """Return the names of the templates that begin so."""
    return [template.name for template in list_all(templates, prefix)]


# Writing.


@pytest.mark.parametrize("retention", [None, *POLICIES])
def test_a_template_is_returned_as_it_was_written(
    stub: Stub, templates: Templates, clock: ManualClock, retention: index_pb.RetentionPolicy | None
) -> None:
    """Whole, at version 1, with the time and the revision of the answer."""
    now_us = clock.advance(SECOND_US)
    before = revision_of(stub)

    answer = put(
        templates,
        "night batch",
        tags=["b", "a", "b"],
        metadata={"k": [1, {"n": None}], "a": "x"},
        retention=retention,
    )

    assert answer.version == 1
    assert micros(answer.update_time) == now_us
    assert answer.revision == revision_of(stub) > before
    assert get(templates, "night batch") == pb.RunTemplate(
        name="night batch",
        tags=["b", "a"],
        retention=retention,
        version=1,
        create_time=answer.update_time,
        update_time=answer.update_time,
        metadata=struct({"k": [1, {"n": None}], "a": "x"}),
    )


def test_a_template_may_be_empty(templates: Templates) -> None:
    """A name is enough; an empty object is the same as none."""
    put(templates, "bare", metadata={})

    template = get(templates, "bare")

    assert not template.HasField("metadata")
    assert not template.HasField("retention")
    assert list(template.tags) == []


def test_a_put_replaces_the_template_whole(templates: Templates, clock: ManualClock) -> None:
    """Nothing of the one before stays but the time of its creation."""
    first = put(templates, tags=["a"], metadata={"k": 1}, retention=KEEP_2)
    now_us = clock.advance(SECOND_US)

    second = put(templates, tags=["b"])

    assert (second.version, micros(second.update_time)) == (2, now_us)
    assert second.revision > first.revision
    assert get(templates) == pb.RunTemplate(
        name="t",
        tags=["b"],
        version=2,
        create_time=first.update_time,
        update_time=second.update_time,
    )


FULL: Final[dict[str, Any]] = {"tags": ["a", "b"], "metadata": {"k": 1, "j": [2]}, "retention": KEEP_2}


@pytest.mark.parametrize("content", [{}, FULL, {"retention": KEEP_ALL}], ids=["bare", "full", "keep all"])
def test_an_equal_template_changes_nothing(
    stub: Stub, templates: Templates, clock: ManualClock, content: dict[str, Any]
) -> None:
    """The answer has the old version and time, and the store's revision."""
    first = put(templates, **content)
    other = put(templates, "another")
    clock.advance(SECOND_US)
    before = get(templates)
    tags = content.get("tags", [])

    for again in (content, content | {"tags": [*tags, *tags]}, content | {"expected_version": 1}):
        answer = put(templates, **again)

        assert (answer.version, answer.update_time) == (first.version, first.update_time)
        assert answer.revision == other.revision == revision_of(stub)
        assert get(templates) == before


@pytest.mark.parametrize(
    "other",
    [
        {"tags": ["b", "a"]},
        {"tags": ["a"]},
        {"tags": []},
        {"metadata": {"k": 1}},
        {"metadata": {"k": "1", "j": [2]}},
        {"metadata": None},
        {"retention": KEEP_ALL},
        {"retention": None},
    ],
    ids=str,
)
def test_every_difference_is_a_change(templates: Templates, other: dict[str, Any]) -> None:
    """The order of tags too, and KeepAll is not the same as no policy."""
    put(templates, **FULL)

    assert put(templates, **(FULL | other)).version == 2
    assert put(templates, **FULL).version == 3


def test_no_time_goes_backwards(templates: Templates, clock: ManualClock) -> None:
    """The store's clock is the later of the wall clock and the last time issued."""
    put(templates, tags=["a"])
    clock.advance(-HOUR_US)

    put(templates, tags=["b"])

    template = get(templates)
    assert micros(template.create_time) == micros(template.update_time)


def test_a_template_is_no_run(stub: Stub, templates: Templates) -> None:
    """It is neither listed nor counted nor found."""
    put(templates, tags=["a"], metadata={"word": "word"})

    assert list_ids(stub, include_archived=True) == [DEFAULT]
    assert stub.CountRuns(index_pb.CountRunsRequest(include_archived=True)).count == 1
    assert not stub.QueryRunsByTag(index_pb.QueryRunsByTagRequest(tag="a")).runs
    assert not stub.SearchRuns(index_pb.SearchRunsRequest(query="word")).runs


# Versions.


def test_a_put_that_expects_none(templates: Templates) -> None:
    """0 is for what is not there: before it is written, and after it was deleted."""
    assert put(templates, expected_version=0).version == 1

    check_refused(
        lambda: put(templates, tags=["b"], expected_version=0),
        Code.ABORTED,
        "TEMPLATE_VERSION_MISMATCH",
        template="t",
        expectedVersion="0",
        currentVersion="1",
    )
    delete(templates)
    assert put(templates, expected_version=0).version == 1


@pytest.mark.parametrize("expected", [1, 3, 2**64 - 1])
def test_a_put_that_expects_another_version(stub: Stub, templates: Templates, expected: int) -> None:
    """Is refused with both versions and the revision, also when it would change nothing."""
    put(templates, tags=["a"])
    put(templates, tags=["b"])
    before = get(templates)

    for tags in (["b"], ["c"]):
        refusal = check_refused(
            lambda tags=tags: put(templates, tags=tags, expected_version=expected),
            Code.ABORTED,
            "TEMPLATE_VERSION_MISMATCH",
            template="t",
            expectedVersion=str(expected),
            currentVersion="2",
        )
        assert refusal.revision == revision_of(stub)
    assert get(templates) == before
    assert put(templates, tags=["c"], expected_version=2).version == 3


def test_a_put_that_expects_a_version_where_none_is(templates: Templates) -> None:
    """What is not there has version 0."""
    check_refused(
        lambda: put(templates, expected_version=1),
        Code.ABORTED,
        "TEMPLATE_VERSION_MISMATCH",
        template="t",
        expectedVersion="1",
        currentVersion="0",
    )
    assert names(templates) == []


def test_of_many_puts_at_once_one_creates(templates: Templates) -> None:
    """Those that expect none, or the same version: exactly one finds it; the others change nothing."""
    for expected in (0, 1):
        puts = [
            partial(put, templates, tags=[f"{expected} {number}"], expected_version=expected)
            for number in range(8)
        ]
        outcomes = together([partial(outcome_of, each) for each in puts])
        assert sorted(outcomes) == ["ABORTED"] * 7 + ["done"]
        assert get(templates).version == expected + 1


# Deleting.


def test_a_deleted_template_is_gone(stub: Stub, templates: Templates) -> None:
    """For reads, lists, creations and a second delete; others stay."""
    put(templates, "gone")
    put(templates, "kept")
    before = revision_of(stub)

    answer = delete(templates, "gone")

    assert answer.revision == revision_of(stub) > before
    assert names(templates) == ["kept"]
    for missing in (
        lambda: get(templates, "gone"),
        lambda: delete(templates, "gone"),
        lambda: delete(templates, "gone", expected_version=1),
        lambda: create_from(templates, "gone"),
    ):
        refusal = check_refused(missing, Code.NOT_FOUND, "TEMPLATE_NOT_FOUND", template="gone")
        assert refusal.revision == answer.revision


def test_a_template_that_comes_again_begins_anew(templates: Templates, clock: ManualClock) -> None:
    """Version 1, a create time of its own, and nothing of the one before."""
    put(templates, tags=["a"], metadata={"k": 1})
    put(templates, tags=["b"], metadata={"k": 2})
    delete(templates)
    now_us = clock.advance(SECOND_US)

    assert put(templates, tags=["c"]).version == 1

    template = get(templates)
    assert micros(template.create_time) == micros(template.update_time) == now_us
    assert list(template.tags) == ["c"]
    assert not template.HasField("metadata")


@pytest.mark.parametrize("expected", [0, 1, 3])
def test_a_delete_that_expects_another_version(templates: Templates, expected: int) -> None:
    """Deletes nothing."""
    put(templates, tags=["a"])
    put(templates, tags=["b"])

    check_refused(
        lambda: delete(templates, expected_version=expected),
        Code.ABORTED,
        "TEMPLATE_VERSION_MISMATCH",
        template="t",
        expectedVersion=str(expected),
        currentVersion="2",
    )
    assert names(templates) == ["t"]
    delete(templates, expected_version=2)
    assert names(templates) == []


# Keeping.


@ON_DISK
def test_templates_persist_across_restart(
    server: RunningServer, templates: Templates, clock: ManualClock
) -> None:
    """To the byte, and tokens with them."""
    for number, policy in enumerate(POLICIES):
        put(templates, f"{number}", tags=["b", "a"], metadata={"n": number}, retention=policy)
        clock.advance(SECOND_US)
        put(templates, f"{number}", tags=["a", "b"], metadata={"n": number}, retention=policy)
    before = list_all(templates)
    token = templates.ListTemplates(pb.ListTemplatesRequest(page_size=1)).next_page_token

    server.restart()

    again = server.templates_stub()
    assert list_all(again) == before
    assert [get(again, template.name) for template in before] == before
    page = again.ListTemplates(pb.ListTemplatesRequest(page_token=token))
    assert list(page.templates) == before[1:]
