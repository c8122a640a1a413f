"""Damaged tables: a table or a clear error, never anything else."""

import os

import pytest
from table_fuzz import fuzz_tables


@pytest.mark.fuzz
def test_damaged_tables_give_a_table_or_a_clear_error(capfd: pytest.CaptureFixture[str]) -> None:
    count = int(os.environ.get("CHAINRULE_FUZZ_COUNT", "300"))
    report = fuzz_tables(count, int(os.environ.get("CHAINRULE_FUZZ_SEED", "11")))
    assert sum(report["outcomes"].values()) == count
    assert report["outcomes"]["read"] > count / 20
    assert report["outcomes"]["FileFormatError"] > count / 2
    # Nothing that native code says about a damaged file reaches the terminal.
    assert capfd.readouterr().err == ""
