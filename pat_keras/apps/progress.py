"""What a training shows while it runs: a progress bar in the terminal, TensorBoard events in the run directory."""

from __future__ import annotations

import pathlib
import time
from types import TracebackType
from typing import Any

import tensorflow as tf
from tqdm import tqdm

from pat_keras.apps.cli import bar_interval
from pat_keras.training.loop import Row, Watcher


class TrainingProgress(Watcher):
    """A progress bar on stderr, and event files that TensorBoard reads: one value a training epoch.

    Args:
        folder: of the event files, one subfolder a split; made when the first value is written.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder, self._split = folder, ""
        self._bar: tqdm | None = None
        self._events: tf.io.TFRecordWriter | None = None

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.on_end()
        self._close_events()

    def on_split(self, name: str) -> None:
        """Begin the event file of another split."""
        self._split = name
        self._close_events()

    def on_note(self, text: str) -> None:
        """Print it."""
        print(f"{self._split}: {text}", flush=True)

    def on_start(self, stage: str, steps: int) -> None:
        """Open a bar."""
        self._bar = tqdm(
            total=steps,
            desc=f"{self._split}: training ({stage})",
            unit="step",
            dynamic_ncols=True,
            mininterval=bar_interval(),
        )

    def on_step(self) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update()

    def on_epoch(self, row: Row) -> None:
        """Show and write the values of a training epoch."""
        name = "validation_auc" if "validation_auc" in row else "validation_loss"
        if self._bar is not None:
            self._bar.set_postfix(
                {"epoch": row["epoch"], "loss": f"{row['loss']:.4g}", name.replace("_", " "): f"{row[name]:.4g}"}
            )
        values = {name: value for name, value in row.items() if isinstance(value, float)}
        self._write(
            row["epoch"],
            [tf.compat.v1.Summary.Value(tag=f"{row['stage']}/{name}", simple_value=x) for name, x in values.items()],
        )

    def on_end(self) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _write(self, step: int, values: list[Any]) -> None:
        """Append an event. An event file is a TFRecord file of Event messages that starts with its version."""
        if self._events is None:
            folder = self._folder / self._split.replace(" ", "_")
            folder.mkdir(parents=True, exist_ok=True)
            self._events = tf.io.TFRecordWriter(str(folder / f"events.out.tfevents.{time.time_ns()}"))
            version = tf.compat.v1.Event(wall_time=time.time(), file_version="brain.Event:2")
            self._events.write(version.SerializeToString())
        summary = tf.compat.v1.Summary(value=values)
        event = tf.compat.v1.Event(wall_time=time.time(), step=step, summary=summary)
        self._events.write(event.SerializeToString())
        self._events.flush()

    def _close_events(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None
