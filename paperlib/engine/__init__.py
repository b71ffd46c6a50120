"""The engine: units of work, the store of their results, and the executor that computes what the store lacks."""
