"""The original's models in Keras 2, as the notebooks describe them, loading a file by topology: the judge of our files.

`python keras2_original.py FOLDER ...` reads in each folder job.json (kind of model, shape of encoder) and input.npy,
builds the model with tf_keras, loads weights.h5 and writes what the model gives to output.npy. It imports nothing of
ours.

Layers and names: notebooks of github.com/njacobsonlab/Pretrained-Actigraphy-Transformer (CC BY 4.0); the code is ours.
Axes: T minutes, P patch_size, N = T / P patches, D = 96, M masked patches.
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

WIDTH = 96


def positions(count: int) -> np.ndarray:
    place = tf.range(count, dtype=tf.float32)[:, None]
    rate = tf.exp(tf.range(0, WIDTH, 2, dtype=tf.float32) * -(tf.math.log(10000.0) / WIDTH))
    return tf.concat([tf.sin(place * rate), tf.cos(place * rate)], axis=1).numpy()[None]


def block(name: str, job: dict[str, Any]) -> tf_keras.Model:
    inputs = tf_keras.Input((None, WIDTH), name=f"{name}_input")
    attention = layers.MultiHeadAttention(job["num_heads"], WIDTH, name=f"{name}_attention")
    attended, _ = attention(inputs, inputs, return_attention_scores=True)
    attended = layers.Dropout(0.1, name=f"{name}_dropout")(attended)
    first = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm1")(inputs + attended)
    hidden = layers.Dense(job["ff_dim"], activation="relu", name=f"{name}_ff1")(first)
    hidden = layers.Dropout(0.1, name=f"{name}_dropout2")(layers.Dense(WIDTH, name=f"{name}_ff2")(hidden))
    output = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm2")(first + hidden)
    return tf_keras.Model(inputs, output, name=f"{name}_transformer")


def embedding(inputs: Any, job: dict[str, Any]) -> Any:
    count = inputs.shape[1] // job["patch_size"]
    patches = layers.Reshape((count, job["patch_size"]), name="reshape")(inputs)
    if job["embedding"] == "linear":
        return layers.Dense(WIDTH, name="dense")(patches)
    patches = layers.Reshape((count, job["patch_size"], 1), name="add_channel_dim")(patches)
    convolution = layers.Conv1D(WIDTH, 3, padding="same", activation="relu")
    features = layers.TimeDistributed(convolution, name="conv1d_patch_embedding")(patches)
    return layers.TimeDistributed(layers.GlobalAveragePooling1D(), name="global_avg_pooling")(features)


def encoder(minutes: int, job: dict[str, Any]) -> tf_keras.Model:
    inputs = tf_keras.Input((minutes,), name="inputs")
    x = embedding(inputs, job)
    x = x + positions(x.shape[1])
    for i in range(1, job["num_layers"] + 1):
        x = block(f"encoder_layer_{i}", job)(x)
    return tf_keras.Model(inputs, x, name="encoder_model")


def classifier(minutes: int, job: dict[str, Any]) -> tf_keras.Model:
    inputs = tf_keras.Input((minutes,), name="finetuning_inputs")
    x = layers.GlobalAveragePooling1D(name="global_avg_pool")(encoder(minutes, job)(inputs))
    x = layers.Dense(128, activation="relu", name="dense_128")(layers.Dropout(0.1, name="dropout")(x))
    return tf_keras.Model(inputs, layers.Dense(1, activation="sigmoid", name="output")(x))


class MaskLayer(layers.Layer):
    """Visible patches with their positions; holds the mask token."""

    def __init__(self, permutation: np.ndarray, masked: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.visible, self.masked, self.positions = permutation[masked:], masked, positions(len(permutation))

    def build(self, shape: Any) -> None:
        self.mask_token = self.add_weight("mask_token", (1, 1, WIDTH))

    def call(self, x: Any) -> Any:
        batch = tf.shape(x)[0]
        hidden = tf.broadcast_to(self.mask_token, (batch, self.masked, WIDTH))
        return tf.gather(x + self.positions, self.visible, axis=1), hidden


def autoencoder(minutes: int, job: dict[str, Any]) -> tf_keras.Model:
    permutation = np.array(job["permutation"])
    inputs = tf_keras.Input((minutes,), name="inputs")
    visible, hidden = MaskLayer(permutation, job["masked"], name="mask_layer")(embedding(inputs, job))
    for i in range(1, job["num_layers"] + 1):
        visible = block(f"encoder_layer_{i}", job)(visible)
    # The original's order: visible patches first, then un-permuted as if they came last.
    tokens = tf.gather(tf.concat([visible, hidden], axis=1), np.argsort(permutation), axis=1)
    tokens = block("decoder_layer_1", job)(tokens + positions(len(permutation)))
    patches = 2.0 * layers.Dense(job["patch_size"], activation="tanh", name="decoder_dense")(tokens)
    return tf_keras.Model(inputs, layers.Reshape((minutes,), name="decoder_reshape")(patches))


def main(folders: list[str]) -> None:
    for folder in map(pathlib.Path, folders):
        job = json.loads((folder / "job.json").read_text())
        x = np.load(folder / "input.npy")
        build = {"encoder": encoder, "classifier": classifier, "autoencoder": autoencoder}[job["kind"]]
        model = build(x.shape[1], job)
        model.load_weights(folder / "weights.h5")  # by topology: the order of layers and of their weights
        np.save(folder / "output.npy", model.predict(x, verbose=0))


if __name__ == "__main__":
    main(sys.argv[1:])
