"""The sensitivity study of section III-C in print: kept in `figures/`, since it takes longer than the rest of the demo."""

from pathlib import Path

import pandas as pd

from paperlib import alike, paper, paths
from paperlib.errors import PaperlibError
from paperlib.tasks.sensitivity import COLUMNS, METRICS

STEM = "sensitivity"
COMMAND = "python -m paperlib sensitivity --save"
LOSSES = {
    "mse": "squared error",
    "kld": "divergence (KLD)",
    "cc": "correlation (CC)",
    "bce": "cross-entropy",
    "total_variation": "total variation",
}
"""Names of `paperlib.models.saliency_losses.SALIENCY_LOSSES` for people."""


def save(table: pd.DataFrame, folder: Path) -> tuple[Path, Path]:
    """Write `table` of `paperlib.tasks.sensitivity.measure` as CSV and Markdown into `folder`."""
    files = folder / f"{STEM}.csv", folder / f"{STEM}.md"
    texts = table.to_csv(index=False, float_format="%.6f", lineterminator="\n"), _markdown(table)
    alike.write({path: text.encode() for path, text in zip(files, texts, strict=True)})
    return files


def saved() -> pd.DataFrame:
    """What was written last, in words: `readable` of `means`.

    Raises:
        PaperlibError: as `means`.
    """
    return readable(means())


def means() -> pd.DataFrame:
    """What was written last, in numbers: the table of `paperlib.tasks.sensitivity.measure`.

    Raises:
        PaperlibError: there is none, or it is not ours.
    """
    path = paths.figures_root() / f"{STEM}.csv"
    path = path if path.is_file() else paths.FIGURES / path.name
    if not path.is_file():
        raise PaperlibError(f"{path} is not there; make it with: {COMMAND}")
    table = pd.read_csv(path, dtype={"weight": str})
    if tuple(table.columns) != COLUMNS:
        raise PaperlibError(f"{path} has other columns than {', '.join(COLUMNS)}; make it anew with: {COMMAND}")
    return table.fillna({"weight": ""})


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Means ± standard deviations over repeats (the mean alone of a single one), methods by their names."""

    def cell(row: pd.Series, metric: str) -> str:
        sd = row[f"{metric}_sd"]
        return f"{row[metric]:.3f}" + ("" if pd.isna(sd) else f" ± {sd:.3f}")

    words = {metric: table.apply(cell, axis=1, metric=metric) for metric in METRICS}
    names = table["variant"].map(lambda variant: paper.look(variant).label)
    return pd.DataFrame({"network": names, "saliency loss": table["loss"], "weight": table["weight"], **words})


def by_loss(weight: str) -> pd.DataFrame:
    """What was written last, in words: SROCC and CC of both networks, a row per saliency loss with this weight.

    Raises:
        PaperlibError: as `means`.
    """
    shown = saved()
    shown = shown[shown["weight"] == weight]
    wide = shown.pivot(index="saliency loss", columns="network", values=["SROCC", "CC"])
    networks = pd.MultiIndex.from_product([["SROCC", "CC"], shown["network"].unique()], names=[None, "network"])
    return wide.reindex(index=shown["saliency loss"].unique(), columns=networks).rename(index=LOSSES)


def _markdown(table: pd.DataFrame) -> str:
    return (
        "# What hangs on the saliency loss and its weight\n\n"
        f"The demo's micro-world at home, {int(table['n'].iloc[0])} repeats that no table uses, mean ± sd; maps as in "
        f"Table II. Made by `{COMMAND}`.\n\n{readable(table).to_markdown(index=False)}\n"
    )
