"""What a run has and what is added to it, put together within the bounds of a run."""

from collections.abc import Iterable

from runindex_server import limits
from runindex_server.errors import LimitExceeded
from runindex_server.schema import metadata
from runindex_server.schema.run import RunId, run_id_text


def unite_tags(run_id: RunId, tags: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    """Return tags, and after them those of some others that are not among them.

    Raises:
        LimitExceeded: They are too many for the run.
    """
    united = tuple(dict.fromkeys((*tags, *more)))
    if len(united) > limits.TAGS_MAX:
        raise LimitExceeded(run_id_text(run_id), limit="tags", maximum=limits.TAGS_MAX)
    return united


def merge_metadata(run_id: RunId, stored: bytes, patch: bytes) -> bytes:
    """Return the encoding of metadata with a patch merged into it.

    Raises:
        LimitExceeded: It would pass a bound of the run's metadata.
    """
    merged = metadata.merge(stored, patch)
    encoded, size = metadata.encode(merged), metadata.measure(merged)
    for found, maximum, limit in (
        (len(encoded), limits.METADATA_BYTES_MAX, "bytes of metadata"),
        (size.depth, limits.METADATA_DEPTH_MAX, "levels of metadata"),
        (size.nodes, limits.METADATA_NODES_MAX, "values of metadata"),
    ):
        if found > maximum:
            raise LimitExceeded(run_id_text(run_id), limit=limit, maximum=maximum)
    return encoded
