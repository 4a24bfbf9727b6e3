"""TensorFlow without the lines that its C++ side prints about itself.

They bypass Python's stderr and TF_CPP_MIN_LOG_LEVEL, so the file descriptor is turned aside meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import IO


def import_tensorflow() -> None:
    """Imports TensorFlow; only if that fails are its lines printed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with tempfile.TemporaryFile() as aside:
        try:
            with stderr_to(aside):
                import tensorflow as tf

                if os.environ.get("KERAS_BACKEND") == "jax":
                    # It writes event files here, and would take nearly all of a GPU's memory from JAX for that.
                    tf.config.set_visible_devices([], "GPU")
                tf.constant(0)  # some come with the first operation
        except BaseException:
            aside.seek(0)
            os.write(2, aside.read())
            raise
    # Every model that is scored compiles its own prediction, which is meant and looks like a mistake to TensorFlow.
    logging.getLogger("tensorflow").addFilter(_meant)


def _meant(record: logging.LogRecord) -> bool:
    return "triggered tf.function retracing" not in record.getMessage()


@contextlib.contextmanager
def stderr_to(file: IO[bytes]) -> Iterator[None]:
    """Turns the file descriptor of stderr aside into a file, also for native code and other processes."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
