"""Edit distance and error rates: against the textbook's table, as texts, labels and outputs."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import chainrule as cr
from chainrule import metrics
from chainrule.errors import ArgumentError, ShapeError

LABELS = st.lists(st.integers(0, 3), max_size=6)


def distance(one, other):
    """Wagner and Fischer's table."""
    table = np.zeros((len(one) + 1, len(other) + 1), int)
    table[:, 0], table[0] = range(len(one) + 1), range(len(other) + 1)
    for i, a in enumerate(one, 1):
        for j, b in enumerate(other, 1):
            table[i, j] = min(
                table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b)
            )
    return int(table[-1, -1])


def filled(rows, size):
    labels = [row + [-1] * (size - len(row)) for row in rows]
    return np.array(labels, "int32").reshape(len(rows), size)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=4))
def test_edit_distance_is_that_of_the_table(pairs):
    true, found = ([pair[i] for pair in pairs] for i in (0, 1))
    y, p = (filled(x, max(map(len, x))) for x in (true, found))
    expected = [distance(a, b) for a, b in pairs]
    assert metrics.edit_distance(y, p).tolist() == expected
    wide = np.concatenate([y, np.full((len(y), 2), -7, "int32")], 1)
    assert metrics.edit_distance(wide, p).tolist() == expected


def test_error_rates_of_texts():
    true, found = ["the cat sat", "a dog", ""], ["the cat sit", "dog a", "x"]
    characters = sum(map(distance, true, found)) / sum(map(len, true))
    words = sum(distance(a.split(), b.split()) for a, b in zip(true, found, strict=True)) / 5
    assert metrics.get("cer").compute(true, found) == pytest.approx(characters)
    assert metrics.get("wer").compute(true, found) == pytest.approx(words)
    assert metrics.get("wer").direction == metrics.get("cer").direction == "min"
    weighted = metrics.get("cer").compute(true, found, [1.0, 0.0, 0.0])
    assert weighted == pytest.approx(1 / 11)


def test_batches_add_up_and_nothing_is_nan():
    rate = metrics.get("cer")
    assert np.isnan(rate.result())
    rate.update(["ab"], ["ab"])
    rate.update(["abcd"], ["x"])
    assert rate.result() == pytest.approx(4 / 6)
    rate.reset()
    rate.update([[1, 2, -1]], [[-1]])
    assert rate.result() == 1.0


def test_outputs_are_decoded_with_their_lengths():
    paths = np.array([[1, 1, 0, 1, 2, 2], [2, 0, 3, 3, 1, 1]])
    outputs = np.eye(4)[paths]
    labels = np.array([[1, 1, 2], [2, 3, 9]])
    counts, frames = np.array([3, 2]), np.array([6, 4])
    for compiled in (False, True):
        rate = metrics.get("cer")

        def update(y, p, n, t, rate=rate):
            rate.update(y, p, label_lengths=n, logit_lengths=t)

        call = cr.jit(update) if compiled else update
        call(labels, outputs, counts, frames)
        assert rate.result() == 0.0
        call(labels, outputs, np.array([2, 2]), np.array([6, 6]))
        assert rate.result() == pytest.approx(2 / 9)  # one label too many in each row


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.integers(0, 2), max_size=8), min_size=2, max_size=2))
def test_words_of_labels_are_words_of_texts(rows):
    letters = "ab "
    texts = ["".join(letters[c] for c in row) for row in rows]
    expected = metrics.get("wer").compute(["a b", texts[0]], ["a b", texts[1]])
    y, p = (filled([[0, 2, 1], row], 8) for row in rows)
    for update in (False, True):
        rate = metrics.WordErrorRate(space=2)
        (cr.jit(rate.update) if update else rate.update)(y, p)
        assert rate.result() == pytest.approx(expected)


def test_mistakes_are_named():
    with pytest.raises(ShapeError, match="fill short rows up"):
        metrics.edit_distance([1, 2], [[1, 2]])
    with pytest.raises(ShapeError, match=r"\(N, L\) and \(N, M\)"):
        metrics.edit_distance([[1, 2]], [[1], [2]])
    with pytest.raises(ShapeError, match=r"\(batch, labels\)"):
        metrics.get("cer").update([1, 2], [[1], [2]])
    with pytest.raises(ArgumentError, match="number of texts"):
        metrics.get("cer").update(["a"], ["a", "b"])
