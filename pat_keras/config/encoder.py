"""The shape of a PAT encoder, checked when it is made.

The sizes are those of the original's notebooks (github.com/njacobsonlab/Pretrained-Actigraphy-Transformer) and of
Ruan et al., arXiv 2411.15240, table 1; "huge" is in the notebooks but was never published.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from pat_keras.errors import ConfigError

EMBEDDINGS = ("linear", "conv", "conv_linear")
STARTS = ("random", "distilled", "exact")  # of a convolutional embedding on linear weights
WEEK_MINUTES = 7 * 24 * 60

_SIZES: dict[str, dict[str, int]] = {
    "small": {"patch_size": 18, "num_heads": 6, "num_layers": 1},
    "medium": {"patch_size": 18, "num_heads": 12, "num_layers": 2},
    "large": {"patch_size": 9, "num_heads": 12, "num_layers": 4},
    "huge": {"patch_size": 5, "num_heads": 12, "num_layers": 8},
}
SIZES = tuple(_SIZES)


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """The shape of a PAT encoder.

    Attributes:
        patch_size: minutes in one patch.
        num_heads: attention heads of a block.
        num_layers: transformer blocks.
        embed_dim: width of a token (D).
        key_dim: width of a head. Equal to `embed_dim` in every PAT, and required to be: the attention layer relies on
            it.
        ff_dim: width of the feed-forward layer.
        dropout: dropout rate of a block, active in training only.
        embedding: "linear" (the published checkpoints), "conv" (the paper's PAT Conv: a convolution within each patch,
            relu, the mean over the patch's minutes), or "conv_linear" (a convolution over the minutes, then a linear
            projection of each patch).
        conv_kernel_size: minutes the convolution sees; None means 3 for "conv" and 5 for "conv_linear".
        conv_filters: filters of "conv_linear"; "conv" always has `embed_dim`.
        conv_across_patches: let the "conv_linear" convolution see the neighbouring patches' minutes. Off, each patch is
            padded with zeros, so that nothing leaks from one patch into the next.

    Raises:
        ConfigError: for a value that no PAT can have.

    Example:
        >>> EncoderConfig.medium().num_heads, EncoderConfig.large(embedding="conv").kernel_size
        (12, 3)
        >>> EncoderConfig(patch_size=20, num_heads=4, num_layers=2).size is None  # a shape of nobody's
        True
    """

    patch_size: int
    num_heads: int
    num_layers: int
    embed_dim: int = 96
    key_dim: int = 96
    ff_dim: int = 256
    dropout: float = 0.1
    embedding: str = "linear"
    conv_kernel_size: int | None = None
    conv_filters: int = 16
    conv_across_patches: bool = False

    def __post_init__(self) -> None:
        for name in ("patch_size", "num_heads", "num_layers", "embed_dim", "key_dim", "ff_dim", "conv_filters"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"EncoderConfig: {name} is {value!r}, expected a positive whole number.")
        if self.key_dim != self.embed_dim:
            raise ConfigError(
                f"EncoderConfig: key_dim is {self.key_dim} and embed_dim {self.embed_dim}; in a PAT they are equal "
                "(96 for each head). Give both the same value."
            )
        if self.embed_dim % 2:
            raise ConfigError(f"EncoderConfig: embed_dim is {self.embed_dim}; the positions need an even number.")
        if not isinstance(self.dropout, int | float) or not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"EncoderConfig: dropout is {self.dropout!r}, expected a number from 0 up to 1.")
        if self.embedding not in EMBEDDINGS:
            raise ConfigError(
                f"EncoderConfig: embedding is {self.embedding!r}, expected one of {', '.join(EMBEDDINGS)}."
            )
        if self.conv_kernel_size is not None and self.embedding == "linear":
            raise ConfigError("EncoderConfig: conv_kernel_size is given, but embedding='linear' has no convolution.")
        kernel = self.conv_kernel_size
        if kernel is not None and (not isinstance(kernel, int) or kernel < 1 or kernel % 2 == 0):
            raise ConfigError(f"EncoderConfig: conv_kernel_size is {kernel!r}, expected an odd whole number.")
        if self.conv_across_patches and self.embedding != "conv_linear":
            raise ConfigError("EncoderConfig: conv_across_patches is for embedding='conv_linear' alone.")

    @property
    def kernel_size(self) -> int:
        """Minutes the convolution of the embedding sees."""
        return self.conv_kernel_size or {"conv_linear": 5}.get(self.embedding, 3)

    @property
    def size(self) -> str | None:
        """The name of the size with this patch size, heads, blocks and widths, or None if it is nobody's."""
        for name in SIZES:
            named = EncoderConfig.of_size(name)
            if all(getattr(self, key) == getattr(named, key) for key in (*_SIZES[name], "embed_dim", "ff_dim")):
                return name
        return None

    @classmethod
    def of_size(cls, size: str, **changes: Any) -> EncoderConfig:
        """The configuration of a named size, with `changes` to any attribute.

        Raises:
            ConfigError: if `size` is not small, medium, large or huge.
        """
        if size not in _SIZES:
            raise ConfigError(f"EncoderConfig: size is {size!r}, expected one of {', '.join(SIZES)}.")
        return cls(**{**_SIZES[size], **changes})

    @classmethod
    def small(cls, **changes: Any) -> EncoderConfig:
        """PAT-S: patches of 18 minutes, 6 heads, 1 block."""
        return cls.of_size("small", **changes)

    @classmethod
    def medium(cls, **changes: Any) -> EncoderConfig:
        """PAT-M: patches of 18 minutes, 12 heads, 2 blocks."""
        return cls.of_size("medium", **changes)

    @classmethod
    def large(cls, **changes: Any) -> EncoderConfig:
        """PAT-L: patches of 9 minutes, 12 heads, 4 blocks."""
        return cls.of_size("large", **changes)

    @classmethod
    def huge(cls, **changes: Any) -> EncoderConfig:
        """PAT-H: patches of 5 minutes, 12 heads, 8 blocks. In the original's notebooks, never published."""
        return cls.of_size("huge", **changes)

    def to_dict(self) -> dict[str, Any]:
        """The attributes as a plain dictionary, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EncoderConfig:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: for a key that is not an attribute.
        """
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ConfigError(f"EncoderConfig: unknown setting {', '.join(unknown)}.")
        return cls(**values)
