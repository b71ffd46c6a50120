"""Which module computes a section of a profile."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paperlib.profiles import Profile


def module_of(section: str, profile: "Profile") -> ModuleType:
    """The module with `units` and, where the section has one, `table`: section III-C has its own for photographs."""
    name = "photo_training" if section == "dual_task" and profile.dual_task.training_set else section
    return import_module(f"paperlib.experiments.{name}")
