"""All methods by their type, as one table."""

from itertools import groupby

from paperlib.paper import METHODS
from paperlib.show.sentences import Text


def all_methods() -> Text:
    """A row per type: names of its methods with their keys, in the order of the registry."""
    types = {kind: list(some) for kind, some in groupby(METHODS.values(), lambda method: method.group)}
    rows = [f"| {kind} | {', '.join(f'{one.label} `{one.key}`' for one in some)} |" for kind, some in types.items()]
    table = "\n".join(["| type | methods and their keys |", "|---|---|", *rows])
    return Text(table)
