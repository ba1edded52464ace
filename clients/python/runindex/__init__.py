"""RunIndex for Python: `runindex.v1` has the messages and stubs of the contract."""
