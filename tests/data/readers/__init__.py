"""Tests of the readers, on generated files and on the published ones."""
