"""Verification: recomputes what follows from the records, and tells what differs."""
