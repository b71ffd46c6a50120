"""What a section does under the profiles that its notebook does not tell about, as one folded table."""

from typing import Any

import pandas as pd

from paperlib.profiles import PROFILES, Profile, names
from paperlib.show.sentences import Text, below

_EVIDENCE = {"simulation": "simulated", "stand-ins": "generated stand-ins, numbers mean nothing", "data": "real"}
_PARTS = {"03a": "extraction", "03b": "masking", "03c": "dual_task", "03d": "compression"}
_SPEED = {"models", "score_batch", "sequence_shard", "training_gpus"}
_LONGEST = 26


def other_profiles(section: str) -> Text:
    """The values that decide a section, under every profile: those that differ between `demo` and the others.

    Args:
        section: the number of a notebook, `03a` to `03d`; for any other what all sections share.
    """
    shown = ["seeds", "n_control_seeds", "extent"]
    if section in _PARTS:
        part = getattr(PROFILES["demo"], _PARTS[section])
        shown += [name for name in vars(part) if name not in _SPEED]
    values = {name: {"data": _EVIDENCE[profile.evidence], **_shown(profile, shown)} for name, profile in PROFILES.items()}
    table = pd.DataFrame(values)
    differing = table[table.nunique(axis=1) > 1]
    text = "\n".join(
        ["| value | " + " | ".join(f"`{name}`" for name in table) + " |", "|---" * (len(table.columns) + 1) + "|"]
        + [f"| {name} | " + " | ".join(row) + " |" for name, row in zip(differing.index, differing.to_numpy(), strict=True)]
    )
    return Text(below("What differs under the other profiles", text))


def _shown(profile: Profile, wanted: list[str]) -> dict[str, str]:
    return {name: _short(value) for name, value in names(profile).items() if name in wanted}


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        text = ", ".join(map(str, value))
        return f"{len(value)} values" if len(text) > _LONGEST else text or "none"
    return str(value) if value != "" else "none"
