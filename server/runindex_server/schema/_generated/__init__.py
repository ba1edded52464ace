"""The store's messages, generated from `protos/runindex/storage/v1`."""
