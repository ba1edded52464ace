"""L3: the query language, the term index that answers it, and the naive reference that tests hold it to."""
