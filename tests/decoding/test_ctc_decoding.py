"""Decoders of CTC outputs against all alignments, one by one."""

import itertools
import math
from collections import defaultdict

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import chainrule as cr
from chainrule.decoding import ctc_beam_search, ctc_greedy
from chainrule.errors import ArgumentError, ShapeError


def collapsed(path, blank):
    return tuple(int(key) for key, _ in itertools.groupby(path) if key != blank)


def labels_of(row):
    return tuple(int(c) for c in row if c >= 0)


@st.composite
def outputs(draw):
    rows, time, classes = draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(2, 4))
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    lengths = np.array([draw(st.integers(0, time)) for _ in range(rows)])
    return random.normal(0, 2, (rows, time, classes)), lengths, draw(st.integers(-1, classes - 1))


@settings(deadline=None, max_examples=25)
@given(outputs())
def test_greedy_collapses_the_best_path(problem):
    logits, lengths, blank = problem
    expected = [
        collapsed(z[:n].argmax(-1), blank % z.shape[1])
        for z, n in zip(logits, lengths, strict=True)
    ]
    found = ctc_greedy(logits, lengths, blank=blank)
    assert found.shape == logits.shape[:2]
    assert [labels_of(row) for row in found.numpy()] == expected
    jitted = cr.jit(lambda z, n: ctc_greedy(z, n, blank=blank))(logits, lengths)
    assert np.array_equal(jitted.numpy(), found.numpy())
    whole = ctc_greedy(logits, blank=blank).numpy()
    assert [labels_of(row) for row in whole] == [
        collapsed(z.argmax(-1), blank % z.shape[1]) for z in logits
    ]


def probabilities_of_labels(p, blank):
    """Every row of labels with the summed probability of its alignments."""
    total = defaultdict(float)
    for path in itertools.product(range(p.shape[1]), repeat=len(p)):
        total[collapsed(path, blank)] += math.prod(p[range(len(path)), path])
    return total


@settings(deadline=None, max_examples=25)
@given(outputs())
def test_a_wide_beam_finds_all_labels_with_their_probabilities(problem):
    logits, lengths, blank = problem
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    for given_, options in ((logits, {}), (p, {"from_logits": False})):
        found = ctc_beam_search(given_, lengths, blank=blank, beam_width=2000, **options)
        for row, n, hypotheses in zip(p, lengths, found, strict=True):
            expected = probabilities_of_labels(row[:n], blank % row.shape[1])
            exact = {h.labels: math.exp(h.log_probability) for h in hypotheses}
            assert exact == pytest.approx(dict(expected), rel=1e-9)
            order = [h.log_probability for h in hypotheses]
            assert order == sorted(order, reverse=True)


def test_a_beam_agrees_with_the_loss():
    logits = np.random.default_rng(0).normal(size=(2, 12, 5))
    for row, hypotheses in zip(logits, ctc_beam_search(logits, beam_width=4000), strict=True):
        labels = np.array([hypotheses[0].labels])
        loss = cr.losses.ctc(labels, row[None]).item()
        assert -hypotheses[0].log_probability == pytest.approx(loss, abs=1e-3)


def test_the_best_labels_need_not_be_the_best_path():
    p = np.array([[[0.6, 0.4], [0.6, 0.4]]])
    assert labels_of(ctc_greedy(p).numpy()[0]) == ()
    best, other = ctc_beam_search(p, from_logits=False)[0]
    assert (best.labels, other.labels) == ((1,), ())
    assert math.exp(best.log_probability) == pytest.approx(0.64)
    (only,) = ctc_beam_search(p, from_logits=False, beam_width=1)[0]
    assert only.labels in ((), (1,))


def test_a_language_model_changes_the_choice():
    p = np.full((1, 2, 3), 1 / 3)

    def model(prefix, label):
        return 0.0 if label == 2 and not prefix else -10.0

    best = ctc_beam_search(p, from_logits=False, language_model=model)[0][0]
    assert best.labels == (2,)
    free = {h.labels: h.log_probability for h in ctc_beam_search(p, from_logits=False)[0]}
    led = ctc_beam_search(p, from_logits=False, language_model=model)[0]
    assert {h.labels: h.log_probability for h in led}[(1,)] == pytest.approx(free[(1,)] - 10)


def test_impossible_classes_are_never_followed():
    p = np.array([[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]])
    (only,) = ctc_beam_search(p, from_logits=False)[0]
    assert only == ((1,), 0.0)


@pytest.mark.parametrize(
    ("decode", "error", "text"),
    [
        (lambda: ctc_greedy(np.zeros((2, 3))), ShapeError, r"predictions\[None\]"),
        (lambda: ctc_greedy(np.zeros((2, 3, 1))), ShapeError, "2 classes"),
        (lambda: ctc_greedy(np.zeros((2, 3, 4)), [3]), ShapeError, "lengths"),
        (lambda: ctc_greedy(np.zeros((2, 3, 4)), blank=4), ArgumentError, "-4 to 3"),
        (lambda: ctc_beam_search(np.zeros((2, 3, 4)), beam_width=0), ArgumentError, "no beam"),
    ],
)
def test_mistakes_are_named(decode, error, text):
    with pytest.raises(error, match=text):
        decode()
