"""With which codes processes of the server end, for who starts them."""

from typing import Final

EXIT_REFUSED: Final = 1
"""The command could not do its work: the store, the address, a file or a setting is refused."""

EXIT_FATAL: Final = 70
"""The disk failed during a commit: start again and find out what was kept."""
