"""Marks that say on which store a test runs, for those that do not run on each."""

from typing import Final

import pytest

ON_DISK: Final = pytest.mark.parametrize("store_kind", ["lmdb"], indirect=True)
"""For tests of what outlives the server."""

IN_MEMORY: Final = pytest.mark.parametrize("store_kind", ["memory"], indirect=True)
"""For tables of calls that are decided before the store is asked, or that fill it with very many runs."""
