"""PAT's attention in folded form: exact, without keys or values, and without ever holding all scores.

Every head of a PAT works in the full width of the tokens (key_dim equals embed_dim). The query and key kernels of a
head then only ever appear as one product, and so do the value and output kernels:

    A_h = Wq_h Wk_h^T / sqrt(D)         Q' = X A_h + bq_h Wk_h^T / sqrt(D)
    P_h = softmax(Q'_h X^T)             out = sum_h (P_h X) (Wv_h Wo_h) + sum_h bv_h Wo_h + bo

Keys and values become the tokens X themselves. The key's bias adds the same number to all scores of a query, which the
softmax cancels; the value's bias passes through, since each row of P sums to 1. Q' comes out of one matrix product as
(B, N, H x D), which reads as (B, N x H, D) without a transpose.

Axes: B people, N patches, D embed_dim, H heads, R = N x H rows (every query of every head).
"""

from __future__ import annotations

from typing import Any

from keras import backend, ops

from pat_keras.models.flash import attend_by_flash, has_flash_attention

# Scores of a layer kept for the backward pass, at most. Computing them again takes a fifth more time in training.
KEPT_BYTES = 448 * 2**20

# People whose scores are smaller than this go through together: the loop over people would cost more than it saves.
TOGETHER_BYTES = 2**20

# Added to the scores of keys that are not to be seen: their softmax is exactly 0, and never NaN even if all are.
UNSEEN = -1e9

# In float16, which has no such number: it would be infinite, and keys that are all infinitely far give NaN.
UNSEEN_FLOAT16 = -6e4

# People that TensorFlow may work on at the same time: two are a little faster, but computing scores again takes memory.
AT_ONCE = {"kept": 2, "again": 1}


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


def key_bias_of(seen: Any, dtype: str) -> Any:
    """What `scores` adds for each key, of that dtype: 0 where it is seen, else what makes its softmax 0."""
    return ops.cast(ops.where(seen, 0.0, UNSEEN_FLOAT16 if dtype == "float16" else UNSEEN), dtype)


def queries_of(tokens: Any, score_kernel: Any, score_bias: Any) -> Any:
    """Folded queries, scaled: (..., N, D) -> (..., R, D); row n x H + h is head h of query n."""
    *lead, count, width = ops.shape(tokens)
    heads = score_kernel.shape[1] // score_kernel.shape[0]
    return ops.reshape(ops.matmul(tokens, score_kernel) + score_bias, (*lead, count * heads, width))


def scores(queries: Any, tokens: Any, key_bias: Any = None) -> Any:
    """Softmax of queries against tokens: (..., R, D), (..., N, D) -> (..., R, N), rows summing to 1.

    `key_bias` (..., N), if given, is added to the scores of each key: 0, or `UNSEEN`.
    """
    products = ops.matmul(queries, ops.swapaxes(tokens, -1, -2))
    if key_bias is not None:
        products += ops.expand_dims(key_bias, -2)
    return ops.softmax(products, axis=-1)


def attend_with_scores(
    tokens: Any, score_kernel: Any, score_bias: Any, mix_kernel: Any, key_bias: Any = None
) -> tuple[Any, Any]:
    """Attention, and all scores: (B, N, D) -> (B, N, D) and (B, H, N, N)."""
    batch, count, width = ops.shape(tokens)
    heads = score_kernel.shape[1] // score_kernel.shape[0]
    probabilities = scores(queries_of(tokens, score_kernel, score_bias), tokens, key_bias)  # (B, R, N)
    gathered = ops.reshape(ops.matmul(probabilities, tokens), (batch, count, heads * width))
    probabilities = ops.reshape(probabilities, (batch, count, heads, count))
    return ops.matmul(gathered, mix_kernel), ops.transpose(probabilities, (0, 2, 1, 3))


def attend(tokens: Any, score_kernel: Any, score_bias: Any, mix_kernel: Any, key_bias: Any = None) -> Any:
    """Attention without ever holding a batch's scores on CPU: a person at a time, (B, N, D) -> (B, N, D).

    On an NVIDIA GPU under JAX in 16 bits, flash attention does it (see `flash`).

    For the backward pass the scores of the first people are kept, up to `KEPT_BYTES`; those of the others are computed
    again, which costs one matrix product more where there were six.

    Args:
        tokens: (B, N, D).
        score_kernel, score_bias, mix_kernel: as `fold_kernels` gives them.
        key_bias: (B, N), 0 for keys to be seen and `UNSEEN` for others; None if all are. It gets no gradient.
    """
    folded = (score_kernel, score_bias, mix_kernel)
    if key_bias is None and has_flash_attention(tokens):
        return attend_by_flash(tokens, *folded)
    inputs = (tokens,) if key_bias is None else (tokens, key_bias)
    people, count = tokens.shape[:2]
    # JAX exports models, and Keras asks for the shapes of a functional one, with a symbol for the number of people.
    if count is None or not isinstance(people, int | None):
        return _each(inputs, folded, keep=False)
    heads = score_kernel.shape[1] // score_kernel.shape[0]
    person_bytes = 4 * heads * count**2
    if person_bytes <= TOGETHER_BYTES:
        return _attention(keep=True)(tokens, *folded, *inputs[1:])
    if on_accelerator():  # which one person's products would leave idle
        return _attention(keep=False)(tokens, *folded, *inputs[1:])
    kept = KEPT_BYTES // person_bytes
    if people is not None and people <= kept:
        return _each(inputs, folded, keep=True)
    if kept == 0:
        return _each(inputs, folded, keep=False)
    first, rest = (tuple(each[part] for each in inputs) for part in (slice(kept), slice(kept, None)))
    parts = [_each(first, folded, keep=True), _each(rest, folded, keep=False)]
    return ops.concatenate(parts, axis=0)


def on_accelerator() -> bool:
    """Whether computations run on a GPU or the like."""
    if backend.backend() == "jax":
        import jax

        return jax.default_backend() != "cpu"
    if backend.backend() == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_logical_devices("GPU"))
    return False


def _each(inputs: tuple[Any, ...], folded: tuple[Any, Any, Any], keep: bool) -> Any:
    """One person after another, in a loop of the graph: a person's matrix products are large enough for full speed."""
    attention = _attention(keep)

    def person(one: tuple[Any, ...]) -> Any:
        return attention(one[0], *folded, *one[1:])

    if backend.backend() != "tensorflow":
        return ops.map(person, inputs)
    import tensorflow as tf

    # Keras' own map lets TensorFlow work on ten people at once, which takes two to four times the memory.
    at_once = 1 if tf.executing_eagerly() else AT_ONCE["kept" if keep else "again"]
    return tf.map_fn(person, inputs, fn_output_signature=inputs[0].dtype, parallel_iterations=at_once)


def _attention(keep: bool) -> Any:
    """Attention with a gradient of our own, for (N, D) or (B, N, D); `keep` keeps scores and queries for it."""

    def forward(tokens: Any, score_kernel: Any, score_bias: Any, mix_kernel: Any, *key_bias: Any) -> tuple[Any, Any]:
        queries = queries_of(tokens, score_kernel, score_bias)  # (..., R, D)
        probabilities = scores(queries, tokens, *key_bias)  # (..., R, N)
        gathered = ops.matmul(probabilities, tokens)  # (..., R, D)
        *lead, count, _ = ops.shape(tokens)
        output = ops.matmul(ops.reshape(gathered, (*lead, count, mix_kernel.shape[0])), mix_kernel)

        def gradient(*arguments: Any, upstream: Any = None) -> tuple[Any, ...]:
            (d_output,) = arguments if upstream is None else (upstream,)
            q, p = queries, probabilities
            if not keep:
                q = queries_of(tokens, score_kernel, score_bias)
                p = scores(q, tokens, *key_bias)
            none = tuple(ops.zeros_like(each) for each in key_bias)
            return (*_gradient(tokens, score_kernel, mix_kernel, q, p, gathered, d_output), *none)

        return output, gradient

    return ops.custom_gradient(forward)


def _gradient(
    tokens: Any, score_kernel: Any, mix_kernel: Any, queries: Any, probabilities: Any, gathered: Any, d_output: Any
) -> tuple[Any, Any, Any, Any]:
    """Gradients of tokens, score_kernel, score_bias and mix_kernel.

    With S = Q' X^T, P = softmax(S), U = P X and dP = dU X^T, the softmax's gradient is dS = P * dP - t P, t being the
    row sums of dU * U. Its second term needs no pass over the scores, since P X = U and P^T Q' joins P^T dU:

        dQ' = dS X = (P * dP) X - t U
        dX = dS^T Q' + P^T dU = (P * dP)^T Q' + P^T (dU - t Q')
    """
    wide = (*ops.shape(tokens)[:-1], mix_kernel.shape[0])  # (..., N, H x D)
    d_gathered = ops.reshape(ops.matmul(d_output, ops.transpose(mix_kernel)), ops.shape(gathered))  # (..., R, D)
    row_sums = ops.sum(d_gathered * gathered, axis=-1, keepdims=True)  # (..., R, 1)
    product = probabilities * ops.matmul(d_gathered, ops.swapaxes(tokens, -1, -2))  # (..., R, N)
    d_queries = ops.reshape(ops.matmul(product, tokens) - row_sums * gathered, wide)
    d_tokens = ops.matmul(ops.swapaxes(product, -1, -2), queries)
    d_tokens += ops.matmul(ops.swapaxes(probabilities, -1, -2), d_gathered - row_sums * queries)
    d_tokens += ops.matmul(d_queries, ops.transpose(score_kernel))
    d_score_kernel = ops.transpose(_outer(d_queries, tokens))  # the other order is a slower matrix product
    d_score_bias = ops.sum(ops.reshape(d_queries, (-1, wide[-1])), axis=0)
    return d_tokens, d_score_kernel, d_score_bias, _outer(ops.reshape(gathered, wide), d_output)


def _outer(left: Any, right: Any) -> Any:
    """Sum of the outer products of all tokens: (..., N, a), (..., N, b) -> (a, b)."""
    left, right = (ops.reshape(t, (-1, t.shape[-1])) for t in (left, right))
    return ops.matmul(ops.transpose(left), right)
