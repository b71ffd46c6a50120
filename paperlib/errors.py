"""The kinds of failure that a user is meant to read."""


class PaperlibError(Exception):
    """A failure told in one sentence: what was expected, what came, what to do. The command line prints it.

    `exit_code` is what the command line then ends with; 2 means that the input was bad.
    """

    exit_code = 2


class ComputationError(PaperlibError):
    """A computation failed on good input; what was finished before is kept."""

    exit_code = 1
