"""Small data and small networks for the tests of this folder."""

from typing import Any

import numpy as np

import chainrule as cr


def line_data(rows: int = 70, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    return x, x @ np.array([1.0, -2.0, 0.5]) + 0.3


def blobs(rows: int = 90, classes: int = 3) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    y = np.arange(rows) % classes
    return rng.normal(size=(rows, 2)) * 0.4 + np.array([[0, 0], [3, 0], [0, 3]])[y], y


def dense(*widths: int, dtype: str = "float64", **options: Any) -> cr.Sequential:
    layers = [cr.layers.Dense(w, activation="tanh", dtype=dtype) for w in widths[:-1]]
    return cr.Sequential([*layers, cr.layers.Dense(widths[-1], dtype=dtype, **options)])
