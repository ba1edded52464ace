"""Writes results as JSON, and renders the tables of README.md from them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.targets import Target

FOLDER: Final = Path(__file__).parent
RESULTS: Final = FOLDER / "results"
README: Final = FOLDER / "README.md"

COLUMNS: Final = (
    "CPU over empty",
    "rate over empty",
    "p50 less empty, ms",
    "CPU growth",
    "p50 growth",
    "base: CPU, us",
    "base: p50, ms",
    "CPU over base",
    "p50 over base",
    "token: CPU, us",
    "token: p50, ms",
    "token: CPU over none",
    "token: p50 over none",
)
"""Figures that belong to a row, in the order of the columns."""

Results = Mapping[str, Any]


def write(name: str, results: Results) -> None:
    """Write results to their file, and render README.md anew."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    begin, end = f"<!-- {name}: rendered -->", f"<!-- {name}: end -->"
    before, _, rest = README.read_text().partition(begin)
    _, _, after = rest.partition(end)
    README.write_text(f"{before}{begin}\n\n{render(results)}\n\n{end}{after}")


def conclude(name: str, results: Results) -> bool:
    """Write results, tell which figures miss their targets, and return whether any does."""
    write(name, results)
    lines = missed(results)
    for line in lines:
        print("missed:", line)
    print(f"{results['seconds']} s; {len(lines)} figures miss their targets; see benchmarks/README.md")
    return bool(lines)


def render(results: Results) -> str:
    """Return results as tables in Markdown."""
    return "\n\n".join(
        (
            _machine(results),
            "\n".join(_table(_single_figures(results["figures"]))),
            "\n".join(_table(_rows(results))),
        )
    )


def _machine(results: Results) -> str:
    """Return where and when it was measured."""
    machine = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in results["machine"].items())
    return (
        f"{results['runs']:,} runs; {results['seconds']:.0f} seconds; {machine}. Median of a sync of 4 KiB: "
        f"{results['sync_ms']:.2f} ms. Other processes used {results['others_share']:.0%} of the machine."
    )


def _single_figures(figures: Sequence[Results]) -> Iterator[Sequence[str]]:
    """Yield the rows of the table of figures that stand by themselves."""
    yield "figure", "value", "target", "met"
    for figure in figures:
        if figure["row"] is None:
            yield figure["what"], _number(figure["value"]), _target(figure), _met([figure])


def _rows(results: Results) -> Iterator[Sequence[str]]:
    """Yield the rows of the table of methods."""
    of_rows: dict[tuple[str, int], dict[str, Results]] = {}
    for figure in results["figures"]:
        if figure["row"] is not None:
            of_rows.setdefault(tuple(figure["row"]), {})[figure["what"]] = figure
    present = [name for name in COLUMNS if any(name in found for found in of_rows.values())]
    bound = {figure["what"] for figure in results["figures"] if figure["target"] is not None}
    widths = {name: 2 if name in bound else 1 for name in present}
    fixed = ("method", "in flight", "calls", "CPU, us", "empty, us", "client, us", "p50, ms", "p99, ms")
    yield *fixed, "calls/s", *(part for name in present for part in (name, "target")[: widths[name]]), "met"
    for row in results["rows"]:
        found = of_rows[row["name"], row["in_flight"]]
        cost = row["costs"][-1]
        yield (
            row["name"],
            str(row["in_flight"]),
            f"{cost['calls']:,}",
            f"{cost['cpu_us']:.0f}",
            f"{row['empty']['cpu_us']:.0f}",
            f"{cost['client_cpu_us']:.0f}",
            f"{cost['p50_ms']:.2f}",
            f"{cost['p99_ms']:.2f}",
            f"{cost['calls_per_s']:,.0f}",
            *(part for name in present for part in _pair(found.get(name))[: widths[name]]),
            _met(list(found.values())),
        )


def missed(results: Results) -> list[str]:
    """Return a line for each figure that misses its target."""
    lines = []
    for figure in results["figures"]:
        if figure["is_met"] is False:
            name, in_flight = figure["row"] or (None, None)
            row = "" if name is None else f"{name}, {in_flight} in flight: "
            lines.append(f"{row}{figure['what']} {_number(figure['value'])}, target {_target(figure)}")
    return lines


def _pair(figure: Results | None) -> tuple[str, str]:
    """Return a figure and its target as cells."""
    return ("", "") if figure is None else (_number(figure["value"]), _target(figure))


def _number(value: float | None) -> str:
    """Return a figure as a cell."""
    if value is None:
        return "not measured"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _target(figure: Results) -> str:
    """Return the target of a figure as a cell."""
    return "" if figure["target"] is None else str(Target(**figure["target"]))


def _met(figures: Sequence[Results]) -> str:
    """Return whether figures meet their targets as a cell; empty when they have none."""
    known = [figure["is_met"] for figure in figures if figure["is_met"] is not None]
    return "" if not known else "yes" if all(known) else "**no**"


def _table(rows: Iterator[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table."""
    head = next(rows)
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
