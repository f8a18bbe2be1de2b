"""Errors that a user can act on: what was found, what was expected, what to do next."""


class DogcamError(Exception):
    """Any failure that is the input's or the environment's, not a defect of the program.

    Commands print the message alone, without a traceback, and end with status 1.
    """


class DataError(DogcamError):
    """A file or folder of the data set is missing, unreadable or not in the expected form."""


class ModelError(DogcamError):
    """A model cannot be built, a checkpoint not be loaded, or a layer or class not be found."""


class DownloadError(DogcamError):
    """A transfer ended without the whole, correct file."""


class OutputError(DogcamError):
    """A file cannot be written."""


class ConfigError(DogcamError):
    """A setting has a value that it cannot have, or settings contradict each other."""


class RecordError(DogcamError):
    """A record (`results.json`) is missing, of another version, or disagrees with its report."""
