"""A template comes back as it was written, and damage is told."""

from typing import Any

import pytest

from runindex_server.errors import StoreCorrupt
from runindex_server.schema import insight_keys, keys, records
from runindex_server.schema.run import KEEP_ALL, RetentionPolicy
from runindex_server.schema.templates import Template, decode_template, encode_template

BARE = Template(name="t", tags=(), metadata=b"", retention=None, version=1, create_us=1, update_us=1)
FULL = Template(
    name="n\u00e4me/🚀",
    tags=("b", "a"),
    metadata=b"\x0a\x03\x0a\x01k",
    retention=RetentionPolicy(keep_latest_n=3),
    version=2**63,
    create_us=2**60,
    update_us=2**60 + 1,
)


@pytest.mark.parametrize("name", ["t", "n\u00e4me/🚀", "x" * 128, "\U0010ffff"])
@pytest.mark.parametrize("template", [BARE, FULL])
@pytest.mark.parametrize(
    "retention",
    [
        None,
        KEEP_ALL,
        RetentionPolicy(keep_latest_n=1),
        RetentionPolicy(keep_duration_us=2),
        RetentionPolicy(delete_after_us=3),
    ],
)
def test_a_template(name: str, template: Template, retention: RetentionPolicy | None) -> None:
    content: dict[str, Any] = {field: getattr(template, field) for field in Template.__dataclass_fields__}
    made = Template(**(content | {"name": name, "retention": retention}))
    key = insight_keys.template(name)

    assert decode_template(key, encode_template(key, made)) == made


@pytest.mark.parametrize("place", range(5, 20, 3))
def test_damage(place: int) -> None:
    key = insight_keys.template("t")
    value = bytearray(encode_template(key, FULL))
    value[place] ^= 1

    with pytest.raises(StoreCorrupt):
        decode_template(key, bytes(value))
    with pytest.raises(StoreCorrupt):
        decode_template(key, bytes(value[:place]))


def test_a_row_under_the_key_of_another() -> None:
    with pytest.raises(StoreCorrupt):
        decode_template(insight_keys.template("u"), encode_template(insight_keys.template("t"), BARE))


@pytest.mark.parametrize(
    "parts",
    [b"no end", b"", b"t\x00behind", b"\xff\x00"],
    ids=["without an end", "empty", "too long", "no UTF-8"],
)
def test_a_key_that_is_none(parts: bytes) -> None:
    key = keys.TEMPLATE.prefix + parts

    with pytest.raises(StoreCorrupt):
        decode_template(key, encode_template(key, BARE))


def test_a_key_of_another_subspace() -> None:
    key = keys.STORE_HEADER

    with pytest.raises(StoreCorrupt):
        decode_template(key, encode_template(key, BARE))


def test_a_frame_of_something_else() -> None:
    key = insight_keys.template("t")

    with pytest.raises(StoreCorrupt):
        decode_template(key, records.seal(key, b"\xff\xff"))
