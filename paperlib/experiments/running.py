"""Runs units of a profile: from its store where they are there, the rest on this machine or on a cluster."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from paperlib.engine.store import ResultStore
from paperlib.engine.units import Result, Unit

if TYPE_CHECKING:
    from paperlib.profiles import Profile


def compute(units: Iterable[Unit], profile: "Profile", title: str) -> dict[str, Result]:
    """Results of `units` by name, from the profile's store where they are there; the rest is computed here, or on the
    Ray cluster that the settings name."""
    import os

    unique = {unit.name: unit for unit in units}
    store = ResultStore(profile.store_root)
    if address := os.environ.get("PAPERLIB_RAY_ADDRESS"):
        from paperlib.engine import cluster

        return cluster.run(list(unique.values()), store, address=address, title=title)
    from paperlib.engine.local import run

    return run(list(unique.values()), store, title=title)
