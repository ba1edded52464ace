"""L3: work in the background, as bounded steps that may be lost or run twice: merge, erasure, purge."""
