"""What every test and doctest of the project sees."""

import os
import shutil
import tempfile
from typing import Any

import numpy as np
import pytest

import chainrule as cr


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled programs of the tests out of the user's cache; the test workers share one."""
    if "CHAINRULE_CACHE_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="chainrule-tests-")
        os.environ["CHAINRULE_CACHE_DIR"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace: dict[str, Any]) -> None:
    """Docstring examples may use ``cr`` and ``np`` without importing them."""
    doctest_namespace["cr"] = cr
    doctest_namespace["np"] = np
