"""The page on bundles says what the code does: its example is read, its commands run, all fields are told."""

import asyncio
import re
import shlex
from io import BytesIO
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from runindex_server.bundles import archive, bounds
from runindex_server.bundles.contents import BundleCheck
from runindex_server.cli.app import app
from runindex_server.kv.lmdb_store import open_lmdb
from runindex_server.runs.bootstrap import initialise
from runindex_server.schema._generated import bundle_pb2 as pb
from runindex_server.schema.run import RunState, run_id_text
from tests.support.calls import Stub, close, create
from tests.support.clock import ManualClock
from tests.support.repository import ROOT
from tests.support.server import RunningServer
from tests.support.stores import ON_DISK

PAGE: Final = (ROOT / "docs" / "reference" / "bundles.md").read_text()
EXAMPLE: Final = PAGE[PAGE.index("## An example") :]
RUN_ID: Final = "0192f3a4-5b6c-7d8e-9f00-112233445566"
TEXT_COLUMN: Final = 64


def test_the_example_is_a_bundle() -> None:
    (block,) = re.findall(r"^```text\n(.*?)^```$", EXAMPLE, re.DOTALL | re.MULTILINE)
    data = bytes.fromhex("".join(line[:TEXT_COLUMN] for line in block.splitlines()))
    file, check = BytesIO(data), BundleCheck()
    entries = list(archive.read_entries(file, archive.check_digest(file)))
    for entry in entries:
        check.visit(entry)
    check.end()
    ((_, bundled),) = check.runs.items()

    assert check.header is not None
    assert (check.header.created_by, check.header.revision) == ("1.0.0", 9)
    assert (run_id_text(bundled.run.run_id), bundled.run.state) == (RUN_ID, RunState.COMPLETED)
    assert bundled.run.tags == ("prod",)
    assert [entry.WhichOneof("entry") for entry in entries] == [
        "header",
        "run",
        "transition",
        "version",
        "event",
    ]
    rewritten = BytesIO()
    writer = archive.ArchiveWriter(rewritten)
    for entry in entries:
        writer.add(entry)
    writer.end()
    assert rewritten.getvalue() == data


def test_every_message_and_field_is_told() -> None:
    rows = [line for line in PAGE.splitlines() if "`Bundle" in line or "`keep_latest_n`" in line]
    for name, message in pb.DESCRIPTOR.message_types_by_name.items():
        assert f"`{name}`" in PAGE
        for field in message.fields:
            assert any(f"`{field.name}` = {field.number}" in row for row in rows), f"{name}.{field.name}"


def test_the_numbers_are_those_of_the_code() -> None:
    assert archive.MAGIC.hex(" ") in PAGE
    assert f"format version is {archive.FORMAT_VERSION};" in PAGE
    assert f"at most {archive.ENTRY_BYTES_MAX // 1024} KiB" in PAGE
    assert f"at most {bounds.RUNS_MAX:,} runs, and {bounds.RECORDS_BYTES_MAX // 1024**2} MiB" in PAGE


@ON_DISK
def test_the_commands_run_as_they_stand(
    server: RunningServer, stub: Stub, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(stub, create(stub, run_id=RUN_ID).run_id)

    async def make_store() -> None:
        store = open_lmdb(
            tmp_path / "elsewhere", clock=clock, map_bytes=2**26, initialise=initialise, on_fatal=lambda: None
        )
        await store.close()

    asyncio.run(make_store())
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines():
        program, command, *arguments = shlex.split(line)
        if command == "backup":
            arguments += ["--address", server.target]
        result = CliRunner().invoke(app, [command, *arguments])
        assert (program, result.exit_code) == ("runindex-server", 0), result.output
