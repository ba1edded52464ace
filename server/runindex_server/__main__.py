"""`python -m runindex_server`: the same as `runindex-server`."""

from runindex_server.cli import main

main()
