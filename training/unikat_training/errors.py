"""The error that a person can do something about: the command line prints it without a traceback."""


class TrainingError(ValueError):
    """Training or export cannot go on; the message names the setting or file, and what to do."""
