"""What many runs come to: figures, histories, trees, tags, stale runs, errors."""
