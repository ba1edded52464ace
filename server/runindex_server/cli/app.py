"""The operator's command line: `runindex-server` and its commands.

`serve` runs a server, and `doctor` tells what keeps it from that; `health`, `status`, `stats`, `tags`,
`stale`, `errors`, `compact`, `verify` and `backup` ask one that runs; `restore`, `shrink`, `export` and
`import` work on a folder that no server holds; `token` says who may call.
"""

import typer

from runindex_server.cli import token
from runindex_server.cli.backup import backup
from runindex_server.cli.bundle import export_bundle, import_runs
from runindex_server.cli.compact import compact
from runindex_server.cli.doctor import doctor
from runindex_server.cli.insights import errors, stale, stats, tags
from runindex_server.cli.server import health, serve, version
from runindex_server.cli.status import status
from runindex_server.cli.store import restore, shrink
from runindex_server.cli.verify import verify

app = typer.Typer(
    name="runindex-server",
    help="RunIndex: an execution index, served by gRPC.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

for _command in (
    serve,
    doctor,
    health,
    status,
    stats,
    tags,
    stale,
    errors,
    compact,
    verify,
    backup,
    restore,
    shrink,
    version,
):
    app.command()(_command)
app.add_typer(token.app, name="token")
app.command("export")(export_bundle)
app.command("import")(import_runs)
