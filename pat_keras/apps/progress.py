"""What a training shows while it runs: a progress bar in the terminal, TensorBoard events in the run directory."""

from __future__ import annotations

import pathlib
import time
from types import TracebackType
from typing import Any

import tensorflow as tf
from tqdm import tqdm

from pat_keras.training.loop import Row, Watcher


class TrainingProgress(Watcher):
    """A progress bar on stderr, and an event file that TensorBoard reads, one value a training epoch.

    Args:
        folder: of the event files; made when the first value is written.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder, self._bar, self._events = folder, None, None
        self._step = 0

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.on_end()
        if self._events is not None:
            self._events.close()

    def on_start(self, stage: str, steps: int) -> None:
        """Open a bar."""
        self._bar: Any = tqdm(total=steps, desc=f"training ({stage})", unit="step", dynamic_ncols=True)

    def on_step(self) -> None:
        """Move the bar."""
        self._bar.update()

    def on_epoch(self, row: Row) -> None:
        """Show and write the values of a training epoch."""
        shown = {"epoch": row["epoch"], "loss": f"{row['loss']:.3f}"}
        name = "validation_auc" if "validation_auc" in row else "validation_loss"
        shown[name.replace("_", " ")] = f"{row[name]:.3f}"
        self._bar.set_postfix(shown)
        self._step += 1
        values = {name: value for name, value in row.items() if isinstance(value, float)}
        self._write([tf.compat.v1.Summary.Value(tag=f"{row['stage']}/{k}", simple_value=v) for k, v in values.items()])

    def on_end(self) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _write(self, values: list[Any]) -> None:
        """Append an event. An event file is a TFRecord file of Event messages that starts with its version."""
        if self._events is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"events.out.tfevents.{time.time_ns()}"
            self._events: Any = tf.io.TFRecordWriter(str(path))
            version = tf.compat.v1.Event(wall_time=time.time(), file_version="brain.Event:2")
            self._events.write(version.SerializeToString())
        summary = tf.compat.v1.Summary(value=values)
        event = tf.compat.v1.Event(wall_time=time.time(), step=self._step, summary=summary)
        self._events.write(event.SerializeToString())
        self._events.flush()
