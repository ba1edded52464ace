"""What attacks came to, as a table."""

from collections.abc import Iterable
from typing import Final

from tests.trust.callers.trial import P99_MS_MAX, Trial

HEAD: Final = (
    f"{'attack':32}{'cases':>8}{'good calls':>12}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>10}"
    f"{'MiB before':>12}{'most':>7}{'after':>7}{'failures':>10}"
)


def row_of(trial: Trial) -> str:
    """Return a row of the table."""
    calls, (before, most, after) = trial.calls, trial.memory_mib
    times = (calls.percentile(0.5), calls.percentile(0.99), calls.percentile(1.0))
    p50, p99, longest = (f"{time:.1f}" for time in times)
    return (
        f"{trial.attack.name:32}{trial.cases:>8}{len(calls.milliseconds):>12}{p50:>9}{p99:>9}{longest:>10}"
        f"{before:>12.0f}{most:>7.0f}{after:>7.0f}{len(trial.failures):>10}"
    )


def wrong(trials: Iterable[Trial]) -> list[str]:
    """Return what is wrong with some trials, by the bars of a quiet machine too."""
    found = []
    for trial in trials:
        found += [f"{trial.attack.name}: {failure}" for failure in trial.failures]
        p99 = trial.calls.percentile(0.99)
        if p99 >= P99_MS_MAX and not trial.attack.is_flood:
            found.append(
                f"{trial.attack.name}: the good client's p99 is {p99:.1f} ms, not under {P99_MS_MAX:.0f}"
            )
    return found
