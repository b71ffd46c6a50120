"""Data sets as the units of every section see them."""
