"""The notebooks about looking into models and pretraining them run from top to bottom."""

from __future__ import annotations

import pytest

from tests.notebooks.running import check_run


@pytest.mark.parametrize("name", ["05_explain", "06_pretrain"])
def test_runs_top_to_bottom(name: str, kernel: str) -> None:
    check_run(name, kernel)
