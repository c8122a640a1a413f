"""Checks that files and functions stay small enough to read.

A file has at most 600 lines (a file that is one table: 900), a function at most 60, its docstring
not counted.

``python tools/sizes.py`` prints one line for each that is longer and exits with 1 if there is any.
"""

import ast
import sys
from pathlib import Path

FOLDERS = ("chainrule", "tests", "tools", "benchmarks", "examples")
FILE_LINES = 600
TABLE_LINES = 900
FUNCTION_LINES = 60

#: files that are one long table and little else.
TABLES = (
    "chainrule/graph/primitives.py",
    "chainrule/backends/reference/kernels.py",
    "chainrule/backprop/derivatives.py",
)


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function from ``def`` to its end, without its docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node) is not None:
        docstring = node.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


def check_source(name: str, source: str) -> list[str]:
    """Return one sentence for a file that is too long and for each of its functions that is."""
    problems = []
    limit = TABLE_LINES if name in TABLES else FILE_LINES
    length = len(source.splitlines())
    if length > limit:
        problems.append(f"{name}: {length} lines, at most {limit}")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = function_lines(node)
            if length > FUNCTION_LINES:
                problems.append(
                    f"{name}:{node.lineno}: {node.name}: {length} lines, at most {FUNCTION_LINES}"
                )
    return problems


def check_tree(root: Path) -> list[str]:
    """Return one sentence for each file or function of the repository that is too long."""
    files = sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py"))
    return [
        problem
        for path in files
        for problem in check_source(path.relative_to(root).as_posix(), path.read_text("utf-8"))
    ]


def main() -> int:
    """Print the files and functions of this repository that are too long."""
    problems = check_tree(Path(__file__).resolve().parent.parent)
    print("\n".join(problems) if problems else "sizes: right")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
