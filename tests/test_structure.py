"""The shape of the code base: import direction, sizes, docstrings, light import.

Each guard is also shown a planted fault, so that a guard which cannot fail is noticed.
"""

import importlib.util
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import chainrule

ROOT = Path(__file__).resolve().parent.parent


def _tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


layers = _tool("layers")
sizes = _tool("sizes")


def test_imports_point_down() -> None:
    assert layers.check_tree(ROOT) == []


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("graph/a.py", "from chainrule.tensor import Tensor", "graph may not import tensor"),
        ("graph/a.py", "def f():\n    import chainrule.nn.layers", "graph may not import nn"),
        ("nn/layers/a.py", "from ...losses import get", "nn may not import losses"),
        ("data/a.py", "from chainrule import graph", "data may not import graph"),
        ("nn/a.py", "from chainrule import Tensor", "the package's own __init__"),
        ("nn/a.py", "import chainrule as cr", "the package's own __init__"),
        ("training/a.py", "from chainrule.testing import check", "training may not import testing"),
        ("training/a.py", "import pandas", "pandas may be imported only in training/history.py"),
        ("nn/a.py", "if True:\n    import requests", "requests is no dependency"),
        ("backends/new/a.py", "from chainrule.backends import reference", "no row"),
        ("newpart/a.py", "", "no row"),
    ],
)
def test_wrong_imports_are_found(tmp_path: Path, path: str, source: str, expected: str) -> None:
    file = tmp_path / "chainrule" / path
    file.parent.mkdir(parents=True)
    file.write_text(source)
    problems = layers.check_tree(tmp_path)
    assert len(problems) == 1
    assert expected in problems[0]


def test_right_imports_pass(tmp_path: Path) -> None:
    file = tmp_path / "chainrule" / "training" / "history.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "import math\nimport numpy as np\nimport pandas\n"
        "from .progress import line\nfrom chainrule import errors\n"
        "from chainrule.nn.layers import Dense\n"
    )
    assert layers.check_tree(tmp_path) == []


def test_files_and_functions_are_short() -> None:
    assert sizes.check_tree(ROOT) == []


def test_long_files_and_functions_are_found() -> None:
    long_function = "def f():\n" + "    x = 1\n" * 60
    assert "f: 61 lines" in sizes.check_source("a.py", long_function)[0]
    with_docstring = 'def f():\n    """One.\n\n    Two.\n    """\n' + "    x = 1\n" * 59
    assert sizes.check_source("a.py", with_docstring) == []
    assert "601 lines" in sizes.check_source("a.py", "x = 1\n" * 601)[0]
    table = sizes.TABLES[0]
    assert sizes.check_source(table, "x = 1\n" * 900) == []
    assert sizes.check_source(table, "x = 1\n" * 901) != []


def _undocumented(module: ModuleType) -> Iterator[str]:
    """Public classes, functions and methods without a docstring of their own or of a base class.

    Functions made in a loop from a table (``<locals>`` in their name) are described by the table.
    """
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if "<locals>" in getattr(value, "__qualname__", ""):
            continue
        if inspect.isfunction(value) and not inspect.getdoc(value):
            yield f"{module.__name__}.{name}"
        if inspect.isclass(value):
            if not value.__doc__:
                yield f"{module.__name__}.{name}"
            yield from _undocumented_methods(module, value)


def _undocumented_methods(module: ModuleType, cls: type[Any]) -> Iterator[str]:
    for name, value in vars(cls).items():
        member = value.fget if isinstance(value, property) else getattr(cls, name)
        if not name.startswith("_") and inspect.isroutine(member) and not inspect.getdoc(value):
            bases = (getattr(base, name, None) for base in cls.__mro__[1:])
            if not any(inspect.getdoc(base) for base in bases if base is not None):
                yield f"{module.__name__}.{cls.__name__}.{name}"


def test_public_names_have_docstrings() -> None:
    missing = []
    for info in pkgutil.walk_packages(chainrule.__path__, "chainrule."):
        if not any(part.startswith("_") for part in info.name.split(".")):
            missing += list(_undocumented(importlib.import_module(info.name)))
    assert missing == []


def test_missing_docstrings_are_found() -> None:
    source = (
        "class Base:\n    'Says.'\n    def f(self): 'Says.'\n"
        "class Child(Base):\n    'Says.'\n    def f(self): pass\n    def g(self): pass\n"
        "def h(): pass\ndef _private(): pass\n"
    )
    module = ModuleType("planted")
    exec(compile(source, "planted", "exec"), vars(module))  # noqa: S102 - the planted module
    assert list(_undocumented(module)) == ["planted.Child.g", "planted.h"]


HEAVY = (
    "PIL",
    "click",
    "llvmlite",
    "matplotlib",
    "narwhals",
    "pandas",
    "platformdirs",
    "polars",
    "rich",
    "safetensors",
    "scipy",
    "sklearn",
)


def test_import_loads_nothing_heavy() -> None:
    program = f"import sys, chainrule; print([m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr == ""
    assert result.stdout.strip() == "[]"


def _same_names(folder: Path) -> set[str]:
    names = [path.name for path in folder.rglob("test_*.py")]
    return {name for name in names if names.count(name) > 1}


def test_test_files_have_different_names(tmp_path: Path) -> None:
    # pytest imports them by their names alone, and stops at the second of two.
    assert not _same_names(ROOT / "tests")
    for part in ("a", "b"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "test_twice.py").touch()
    assert _same_names(tmp_path) == {"test_twice.py"}
