"""L1: ordered bytes in transactions. Knows nothing of what the bytes mean."""
