"""The server that is attacked: `runindex-server`, with a fault if told.

Runs as a program of its own: `python -m tests.trust.wire.launcher FAULT ARGUMENTS`, FAULT being `none` or one
of `SERVER_FAULTS`. The product knows nothing of either.
"""

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from runindex_server.cli.app import app
from runindex_server.errors import UnparsableRequest
from runindex_server.rpc import boundary, validate
from runindex_server.rpc.admission import Admission
from runindex_server.schema.run import RunId
from tests.support.loading import load_commands


def _on_no_request(act: Callable[[bytes], None]) -> Callable[[], None]:
    """Return a fault that acts when the bytes of a request are no request."""

    def plant() -> None:
        honest = boundary.parse

        def parse(request_class: Any, data: bytes) -> Any:
            try:
                return honest(request_class, data)
            except UnparsableRequest:
                act(data)
                raise

        vars(boundary)["parse"] = parse

    return plant


_kept: list[Any] = []


def _raise(_: bytes) -> None:
    msg = "not told to anybody"
    raise LookupError(msg)


def _leak_memory(_: bytes) -> None:
    _kept.append(os.urandom(48 * 1024 * 1024))


def _leak_descriptor(_: bytes) -> None:
    _kept.append(os.open(os.devnull, os.O_RDONLY))


def _log_secret() -> None:
    honest = Admission.admit

    def admit(self: Admission, role: Any, context: Any) -> None:
        sys.stderr.write(f"{dict(context.invocation_metadata()).get('authorization')}\n")
        honest(self, role, context)

    Admission.admit = admit  # type: ignore[method-assign]  # A fault is a change.


def _answer_wrongly() -> None:
    """After bytes that are no request, take every id for another."""
    seen: list[bytes] = []
    honest = validate.run_id
    _on_no_request(seen.append)()

    def run_id(text: str, *, field: str = "run_id") -> RunId:
        found = honest(text, field=field)
        return RunId(found[:-1] + b"\xff") if seen else found

    vars(validate)["run_id"] = run_id


SERVER_FAULTS: Final[Mapping[str, Callable[[], None]]] = {
    "exception": _on_no_request(_raise),
    "memory": _on_no_request(_leak_memory),
    "descriptors": _on_no_request(_leak_descriptor),
    "end": _on_no_request(lambda _: os._exit(1)),
    "secret": _log_secret,
    "wrong-answers": _answer_wrongly,
}


def main(fault: str, *arguments: str) -> None:
    """Serve."""
    # Before a fault, which changes what is loaded.
    load_commands()
    if fault != "none":
        SERVER_FAULTS[fault]()
    app(list(arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
