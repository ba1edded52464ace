"""The contract's messages and stubs, generated from `protos/runindex/v1`."""
