"""The first write of a store: its header and the default run, which from then on always exist."""

from runindex_server import __version__
from runindex_server.kv.api import WriteTxn
from runindex_server.runs.creation import Draft
from runindex_server.runs.run_index import create_run
from runindex_server.schema.header import new_header, write_header
from runindex_server.schema.run import DEFAULT_RUN_ID


def initialise(txn: WriteTxn) -> None:
    """Write the header and the default run of a new store."""
    write_header(txn, new_header(create_us=txn.issue_time_us(), created_by=__version__))
    create_run(txn, Draft(run_id=DEFAULT_RUN_ID))
