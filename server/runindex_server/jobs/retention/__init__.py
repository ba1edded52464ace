"""Retention: removes what policies say, in bounded steps: a schedule, passes, and what goes in each."""
