"""`list --follow`: new runs and changes of state, by asking again and again."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import typer

import runindex
from runindex.cli.answers import STYLES, TABLE_ROWS, echo_styled
from runindex.cli.json_values import line_of
from runindex.cli.options import Output
from runindex.cli.session import Session, refuse_usage
from runindex.cli.words import tags_text

EVERY_S_MIN: Final = 0.2
"""Nobody reads any faster."""

EVERY_S_MAX: Final = 3_600.0
"""Who asks less often does not follow."""

FOLLOWED_MAX: Final = 1_000
"""How many runs can be followed: a page of the server's."""

_EVER: Final = datetime.min.replace(tzinfo=UTC)

_CHANGE_CHARACTERS: Final = len("cancelled -> archived")

FindRuns = Callable[[int], "runindex.Runs"]
"""Returns the newest runs that match, so many at most."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Something new about a run.

    Attributes:
        run: As it is now, or as it was last.
        was: The state in which it was seen last; None when it was not.
        is_deleted: Whether it is no more.
    """

    run: "runindex.Run"
    was: "runindex.RunState | None" = None
    is_deleted: bool = False


class Follower:
    """Follows the newest runs that match.

    Each look reads that many runs, and those that have left the list one by one: at most as many again.
    """

    def __init__(self, client: "runindex.Client", find: FindRuns, size: int) -> None:
        """Begin with nothing.

        Args:
            client: Reads the runs that have left the list.
            find: Finds the runs.
            size: How many runs to follow.
        """
        self._client = client
        self._find = find
        self._size = size
        self._known: dict[str, runindex.Run] = {}

    def look(self) -> "list[Seen]":
        """Return what is new since the last look, older runs first."""
        found = {run.run_id: run for run in self._find(self._size)}
        # What a full list has pushed out is let go, and what is back behind its end is nothing new.
        begin, known_begin = self._begin(found), self._begin(self._known)
        gone = [
            run for run_id, run in self._known.items() if run_id not in found and run.create_time >= begin
        ]
        news = [seen for run in gone for seen in self._left(run)]
        for run_id, run in reversed(found.items()):
            known = self._known.get(run_id)
            if known is None and run.create_time >= known_begin:
                news.append(Seen(run))
            elif known is not None and known.state != run.state:
                news.append(Seen(run, known.state))
        self._known = found
        return news

    def _begin(self, listed: "Mapping[str, runindex.Run]") -> datetime:
        """Return from when on all runs that match are in a list."""
        is_full = len(listed) == self._size
        return min(run.create_time for run in listed.values()) if is_full else _EVER

    def _left(self, run: "runindex.Run") -> Iterator[Seen]:
        """Yield what became of a run that matches no more; nothing when it is only out of the question."""
        now = self._client.get(run, default=None)
        if now is None:
            yield Seen(run, run.state, is_deleted=True)
        elif now.state != run.state:
            yield Seen(now, run.state)


def follow_runs(
    session: Session, client: "runindex.Client", find: FindRuns, *, limit: int | None, every_s: float
) -> None:
    """Print the newest runs, the newest last, and then what is new about them and who comes; until Ctrl-C."""
    if session.output is Output.JSON:
        refuse_usage("--follow has no end, and so no JSON document: -o jsonl prints a line for each change.")
    size = limit or TABLE_ROWS
    if size > FOLLOWED_MAX:
        refuse_usage(f"--follow follows {FOLLOWED_MAX:,} runs at most.")
    follower = Follower(client, find, size)
    try:
        if session.output is Output.TABLE:
            echo_styled(session, [(_line("time (UTC)", "run", "state", "tags"), "dim")])
        news = follower.look()
        while True:
            for seen in news:
                _echo(session, seen)
            session.world.sleep(every_s)
            news = _look_again(client.address, follower)
    except KeyboardInterrupt:
        return


def _look_again(address: str, follower: Follower) -> list[Seen]:
    """Return what is new; nothing, and a word about it, while the server does not answer."""
    try:
        return follower.look()
    except (runindex.Unavailable, runindex.DeadlineExceeded):
        typer.echo(f"No answer from {address}: trying again.", err=True)
        return []


def _echo(session: Session, seen: Seen) -> None:
    run = seen.run
    match session.output:
        case Output.IDS:
            typer.echo(run.run_id)
        case Output.TABLE:
            state = "deleted" if seen.is_deleted else run.state.lower()
            change = state if seen.was is None else f"{seen.was.lower()} -> {state}"
            time = session.world.now() if seen.is_deleted else run.update_time
            line = _line(f"{time:%H:%M:%S}", run.run_id, change, tags_text(run.tags))
            before, told, after = line.partition(change)
            echo_styled(session, [(before, ""), (told, STYLES.get(state, "")), (after, "")])
        case _:
            typer.echo(line_of({"run_id": run.run_id, "deleted": True} if seen.is_deleted else run))


def _line(time: str, run_id: str, change: str, tags: str) -> str:
    return f"{time:<10}  {run_id:<36}  {change:<{_CHANGE_CHARACTERS}}  {tags}".rstrip()
