"""Damage to a data file at rest: what a disk, a cable, a controller or a wrong copy may do to it.

A mutant is told by its number: seed and number give the same damage again.
"""

import random
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

PAGE_BYTES: Final = 4_096
METAS: Final = 2
BITS_MAX: Final = 64

BRANCH: Final = 0x01
LEAF: Final = 0x02
OVERFLOW: Final = 0x04

_FLAGS_AT: Final = 10
_BOUNDS: Final = struct.Struct("=HH")
_BOUNDS_AT: Final = 12
_HEADER_BYTES: Final = 16
_META_BYTES: Final = 16 + 136


@dataclass(frozen=True, slots=True)
class Image:
    """The data file of a full store.

    Attributes:
        now: Its bytes.
        earlier: Its bytes as they were a while before, in the same store.
    """

    now: bytes
    earlier: bytes

    @property
    def pages(self) -> int:
        """How many pages it has."""
        return len(self.now) // PAGE_BYTES

    def page(self, number: int) -> bytes:
        """Return a page."""
        return self.now[number * PAGE_BYTES : (number + 1) * PAGE_BYTES]

    def of_kind(self, kind: int) -> list[int]:
        """Return the numbers of the pages of a kind, whether they are in use or not."""
        return [
            number
            for number in range(METAS, self.pages)
            if self.page(number)[:8] == number.to_bytes(8, "little")
            and int.from_bytes(self.page(number)[_FLAGS_AT : _FLAGS_AT + 2], "little") & 0x0F == kind
        ]


Damage = Callable[[Image, random.Random], bytes]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A damaged data file.

    Attributes:
        kind: What was done to it.
        data: Its bytes.
    """

    kind: str
    data: bytes


def mutant(image: Image, seed: int, number: int) -> Mutant:
    """Return the damaged file of a number."""
    chance = random.Random(f"{seed} {number}")
    (kind,) = chance.choices(list(KINDS), [weight for _, weight in KINDS.values()])
    return Mutant(kind, KINDS[kind][0](image, chance))


def _flipped(image: Image, chance: random.Random, places: list[range]) -> bytes:
    """Return the file with 1 to 64 bits flipped, all of them in some ranges of bytes."""
    data = bytearray(image.now)
    (bits,) = chance.choices((1, 2, chance.randint(3, BITS_MAX)), (6, 1, 3))
    for _ in range(bits):
        data[chance.choice(chance.choice(places))] ^= 1 << chance.randrange(8)
    return bytes(data)


def flip_anywhere(image: Image, chance: random.Random) -> bytes:
    """Flip bits anywhere."""
    return _flipped(image, chance, [range(len(image.now))])


def flip_in_a_page(image: Image, chance: random.Random) -> bytes:
    """Flip bits in one page of rows."""
    start = chance.choice(image.of_kind(LEAF)) * PAGE_BYTES
    return _flipped(image, chance, [range(start, start + PAGE_BYTES)])


def flip_in_a_branch(image: Image, chance: random.Random) -> bytes:
    """Flip bits in what is in use of a branch page: keys, and the pages to which they lead."""
    number = chance.choice(image.of_kind(BRANCH))
    lower, upper = _BOUNDS.unpack_from(image.page(number), _BOUNDS_AT)
    start = number * PAGE_BYTES
    return _flipped(
        image, chance, [range(start, start + _HEADER_BYTES + lower), range(start + upper, start + PAGE_BYTES)]
    )


def flip_in_a_head(image: Image, chance: random.Random) -> bytes:
    """Flip bits in the head of a page, or in its table of nodes."""
    number = chance.choice(image.of_kind(chance.choice((BRANCH, LEAF, LEAF, OVERFLOW))))
    start = number * PAGE_BYTES
    return _flipped(image, chance, [range(start, start + 2 * _HEADER_BYTES)])


def flip_in_a_meta(image: Image, chance: random.Random) -> bytes:
    """Flip bits in what is in use of a meta page."""
    start = chance.randrange(METAS) * PAGE_BYTES
    return _flipped(image, chance, [range(start, start + _META_BYTES)])


def _with_pages(image: Image, pages: Mapping[int, bytes]) -> bytes:
    data = bytearray(image.now)
    for number, page in pages.items():
        data[number * PAGE_BYTES : (number + 1) * PAGE_BYTES] = page
    return bytes(data)


def fill_page(image: Image, chance: random.Random) -> bytes:
    """Fill pages with zeros, with ones, or with noise."""
    content = chance.choice((bytes(PAGE_BYTES), b"\xff" * PAGE_BYTES, chance.randbytes(PAGE_BYTES)))
    return _with_pages(
        image, {chance.randrange(image.pages): content for _ in range(chance.choice((1, 1, 1, 2, 5)))}
    )


def duplicate_page(image: Image, chance: random.Random) -> bytes:
    """Write one page in the place of another one as well."""
    return _with_pages(image, {chance.randrange(image.pages): image.page(chance.randrange(image.pages))})


def readdress_page(image: Image, chance: random.Random) -> bytes:
    """Write one page in the place of another one, with the number that belongs there."""
    number, source = (chance.choice(image.of_kind(LEAF)) for _ in range(2))
    return _with_pages(image, {number: number.to_bytes(8, "little") + image.page(source)[8:]})


def swap_pages(image: Image, chance: random.Random) -> bytes:
    """Exchange two pages."""
    one, other = chance.sample(range(image.pages), 2)
    return _with_pages(image, {one: image.page(other), other: image.page(one)})


def stale_page(image: Image, chance: random.Random) -> bytes:
    """Put a page back to what it was a while before, as if the disk had lost a write of it."""
    changed = [
        number
        for number in range(METAS, len(image.earlier) // PAGE_BYTES)
        if _earlier_page(image, number) != image.page(number)
    ]
    number = chance.choice(changed)
    return _with_pages(image, {number: _earlier_page(image, number)})


def _earlier_page(image: Image, number: int) -> bytes:
    return image.earlier[number * PAGE_BYTES : (number + 1) * PAGE_BYTES]


def tear_page(image: Image, chance: random.Random) -> bytes:
    """Zero some of the 512 bytes of a page that a disk writes at once."""
    number = chance.randrange(image.pages)
    page = bytearray(image.page(number))
    for sector in chance.sample(range(PAGE_BYTES // 512), chance.randint(1, 7)):
        page[sector * 512 : (sector + 1) * 512] = bytes(512)
    return _with_pages(image, {number: bytes(page)})


def truncate(image: Image, chance: random.Random) -> bytes:
    """Cut the file short, at a page or within one."""
    if chance.random() < 0.5:
        return image.now[: chance.randrange(image.pages) * PAGE_BYTES]
    return image.now[: chance.randrange(len(image.now))]


def damage_metas(image: Image, chance: random.Random) -> bytes:
    """Exchange the meta pages, make them one, or put some of them back to what they were a while before."""
    first, second = image.page(0), image.page(1)
    old_first, old_second = _earlier_page(image, 0), _earlier_page(image, 1)
    pairs = (
        (second, first),
        (first, first),
        (second, second),
        (old_first, old_second),
        (old_first, second),
        (first, old_second),
        (bytes(PAGE_BYTES), second),
        (first, bytes(PAGE_BYTES)),
    )
    return _with_pages(image, dict(enumerate(chance.choice(pairs))))


KINDS: Final[Mapping[str, tuple[Damage, int]]] = {
    "bits flipped anywhere": (flip_anywhere, 20),
    "bits flipped in a page of rows": (flip_in_a_page, 15),
    "bits flipped in a branch page": (flip_in_a_branch, 10),
    "bits flipped in the head of a page": (flip_in_a_head, 10),
    "bits flipped in a meta page": (flip_in_a_meta, 10),
    "a page filled with zeros, ones or noise": (fill_page, 8),
    "a page in the place of another": (duplicate_page, 6),
    "a page in the place of another, readdressed": (readdress_page, 4),
    "two pages exchanged": (swap_pages, 4),
    "a page as it was before": (stale_page, 5),
    "a torn page": (tear_page, 4),
    "the file cut short": (truncate, 8),
    "meta pages exchanged or stale": (damage_metas, 4),
}
"""What is done to a file, and how often among the others."""
