"""The claims as a small table: what decides each, its effect and interval, and which controls meet the same criterion."""

import math
from collections.abc import Iterable

import pandas as pd

from paperlib.experiments.artefacts import ClaimResult
from paperlib.experiments.claims import HOLDS, UNTESTED
from paperlib.show.sentences import Text, below

NONE = "none"
_MISSING = {"value": math.nan, "low": math.nan, "high": math.nan, "n": 0, "needed": math.nan, "outcome": UNTESTED}


def board(results: Iterable[ClaimResult]) -> pd.DataFrame:
    """A row per claim, indexed by its id: `outcome`, the quantity that `decides` it with its `effect`, `95 % interval` and
    what was `needed`, and the `controls that hold too`."""
    rows = {one.id: _row(one) for one in results}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("claim")


def meeting(result: ClaimResult) -> list[str]:
    """The controls all of whose quantities hold, in their order."""
    controls = result.parts[result.parts["role"] == "control"]
    held = controls.groupby("control", sort=False)["outcome"].agg(lambda some: (some == HOLDS).all())
    return list(held.index[held.astype(bool)])


def quantity(results: Iterable[ClaimResult], id: str, name: str, control: str = "") -> pd.Series:
    """One quantity of a claim, or of one of its controls: `value`, `low`, `high`, `n`, `needed` and `outcome`.

    One that was not measured, or that this profile does not have, has no values and is not testable.
    """
    for one in results:
        found = one.parts[(one.parts["quantity"] == name) & (one.parts["control"] == control)]
        if one.id == id and len(found):
            return found.iloc[0][list(_MISSING)]
    return pd.Series(_MISSING)


def every(results: Iterable[ClaimResult], summary: str) -> Text:
    """All quantities of the claims and of their controls, and what stands beside, folded below `summary`."""
    frame = pd.concat({one.id: one.parts for one in results}, names=["claim", "row"]).droplevel("row")
    return folded(frame.drop(columns="lacks"), summary)


def folded(frame: pd.DataFrame, summary: str) -> Text:
    """A long table below a line of text that unfolds it."""
    table = frame.to_html(border=0, na_rep="", float_format="{:.3f}".format)
    return Text(below(summary, table))


def _row(one: ClaimResult) -> dict[str, str]:
    known = one.parts[one.parts["quantity"] == one.detail]["needed"]
    measured = one.n > 0
    return {
        "outcome": one.outcome,
        "decided by": one.detail,
        "effect (needed)": f"{one.value:.3f} ({known.iloc[0]:g})" if measured else "",
        "95 % interval": f"{one.low:.3f} to {one.high:.3f}, over {one.n} {one.over}" if measured else "",
        "controls that hold too": "; ".join(meeting(one)) or NONE,
    }
