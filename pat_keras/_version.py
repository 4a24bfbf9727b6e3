"""The version, in one place, importable without anything heavy."""

__version__ = "0.1.0"
