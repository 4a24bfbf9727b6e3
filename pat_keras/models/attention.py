"""PAT's attention in folded form: exact, without keys or values, and without ever holding all scores.

Every head of a PAT works in the full width of the tokens (key_dim equals embed_dim). The query and key kernels of a head
then only ever appear as one product, and so do the value and output kernels:

    A_h = Wq_h Wk_h^T / sqrt(D)         Q' = X A_h + bq_h Wk_h^T / sqrt(D)
    P_h = softmax(Q'_h X^T)             out = sum_h (P_h X) (Wv_h Wo_h) + sum_h bv_h Wo_h + bo

Keys and values become the tokens X themselves. The key's bias adds the same number to all scores of a query, which the
softmax cancels; the value's bias passes through, since each row of P sums to 1. Q' comes out of one matrix product as
(B, N, H x D), which reads as (B, N x H, D) without a transpose.

Axes: B people, N patches, D embed_dim, H heads, R = N x H rows (every query of every head), r rows of one block.
"""

from __future__ import annotations

from typing import Any

from keras import ops

# Scores of one block are kept to about this many bytes. Measured on CPU, anything from 8 to 64 MB runs at the same speed;
# larger blocks cost memory, much smaller ones cost time.
BLOCK_BYTES = 48 * 2**20

# The batch that blocks are sized for where the graph does not know it.
_ASSUMED_BATCH = 32


def fold_kernels(
    query_kernel: Any,
    query_bias: Any,
    key_kernel: Any,
    value_kernel: Any,
    value_bias: Any,
    output_kernel: Any,
    output_bias: Any,
) -> tuple[Any, Any, Any, Any]:
    """Fold the original's seven tensors that matter into the four that the folded form multiplies by.

    Args:
        query_kernel, key_kernel, value_kernel: (D, H, D).
        query_bias, value_bias: (H, D).
        output_kernel: (H, D, D).
        output_bias: (D,).

    Returns:
        score_kernel (D, H x D), score_bias (H x D,), mix_kernel (H x D, D) and mix_bias (D,).
    """
    width, heads, key_dim = query_kernel.shape
    queries = ops.transpose(query_kernel, (1, 0, 2)) * (1.0 / key_dim**0.5)  # (H, D, key)
    keys = ops.transpose(key_kernel, (1, 2, 0))  # (H, key, D)
    score_kernel = ops.reshape(ops.transpose(ops.matmul(queries, keys), (1, 0, 2)), (width, heads * width))
    scaled_bias = ops.expand_dims(query_bias, 1) * (1.0 / key_dim**0.5)  # (H, 1, key)
    score_bias = ops.reshape(ops.matmul(scaled_bias, keys), (heads * width,))
    values = ops.transpose(value_kernel, (1, 0, 2))  # (H, D, key)
    mix_kernel = ops.reshape(ops.matmul(values, output_kernel), (heads * width, width))
    carried = ops.matmul(ops.expand_dims(value_bias, 1), output_kernel)  # (H, 1, D)
    mix_bias = ops.sum(carried, axis=(0, 1)) + output_bias
    return score_kernel, score_bias, mix_kernel, mix_bias


def scores(queries: Any, tokens: Any) -> Any:
    """Softmax of queries against tokens: (B, r, D), (B, N, D) -> (B, r, N), rows summing to 1."""
    return ops.softmax(ops.matmul(queries, ops.swapaxes(tokens, 1, 2)), axis=-1)


def attend(queries: Any, tokens: Any, block_rows: int | None = None) -> Any:
    """Average the tokens by softmax(queries tokens^T), in blocks of rows, holding a block's scores alone.

    The backward pass computes each block's scores again instead of keeping them. That costs one matrix product in seven
    and saves the passes over memory that storing (B, H, N, N) takes, so it is the faster way as well as the smaller.

    Args:
        queries: (B, R, D), scaled.
        tokens: (B, N, D), keys and values at once.
        block_rows: rows of a block; None sizes blocks by `BLOCK_BYTES`.

    Returns:
        (B, R, D).
    """
    return ops.custom_gradient(lambda q, x: _attend_blocks(q, x, block_rows))(queries, tokens)


def _attend_blocks(queries: Any, tokens: Any, block_rows: int | None) -> tuple[Any, Any]:
    blocks = _blocks(queries.shape, tokens.shape, block_rows)
    mixed = [ops.matmul(scores(queries[:, low:high], tokens), tokens) for low, high in blocks]
    output = _join(mixed)  # (B, R, D)

    def gradient(*arguments: Any, upstream: Any = None) -> tuple[Any, Any]:
        (d_output,) = arguments if upstream is None else (upstream,)
        return _attend_gradient(queries, tokens, output, d_output, blocks)

    return output, gradient


def _attend_gradient(
    queries: Any, tokens: Any, output: Any, d_output: Any, blocks: list[tuple[int | None, int | None]]
) -> tuple[Any, Any]:
    """Gradients of `attend` with respect to queries and tokens, block by block.

    With S = q X^T and P = softmax(S), dS = P * (dO X^T - rowsum(dO * O)); the subtraction rides along in the matrix
    product as one more column.
    """
    row_term = ops.sum(d_output * output, axis=-1, keepdims=True)  # (B, R, 1)
    d_extended = ops.concatenate([d_output, -row_term], axis=-1)  # (B, R, D + 1)
    extended = ops.concatenate([tokens, ops.ones_like(tokens[..., :1])], axis=-1)  # (B, N, D + 1)
    extended = ops.swapaxes(extended, 1, 2)
    d_queries, d_tokens = [], None
    for low, high in blocks:
        q = queries[:, low:high]  # (B, r, D)
        p = scores(q, tokens)  # (B, r, N)
        d_scores = p * ops.matmul(d_extended[:, low:high], extended)
        d_queries.append(ops.matmul(d_scores, tokens))
        part = ops.matmul(ops.swapaxes(d_scores, 1, 2), q) + ops.matmul(ops.swapaxes(p, 1, 2), d_output[:, low:high])
        d_tokens = part if d_tokens is None else d_tokens + part
    return _join(d_queries), d_tokens


def _join(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=1)


def _blocks(
    queries_shape: tuple[int | None, ...], tokens_shape: tuple[int | None, ...], block_rows: int | None
) -> list[tuple[int | None, int | None]]:
    """Bounds of the blocks along R; one block of everything where the graph does not know the length."""
    batch, rows = queries_shape[0] or _ASSUMED_BATCH, queries_shape[1]
    patches = tokens_shape[1]
    if rows is None or patches is None:
        return [(None, None)]
    if block_rows is None:
        block_rows = max(1, BLOCK_BYTES // (4 * batch * patches))
    count = -(-rows // block_rows)
    step = -(-rows // count)
    return [(low, min(low + step, rows)) for low in range(0, rows, step)]
