"""Seeded splits: sizes, shares of classes, repeatability."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from chainrule.data import split_indices


@settings(max_examples=100)
@given(n=st.integers(2, 200), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 2**63))
def test_parts_are_disjoint_and_whole(n: int, fraction: float, seed: int) -> None:
    train, test = split_indices(n, fraction, seed=seed)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(n))
    assert len(test) == min(max(1, round(n * fraction)), n - 1)
    again = split_indices(n, fraction, seed=seed)
    np.testing.assert_array_equal(train, again[0])


@settings(max_examples=150)
@given(
    labels=st.lists(st.integers(0, 5), min_size=3, max_size=120).filter(
        lambda labels: len(set(labels)) < len(labels)
    ),
    fraction=st.floats(0.05, 0.6),
    seed=st.integers(0, 1000),
)
def test_every_class_gets_its_share(labels: list[int], fraction: float, seed: int) -> None:
    codes = np.array(labels)
    train, test = split_indices(len(codes), fraction, seed=seed, stratify=codes)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(codes)))
    room = sum(np.bincount(codes)[np.bincount(codes) > 0] - 1)
    wished = min(max(1, round(len(codes) * fraction)), len(codes) - 1)
    assert len(test) == min(wished, room)
    for label in set(labels):
        total, tested = int((codes == label).sum()), int((codes[test] == label).sum())
        assert total - tested >= 1
        if wished == len(test) and min(np.bincount(codes)[np.bincount(codes) > 0]) > 4:
            assert abs(tested - total * wished / len(codes)) < 1


def test_the_split_of_a_seed_never_changes() -> None:
    """On every platform and NumPy version, or published results could not be repeated."""
    train, test = split_indices(10, 0.3, seed=42)
    assert train.tolist() == [9, 3, 6, 0, 7, 2, 5]
    assert test.tolist() == [4, 8, 1]


def test_seeds_differ_and_none_draws_one() -> None:
    splits = {tuple(split_indices(50, 0.5, seed=seed)[1].tolist()) for seed in range(20)}
    assert len(splits) == 20
    assert not np.array_equal(split_indices(50)[0], split_indices(50)[0])


def test_labels_of_any_kind() -> None:
    for labels in (
        ["a", "b"] * 10,
        np.array([None, "x"] * 10, dtype=object),
        np.array([True, False] * 10),
    ):
        _, test = split_indices(20, 0.2, seed=3, stratify=labels)
        assert len(test) == 4
        assert sum(row % 2 for row in test.tolist()) == 2
