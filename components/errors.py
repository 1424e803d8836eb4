"""Exception types. Each message says where, what was expected, what was found and what to do next.

`DataError` means that the data or the gate says no (exit status 1, no retry); `SettingsError` means wrong usage (exit status 2).
"""


class DataError(Exception):
    """The data say no: retrying the same step on the same inputs gives the same answer."""


class SettingsError(Exception):
    """The settings, the profile or the command line are wrong."""


class MissingInputError(DataError):
    """A step's input has not been written yet; the message names the step to run first."""


class NotReadyError(DataError):
    """The logs of a day have not all arrived; the message says per kind what is missing."""


class RawLogError(DataError):
    """A raw log file as a whole cannot be read (truncated, wrong columns, no files)."""


class ValidationFailedError(DataError):
    """A critical expectation failed; the message names it, the expected and found values and the Data Docs page."""


class UndefinedMetricError(DataError):
    """A metric has no value on these rows (one class, or too few positives); it is never replaced by a number."""


class CheckpointError(DataError):
    """A checkpoint is missing, torn or altered; the message names the file."""


class MissingParentError(DataError):
    """The checkpoint that a day must be trained from does not exist; the message has the repair command."""


class TrainingDivergedError(DataError):
    """The loss or a parameter stopped being finite; nothing was saved."""


class OneOutcomeError(DataError):
    """The rows do not hold both outcomes of what is to be calibrated."""


class RegistryError(DataError):
    """The model registry cannot do what was asked (no such version, nothing to roll back to)."""


class ServiceError(Exception):
    """A server cannot be started or reached; the message names its log or setting. Trying again may help."""


class RankLostError(ServiceError):
    """Another rank of `esmm train` under torchrun has ended or does not answer; nothing was saved."""
