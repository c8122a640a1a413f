"""The two READMEs show the same commands and programs, and the programs run."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENGLISH = (ROOT / "README.md").read_text("utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text("utf-8")


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def _table_cells(text: str) -> list[list[str]]:
    """Cells with a figure, row by row: the words around them are translated."""
    rows = [line.split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row if re.search(r"\d", cell)] for row in rows]


def test_both_languages_say_the_same() -> None:
    for language in ("sh", "python"):
        assert _blocks(ENGLISH, language) == _blocks(CHINESE, language)
    assert _table_cells(ENGLISH) == _table_cells(CHINESE)
    headings = [re.findall(r"^(#+) ", text, re.MULTILINE) for text in (ENGLISH, CHINESE)]
    assert headings[0] == headings[1]


def test_programs_run(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pandas")
    names: dict[str, object] = {"__name__": "__main__"}
    for block in _blocks(ENGLISH, "python"):
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - the README's own programs
    assert "loss" in capsys.readouterr().out


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["English", "Chinese"])
def test_linked_files_exist(text: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
