"""L3: what operators do with a store: verify it, back it up, see how it is."""
