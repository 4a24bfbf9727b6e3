"""The words that settings of an experiment are chosen from."""

from __future__ import annotations

TASKS = ("binary", "multiclass", "regression")
# PAT, and the networks that the paper set beside it, with their names in print.
MODEL_TITLES = {"pat": "PAT", "lstm": "LSTM", "cnn1d": "CNN-1D", "cnn3d": "CNN-3D", "convlstm": "ConvLSTM"}
MODELS = tuple(MODEL_TITLES)
HEADS = ("official", "linear")
POOLING = ("mean", "mean_std")  # of tokens
MODES = ("full", "linear_probe", "logistic_probe", "two_stage")
PROBES = ("linear_probe", "logistic_probe")  # the modes in which the encoder never learns
SCHEDULES = ("constant", "cosine")
OPTIMIZERS = ("adam", "sgd")
CLASS_WEIGHTS = ("balanced", "paper", "none")
KINDS = ("per_minute", "per_recording", "cohort", "none")  # of scaling
STANDARDIZE = ("auto", *KINDS, "paper")
SMOOTHING = ("none", "savitzky_golay")
MISSING = ("refuse", "mask")
SPLITS = ("holdout", "kfold", "leave_one_out", "list", "column")
CROSS_VALIDATION = ("kfold", "leave_one_out")  # the splits that test everybody
AVERAGING = ("none", "ema", "swa")
RECALIBRATION = ("none", "prior", "platt")
MONITORS = ("auto", "auc", "loss")
PRECISIONS = ("float32", "mixed_bfloat16")
JIT = ("auto", "on", "off")
EXPORTS = ("onnx", "saved_model")  # what pat-export writes
