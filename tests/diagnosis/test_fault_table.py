"""The table of faults: complete, consistent, and the same on the page about it."""

import doctest
import importlib.util
import re
from pathlib import Path

import pytest

from chainrule.diagnosis.table import BY_CODE, FAULTS

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = {"D": 10, "T": 6, "S": 4, "V": 6, "O": 6, "N": 2, "R": 3, "G": 2, "E": 2}
PAGES = [ROOT / "docs" / name for name in ("diagnosis.md", "diagnosis.zh-CN.md")]


def test_all_faults_of_the_catalogue_have_a_row():
    wanted = {f"{letter}{n}" for letter, count in FAMILIES.items() for n in range(1, count + 1)}
    assert len(wanted) == 41
    assert {fault.code for fault in FAULTS} == wanted
    assert len(FAULTS) == 41


def test_a_fault_is_no_consequence_of_itself_or_of_one_that_is_not_there():
    for fault in FAULTS:
        assert fault.code not in fault.explains
        assert set(fault.explains) <= set(BY_CODE), fault.code


def test_every_fault_has_a_test_that_names_it():
    texts = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    missing = [
        f.code for f in FAULTS if not re.search(rf"\b({f.code}|{f.probe.__name__})\b", texts)
    ]
    assert not missing


def test_the_page_has_the_table_of_today():
    spec = importlib.util.spec_from_file_location("fault_table", ROOT / "tools" / "fault_table.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    page = tool.PAGE.read_text("utf-8")
    assert page == tool.with_table(page), "run python tools/fault_table.py"
    other = page.replace("| O1 |", "| O9 |", 1)
    assert other != page == tool.with_table(other)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_programs_of_the_pages_print_what_they_say(page):
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert result.attempted > 8
    assert result.failed == 0


def test_both_languages_show_the_same_programs():
    english, chinese = (
        re.findall(r"^```\w+\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
        for page in PAGES
    )
    assert english == chinese
