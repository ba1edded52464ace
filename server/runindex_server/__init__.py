"""The RunIndex server: an execution index over an embedded store, served by gRPC."""

__version__ = "0.1.0"
