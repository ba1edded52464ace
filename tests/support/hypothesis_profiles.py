"""How hard property tests try: a profile of Hypothesis, chosen by RUNINDEX_HYPOTHESIS_PROFILE."""

import os

from hypothesis import HealthCheck, settings

UNHURRIED = {
    # A server on a shared machine has no fixed pace.
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}

settings.register_profile("short", max_examples=25, stateful_step_count=30, derandomize=True, **UNHURRIED)
settings.register_profile("dev", max_examples=50, stateful_step_count=30, **UNHURRIED)
settings.register_profile("ci", max_examples=90, stateful_step_count=40, derandomize=True, **UNHURRIED)
settings.register_profile("deep", max_examples=5_000, stateful_step_count=50, **UNHURRIED)
settings.load_profile(os.environ.get("RUNINDEX_HYPOTHESIS_PROFILE", "short"))
