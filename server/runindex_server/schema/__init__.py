"""L2: what the bytes mean. The only package that builds a key, a record or an index row."""
