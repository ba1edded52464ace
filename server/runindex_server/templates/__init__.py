"""Templates of runs, and the runs that are created from them or copied from others."""
