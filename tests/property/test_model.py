"""Every answer of all 24 methods, compared with the model's, whatever came before.

A failure prints the calls that lead to it. How hard it tries: RUNINDEX_HYPOTHESIS_PROFILE.
"""

from tests.property.rules_refused import RefusalRules
from tests.property.rules_search import SearchRules
from tests.property.rules_world import WorldRules
from tests.property.rules_write import WriteRules


class ModelMachine(WriteRules, SearchRules, RefusalRules, WorldRules):
    """A server and its model, driven through all methods."""


class SearchMachine(WriteRules, SearchRules, WorldRules):
    """The same with fewer refusals, so that more is searched."""


TestModel = ModelMachine.TestCase
TestSearch = SearchMachine.TestCase
