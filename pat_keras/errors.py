"""The errors of our own: few, and named for what is wrong.

Every message says the file, the place in it, what was found, what was expected, and what to do. Commands print it as
one paragraph and exit with status 2; from Python each is a `ValueError`.
"""

from __future__ import annotations


class PATError(ValueError):
    """Base of the errors below: something the user gave can't be used as it is."""


class CheckpointError(PATError):
    """A weights file is damaged, of another model, or can't be fetched."""


class RecordingError(PATError):
    """A recording (or the folder or file that holds it) can't be read as what it is said to be."""


class CohortError(PATError):
    """A cohort, or a split of it, can't be used."""


class LabelError(PATError):
    """A label is absent, has one class only, or has too few people."""


class ConfigError(PATError):
    """A setting, or a combination of settings, is not possible."""


class RunError(PATError):
    """A run directory is in the way, incomplete, or not one of ours; or a training went wrong."""
