"""How a run ends when its block does, and what its error says."""

import asyncio
import traceback
from dataclasses import dataclass
from typing import Final, Literal

from runindex._recording import ERROR_BYTES_MAX, text

End = Literal["close", "fail", "cancel"]

CANCELLING: Final = (KeyboardInterrupt, asyncio.CancelledError, GeneratorExit)
"""What says that somebody asked for the end, and not that something went wrong."""

CANCELLING_CODES: Final = (128 + 2, 128 + 15)
"""With what programs exit that were ended by SIGINT or SIGTERM, and say so as shells do."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ends.

    Attributes:
        end: By which call.
        error: Why it failed; empty unless it did.
    """

    end: End
    error: str = ""


def outcome_of(fault: BaseException | None) -> Outcome:
    """Return how a run ends by what its block has raised.

    None closes it. KeyboardInterrupt, asyncio.CancelledError and GeneratorExit cancel it, and so does a group
    of nothing else. SystemExit closes it when it says success (None or 0), cancels it when it says that a
    signal ended the program (130 and 143), and fails it otherwise, for a program that exits with a code tells
    that something went wrong. All else fails it.
    """
    if fault is None or (isinstance(fault, SystemExit) and (fault.code is None or fault.code == 0)):
        return Outcome("close")
    if _is_cancelling(fault):
        return Outcome("cancel")
    return Outcome("fail", error_text(fault))


def error_text(fault: BaseException) -> str:
    """Return what an exception says, with its notes and without its traceback, cut to what a run takes."""
    said = "".join(traceback.format_exception_only(fault)).strip()
    return text(said, ERROR_BYTES_MAX)


def _is_cancelling(fault: BaseException) -> bool:
    if isinstance(fault, BaseExceptionGroup):
        return all(_is_cancelling(inner) for inner in fault.exceptions)
    if isinstance(fault, SystemExit):
        return fault.code in CANCELLING_CODES
    return isinstance(fault, CANCELLING)
