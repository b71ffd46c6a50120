"""Runs units of a profile: from its store where they are there, the rest on this machine or on a cluster."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from paperlib.engine.local import run
from paperlib.engine.store import ResultStore
from paperlib.engine.units import Result, Unit
from paperlib.settings import current

if TYPE_CHECKING:
    from paperlib.profiles import Profile


def compute(units: Iterable[Unit], profile: "Profile", title: str) -> dict[str, Result]:
    """Results of `units` by name, from the profile's store where they are there; the rest is computed here, or on the
    Ray cluster that the settings name."""
    unique = list({unit.name: unit for unit in units}.values())
    store, settings = ResultStore(profile.store_root), current()
    if settings.ray_address:
        from paperlib.engine import cluster

        return cluster.run(
            unique,
            store,
            address=settings.ray_address,
            title=title,
            gpu_share=settings.gpu_share,
            ship_code=settings.ship_code,
            workers=settings.workers,
        )
    return run(unique, store, workers=settings.workers, title=title)


def try_again(units: Iterable[Unit], profile: "Profile", metric: str) -> None:
    """Forget the stored results among `units` that hold a row of `metric`, and those among their needs: it tells a failure,
    which may have had reasons that pass, such as lack of memory."""
    store = ResultStore(profile.store_root)

    def telling(some: Iterable[Unit]) -> dict[str, Unit]:
        found = ((unit, store.load(unit)) for unit in some)
        return {unit.name: unit for unit, result in found if result is not None and metric in set(result.rows["metric"])}

    stale = telling(units)
    needs = {need.name: need for unit in stale.values() for need in unit.needs}
    for unit in (stale | telling(needs.values())).values():
        store.forget(unit)
