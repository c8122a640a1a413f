"""Seeded splits of row numbers into a training and a test part."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.errors import ArgumentError, DataError


def split_indices(
    n_rows: int,
    test_fraction: float = 0.2,
    *,
    seed: int | None = None,
    stratify: ArrayLike | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split the row numbers 0..N-1 at random into a training and a test part.

    The test part has ``round(N * test_fraction)`` rows, at least 1. With `stratify` each class
    gets its share, rounded so that the shares add up; every class keeps a training row, so a
    class with a single row is never tested. The order comes from the raw bits of PCG64, so a seed
    gives the same split on every platform and NumPy version.

    Args:
        n_rows: N, at least 2.
        test_fraction: the share of the test part, above 0 and below 1.
        seed: a whole number from 0 up; None draws one from the operating system.
        stratify: (N,) class labels of any kind.

    Returns:
        (training rows, test rows), both shuffled.

    Raises:
        ArgumentError: a fraction or seed outside its range, or labels of another length.
        DataError: fewer than two rows, or stratified where every class has one row.

    Example:
        >>> train, test = split_indices(10, 0.3, seed=1, stratify=[0] * 5 + [1] * 5)
        >>> len(train), len(test), sorted(int(row) >= 5 for row in train)
        (7, 3, [False, False, False, True, True, True, True])
    """
    where = "split"
    if not 0.0 < test_fraction < 1.0:
        raise ArgumentError(
            where,
            "test_fraction outside its range",
            got=test_fraction,
            expected="above 0 and below 1",
        )
    if seed is not None and seed < 0:
        raise ArgumentError(where, "negative seed", got=seed, expected="a whole number from 0 up")
    if n_rows < 2:
        raise DataError(
            where,
            "too few rows to hold any out",
            got=n_rows,
            expected="at least 2",
            fix="give more rows, or train without a test part",
        )
    n_test = min(max(1, round(n_rows * test_fraction)), n_rows - 1)
    order = _shuffled(n_rows, seed)
    if stratify is None:
        return order[n_test:], order[:n_test]
    codes = _codes(stratify, n_rows)
    counts = np.bincount(codes)
    if counts.max() < 2:
        raise DataError(
            where,
            "every class has a single row, so none can be held out",
            got=f"{len(counts)} classes in {n_rows} rows",
            expected="a class with at least 2 rows",
            fix="split without stratify",
        )
    quota = _quotas(counts, n_test)
    by_class = codes[order]
    # The k-th row of its class, in shuffled order, is tested when k is below the class's quota.
    grouped = np.argsort(by_class, kind="stable")
    starts = np.cumsum(counts) - counts
    rank = np.empty(n_rows, np.int64)
    rank[grouped] = np.arange(n_rows) - starts[by_class[grouped]]
    tested = rank < quota[by_class]
    return order[~tested], order[tested]


def _shuffled(n_rows: int, seed: int | None) -> NDArray[np.int64]:
    bits = np.random.PCG64(seed).random_raw(n_rows)
    return np.argsort(bits, kind="stable").astype(np.int64)


def _codes(labels: ArrayLike, n_rows: int) -> NDArray[np.int64]:
    array: NDArray[Any] = np.asarray(labels)
    if array.shape != (n_rows,):
        raise ArgumentError(
            "split", "stratify does not fit", got=f"shape {array.shape}", expected=f"({n_rows},)"
        )
    if array.dtype == object:
        seen: dict[object, int] = {}
        return np.array([seen.setdefault(label, len(seen)) for label in array], dtype=np.int64)
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def _quotas(counts: NDArray[np.int64], n_test: int) -> NDArray[np.int64]:
    """Share n_test among classes by largest remainder, leaving each class one training row."""
    share = counts * (n_test / counts.sum())
    room = counts - 1
    quota: NDArray[np.int64] = np.minimum(np.floor(share).astype(np.int64), room)
    # Classes in order of what rounding took from them; ties go to the larger class, then the
    # earlier.
    order = sorted(
        range(len(counts)), key=lambda k: (-(share[k] - math.floor(share[k])), -counts[k], k)
    )
    left = n_test - int(quota.sum())
    while left > 0 and bool((quota < room).any()):
        for k in order:
            if left > 0 and quota[k] < room[k]:
                quota[k] += 1
                left -= 1
    return quota
