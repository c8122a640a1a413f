"""The programs of the docs run and print what the page says, the same in both languages."""

import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = ["backpropagation", "recurrent-networks"]


@pytest.mark.parametrize(
    "page", [f"{page}{ending}" for page in PAGES for ending in (".md", ".zh-CN.md")]
)
def test_programs_print_what_the_page_says(page):
    result = doctest.testfile(str(DOCS / page), module_relative=False, encoding="utf-8")
    assert result.attempted > 20
    assert result.failed == 0


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_show_the_same_programs(page):
    texts = [(DOCS / f"{page}{ending}").read_text("utf-8") for ending in (".md", ".zh-CN.md")]
    programs = [
        re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE) for text in texts
    ]
    assert programs[0] == programs[1]
