"""Weights: the official HDF5 files, where to get them, and the state of a running training."""
