"""How fast the encoder is beside a model of plain Keras layers with the same weights, and how much memory each takes.

    python -m tests.speed --sizes=medium,large --batch=32 --train_batch=8 --repeats=7

Every variant lives in a process of its own, so that its peak memory (resident, with Python and the backend, before and
in its steps) is its own. The variants of a table take turns, one step each a round, so that whatever else the machine
does meets all of them alike. A ratio is the median over rounds of the plain model's time divided by the variant's in
the same round; "ratio, CPU" says the same of the processor time spent, which a busy machine disturbs less.

Inference is `predict_on_batch`; a training step is `train_on_batch` with Adam, mean squared error of the tokens,
dropout on. The plain model's step needs so much memory (PAT-L: about 0.5 GB a person) that training is compared at
`--train_batch`; our own step is measured at `--batch` too. XLA is off for all on CPU with TensorFlow, where it is
slower.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

TABLES = ("inference", "training", "memory", "scores")
MINUTES = 10080


@dataclasses.dataclass(frozen=True)
class Variant:
    """One row of a table.

    Attributes:
        name: as printed.
        model: "plain" or "ours".
        job: "tokens", "train", "all scores" or "streamed scores".
        size: of the encoder.
        batch: people a step.
        dtype: Keras' precision policy.
    """

    name: str
    model: str
    job: str
    size: str
    batch: int
    dtype: str = "float32"


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds of each round, on the clock and of the processors, and the peak memory in GB."""

    wall: list[float]
    cpu: list[float]
    peak: float


def tables(size: str, batch: int, train_batch: int, scores_batch: int) -> dict[str, list[Variant]]:
    """The variants of each table; the first of a table is what the others are compared with."""
    return {
        "inference": [
            Variant("plain Keras layers", "plain", "tokens", size, batch),
            Variant("pat_keras", "ours", "tokens", size, batch),
            Variant("plain Keras layers, bfloat16", "plain", "tokens", size, batch, "mixed_bfloat16"),
            Variant("pat_keras, bfloat16", "ours", "tokens", size, batch, "mixed_bfloat16"),
        ],
        "training": [
            Variant("plain Keras layers", "plain", "train", size, train_batch),
            Variant("pat_keras", "ours", "train", size, train_batch),
        ],
        "memory": [Variant("pat_keras, training", "ours", "train", size, batch)],
        "scores": [
            Variant("tokens and all scores, held", "ours", "all scores", size, scores_batch),
            Variant("scores of the last block, streamed", "ours", "streamed scores", size, scores_batch),
            Variant("tokens alone", "ours", "tokens", size, scores_batch),
        ],
    }


def step_of(variant: Variant) -> Callable[[], Any]:
    """Build the variant's model; the function returned does one step and waits for its result."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import numpy as np

    from pat_keras.config import EncoderConfig
    from pat_keras.models.encoder import PATEncoder, compile_by_default
    from tests.models.plain import copy_weights, plain_encoder

    keras.utils.set_random_seed(0)
    config = EncoderConfig.of_size(variant.size)
    ours = PATEncoder(config, dtype=variant.dtype)
    model = ours
    if variant.model == "plain":
        model = plain_encoder(config, dtype=variant.dtype)
        copy_weights(ours, model)
        model.jit_compile = compile_by_default()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(variant.batch, MINUTES)).astype(np.float32)
    if variant.job == "tokens":
        return lambda: model.predict_on_batch(x)
    if variant.job == "train":
        y = rng.normal(size=(variant.batch, MINUTES // config.patch_size, config.embed_dim)).astype(np.float32)
        model.compile(optimizer=keras.optimizers.Adam(1e-4), loss="mse", jit_compile=compile_by_default())
        return lambda: float(model.train_on_batch(x, y))
    if variant.job == "all scores":
        return lambda: [keras.ops.convert_to_numpy(s) for s in model(x, return_attention_scores=True)[1]]

    return lambda: sum(1 for _ in model.iter_attention_scores(x))


def serve(variant: Variant, connection: Connection) -> None:
    """A variant's process: two steps to warm up, then one step for each request until it is None, then the peak."""
    step = step_of(variant)
    step()
    step()
    connection.send(None)
    while connection.recv() is not None:
        wall, cpu = time.perf_counter(), time.process_time()
        step()
        connection.send((time.perf_counter() - wall, time.process_time() - cpu))
    unit = 1 if sys.platform == "darwin" else 1024
    connection.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30)


def measure(variants: list[Variant], repeats: int) -> list[Times]:
    """Start all, let them take turns, and end them."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for variant in variants:
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(variant, theirs), daemon=True)
        process.start()
        theirs.close()
        ours.recv()  # warm, before the next one starts
        pipes.append(ours)
        processes.append(process)
    rounds = [[_turn(pipe) for pipe in pipes] for _ in range(repeats)]
    found = []
    for i, (pipe, process) in enumerate(zip(pipes, processes, strict=True)):
        pipe.send(None)
        found.append(Times([r[i][0] for r in rounds], [r[i][1] for r in rounds], pipe.recv()))
        process.join()
    return found


def _turn(pipe: Connection) -> tuple[float, float]:
    pipe.send("step")
    return pipe.recv()


def ratio(first: list[float], other: list[float], people: float) -> float:
    """How many times faster `other` is a person, as the median over rounds; `people`: other's batch by the first's."""
    return statistics.median(a / b for a, b in zip(first, other, strict=True)) * people


def report(variants: list[Variant], times: list[Times]) -> str:
    """The table, in Markdown."""
    lines = ["| | batch | people/s | ratio | ratio, CPU | peak GB |", "|---|---|---|---|---|---|"]
    for variant, found in zip(variants, times, strict=True):
        rate = variant.batch / statistics.median(found.wall)
        people = variant.batch / variants[0].batch
        wall, cpu = ratio(times[0].wall, found.wall, people), ratio(times[0].cpu, found.cpu, people)
        lines.append(f"| {variant.name} | {variant.batch} | {rate:.2f} | {wall:.2f} | {cpu:.2f} | {found.peak:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time and memory of the encoder beside a model of plain Keras layers.")
    parser.add_argument("--sizes", default="medium,large", help="small, medium, large, huge; by commas")
    parser.add_argument("--tables", default=",".join(TABLES), help="which tables, by commas")
    parser.add_argument("--batch", type=int, default=32, help="people a step")
    parser.add_argument("--train_batch", type=int, default=8, help="people a training step that is compared")
    parser.add_argument("--scores_batch", type=int, default=4, help="people in the table of scores")
    parser.add_argument("--repeats", type=int, default=7, help="rounds")
    flags = parser.parse_args()
    print(
        f"{os.cpu_count()} processors, backend {os.environ.get('KERAS_BACKEND', 'tensorflow')}, weeks of {MINUTES} min"
    )
    for size in flags.sizes.split(","):
        of_size = tables(size, flags.batch, flags.train_batch, flags.scores_batch)
        for name in flags.tables.split(","):
            before = os.getloadavg()[0]
            times = measure(of_size[name], flags.repeats)
            print(f"\nPAT, {size}: {name} (load of the machine {before:.1f} before, {os.getloadavg()[0]:.1f} after)\n")
            print(report(of_size[name], times), flush=True)


if __name__ == "__main__":
    main()
