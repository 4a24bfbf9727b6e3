"""Flash attention: the same numbers as the folded form, and taken only where it is there."""

from __future__ import annotations

import numpy as np
import pytest
from keras import backend, ops

from pat_keras.models.attention import attend_with_scores
from pat_keras.models.flash import attend_by_flash, has_flash_attention

jax_only = pytest.mark.skipif(backend.backend() != "jax", reason="flash attention is reached through JAX")


@jax_only
def test_same_as_the_folded_form_with_gradients() -> None:
    import jax

    rng = np.random.default_rng(0)
    width, heads = 16, 3
    shapes = [(2, 20, width), (width, heads * width), (heads * width,), (heads * width, width)]
    arguments = [rng.normal(size=shape).astype("float32") * 0.3 for shape in shapes]

    def fast(*arguments):
        return (attend_by_flash(*arguments, implementation="xla") ** 2).sum()

    def plain(*arguments):
        return (attend_with_scores(*arguments)[0] ** 2).sum()

    np.testing.assert_allclose(fast(*arguments), plain(*arguments), rtol=1e-5)
    for found, expected in zip(
        jax.grad(fast, argnums=(0, 1, 2, 3))(*arguments),
        jax.grad(plain, argnums=(0, 1, 2, 3))(*arguments),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * abs(expected).max())


def test_not_on_a_cpu_and_not_in_float32() -> None:
    assert not has_flash_attention(ops.zeros((2, 20, 16), dtype="bfloat16"))
    assert not has_flash_attention(ops.zeros((2, 20, 16), dtype="float32"))


@jax_only
@pytest.mark.parametrize(
    ("shape", "dtype", "capability", "expected"),
    [
        ((2, 1120, 96), "bfloat16", "9.0", True),
        ((2, 1120, 96), "float16", "8.0", True),
        ((2, 1120, 96), "float32", "9.0", False),
        ((2, 1120, 96), "bfloat16", "7.5", False),
        ((2, 1121, 96), "bfloat16", "9.0", False),
        ((2, 1120, 100), "bfloat16", "9.0", False),
        ((2, 1120, 256), "bfloat16", "9.0", False),
        ((1120, 96), "bfloat16", "9.0", False),
    ],
)
def test_where_it_is_there(monkeypatch, shape, dtype, capability, expected) -> None:
    import jax

    class Gpu:
        platform = "gpu"
        compute_capability = capability

    monkeypatch.setattr(jax, "devices", lambda: [Gpu()])
    assert has_flash_attention(ops.zeros(shape, dtype=dtype)) is expected
