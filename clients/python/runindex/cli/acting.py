"""How runs are changed: found, shown, asked for, changed one after the other, and told."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import typer

import runindex
from runindex.cli.answers import Listing, echo_list, printer, runs_listing
from runindex.cli.asking import ask, require_terminal
from runindex.cli.faults import Faults
from runindex.cli.holdings import Holdings, holdings_text, receipt_text
from runindex.cli.ids import named_ids, resolve
from runindex.cli.json_values import json_of
from runindex.cli.options import Output
from runindex.cli.progress import progress
from runindex.cli.session import Session
from runindex.cli.words import count_text, plain


class Asks(Enum):
    """When a command asks before it goes on."""

    NEVER = auto()
    SEVERAL = auto()
    ALWAYS = auto()


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller has said to asking.

    Attributes:
        yes: Not to ask.
        dry_run: Only to show what would be hit.
        asks: When the command asks.
    """

    yes: bool
    dry_run: bool
    asks: Asks

    def about(self, count: int) -> bool:
        """Tell whether to ask about so many."""
        return not self.yes and (self.asks is Asks.ALWAYS or (self.asks is Asks.SEVERAL and count > 1))


@dataclass(frozen=True, slots=True)
class Action:
    """What is done to each run.

    Attributes:
        verb: `cancel`, for the question.
        done: `cancelled`, for the answer.
        call: Does it to the run with an id, at the version that was shown; None when none was.
        holdings: Returns what a run holds, where that is lost; None elsewhere.
    """

    verb: str
    done: str
    call: "Callable[[runindex.Client, str, int | None], runindex.Change | runindex.DeleteReceipt]"
    holdings: "Callable[[runindex.Client, str], Holdings] | None" = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A run that an action would hit.

    Attributes:
        run: As it is.
        holdings: What it holds, where that would be lost.
    """

    run: "runindex.Run"
    holdings: Holdings | None


def act(session: Session, given: Sequence[str] | None, action: Action, asked: Asked) -> None:
    """Do something to runs: all that can be, telling of each that cannot."""
    names = named_ids(session, given)
    asks = asked.about(len(names))
    if asks and not asked.dry_run:
        require_terminal(session, action.verb)
    with session.client() as client:
        faults = Faults(client.address)
        run_ids = list(dict.fromkeys(_resolved(client, names, faults)))
        if asked.dry_run:
            _echo_hits(session, _hits(client, run_ids, action, faults))
        elif asks:
            hits = list(_hits(client, run_ids, action, faults))
            if hits:
                listing = _listing(session, with_holdings=action.holdings is not None)
                ask(session, action.verb, "run", hits, listing)
            _do(session, client, {hit.run.run_id: hit.run.version for hit in hits}, action, faults)
        else:
            _do(session, client, dict.fromkeys(run_ids), action, faults)
        faults.finish()


def _resolved(client: "runindex.Client", names: Iterable[str], faults: Faults) -> Iterator[str]:
    for name in names:
        with faults.told():
            yield resolve(client, name)


def _hits(client: "runindex.Client", run_ids: Iterable[str], action: Action, faults: Faults) -> Iterator[Hit]:
    """Yield the runs that there are."""
    for run_id in run_ids:
        hit = None
        with faults.told():
            run = client.get(run_id)
            hit = Hit(run, action.holdings(client, run_id) if action.holdings else None)
        if hit is not None:
            yield hit


def _echo_hits(session: Session, hits: Iterable[Hit]) -> None:
    """Print what would be hit, as runs are listed."""
    found = list(hits)
    if session.output in {Output.JSON, Output.JSONL}:
        with printer(session, str) as echo:
            for hit in found:
                echo(_json_of_hit(hit))
        return
    listing = _listing(session, with_holdings=any(hit.holdings is not None for hit in found))
    echo_list(session, found, listing, len(found) or None)
    if session.output is Output.TABLE and found:
        typer.echo(f"Dry run: nothing was done to {count_text(len(found), 'run')}.", err=True)


def _json_of_hit(hit: Hit) -> Any:  # noqa: ANN401  # What JSON has.
    more = {} if hit.holdings is None else {"holdings": json_of(hit.holdings)}
    return {**json_of(hit.run), **more}


def _listing(session: Session, *, with_holdings: bool) -> Listing[Hit]:
    runs = runs_listing(session)

    def row(hit: Hit) -> Sequence[str]:
        cells = runs.row(hit.run)
        return cells if hit.holdings is None else (*cells, holdings_text(hit.holdings))

    columns = (*runs.columns, "holds") if with_holdings else runs.columns
    return Listing(columns, row, lambda hit: hit.run.run_id, runs.none)


def _do(
    session: Session,
    client: "runindex.Client",
    versions: dict[str, int | None] | dict[str, int],
    action: Action,
    faults: Faults,
) -> None:
    """Do it to one run after the other, and tell of each."""
    with _told(session, action) as tell, progress(session, action.verb, len(versions)) as advance:
        for run_id, version in versions.items():
            with faults.told():
                tell(run_id, action.call(client, run_id, version))
            advance()


@contextmanager
def _told(
    session: Session, action: Action
) -> "Iterator[Callable[[str, runindex.Change | runindex.DeleteReceipt], None]]":
    """Return what tells that something was done to a run."""
    if session.output is Output.TABLE:
        yield lambda run_id, done: typer.echo(plain(_sentence(action, run_id, done)))
        return

    def name(done: dict[str, Any]) -> str:
        return str(done["run_id"])

    with printer(session, name) as echo:
        yield lambda run_id, done: echo({"run_id": run_id, **json_of(done)})


def _sentence(action: Action, run_id: str, done: "runindex.Change | runindex.DeleteReceipt") -> str:
    held = "" if isinstance(done, runindex.Change) else f", which held {receipt_text(done)}"
    return f"{action.done} {run_id}{held}"
