"""`python -m runindex.cli` is `runindex`."""

from runindex.cli import main

main()
