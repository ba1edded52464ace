"""Every answer of the services for runs, and of compaction, compared with the model's, whatever came before.

A failure prints the calls that lead to it. How hard it tries: RUNINDEX_HYPOTHESIS_PROFILE.
"""

from hypothesis import settings

from tests.property.rules_insights import InsightLooks, InsightRules
from tests.property.rules_refused import RefusalRules
from tests.property.rules_retention import RetentionRules
from tests.property.rules_search import SearchRules
from tests.property.rules_templates import TemplateRules
from tests.property.rules_world import EraRules, WorldRules
from tests.property.rules_write import LifeRules, WriteRules


class ModelMachine(WriteRules, TemplateRules, SearchRules, RefusalRules, EraRules, InsightLooks):
    """A server and its model, driven through all methods."""


class SearchMachine(WriteRules, SearchRules, EraRules):
    """The same with fewer refusals, so that more is searched."""


class InsightMachine(WriteRules, TemplateRules, InsightRules, WorldRules):
    """What runs come to, and where they come from."""


class DataMachine(LifeRules, TemplateRules, RetentionRules, InsightLooks):
    """What runs hold, and how long."""


TestModel = ModelMachine.TestCase
TestSearch = SearchMachine.TestCase
TestInsights = InsightMachine.TestCase
# So few rules that they meet each other soon; the other machines look at insights, too.
TestInsights.settings = settings(max_examples=settings.default.max_examples // 4)
TestData = DataMachine.TestCase
# Its steps are the dearest: many make ten calls.
TestData.settings = settings(max_examples=settings.default.max_examples * 4 // 5)
