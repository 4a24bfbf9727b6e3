"""Fine-tuning on one split, on days of people who do not exist: what learns, what is scaled, what comes out."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from pat_keras.checkpoints.official import save_official
from pat_keras.config import EncoderConfig, FinetuneConfig
from pat_keras.data.cohort import Cohort
from pat_keras.data.splits import PARTS, Split
from pat_keras.data.standardize import KINDS, Standardizer
from pat_keras.errors import CheckpointError, ConfigError
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.encoder import PATEncoder
from pat_keras.training import finetune, stages, start
from pat_keras.training.finetune import Fitted, class_weights, train_split
from pat_keras.training.stages import HeadOnly
from pat_keras.training.start import build_encoder, check_start
from tests.small import small_config


def _fit(cohort: Cohort, split: Split, label: str = "label", config: FinetuneConfig | None = None) -> Fitted:
    y = cohort.label(label)
    return train_split(cohort.activity, y, cohort.participant_id, split, config or small_config())


@pytest.fixture(scope="module")
def full(cohort, split) -> Fitted:
    return _fit(cohort, split)


def _start(config: FinetuneConfig) -> PATClassifier:
    """The model as `train_split` begins with it."""
    keras.utils.set_random_seed(config.seed)
    return PATClassifier(build_encoder(config), config.head, config.task, dropout=config.dropout)


def _changes(before: list[np.ndarray], after: list[np.ndarray]) -> list[float]:
    return [float(np.abs(a - b).max()) for a, b in zip(before, after, strict=True)]


def _head(model: PATClassifier) -> list[np.ndarray]:
    return [*model.hidden.get_weights(), *model.output_layer.get_weights()]


# --- what learns ---


def test_linear_probe_leaves_the_encoder_as_it_is(cohort, split) -> None:
    config = small_config(mode="linear_probe")
    start, fitted = _start(config), _fit(cohort, split, config=config)
    for before, after in zip(start.encoder.get_weights(), fitted.model.encoder.get_weights(), strict=True):
        assert before.tobytes() == after.tobytes()
    assert min(_changes(_head(start), _head(fitted.model))) > 1e-4
    assert [(row["stage"], row["encoder_learning_rate"]) for row in fitted.history] == [("head", 0.0)] * 2


def test_full_changes_everything(full) -> None:
    start = _start(small_config())
    assert min(_changes(_head(start), _head(full.model))) > 1e-4
    changes = dict(
        zip(
            [variable.path.removeprefix("pat_encoder/") for variable in full.model.encoder.weights],
            _changes(start.encoder.get_weights(), full.model.encoder.get_weights()),
            strict=True,
        )
    )
    unchanged = [name for name, change in changes.items() if change < 1e-5]
    assert unchanged == ["encoder_layer_1/attention/key_bias"]  # cancels in the softmax
    assert [row["stage"] for row in full.history] == ["full"] * 2


def test_two_stages_in_their_order(cohort, split, monkeypatch) -> None:
    encoders = []
    original = stages.train_stage

    def watched(name, model, *args, **kwargs):
        encoders.append((name, hasattr(model, "encoder"), fitting[0].encoder.get_weights()))
        return original(name, model, *args, **kwargs)

    fitting = []
    build = start.PATClassifier

    def built(*args, **kwargs):
        fitting.append(build(*args, **kwargs))
        return fitting[-1]

    monkeypatch.setattr(stages, "train_stage", watched)
    monkeypatch.setattr(start, "PATClassifier", built)
    config = small_config(mode="two_stage", probe_epochs=3)
    fitted = _fit(cohort, split, config=config)
    assert [(row["stage"], row["epoch"]) for row in fitted.history] == [
        ("head", 1), ("head", 2), ("head", 3), ("full", 1), ("full", 2)
    ]  # fmt: skip
    assert [(name, whole) for name, whole, _ in encoders] == [("head", False), ("full", True)]
    assert max(_changes(encoders[0][2], encoders[1][2])) == 0.0
    assert max(_changes(encoders[1][2], fitted.model.encoder.get_weights())) > 1e-4


@pytest.mark.parametrize("head", ["official", "linear"])
def test_cached_embeddings_give_what_the_whole_model_gives(cohort, head: str) -> None:
    model = PATClassifier(EncoderConfig.small(), head)
    x = Standardizer.fit(cohort.activity, "cohort").apply(cohort.activity)
    head_alone = HeadOnly(model)
    np.testing.assert_allclose(
        np.asarray(head_alone.predict_on_batch(model.encoder.embed(x))), model.predict_logits(x), atol=1e-5
    )
    assert {id(v) for v in head_alone.trainable_variables} < {id(v) for v in model.trainable_variables}
    assert len(head_alone.trainable_variables) == (4 if head == "official" else 2)


def test_rates_of_encoder_and_head(cohort, split) -> None:
    """One step of Adam moves a weight by its rate, at most."""
    rates = {"encoder_learning_rate": 1e-5, "head_learning_rate": 1e-3}
    config = small_config(epochs=1, batch_size=64, schedule="constant", recalibration="none", **rates)
    start, fitted = _start(config), _fit(cohort, split, config=config)
    encoder = _changes(start.encoder.get_weights(), fitted.model.encoder.get_weights())
    assert max(encoder) == pytest.approx(1e-5, rel=0.05)
    assert max(_changes(_head(start), _head(fitted.model))) == pytest.approx(1e-3, rel=0.05)


def test_the_seed_decides_everything(cohort, split, full) -> None:
    again, other = _fit(cohort, split), _fit(cohort, split, config=small_config(seed=1))
    for first, second in zip(full.model.get_weights(), again.model.get_weights(), strict=True):
        assert first.tobytes() == second.tobytes()
    assert [row["loss"] for row in full.history] == [row["loss"] for row in again.history]
    assert [row["loss"] for row in full.history] != [row["loss"] for row in other.history]
    np.testing.assert_array_equal(full.predictions["test"], again.predictions["test"])


# --- weights to start from ---


def test_starts_from_a_file(tmp_path) -> None:
    keras.utils.set_random_seed(5)
    encoder = PATEncoder(EncoderConfig.small())
    path = tmp_path / "PAT-S_weights.h5"
    save_official(encoder, path)
    config = small_config(weights=str(path), size="large", dropout=0.3)
    started = build_encoder(config)
    assert (started.config.size, started.config.dropout) == ("small", 0.3)
    for found, expected in zip(started.get_weights(), encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert config.encoder_rate == 1e-3
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match=r"PAT-S_weights\.h5"):
        check_start(config, 1440)


def test_length_must_fit_the_patches() -> None:
    check_start(small_config(), 36)
    with pytest.raises(ConfigError, match=r"1450 minutes, .* not a multiple of the 18 minutes"):
        check_start(small_config(), 1450)


# --- class weights ---


def test_class_weights_by_hand() -> None:
    y = np.array([0.0] * 6 + [1.0] * 2)
    assert class_weights(y, "paper") == {0.0: 0.25, 1.0: 0.75}  # {0: positives / n, 1: negatives / n}
    assert class_weights(y, "balanced") == {0.0: pytest.approx(8 / 12), 1.0: pytest.approx(8 / 4)}
    assert class_weights(y, "none") == {0.0: 1.0, 1.0: 1.0}
    three = np.array([0.0] * 3 + [1.0] * 2 + [2.0])
    assert list(class_weights(three, "balanced").values()) == pytest.approx([6 / 9, 1.0, 2.0])


def test_class_weights_reach_the_loss(cohort, split, monkeypatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(stages, "train_stage", lambda name, model, train, validation, *_: seen.update(t=train) or [])
    for kind in ("paper", "none"):
        _fit(cohort, split, config=small_config(class_weight=kind))
        train = seen["t"]
        share = train.y.mean()
        expected = np.where(train.y == 1, 1 - share, share) if kind == "paper" else np.ones(len(train.y))
        np.testing.assert_allclose(train.weight, expected, rtol=1e-6)


# --- tasks ---


def test_several_classes(cohort, split) -> None:
    fitted = _fit(cohort, split, "level", small_config(task="multiclass"))
    for part in ("validation", "test"):
        found = fitted.predictions[part]
        assert found.shape == (len(getattr(split, part)), 3)
        np.testing.assert_allclose(found.sum(axis=1), 1.0)
        np.testing.assert_array_equal(found, fitted.model.predict_proba(cohort.activity[getattr(split, part)]))
    assert 0.0 <= fitted.history[0]["validation_auc"] <= 1.0


def test_regression_predicts_in_the_units_of_the_label(cohort, split, monkeypatch) -> None:
    """The network learns standardised targets; the output layer gives them back in their own units."""
    standardised = {}
    original = stages.train_stage

    def watched(name, model, train, validation, *args):
        rows = original(name, model, train, validation, *args)
        standardised["outputs"] = finetune.predict(model, validation.x, 8)
        standardised["targets"] = train.y
        return rows

    monkeypatch.setattr(stages, "train_stage", watched)
    fitted = _fit(cohort, split, "score", small_config(task="regression"))
    y = cohort.label("score")[split.train]
    assert standardised["targets"].mean() == pytest.approx(0, abs=1e-6)
    assert standardised["targets"].std() == pytest.approx(1, abs=1e-6)
    expected = standardised["outputs"] * y.std() + y.mean()
    np.testing.assert_allclose(fitted.predictions["validation"], expected, rtol=1e-5)
    raw = fitted.model.predict_logits(cohort.activity[split.test])
    np.testing.assert_array_equal(fitted.predictions["test"], raw)
    assert 40 < raw.mean() < 70


# --- scaling ---


@pytest.mark.parametrize("kind", ["per_minute", "per_recording", "cohort", "paper"])
def test_scaling_comes_from_training_people_alone(cohort, split, kind: str) -> None:
    """Poisoned test people leave the model's scaling, its training and everybody else's predictions as they were."""
    config = small_config(standardize=kind, epochs=1)
    poisoned = cohort.activity.copy()
    poisoned[split.test] = 30_000
    y, ids = cohort.label("label"), cohort.participant_id
    clean, other = (train_split(activity, y, ids, split, config) for activity in (cohort.activity, poisoned))
    for first, second in zip(clean.model.get_weights(), other.model.get_weights(), strict=True):
        assert first.tobytes() == second.tobytes()
    np.testing.assert_array_equal(clean.predictions["validation"], other.predictions["validation"])
    scaling = Standardizer.fit(cohort.activity[split.train], "per_minute" if kind == "paper" else kind)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(clean.model.standardization.mean), scaling.mean)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(clean.model.standardization.scale), scaling.scale)
    # The model's scaling layer (float32, in the graph) does what the Standardizer (float64, outside) does.
    logits = clean.model.call_head(clean.model.encoder.embed(scaling.apply(cohort.activity[split.test])))
    expected = 1 / (1 + np.exp(-keras.ops.convert_to_numpy(logits)[:, 0]))
    np.testing.assert_allclose(clean.model.predict_proba(cohort.activity[split.test])[:, 1], expected, atol=1e-6)


@pytest.mark.parametrize("kind", [*KINDS, "paper"])
def test_each_part_as_the_network_sees_it(cohort, split, monkeypatch, kind: str) -> None:
    seen: dict[str, np.ndarray] = {}

    def noted(name, model, train, validation, *_):
        seen.update(train=train.x, validation=validation.x)
        return []

    monkeypatch.setattr(stages, "train_stage", noted)
    fitted = _fit(cohort, split, config=small_config(standardize=kind))
    own = "per_minute" if kind == "paper" else kind
    for part in PARTS[:2]:
        fitted_on = part if kind == "paper" else "train"
        scaling = Standardizer.fit(cohort.activity[getattr(split, fitted_on)], own)
        np.testing.assert_array_equal(seen[part], scaling.apply(cohort.activity[getattr(split, part)]))
    raw = fitted.model.predict_proba(cohort.activity[split.test])
    if kind != "paper":
        np.testing.assert_array_equal(fitted.predictions["test"], raw)
        return
    assert np.abs(fitted.predictions["test"] - raw).max() > 1e-4  # the model has the training people's scaling
    x = Standardizer.fit(cohort.activity[split.test], own).apply(cohort.activity[split.test])
    bare = PATClassifier(fitted.model.encoder)
    for name in ("hidden", "output_layer"):
        getattr(bare, name).set_weights(getattr(fitted.model, name).get_weights())
    np.testing.assert_allclose(fitted.predictions["test"], bare.predict_proba(x), atol=1e-6)


def test_bfloat16_is_close(cohort, split, full) -> None:
    fitted = _fit(cohort, split, config=small_config(precision="mixed_bfloat16"))
    assert fitted.predictions["test"].dtype == np.float64
    np.testing.assert_allclose(fitted.predictions["test"], full.predictions["test"], atol=0.1)
