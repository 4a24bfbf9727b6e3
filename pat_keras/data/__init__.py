"""Recordings -> weeks -> arrays: numpy, polars and scikit-learn, no keras."""
