"""The cost of a profile (`paperlib.tasks.cost`) as text, and as the table of README from the stored measurement."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from paperlib import paper
from paperlib.tasks import workload
from paperlib.tasks.cost import CROPS, Cost, Rate, TableCost, hours_at

EXAMPLE_TFLOPS = 20.0
"""Of the one worked line in README; no device is meant."""

_NOT_COUNTED = "Not in the hours: reading, decoding and resizing files, statistics over pictures, loading networks."


def cost_text(cost: Cost, tflops: float | None = None) -> str:
    """Tables, kinds of work, and how the numbers were found.

    Args:
        cost: measured and extrapolated.
        tflops: sustained speed of another device, in 1e12 operations per second, for a column of estimates.
    """
    head = ["", "units", "forward passes", "training steps", "hours, networks", "hours, measuring", "PFLOP"]
    head += [f"hours at {tflops:g} TFLOP/s"] if tflops else []
    tables = [head, *(_table_row(table, tflops) for table in [*cost.tables, cost.total])]
    kinds = [["work", "times", "seconds each", "GFLOP each", "hours", "measured"]]
    kinds += [_rate_row(rate, cost.total.amounts[rate.kind], cost.workers) for rate in cost.rates]
    if cost.total.memory:
        tables = _with_memory(tables, [*cost.tables, cost.total])
        kinds = _with_memory(kinds, cost.rates)
    lines = [f"Cost of profile {cost.profile}, estimated on {cost.device}", "", *_aligned(tables), "", *_aligned(kinds), ""]
    lines += how(cost)
    if tflops:
        lines.append(
            f"Hours at {tflops:g} TFLOP/s are PFLOP / (3.6 x {tflops:g}): an estimate for a device that sustains this speed "
            "on these networks, not a measurement; measuring comes on top."
        )
    return "\n".join(lines) + "\n"


def how(cost: Cost) -> list[str]:
    """Sentences: how the hours were extrapolated."""
    sample = cost.sample
    side = f"{cost.workers} units side by side with one thread each" if cost.workers > 1 else "one unit after the other"
    return [
        f"Measured now, on generated pictures with random weights: {sample.pictures} picture(s) and {sample.passes} view(s) "
        f"for maps, {sample.batch} of the {cost.batch} pictures of a training step, {sample.masked} masked pictures at "
        f"once; the median of up to {sample.repetitions} repetitions.",
        f"Extrapolated in proportion to views, pictures (megapixels of a map for measuring) and steps, for {side}. "
        f"Precision: {cost.precision}.",
        *([how_judged(sample.coded, sample.crops)] if any(table.name == "Table III" for table in cost.tables) else []),
        "Work that two tables share counts in both, in the last line once. Figure 1 shows maps of Table I. " + _NOT_COUNTED,
    ]


def how_judged(coded: Sequence[int] | None, crops: int) -> str:
    """How scores of the coded pictures of Table III were measured; `coded` and `crops` of `paperlib.tasks.cost.Sample`."""
    size = workload.OFFICIAL["sacid"]
    taken = (
        f"Coded pictures of Table III: all are taken to have the mean size of SACID's, {size.megapixels:.2f} megapixels "
        "before the profile's resizing, and all to have a reference. "
    )
    if not coded:
        return f"{taken}Methods were measured on such a picture, of noise, with all their crops."
    height, width = coded
    listed = ", ".join(f"{paper.look(name).label} {number}" for name, number in CROPS.items())
    return (
        f"{taken}Measured, on noise: networks that see the whole picture on {height} x {width} pixels, in proportion to "
        f"pixels; networks that score crops on {crops} of them, in proportion to crops ({listed}); formulas, and SGDNet, "
        "which resizes every picture, on a whole one. Large pictures may cost more than in proportion: attention grows with "
        "the square of pixels (MUSIQ), few of PieAPP's patches fit a small picture, and memory is slower than cache."
    )


def _table_row(table: TableCost, tflops: float | None) -> list[str]:
    row = [
        table.name,
        f"{table.units:,}",
        f"{table.forward_passes:,.0f}",
        f"{table.training_steps:,.0f}",
        _short(table.hours),
        _short(table.processor_hours),
        _short(table.petaflop),
    ]
    return [*row, _short(hours_at(table.petaflop, tflops))] if tflops else row


def _rate_row(rate: Rate, amount: float, workers: int) -> list[str]:
    hours = amount * rate.seconds / 3600 / workers
    return [
        rate.kind,
        f"{amount:,.0f} {rate.per}s",
        f"{rate.seconds:.3g}",
        f"{rate.gigaflop:,.1f}",
        _short(hours),
        f"{rate.repetitions} x {rate.measured:.3g}",
    ]


def _with_memory(rows: Sequence[list[str]], costs: Sequence[TableCost | Rate]) -> list[list[str]]:
    """Rows below a head with one column more, the largest memory on the GPU."""
    head, *others = rows
    column = [f"{one.memory / 2**30:.1f}" if one.memory else "-" for one in costs]
    return [[*head, "peak GiB"], *([*row, cell] for row, cell in zip(others, column, strict=True))]


def _short(value: float) -> str:
    """Three digits, thousands apart, no exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Columns of text, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [one.rjust(width) for one, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells]).rstrip()


def readme_cost(cost: Mapping[str, Any]) -> str:
    """The part of README: hours on the device of a stored measurement and operations, with a worked example of the formula.

    Args:
        cost: `paperlib.tasks.cost.Cost` as it is read from JSON.
    """
    tables = [TableCost(**table) for table in (*cost["tables"], {**cost["total"], "name": "All, what they share once"})]
    lines = [
        "| | Units | Forward passes | Training steps | Hours, networks | Hours, measuring | PFLOP |",
        "|:--|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [f"| {' | '.join(_table_row(table, None))} |" for table in tables]
    whole, sample = cost["total"]["petaflop"], cost["sample"]
    lines += [
        "",
        f"Hours on {cost['device']} ({cost['workers']} processes at once; {cost['precision']}), extrapolated in proportion "
        f"from short measurements: maps of {sample['pictures']} picture with {sample['passes']} views, {sample['batch']} of "
        f"the {cost['batch']} pictures of a training step. {_NOT_COUNTED}",
        "",
        *([how_judged(sample["coded"], sample["crops"]), ""] if "Table III" in {one.name for one in tables} else []),
        "On a device that sustains T TFLOP/s on these networks: hours = PFLOP / (3.6 × T); T differs between networks and "
        "is far below a device's peak for EfficientNet. An example of the formula, not a measurement: "
        f"T = {EXAMPLE_TFLOPS:g} gives {_short(whole)} / (3.6 × {EXAMPLE_TFLOPS:g}) = "
        f"{_short(hours_at(whole, EXAMPLE_TFLOPS))} hours for all.",
    ]
    return "\n".join(lines)
