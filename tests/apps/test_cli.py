from __future__ import annotations

import subprocess
import sys


def test_help_into_a_closed_pipe_ends_without_a_traceback() -> None:
    command = f"{sys.executable} -m pat_keras.apps.finetune --help | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("pat-finetune")
    assert done.stderr == ""
