"""The registry of subspaces. Examples of keys are in the page about them, order in the property tests."""

from runindex_server.schema import keys
from runindex_server.schema.run import DEFAULT_RUN_ID


def test_every_subspace_has_its_own_tag() -> None:
    tags = [subspace.tag for subspace in keys.SUBSPACES]

    assert tags == sorted(set(tags))


def test_every_subspace_of_the_module_is_in_the_registry() -> None:
    defined = {value for value in vars(keys).values() if isinstance(value, keys.Subspace)}

    assert defined == set(keys.SUBSPACES)


def test_data_of_the_default_run_shares_no_row_with_the_global_namespace() -> None:
    data = keys.data_range(DEFAULT_RUN_ID, 1)

    assert data.start > max(s.range.end for s in keys.SUBSPACES if s is not keys.DATA)
