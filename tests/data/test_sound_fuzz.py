"""Damaged sounds: a sound or a reason, never anything else."""

import os

import pytest
from sound_fuzz import fuzz_sounds


@pytest.mark.fuzz
def test_damaged_sounds_give_a_sound_or_a_reason(capfd: pytest.CaptureFixture[str]) -> None:
    count = int(os.environ.get("CHAINRULE_FUZZ_COUNT", "600"))
    report = fuzz_sounds(count, int(os.environ.get("CHAINRULE_FUZZ_SEED", "11")))
    assert sum(report["outcomes"].values()) == count
    assert report["outcomes"]["read"] > count / 20
    assert report["outcomes"]["refused"] > count / 5
    # Nothing that native code or its callbacks say about a damaged file reaches the terminal.
    assert capfd.readouterr().err == ""
