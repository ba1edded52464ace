"""A descriptor pool that finds methods too, so that `grpcurl describe` takes the name of one."""

from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor


class ReflectionPool:
    """The default pool, as server reflection asks it. Python's own finds services, but not their methods."""

    def __init__(self) -> None:
        """Take the pool in which all generated code is."""
        self._pool = descriptor_pool.Default()

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802  # The pool's name for it.
        """Return the file of a symbol, or else of what it is a member of.

        Raises:
            KeyError: There is neither.
        """
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            return self._pool.FindFileContainingSymbol(symbol.rpartition(".")[0])

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # Whatever the pool has.
        """Pass on what is asked for beside that."""
        return getattr(self._pool, name)
