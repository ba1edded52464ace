"""Bundles: archives of runs that one store makes and another one takes in. `docs/reference/bundles.md`."""
