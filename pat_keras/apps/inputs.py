"""What commands read, and how they speak about it. Imports what is heavy when it is called."""

from __future__ import annotations

import contextlib
import pathlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pat_keras.errors import CohortError, ConfigError, LabelError

if TYPE_CHECKING:
    from pat_keras.data.cohort import Cohort


def is_array(path: str) -> bool:
    """Whether a path is that of arrays rather than of a cohort."""
    return pathlib.Path(path).suffix in (".npy", ".npz")


def read_cohort(data: str, labels: str | None = None, participants: str | None = None, label: str = "label") -> Cohort:
    """The cohort in a Parquet file, or one of arrays.

    Args:
        data: path of either.
        labels: of an array of labels, for arrays only.
        participants: of an array of whose row it is, for arrays only.
        label: the name the labels get.

    Raises:
        ConfigError: if labels or participants are given beside a cohort, which holds both itself.
        CohortError, LabelError: if a file can't be read.
    """
    from pat_keras.data.cohort import Cohort, read_arrays

    if is_array(data):
        return read_arrays(data, labels, label, participants)
    if labels or participants:
        raise ConfigError("--labels and --participants go with arrays (--data=X.npy); a cohort holds both itself.")
    return Cohort.read(data)


def given(*paths: str | None) -> list[str]:
    """Those of the paths that were given."""
    return [path for path in paths if path]


@contextlib.contextmanager
def naming(path: str | None) -> Iterator[None]:
    """Puts the file in front of what is wrong with its content."""
    try:
        yield
    except (CohortError, LabelError) as error:
        if path is None or path in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error


def warn(message: str) -> None:
    """Says what may be wrong, in one line on stderr."""
    print(f"warning: {message}", file=sys.stderr)
