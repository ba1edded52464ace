"""What is known of LangGraph, where it is installed; LangChain alone does without."""

from typing import Any

from langchain_core.callbacks import BaseCallbackHandler

JUMPS: tuple[type[BaseException], ...] = ()
"""What LangGraph raises to find its way: those below, and the jump to another graph."""

INTERRUPTS: tuple[type[BaseException], ...] = ()
DRAINS: tuple[type[BaseException], ...] = ()
COMMANDS: tuple[type[Any], ...] = ()

try:
    from langgraph.callbacks import GraphCallbackHandler as Handler
    from langgraph.errors import GraphBubbleUp, GraphDrained, GraphInterrupt
    from langgraph.types import Command
except ImportError:  # It is not there, or is older than its own callbacks.
    Handler = BaseCallbackHandler  # type: ignore[assignment,misc]  # It is told less, by the same names.
else:
    JUMPS, INTERRUPTS, DRAINS = (GraphBubbleUp,), (GraphInterrupt,), (GraphDrained,)
    COMMANDS = (Command,)

__all__ = ["COMMANDS", "DRAINS", "INTERRUPTS", "JUMPS", "Handler"]
