"""Arguments of which a request can hold very many: how many of them are looked at, and which is named."""

from itertools import count, islice
from typing import Final

import pytest

from runindex_server import limits
from runindex_server.errors import InvalidState, InvalidTag
from runindex_server.rpc import validate
from runindex_server.schema.run import RunState

MANY: Final = 100_000
DIFFERENT: Final = [f"tag {number}" for number in islice(count(), MANY)]


class Looked:
    """Counts the tags that are looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        self._look = validate._problem_of_tag
        monkeypatch.setattr(validate, "_problem_of_tag", self._count)

    def _count(self, text: str) -> str | None:
        self.times += 1
        return self._look(text)


def test_a_tag_is_looked_at_once_however_often_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Looked(monkeypatch)
    assert validate.tags(["a", "b"] * MANY) == ("a", "b")
    assert looked.times == 2


def test_of_too_many_tags_few_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Looked(monkeypatch)
    with pytest.raises(InvalidTag, match=f"not {MANY}"):
        validate.tags(DIFFERENT)
    assert looked.times == limits.TAGS_MAX + 1


@pytest.mark.parametrize("before", [0, 1, limits.TAGS_MAX])
def test_a_wrong_tag_is_named_by_its_first_place(before: int) -> None:
    with pytest.raises(InvalidTag) as caught:
        validate.tags([*DIFFERENT[:before], "a\nb", *DIFFERENT[:before], "a\nb"])
    assert caught.value.metadata["field"] == f"tags[{before}]"


@pytest.mark.parametrize("before", [0, 1, MANY])
def test_a_wrong_state_is_named_by_its_first_place(before: int) -> None:
    with pytest.raises(InvalidState) as caught:
        validate.states([*[RunState.ACTIVE] * before, 99, RunState.PAUSED, 99, 98])
    assert caught.value.metadata["field"] == f"states[{before}]"


def test_a_state_may_be_sent_very_often() -> None:
    assert validate.states([RunState.ACTIVE, RunState.FAILED] * MANY) == {RunState.ACTIVE, RunState.FAILED}
