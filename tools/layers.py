"""Checks the direction of imports inside the package, from the syntax trees.

The package is built in floors (docs/map.md): a part may import what the table below lists and
nothing else. Imports inside functions and under ``if TYPE_CHECKING`` count like any other. A
third-party package is imported in one place.

``python tools/layers.py`` prints one line for each wrong import and exits with 1 if there is any.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = "chainrule"

_FLOOR_0 = ("errors", "dtypes", "config", "tree", "cache_folder")
_FLOOR_1 = (*_FLOOR_0, "graph")
_FLOOR_2 = (*_FLOOR_1, "backprop", "passes")
_FLOOR_3 = (*_FLOOR_2, "backends", "backends.reference", "backends.cpu")
_FLOOR_4 = (*_FLOOR_3, "tensor")
_FLOOR_5 = (*_FLOOR_4, "decoding", "nn", "optimizers", "losses", "metrics", "data")
_FLOOR_6 = (*_FLOOR_5, "training", "formats")
_FLOOR_7 = (*_FLOOR_6, "networks", "estimators", "explain", "plot")

#: part -> the other parts it may import. A part is a file or folder right under the package, or a
#: back end.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "errors": (),
    "dtypes": ("errors",),
    "config": ("errors", "dtypes"),
    "tree": ("errors",),
    "cache_folder": (),
    "figures": ("errors",),
    "graph": _FLOOR_0,
    "backprop": _FLOOR_1,
    "passes": _FLOOR_1,
    "backends": (*_FLOOR_2, "backends.reference", "backends.cpu"),
    "backends.reference": (*_FLOOR_2, "backends"),
    "backends.cpu": (*_FLOOR_2, "backends"),
    "tensor": _FLOOR_3,
    "nn": _FLOOR_4,
    "optimizers": _FLOOR_4,
    "losses": _FLOOR_4,
    "decoding": _FLOOR_4,
    "metrics": (*_FLOOR_4, "losses", "decoding"),
    "data": ("errors", "cache_folder"),
    "formats": ("errors",),
    "training": (*_FLOOR_5, "formats", "figures"),
    "networks": ("errors", "nn", "training"),
    "explain": (*_FLOOR_4, "nn"),
    "plot": ("errors", "figures", "nn", "training", "explain"),
    "estimators": (*_FLOOR_6, "networks"),
    "diagnosis": (*_FLOOR_6, "networks", "estimators"),
    "cli": (*_FLOOR_7, "diagnosis", "__version__"),
    "testing": _FLOOR_7,
    # The package's own __init__ re-exports the public names of every part.
    "": (*_FLOOR_7, "diagnosis", "testing"),
}

#: third-party package -> the files or folders that may import it. NumPy may be imported everywhere.
OWNERS: dict[str, tuple[str, ...]] = {
    "PIL": ("data/image_decoding.py",),
    "click": ("cli",),
    "jieba": ("data/tokenizers.py",),
    "llvmlite": ("backends/cpu/llvm.py",),
    "matplotlib": ("figures.py",),
    "narwhals": ("data",),
    "pandas": ("training/history.py",),
    "platformdirs": ("cache_folder.py",),
    "polars": ("data/readers.py",),
    "rich": ("cli", "training/progress.py"),
    "safetensors": ("formats",),
    "sklearn": ("estimators/base.py",),
    "tokenizers": ("data/byte_pairs.py",),
    "soundfile": ("data/audio_decoding.py",),
    "soxr": ("data/audio_decoding.py",),
}


class Import(NamedTuple):
    """One imported module: the dotted name and the line that imports it."""

    module: str
    line: int


def imports_of(source: str, module: str, is_package: bool) -> Iterator[Import]:
    """Yield every import of a file, wherever it stands, with relative ones made absolute.

    ``from a.b import c`` yields ``a.b.c``, whether ``c`` is a module or a name in one.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                keep = len(parents) - node.level + is_package
                base = ".".join([*parents[:keep], *filter(None, [base])])
            for alias in node.names:
                yield Import(f"{base}.{alias.name}", node.lineno)


def part_of(module: str) -> str:
    """Return the part that holds a module: ``nn`` for ``chainrule.nn.layers.dense``."""
    inner = module.split(".")[1:]
    for length in (2, 1):
        name = ".".join(inner[:length])
        if name in MAY_IMPORT:
            return name
    return inner[0] if inner else ""


def check_file(path: Path, root: Path) -> list[str]:
    """Return one sentence for each import of the file that the tables do not allow."""
    inside = path.relative_to(root / PACKAGE)
    names = [PACKAGE, *inside.with_suffix("").parts]
    is_package = names[-1] == "__init__"
    module = ".".join(names[:-1] if is_package else names)
    # Each back end is a part of its own: they never import each other.
    is_back_end = inside.parts[0] == "backends" and len(inside.parts) > 2
    part = ".".join(inside.parts[:2]) if is_back_end else part_of(module)
    if part not in MAY_IMPORT:
        return [f"{path.relative_to(root)}: the part {part!r} has no row in tools/layers.py"]
    problems = []
    for imported, line in imports_of(path.read_text("utf-8"), module, is_package):
        problem = _judge(imported, part, inside)
        if problem:
            problems.append(f"{path.relative_to(root)}:{line}: {problem}")
    return problems


def _judge(imported: str, part: str, inside: Path) -> str | None:
    top = imported.partition(".")[0]
    if top == PACKAGE:
        target = part_of(imported)
        if target == part or target in MAY_IMPORT[part]:
            return None
        if target not in MAY_IMPORT or not target:
            target = "the package's own __init__"
        return f"{part or '__init__'} may not import {target} ({imported})"
    if top == "numpy" or top in sys.stdlib_module_names:
        return None
    if top not in OWNERS:
        return f"{top} is no dependency of the package; give it a row in tools/layers.py"
    if not any(inside.is_relative_to(owner) for owner in OWNERS[top]):
        return f"{top} may be imported only in {', '.join(OWNERS[top])}"
    return None


def check_tree(root: Path) -> list[str]:
    """Return one sentence for each wrong import below ``root / "chainrule"``."""
    files = sorted((root / PACKAGE).rglob("*.py"))
    return [problem for path in files for problem in check_file(path, root)]


def main() -> int:
    """Print the wrong imports of this repository."""
    problems = check_tree(Path(__file__).resolve().parent.parent)
    print("\n".join(problems) if problems else "import directions: right")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
