"""What commands take."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from runindex.cli.completing import complete_run, complete_tag


class Output(StrEnum):
    """How answers are printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    IDS = "ids"


class State(StrEnum):
    """The states of runs."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ARCHIVED = "archived"


Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", help="Where the server listens. Also RUNINDEX_ADDRESS. Default: 127.0.0.1:50051."
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        metavar="TOKEN", help="Sent with each call; better RUNINDEX_TOKEN, which other users do not see."
    ),
]
TlsCa = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A file of certificates to trust, in PEM: the connection is by TLS then. Also RUNINDEX_TLS_CA.",
    ),
]
OutputOption = Annotated[
    Output,
    typer.Option("-o", "--output", help="For people, for programs, or the ids alone.", case_sensitive=False),
]

RunIds = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN",
        show_default=False,
        autocompletion=complete_run,
        help="Ids of runs, beginnings of 4 characters or more that only one id has, or - for standard input.",
    ),
]
RunIdArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN", autocompletion=complete_run, help="The id of a run, or a beginning that only it has."
    ),
]
States = Annotated[
    list[State] | None,
    typer.Option(
        "--state",
        metavar="STATE",
        help="Only runs that are active, paused, completed, failed, cancelled or archived; repeat it.",
        case_sensitive=False,
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option(
        "--tag",
        metavar="TAG",
        autocompletion=complete_tag,
        help="Only runs with this tag; repeated: with all.",
    ),
]
NewTags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="TAG", help="A tag; repeat it for several.")
]
Archived = Annotated[bool, typer.Option("--archived", help="Archived runs too.")]
Limit = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="How many at most. Default: 100 in a table, all of them otherwise.",
        show_default=False,
    ),
]
Metadata = Annotated[str | None, typer.Option(help="An object, as JSON.", metavar="JSON")]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Metadata under one key: VALUE is JSON, or else a text. Repeat it."
    ),
]
Parent = Annotated[
    str | None,
    typer.Option(help="The run under which to create it.", metavar="RUN", autocompletion=complete_run),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what it would hit, and do nothing.")]
