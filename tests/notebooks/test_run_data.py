"""The notebooks about files run from top to bottom. The others have files of their own, for pytest-xdist to spread."""

from __future__ import annotations

import pytest

from tests.notebooks.running import check_run


@pytest.mark.parametrize("name", ["01_load_official_weights", "02_your_recordings", "07_reproduce_the_paper"])
def test_runs_top_to_bottom(name: str, kernel: str) -> None:
    check_run(name, kernel)
