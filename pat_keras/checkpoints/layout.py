"""The layout of the official files: which layer holds which tensors, and where each lives in our models.

One table serves reading and writing. A file of the original is a list of layers in the order of its Keras 2 model, each
with its weights in order (Keras 2 loads by these orders, not by name). Layers without weights are listed too, as Keras
writes them. Those of plain additions carry a number that counts the additions of the notebook's session up to there.

Axes: P patch_size, D embed_dim, H heads.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from pat_keras.config import EncoderConfig
from pat_keras.errors import ConfigError

KINDS = ("encoder", "classifier", "autoencoder")
HEAD_WIDTH = 128
# Attributes of our own beside Keras 2's: of a masked autoencoder, the order, which the original has no choice of, and
# the share of patches masked, which no tensor tells.
ORDER_ATTRIBUTE = "pat_keras_order"
RATIO_ATTRIBUTE = "pat_keras_mask_ratio"


@dataclasses.dataclass(frozen=True)
class Tensor:
    """One tensor of a file: its name within its layer, its shape, and the path of the variable in our model."""

    name: str
    shape: tuple[int, ...]
    variable: str


@dataclasses.dataclass(frozen=True)
class FileLayer:
    """One top-level layer of a file and its tensors, in order. Weightless layers have none."""

    name: str
    tensors: tuple[Tensor, ...] = ()


def layout(kind: str, config: EncoderConfig) -> tuple[FileLayer, ...]:
    """The layers of an official file of a kind ("encoder", "classifier" or "autoencoder"), in the file's order.

    Raises:
        ConfigError: for the conv_linear embedding, which no official file has.
    """
    if config.embedding == "conv_linear":
        raise ConfigError(
            "The official layout has no conv_linear embedding, only linear and conv. Save such a model with "
            "model.save('name.keras') and load it with pat_keras.load_model."
        )
    if kind == "encoder":
        # The notebooks build the autoencoder first: two additions a block, two of positions, two in the decoder.
        addition = FileLayer(f"tf.__operators__.add_{2 * config.num_layers + 4}")
        return (*_embedding(config, ""), addition, *_encoder_blocks(config, ""))
    if kind == "classifier":
        return _classifier(config)
    return _autoencoder(config)


def tensor_paths(layers: tuple[FileLayer, ...]) -> dict[str, Tensor]:
    """Every tensor of a layout by its path in the file."""
    return {f"{layer.name}/{tensor.name}": tensor for layer in layers for tensor in layer.tensors}


def find_variable(model: Any, path: str) -> Any:
    """The variable of our model that a `Tensor.variable` names, such as "encoder.blocks.0.attention.query_kernel"."""
    for step in path.split("."):
        model = model[int(step)] if step.isdigit() else getattr(model, step)
    return model


def _embedding(config: EncoderConfig, prefix: str) -> tuple[FileLayer, ...]:
    """Layers from the input to the patch embedding."""
    start = (FileLayer("inputs"), FileLayer("reshape"))
    variable = f"{prefix}patch_embedding."
    bias = (config.embed_dim,)
    if config.embedding == "linear":
        dense = (
            Tensor("dense/kernel:0", (config.patch_size, config.embed_dim), variable + "kernel"),
            Tensor("dense/bias:0", bias, variable + "bias"),
        )
        return (*start, FileLayer("dense", dense))
    name = "conv1d_patch_embedding"
    conv = (
        Tensor(f"{name}/kernel:0", (config.kernel_size, 1, config.embed_dim), variable + "kernel"),
        Tensor(f"{name}/bias:0", bias, variable + "bias"),
    )
    return (*start, FileLayer("add_channel_dim"), FileLayer(name, conv), FileLayer("global_avg_pooling"))


def _block(config: EncoderConfig, name: str, variable: str) -> tuple[Tensor, ...]:
    """The sixteen tensors of a transformer block, in the order Keras 2 lists them."""
    width, heads, hidden = config.embed_dim, config.num_heads, config.ff_dim
    tensors = []
    for part in ("query", "key", "value"):
        kernel, bias = f"{name}_attention/{part}/kernel:0", f"{name}_attention/{part}/bias:0"
        tensors.append(Tensor(kernel, (width, heads, width), f"{variable}.attention.{part}_kernel"))
        tensors.append(Tensor(bias, (heads, width), f"{variable}.attention.{part}_bias"))
    output = f"{name}_attention/attention_output"
    tensors.append(Tensor(f"{output}/kernel:0", (heads, width, width), f"{variable}.attention.output_kernel"))
    tensors.append(Tensor(f"{output}/bias:0", (width,), f"{variable}.attention.output_bias"))
    for part, shape in (("norm1", (width,)), ("ff1", (width, hidden)), ("ff2", (hidden, width)), ("norm2", (width,))):
        first, second = ("gamma", "beta") if part.startswith("norm") else ("kernel", "bias")
        tensors.append(Tensor(f"{name}_{part}/{first}:0", shape, f"{variable}.{part}.{first}"))
        tensors.append(Tensor(f"{name}_{part}/{second}:0", shape[-1:], f"{variable}.{part}.{second}"))
    return tuple(tensors)


def _encoder_blocks(config: EncoderConfig, prefix: str) -> tuple[FileLayer, ...]:
    names = [f"encoder_layer_{i + 1}" for i in range(config.num_layers)]
    return tuple(
        FileLayer(f"{name}_transformer", _block(config, name, f"{prefix}blocks.{i}")) for i, name in enumerate(names)
    )


def _classifier(config: EncoderConfig) -> tuple[FileLayer, ...]:
    """A fine-tuned model: the encoder as one nested layer, whose tensors keep their short names, then the head."""
    nested = (*_embedding(config, "encoder."), *_encoder_blocks(config, "encoder."))
    encoder = FileLayer("encoder_model", tuple(tensor for layer in nested for tensor in layer.tensors))
    hidden = (
        Tensor("dense_128/kernel:0", (config.embed_dim, HEAD_WIDTH), "hidden.kernel"),
        Tensor("dense_128/bias:0", (HEAD_WIDTH,), "hidden.bias"),
    )
    output = (
        Tensor("output/kernel:0", (HEAD_WIDTH, 1), "output_layer.kernel"),
        Tensor("output/bias:0", (1,), "output_layer.bias"),
    )
    return (
        FileLayer("finetuning_inputs"),
        encoder,
        FileLayer("global_avg_pool"),
        FileLayer("dropout"),
        FileLayer("dense_128", hidden),
        FileLayer("output", output),
    )


def _autoencoder(config: EncoderConfig) -> tuple[FileLayer, ...]:
    mask = Tensor("mask_layer/mask_token:0", (1, 1, config.embed_dim), "mask_token")
    dense = (
        Tensor("decoder_dense/kernel:0", (config.embed_dim, config.patch_size), "decoder_dense.kernel"),
        Tensor("decoder_dense/bias:0", (config.patch_size,), "decoder_dense.bias"),
    )
    addition = f"tf.__operators__.add_{2 * config.num_layers + 1}"
    return (
        *_embedding(config, "encoder."),
        FileLayer("mask_layer", (mask,)),
        FileLayer("tf.__operators__.add"),
        *_encoder_blocks(config, "encoder."),
        *(FileLayer(name) for name in ("mask_token_layer", "concat_layer", "unshuffle_layer", addition)),
        FileLayer("decoder_layer_1_transformer", _block(config, "decoder_layer_1", "decoder_block")),
        FileLayer("decoder_dense", dense),
        *(FileLayer(name) for name in ("tf.math.multiply", "decoder_reshape", "masked_mse_layer", "add_loss")),
    )
