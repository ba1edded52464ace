"""Templates of runs, as the store keeps them."""

from dataclasses import dataclass

from runindex_server.errors import StoreCorrupt
from runindex_server.schema import insight_keys, records
from runindex_server.schema._generated import run_record_pb2 as pb
from runindex_server.schema.run import RetentionPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What runs begin with. Times are microseconds since 1970-01-01 UTC.

    Attributes:
        tags: Without duplicates.
        metadata: The encoding of an object; empty for none.
        retention: The policy of the runs; None for none of their own.
        version: How often it has been written, since it was last created.
        create_us: When it was first written.
        update_us: When it was last changed.
    """

    name: str
    tags: tuple[str, ...]
    metadata: bytes
    retention: RetentionPolicy | None
    version: int
    create_us: int
    update_us: int


def encode_template(key: bytes, template: Template) -> bytes:
    """Return the value of a template's row."""
    message = pb.Template(
        tags=template.tags,
        metadata=template.metadata,
        retention=None if template.retention is None else records.encode_policy(template.retention),
        version=template.version,
        create_time_us=template.create_us,
        update_time_us=template.update_us,
    )
    return records.seal(key, message.SerializeToString())


def decode_template(key: bytes, value: bytes) -> Template:
    """Return the template in a row.

    Raises:
        StoreCorrupt: The key is none of a template, or the row is not what was written under it.
    """
    message = records.read_message(pb.Template, key, value, what="template")
    try:
        name = insight_keys.split_template(key)
    except ValueError as error:
        raise StoreCorrupt(f"the key of a template: {key.hex()}") from error
    return Template(
        name=name,
        tags=tuple(message.tags),
        metadata=message.metadata,
        retention=records.decode_policy(message.retention) if message.HasField("retention") else None,
        version=message.version,
        create_us=message.create_time_us,
        update_us=message.update_time_us,
    )
