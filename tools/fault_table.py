"""Writes the table of faults into docs/diagnosis.md, between its two marks.

``python tools/fault_table.py`` writes it; ``--check`` exits with 1 if the page says otherwise.
"""

import sys
from pathlib import Path

from chainrule.diagnosis.table import FAULTS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "diagnosis.md"
BEGIN, END = "<!-- faults -->\n", "<!-- end of faults -->\n"


def table() -> str:
    """The rows of the table, in Markdown."""
    lines = ["| code | fault | advice | looked for |", "|---|---|---|---|"]
    lines += [f"| {f.code} | {f.name} | {f.advice} | {f.limit} |" for f in FAULTS]
    return "\n".join(lines) + "\n"


def with_table(page: str) -> str:
    """The page with the table of today."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + table() + END + tail


def main(arguments: list[str]) -> int:
    """Write, or check."""
    page = PAGE.read_text("utf-8")
    if "--check" in arguments:
        right = page == with_table(page)
        print("table of faults: " + ("right" if right else "run python tools/fault_table.py"))
        return 0 if right else 1
    PAGE.write_text(with_table(page), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
