"""Code for every kind of processor: run where this machine can, else checked as assembly."""

import functools

import numpy as np
import pytest
from test_cpu_backend import traced

from chainrule.backends import cpu
from chainrule.backends.cpu import executable, llvm, program
from chainrule.backends.cpu.target import TARGETS


@pytest.fixture(params=sorted(TARGETS))
def variant(request, monkeypatch):
    """Programs are made for this kind of processor, and only for what every one of it has."""
    if request.param not in llvm.runnable_variants():
        pytest.skip("this machine cannot run that code")
    monkeypatch.setattr(executable, "host_target", lambda: TARGETS[request.param])
    load = functools.partial(program.library, variant=request.param)
    monkeypatch.setattr(program, "library", load)
    return request.param


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_of_few_rows_and_columns(variant, dtype):
    """Numbers that are whole, so that every order of adding is exact."""
    generator = np.random.default_rng(1)
    for n, m, k in [(4, 3, 4), (1, 1, 1), (5, 2, 9), (3, 5, 16), (7, 6, 3), (17, 7, 8), (2, 9, 33)]:
        x, y = (generator.integers(-9, 9, s).astype(dtype) for s in ((n, k), (k, m)))
        expected = x @ y

        def products(x, y, xt, yt):
            return x @ y, xt.T @ y, x @ yt.T, xt.T @ yt.T

        inputs = [x, y, np.ascontiguousarray(x.T), np.ascontiguousarray(y.T)]
        for found in cpu.compile(traced(products, inputs)).run(inputs):
            np.testing.assert_array_equal(found, expected, err_msg=f"{n}, {m}, {k}")
