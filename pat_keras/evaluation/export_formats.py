"""The formats of an exported model: how each is written, and how its own runtime computes with it.

Axes: B windows, T minutes, C classes.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import pathlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from pat_keras.errors import RunError
from pat_keras.evaluation.ensemble import PATEnsemble

INPUT = "activity"
# What other runtimes read by now: onnxruntime from 1.15, and its wrappers of that age.
_OPSET = 17

Compute = Callable[[np.ndarray], np.ndarray]


def output_name(task: str) -> str:
    """Of what an exported model gives: (B, C) probabilities, or the (B,) prediction of a regression."""
    return "prediction" if task == "regression" else "probabilities"


def write(ensemble: PATEnsemble, minutes: int, folder: pathlib.Path, file_format: str) -> tuple[pathlib.Path, Compute]:
    """Write the model into a folder.

    Args:
        ensemble: models in float32, under TensorFlow.
        minutes: T.
        folder: exists.
        file_format: one of `config.EXPORTS`.

    Returns:
        The file or folder that was written, and a function that computes with it in its own runtime.

    Raises:
        RunError: if a package that the format needs is not installed.
    """
    writers = {"onnx": _write_onnx, "saved_model": _write_saved_model}
    return writers[file_format](_Joined(ensemble), minutes, folder)


class _Joined(keras.Model):
    """The models of an ensemble as one graph from raw minutes to what `output_name` says, with its name."""

    def __init__(self, ensemble: PATEnsemble) -> None:
        super().__init__(name="pat")
        self.task, self.members = ensemble.task, ensemble.models
        self.shares = [float(weight) for weight in ensemble.weights]

    def call(self, x: Any) -> dict[str, Any]:
        """(B, T) -> {name: (B, C)} or {name: (B,)}."""
        members = zip(self.members, self.shares, strict=True)
        return {output_name(self.task): sum(share * self._scores(model(x, training=False)) for model, share in members)}

    def _scores(self, logits: Any) -> Any:
        if self.task == "regression":
            return logits[:, 0]
        if self.task == "binary":
            return ops.sigmoid(ops.concatenate([-logits, logits], axis=1))
        return ops.softmax(logits, axis=1)


def _signature(minutes: int) -> list[Any]:
    import tensorflow as tf

    return [tf.TensorSpec((None, minutes), tf.float32, name=INPUT)]


def _write_saved_model(model: _Joined, minutes: int, folder: pathlib.Path) -> tuple[pathlib.Path, Compute]:
    import tensorflow as tf

    path = folder / "saved_model"
    # Not Keras' own export: beside what is asked for it writes every layer as it takes a week, which one that is scaled
    # by the minute of a day can't.
    module = tf.Module()
    module.serve = tf.function(model.call, input_signature=_signature(minutes))
    module.kept = [weight.value for weight in model.weights]
    with _writing(path):
        tf.saved_model.save(module, str(path), signatures={"serving_default": module.serve})
    loaded = tf.saved_model.load(str(path))  # to be kept: its function only borrows the weights
    name = output_name(model.task)
    return path, lambda x: np.array(loaded.serve(tf.constant(x))[name])


def _write_onnx(model: _Joined, minutes: int, folder: pathlib.Path) -> tuple[pathlib.Path, Compute]:
    import tensorflow as tf

    onnx, runtime, converter = (_library(name) for name in ("onnx", "onnxruntime", "tf2onnx"))
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the converter's own, about NumPy and protobuf
        found, _ = converter.convert.from_function(
            tf.function(model.call), input_signature=_signature(minutes), opset=_OPSET
        )
    _name(found.graph, output_name(model.task))
    path = folder / "model.onnx"
    with _writing(path):
        onnx.save(found, str(path))
    onnx.checker.check_model(str(path))
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return path, lambda x: session.run(None, {INPUT: x})[0]


def _name(graph: Any, name: str) -> None:
    """Gives the output its name, and the first axis of input and output that of what it counts."""
    (output,), (given,) = graph.output, graph.input
    for node in graph.node:
        node.output[:] = [name if made == output.name else made for made in node.output]
        node.input[:] = [name if used == output.name else used for used in node.input]
    output.name = name
    for end in (given, output):
        end.type.tensor_type.shape.dim[0].dim_param = "windows"


@contextlib.contextmanager
def _writing(path: pathlib.Path) -> Iterator[None]:
    """Says in plain words that a disk is full, which TensorFlow and ONNX each say in their own."""
    import tensorflow as tf

    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        whole = error.message if isinstance(error, tf.errors.OpError) else str(error.strerror)
        reason = whole.rpartition("; ")[2].partition(" [Op")[0]
        raise RunError(
            f"{path}: can't be written ({reason}). Check the folder, its permissions and its space."
        ) from None


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise RunError(
            f"--format=onnx needs the package {name}, which is not installed. Install it with: pip install "
            "'pat_keras[export]'; --format=saved_model needs nothing more."
        ) from None
