"""The kernel that the notebooks run in."""

from __future__ import annotations

import pathlib

import pytest
from ipykernel import kernelspec

_KERNEL = "the_interpreter_of_these_tests"


@pytest.fixture
def kernel(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A Jupyter kernel that is the running interpreter, whatever kernels the user has installed."""
    kernelspec.install(kernel_name=_KERNEL, prefix=str(tmp_path))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")  # else jupyter_core warns of its own coming default
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))  # no start-up files and history of the user's
    return _KERNEL
