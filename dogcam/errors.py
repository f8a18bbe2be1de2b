"""Errors that a user can act on: what was found, what was expected, what to do next."""


class DogcamError(Exception):
    """A fault of the input or of the environment, not a defect of the program.

    Commands print the message alone, without a traceback, and end with status 1.
    """


class DataError(DogcamError):
    """A file or folder of the data set is missing, unreadable or not in the expected form."""


class ModelError(DogcamError):
    """A model cannot be built, a checkpoint cannot be loaded, or a layer or class does not exist."""


class DownloadError(DogcamError):
    """A download did not give the complete, correct file."""


class OutputError(DogcamError):
    """A file cannot be written."""


class ConfigError(DogcamError):
    """A setting has an invalid value, or settings contradict each other."""


class RecordError(DogcamError):
    """A record (`results.json`) is missing, has another version, or differs from its report."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that is not blank, or the name of its class without one.

    >>> first_line(RuntimeError("\\n  no kernel image\\nat line 3"))
    'no kernel image'
    >>> first_line(AssertionError())
    'AssertionError'
    """
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
