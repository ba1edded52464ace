"""Every answer of RunIndex, RunData and compaction, compared with the model's, whatever came before.

A failure prints the calls that lead to it. How hard it tries: RUNINDEX_HYPOTHESIS_PROFILE.
"""

from hypothesis import settings

from tests.property.rules_refused import RefusalRules
from tests.property.rules_retention import RetentionRules
from tests.property.rules_search import SearchRules
from tests.property.rules_world import EraRules
from tests.property.rules_write import LifeRules, WriteRules


class ModelMachine(WriteRules, SearchRules, RefusalRules, EraRules):
    """A server and its model, driven through all methods."""


class SearchMachine(WriteRules, SearchRules, EraRules):
    """The same with fewer refusals, so that more is searched."""


class DataMachine(LifeRules, RetentionRules):
    """What runs hold, and how long."""


TestModel = ModelMachine.TestCase
TestSearch = SearchMachine.TestCase
TestData = DataMachine.TestCase
# Its steps are the dearest: many make ten calls.
TestData.settings = settings(max_examples=settings.default.max_examples * 4 // 5)
