"""Runs that go on from damaged checkpoints: the right bits or an error, no hang, little memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from model_file_fuzz import MEMORY_LIMIT, SECONDS_PER_FILE

PROGRAM = Path(__file__).with_name("checkpoint_fuzz.py")


@pytest.mark.fuzz
@pytest.mark.skipif(os.name != "posix", reason="uses SIGALRM and limits of memory")
def test_runs_go_on_from_damaged_checkpoints_or_are_refused() -> None:
    count = os.environ.get("CHAINRULE_FUZZ_COUNT", "300")
    seed = os.environ.get("CHAINRULE_FUZZ_SEED", "0")
    run = [sys.executable, "-W", "error", str(PROGRAM), count, seed]
    done = subprocess.run(run, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["peak_bytes"] < MEMORY_LIMIT
    assert report["slowest"] < SECONDS_PER_FILE
    went_on = [report["newest"], report["before"], report["forged"]]
    assert all(went_on)
    ends = [*went_on, report["anew"], *report["refused"].values()]
    assert sum(ends) == report["folders"] == int(count)
    assert "no checkpoint can be read" in report["refused"]
    assert "parts of the checkpoint are missing or of another kind" in report["refused"]
