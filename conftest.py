"""What every test and doctest of the project sees."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace: dict[str, Any]) -> None:
    """Docstring examples may use ``cr`` and ``np`` without importing them."""
    doctest_namespace["cr"] = cr
    doctest_namespace["np"] = np
