"""Damaged and hostile model files: errors of the library only, no hang, little memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from model_file_fuzz import MEMORY_LIMIT, SECONDS_PER_FILE

PROGRAM = Path(__file__).with_name("model_file_fuzz.py")


@pytest.mark.fuzz
@pytest.mark.skipif(os.name != "posix", reason="uses SIGALRM and getrusage")
def test_bad_model_files_are_refused_or_load() -> None:
    count = os.environ.get("CHAINRULE_FUZZ_COUNT", "2000")
    seed = os.environ.get("CHAINRULE_FUZZ_SEED", "0")
    run = [sys.executable, "-W", "error", str(PROGRAM), count, seed]
    done = subprocess.run(run, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["peak_bytes"] < MEMORY_LIMIT
    assert report["slowest"] < SECONDS_PER_FILE
    refused = report["refused"]
    assert report["loaded"] + sum(refused.values()) == report["files"] == int(count)
    if int(count) >= 1000:
        # Files get as far as each floor of the reader, else most of it would not be tried.
        assert {"this is not a model file", "the metadata is not JSON"} <= refused.keys()
        assert "the structure cannot be built" in refused
        assert report["loaded"] > 0
