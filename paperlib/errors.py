"""The one kind of failure that a user is meant to read."""


class PaperlibError(Exception):
    """A failure told in one sentence: what was expected, what came, what to do. The command line prints it and exits with 2."""
