"""Digests of requests: what makes two of them the same request, or two pages of the same query."""

from hashlib import blake2b
from typing import Final, TypeVar

from google.protobuf.message import Message

from runindex_server.schema.run import parse_run_id, run_id_text

M = TypeVar("M", bound=Message)

REQUEST_DIGEST_BYTES: Final = 16
QUERY_DIGEST_BYTES: Final = 8

_NOT_OF_THE_REQUEST: Final = ("request_id",)
_NOT_OF_THE_QUERY: Final = ("page_size", "page_token", "skip", "view")
_RUN_IDS: Final = ("run_id", "parent_run_id", "new_run_id")
_SETS: Final = ("tags", "states")


def request_digest(request: Message) -> bytes:
    """Return what tells a request from another: all of it but its id, in canonical form. 16 bytes."""
    return _digest(request, without=_NOT_OF_THE_REQUEST, size=REQUEST_DIGEST_BYTES)


def query_digest(request: Message) -> bytes:
    """Return what tells a query from another: all of it but what may change from page to page. 8 bytes."""
    return _digest(request, without=_NOT_OF_THE_QUERY, size=QUERY_DIGEST_BYTES)


def _digest(request: M, *, without: tuple[str, ...], size: int) -> bytes:
    """Return the digest of the canonical form of a checked request, less some fields.

    Canonical are: run ids in their canonical form, tags and states without duplicates, no empty metadata, and
    maps in order.
    """
    canonical = type(request)()
    canonical.CopyFrom(request)
    for field, value in request.ListFields():
        if field.name in without:
            canonical.ClearField(field.name)
        elif field.name in _RUN_IDS:
            run_id = parse_run_id(value)
            assert run_id is not None, "only checked requests are digested"
            setattr(canonical, field.name, run_id_text(run_id))
        elif field.name in _SETS:
            canonical.ClearField(field.name)
            getattr(canonical, field.name).extend(dict.fromkeys(value))
        elif field.name == "metadata" and not value.fields:
            canonical.ClearField(field.name)
    digest = blake2b(request.DESCRIPTOR.full_name.encode(), digest_size=size)
    digest.update(b"\x00" + canonical.SerializeToString(deterministic=True))
    return digest.digest()
