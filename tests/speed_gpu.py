"""Fine-tuning speed on a GPU under JAX, through `keras.Model.fit` with weeks in memory.

    KERAS_BACKEND=jax python -m tests.speed_gpu --sizes=small,medium,large --batch=128

One size after the other, each with random weights and noise for weeks; the first training epoch, which compiles, is
left out. The peak of memory is that of the process and never falls: give one size alone for its own.
"""

from __future__ import annotations

import sys
import time

import keras
import numpy as np
from absl import app, flags

import pat_keras as pat

SIZES = flags.DEFINE_list("sizes", ["small", "medium", "large"], "Sizes of PAT.")
BATCH = flags.DEFINE_integer("batch", 128, "Weeks a step.")
WEEKS = flags.DEFINE_integer("weeks", 3840, "Weeks a training epoch; rounded down to whole steps.")
PRECISION = flags.DEFINE_string("precision", "mixed_bfloat16", "float32 or mixed_bfloat16.")


def people_per_second(size: str, batch: int, weeks: int, precision: str) -> float:
    """Weeks a second of a training epoch."""
    model = pat.PATClassifier(pat.PATEncoder(pat.EncoderConfig.of_size(size), dtype=precision), dtype=precision)
    model.compile(keras.optimizers.Adam(1e-5), keras.losses.BinaryCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    count = max(1, weeks // batch) * batch
    x, y = rng.normal(size=(count, 10080)).astype("float32"), rng.integers(0, 2, count).astype("float32")
    model.fit(x, y, batch_size=batch, verbose=0, shuffle=False)
    started = time.perf_counter()
    model.fit(x, y, batch_size=batch, verbose=0, shuffle=False)
    return count / (time.perf_counter() - started)


def main(argv: list[str]) -> None:
    """Print a line a size."""
    if keras.backend.backend() != "jax":
        sys.exit("speed_gpu: set KERAS_BACKEND=jax")
    import jax

    device = jax.devices()[0]
    for size in SIZES.value:
        rate = people_per_second(size, BATCH.value, WEEKS.value, PRECISION.value)
        memory = (device.memory_stats() or {}).get("peak_bytes_in_use")
        peak = "" if memory is None else f", peak {memory / 2**30:.1f} GiB"
        print(
            f"{device.device_kind}, {size}, {PRECISION.value}, batch {BATCH.value}: {rate:.0f} people/s{peak}",
            flush=True,
        )


if __name__ == "__main__":
    app.run(main)
