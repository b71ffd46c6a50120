"""Data sets and weights: how they are found out to be missing, fetched, checked and unpacked."""
