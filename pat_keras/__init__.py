"""PAT, the Pretrained Actigraphy Transformer, for Keras 3: the public names, loaded when first used."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from pat_keras._version import __version__

if TYPE_CHECKING:
    from pat_keras.checkpoints.official import load_official, load_official_into, save_official
    from pat_keras.checkpoints.registry import PRESETS
    from pat_keras.checkpoints.weights import load_model, load_weights
    from pat_keras.config import EncoderConfig, FinetuneConfig, PretrainConfig
    from pat_keras.config.embed import EmbedConfig
    from pat_keras.data.cohort import Cohort
    from pat_keras.data.simulate import simulate_cohort
    from pat_keras.errors import (
        CheckpointError,
        CohortError,
        ConfigError,
        LabelError,
        PATError,
        RecordingError,
        RunError,
    )
    from pat_keras.evaluation.attention import attention_profile, attention_rollout
    from pat_keras.evaluation.attribution import input_x_gradient, integrated_gradients
    from pat_keras.evaluation.deletion import deletion_changes, deletion_test
    from pat_keras.evaluation.embed import write_embeddings
    from pat_keras.evaluation.ensemble import PATEnsemble
    from pat_keras.evaluation.ensemble_run import combine_runs
    from pat_keras.evaluation.experiment import finetune
    from pat_keras.evaluation.explained_model import ExplainedModel
    from pat_keras.evaluation.explanation import ExplainSettings
    from pat_keras.evaluation.explanation_run import explain
    from pat_keras.evaluation.export import export_run
    from pat_keras.evaluation.occlusion import occlusion
    from pat_keras.evaluation.predict import predict
    from pat_keras.evaluation.pretraining import run_pretraining
    from pat_keras.evaluation.profiles import compare_profiles
    from pat_keras.evaluation.run_folder import read_run
    from pat_keras.evaluation.searcher import TuneSettings
    from pat_keras.evaluation.tuning import tune
    from pat_keras.models.baselines import BASELINES, make_baseline
    from pat_keras.models.classifier import PATClassifier
    from pat_keras.models.encoder import PATEncoder
    from pat_keras.models.mae import PATMaskedAutoencoder
    from pat_keras.models.networks import BaselineNetwork
    from pat_keras.training.estimators import PATClassifierEstimator, PATFeatures

# Where each public name lives. Loaded on first use, so that `import pat_keras` and `--help` stay fast.
_HOMES = {
    "BASELINES": "models.baselines",
    "BaselineNetwork": "models.networks",
    "CheckpointError": "errors",
    "Cohort": "data.cohort",
    "CohortError": "errors",
    "ConfigError": "errors",
    "EmbedConfig": "config.embed",
    "EncoderConfig": "config",
    "ExplainSettings": "evaluation.explanation",
    "ExplainedModel": "evaluation.explained_model",
    "FinetuneConfig": "config",
    "LabelError": "errors",
    "PATClassifier": "models.classifier",
    "PATClassifierEstimator": "training.estimators",
    "PATEncoder": "models.encoder",
    "PATEnsemble": "evaluation.ensemble",
    "PATError": "errors",
    "PATFeatures": "training.estimators",
    "PATMaskedAutoencoder": "models.mae",
    "PRESETS": "checkpoints.registry",
    "PretrainConfig": "config",
    "RecordingError": "errors",
    "RunError": "errors",
    "TuneSettings": "evaluation.searcher",
    "attention_profile": "evaluation.attention",
    "attention_rollout": "evaluation.attention",
    "combine_runs": "evaluation.ensemble_run",
    "compare_profiles": "evaluation.profiles",
    "deletion_changes": "evaluation.deletion",
    "deletion_test": "evaluation.deletion",
    "explain": "evaluation.explanation_run",
    "export_run": "evaluation.export",
    "finetune": "evaluation.experiment",
    "input_x_gradient": "evaluation.attribution",
    "integrated_gradients": "evaluation.attribution",
    "load_model": "checkpoints.weights",
    "load_official": "checkpoints.official",
    "load_official_into": "checkpoints.official",
    "load_weights": "checkpoints.weights",
    "make_baseline": "models.baselines",
    "occlusion": "evaluation.occlusion",
    "predict": "evaluation.predict",
    "read_run": "evaluation.run_folder",
    "run_pretraining": "evaluation.pretraining",
    "save_official": "checkpoints.official",
    "simulate_cohort": "data.simulate",
    "tune": "evaluation.tuning",
    "write_embeddings": "evaluation.embed",
}

__all__ = [
    "BASELINES",
    "PRESETS",
    "BaselineNetwork",
    "CheckpointError",
    "Cohort",
    "CohortError",
    "ConfigError",
    "EmbedConfig",
    "EncoderConfig",
    "ExplainSettings",
    "ExplainedModel",
    "FinetuneConfig",
    "LabelError",
    "PATClassifier",
    "PATClassifierEstimator",
    "PATEncoder",
    "PATEnsemble",
    "PATError",
    "PATFeatures",
    "PATMaskedAutoencoder",
    "PretrainConfig",
    "RecordingError",
    "RunError",
    "TuneSettings",
    "__version__",
    "attention_profile",
    "attention_rollout",
    "combine_runs",
    "compare_profiles",
    "deletion_changes",
    "deletion_test",
    "explain",
    "export_run",
    "finetune",
    "input_x_gradient",
    "integrated_gradients",
    "load_model",
    "load_official",
    "load_official_into",
    "load_weights",
    "make_baseline",
    "occlusion",
    "predict",
    "read_run",
    "run_pretraining",
    "save_official",
    "simulate_cohort",
    "tune",
    "write_embeddings",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"pat_keras.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'pat_keras' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


if "keras" in sys.modules:
    # keras.saving.load_model knows our classes only once they are imported, which costs little when Keras is there.
    # Where it is not, load_model of this package does it.
    for _module in ("classifier", "mae", "networks"):
        importlib.import_module(f"pat_keras.models.{_module}")
