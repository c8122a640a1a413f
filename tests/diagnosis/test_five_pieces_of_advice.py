"""The article's five pieces of advice: each is a diagnosis that fires on a run made for it, and
repairs it.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr

PATH = Path(__file__).parents[2] / "examples" / "five_pieces_of_advice.py"
CODES = {
    "data": "D3",
    "structure": "S2",
    "rate and batch": "O2",
    "activation and loss": "V1",
    "initial weights": "V5",
}


def example():
    spec = importlib.util.spec_from_file_location("five_pieces_of_advice", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXAMPLE = example()


@pytest.fixture(scope="module")
def cases():
    return {case.advice: case for case in EXAMPLE.cases()}


@pytest.mark.parametrize("advice", CODES)
def test_the_cause_comes_first_and_its_remedy_repairs(cases, advice):
    case = cases[advice]
    before = np.mean(case.model.predict(case.x).argmax(axis=1) == case.y)
    report = cr.diagnose(case.model, case.x, case.y)
    assert report.causes[0].code == CODES[advice]
    assert report.causes[0].advice == advice
    assert report.causes[0].skill[1] > 0.9 > report.causes[0].skill[0]
    repaired = report.repair(apply="all")
    x, y = EXAMPLE.ring(seed=5)
    if advice == "data":
        x = x * np.array([1, 2000], "float32")
    after = np.mean(repaired.model.predict(x).argmax(axis=1) == y)
    assert after > 0.95 > before
