"""The fuzzer: a process of its own, which Atheris takes over.

`python -m tests.trust.wire.fuzz TARGET FOLDER FAULT HANG_S FLAGS`: the flags are libFuzzer's, the fault is
`none` or one of `planted.py`. In the folder it keeps its corpus, what it found, and what it tells of itself.
"""

import os
import random
import sys
import traceback
from pathlib import Path
from typing import Final

import atheris

from runindex_server.logs import configure_logs

AS_BYTES: Final = 0.3
"""How many mutations look at bytes alone."""

EXIT_MUTATOR: Final = 99
"""What changes inputs has failed, and not what is fuzzed."""


def main(name: str, folder: Path, fault: str, hang_s: float, flags: list[str]) -> None:
    """Fuzz; never returns."""
    configure_logs("error", "json")
    with atheris.instrument_imports(include=["runindex_server", "jsonpointer"]):
        from tests.trust.wire.planted import FAULTS  # noqa: PLC0415  # What is loaded here is watched.
        from tests.trust.wire.targets import INPUT_BYTES_MAX, TARGETS, Watched  # noqa: PLC0415  # As above.
    if fault != "none":
        FAULTS[fault]()
    target = TARGETS[name](folder)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(target.beginnings()):
        (corpus / f"{number:04}").write_bytes(data)

    def mutate(data: bytes, bytes_max: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < AS_BYTES:
            return bytes(atheris.Mutate(data, bytes_max))
        try:
            return target.change(data, chance)[:bytes_max]
        except Exception:  # noqa: BLE001  # Whatever it is, here nobody would notice it.
            traceback.print_exc()
            os._exit(EXIT_MUTATOR)

    arguments = [
        *(sys.argv[0], *flags, f"-artifact_prefix={folder}/", f"-max_len={INPUT_BYTES_MAX}"),
        # Its alarm ends what Python holds up without a word; `Watched` has its own.
        *("-timeout=86400", "-print_final_stats=1", str(corpus)),
    ]
    atheris.Setup(arguments, Watched(target, folder, hang_s=hang_s), custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]), sys.argv[5:])
