"""Attention on NVIDIA GPUs under JAX in half precision: cuDNN's flash attention, in the folded form of `attention`.

Every head of a PAT attends to the same keys and values, the tokens themselves: what is called multi-query attention,
or one head with H times as many queries.
Flash attention (Dao et al., arXiv 2205.14135) never writes the scores to memory.

Axes: B people, N patches, D embed_dim, H heads.
"""

from __future__ import annotations

from typing import Any, Literal

from keras import backend, ops


def has_flash_attention(tokens: Any) -> bool:
    """Whether cuDNN's flash attention can take these tokens (B, N, D): JAX, an NVIDIA GPU from Ampere on, 16 bits.

    D must be a multiple of 8, and at most 128; N even.
    """
    if backend.backend() != "jax" or backend.standardize_dtype(tokens.dtype) not in ("bfloat16", "float16"):
        return False
    if len(tokens.shape) != 3 or tokens.shape[1] % 2 or tokens.shape[2] % 8 or tokens.shape[2] > 128:
        return False
    import jax

    device = jax.devices()[0]
    return device.platform == "gpu" and float(getattr(device, "compute_capability", 0)) >= 8.0


def attend_by_flash(
    tokens: Any, score_kernel: Any, score_bias: Any, mix_kernel: Any, implementation: Literal["cudnn", "xla"] = "cudnn"
) -> Any:
    """Attention, (B, N, D) -> (B, N, D); the kernels are those of `attention.fold_kernels`.

    Args:
        tokens: (B, N, D).
        score_kernel: (D, H x D).
        score_bias: (H x D,).
        mix_kernel: (H x D, D).
        implementation: "cudnn"; "xla" computes the same plainly, on any device.
    """
    import jax

    batch, count, width = tokens.shape
    # The bias is one more row of the kernel, against tokens that end in 1. Added by itself, it would take a pass over
    # all queries, and its gradient another. Rows come in eights, the width that 16-bit matrix products are fast at.
    widened = ops.pad(tokens, ((0, 0), (0, 0), (0, 8)), constant_values=1)
    bias_rows = ops.pad(ops.expand_dims(score_bias, 0), ((0, 7), (0, 0)))
    queries = ops.matmul(widened, ops.concatenate([score_kernel, bias_rows]))
    # (B, N x H, 1, D): keys and values are the same for all heads, so all queries are those of one head. The gradients
    # of keys and values are then summed over queries in one place, a tenth faster than H heads of N queries.
    queries = ops.reshape(queries, (batch, -1, 1, width))
    shared = ops.expand_dims(tokens, 2)  # (B, N, 1, D)
    gathered = jax.nn.dot_product_attention(queries, shared, shared, scale=1.0, implementation=implementation)
    return ops.matmul(ops.reshape(gathered, (batch, count, mix_kernel.shape[0])), mix_kernel)
