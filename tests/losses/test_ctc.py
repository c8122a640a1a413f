"""CTC: against all alignments one by one, against PyTorch, and at the edges."""

import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import chainrule as cr
from chainrule import losses
from chainrule.errors import ArgumentError, DataError, ShapeError
from chainrule.losses import CTC, ctc


def collapsed(path, blank):
    return tuple(key for key, _ in itertools.groupby(path) if key != blank)


def by_enumeration(logits, labels, blank):
    """-log of the summed probability of every row of classes that collapses to the labels."""
    shifted = logits - logits.max(-1, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(-1, keepdims=True)
    paths = itertools.product(range(logits.shape[1]), repeat=logits.shape[0])
    total = sum(
        math.prod(p[range(len(path)), path])
        for path in paths
        if collapsed(path, blank) == tuple(labels)
    )
    return -math.log(total) if total else math.inf


@st.composite
def small_problems(draw):
    """Logits, labels and lengths small enough for enumeration."""
    classes, time, rows = draw(st.integers(2, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 3))
    blank = draw(st.integers(0, classes - 1))
    labels = [c for c in range(classes) if c != blank]
    targets = [draw(st.lists(st.sampled_from(labels), max_size=3)) for _ in range(rows)]
    frames = [draw(st.integers(0, time)) for _ in range(rows)]
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    return random.normal(0, 2, (rows, time, classes)), targets, frames, blank


def filled(targets, most=3):
    return np.array([row + [-1] * (most - len(row)) for row in targets])


@settings(deadline=None, max_examples=25)
@given(small_problems())
def test_every_alignment_counts_once(problem):
    logits, targets, frames, blank = problem
    found = cr.jit(
        lambda y, p, lengths: ctc(y, p, logit_lengths=lengths, blank=blank, from_logits=True)
    )(filled(targets), logits, np.array(frames))
    expected = [
        by_enumeration(z[:n], row, blank) for z, row, n in zip(logits, targets, frames, strict=True)
    ]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-11, atol=1e-12)


def test_lengths_and_negative_labels_say_the_same():
    random = np.random.default_rng(3)
    logits, labels = random.normal(size=(3, 7, 5)), random.integers(1, 5, (3, 4))
    lengths = np.array([2, 4, 0])
    marked = np.where(np.arange(4) < lengths[:, None], labels, -1)
    by_length = ctc(labels, logits, label_lengths=lengths, zero_infinity=True).numpy()
    assert by_length.tolist() == ctc(marked, logits, zero_infinity=True).numpy().tolist()


def test_garbage_in_padding_changes_no_bit():
    random = np.random.default_rng(4)
    logits, labels = random.normal(size=(3, 6, 4)), random.integers(1, 4, (3, 3))
    frames, lengths = np.array([6, 4, 3]), np.array([3, 2, 1])
    labels[0] = [1, 2, 3]
    labels[1, :2] = [2, 3]
    others, numbers = logits.copy(), labels.copy()
    others[np.arange(6) >= frames[:, None]] = np.nan
    numbers[np.arange(3) >= lengths[:, None]] = 77

    def run(y, p):
        return cr.value_and_grad(
            lambda q: ctc(y, q, label_lengths=lengths, logit_lengths=frames).sum()
        )(cr.tensor(p))

    for (value, gradient), (value_2, gradient_2) in [
        (run(labels, logits), run(numbers, others)),
        (cr.jit(run)(labels, logits), cr.jit(run)(numbers, others)),
    ]:
        assert value.item() == value_2.item()
        assert gradient.numpy().tobytes() == gradient_2.numpy().tobytes()
        assert (gradient.numpy()[np.arange(6) >= frames[:, None]] == 0).all()


def test_gradients_with_lengths_and_repetitions():
    random = np.random.default_rng(5)
    logits = random.normal(size=(4, 5, 3))
    labels = np.array([[1, 1, -1], [2, 1, 2], [-1, -1, -1], [2, -1, -1]])
    frames, weights = np.array([5, 4, 2, 1]), random.uniform(0.5, 2, 4)
    cr.check_gradients(
        lambda z, w: CTC()(labels, z, sample_weight=w, logit_lengths=frames), logits, weights
    )


def test_labels_without_room_are_named_or_have_no_gradient():
    logits = np.random.default_rng(6).normal(size=(2, 3, 4))
    labels, fits = np.array([[1, 2, 3], [2, 2, 1]]), np.array([[1, 2, 3], [2, 1, -1]])
    text = r"got 3 labels, 1 repeated, in row 1, expected at most its 3 frames"
    with pytest.raises(DataError, match=text):
        ctc(labels, logits)
    with pytest.raises(DataError, match="in row 1, expected at most its 2 frames"):
        ctc([[1, 2, 3], [1, 2, 3]], logits, logit_lengths=[3, 2])
    expected = ctc(fits, logits).numpy()[0]

    def run(y, p, zero_infinity):
        def total(q):
            rows = ctc(y, q, zero_infinity=zero_infinity)
            return rows.sum(), rows

        return cr.value_and_grad(lambda q: total(q)[0])(p), total(p)[1]

    (_, gradient), rows = cr.jit(lambda y, p: run(y, p, False))(labels, logits)
    assert rows.numpy().tolist() == [pytest.approx(expected), math.inf]
    assert np.isfinite(gradient.numpy()).all()
    assert (gradient.numpy()[1] == 0).all()
    (_, again), rows = run(labels, cr.tensor(logits), True)
    assert rows.numpy().tolist() == [pytest.approx(expected), 0.0]
    np.testing.assert_allclose(again.numpy(), gradient.numpy(), rtol=1e-12)


def test_classes_ruled_out_by_infinite_logits():
    logits = np.zeros((4, 4, 3))
    logits[:2, :, 2] = logits[2:, :, [0, 2]] = -np.inf
    labels = [[1], [2], [2], [1]]
    # Ten of the sixteen rows of blanks and ones have their ones side by side.
    expected = [pytest.approx(-math.log(10 / 16)), math.inf, math.inf, pytest.approx(0.0)]
    assert ctc(labels, logits).numpy().tolist() == expected
    gradient = cr.grad(lambda p: ctc(labels, p).sum())(cr.tensor(logits)).numpy()
    assert np.isfinite(gradient).all()
    assert (gradient[1:3] == 0).all()


def test_long_and_confident_sequences_stay_finite_in_float32():
    random = np.random.default_rng(8)
    logits = (random.normal(size=(2, 400, 6)) * 50).astype("float32")
    labels = np.array([[1, 2, 3, 4, 5] * 20] * 2)
    value, gradient = cr.value_and_grad(lambda p: ctc(labels, p).sum())(cr.tensor(logits))
    exact = ctc(labels, logits.astype("float64")).sum().item()
    assert value.item() == pytest.approx(exact, rel=1e-5)
    assert np.isfinite(gradient.numpy()).all()


def test_mask_of_frames_stands_for_lengths():
    random = np.random.default_rng(9)
    logits, labels = random.normal(size=(3, 5, 4)), np.array([[1, 2], [3, -1], [2, 2]])
    frames = np.array([5, 1, 3])
    mask = np.arange(5) < frames[:, None]
    rows = ctc(labels, logits, logit_lengths=frames).numpy()
    loss = CTC()
    assert float(loss(labels, logits, mask=mask)) == pytest.approx(rows.mean(), rel=1e-14)
    weighted = loss(labels, logits, sample_weight=[1.0, 0.0, 3.0], logit_lengths=frames)
    assert float(weighted) == pytest.approx((rows[0] + 3 * rows[2]) / 4, rel=1e-14)
    whole = ctc(labels, logits).numpy()
    some = loss(labels, logits, mask=[True, False, True])
    assert float(some) == pytest.approx((whole[0] + whole[2]) / 2, rel=1e-14)


@pytest.mark.parametrize(
    ("y_true", "shape", "options", "error", "text"),
    [
        ([[1]], (1, 4), {}, ShapeError, r"\(batch, frames, classes\)"),
        ([[1]], (1, 2, 1), {}, ShapeError, "2 classes"),
        ([1], (1, 2, 3), {}, ShapeError, "fill short rows up with -1"),
        ([[1], [1]], (1, 2, 3), {}, ShapeError, "one row of labels for each sequence"),
        ([[3]], (1, 2, 3), {}, DataError, "got 3 in row 0, position 0"),
        ([[1, 0]], (1, 2, 3), {}, DataError, "not the blank 0"),
        ([[2]], (1, 2, 3), {"blank": -1}, DataError, "not the blank 2"),
        ([[1]], (1, 2, 3), {"blank": 3}, ArgumentError, "-3 to 2"),
        ([[1]], (1, 2, 3), {"label_lengths": [2]}, DataError, "label_lengths out of range"),
        ([[1]], (1, 2, 3), {"logit_lengths": [3]}, DataError, "from 0 to 2"),
        ([[1]], (1, 2, 3), {"logit_lengths": [1, 1]}, ShapeError, "logit_lengths"),
        ([[1, -1]], (1, 2, 3), {"label_lengths": [2]}, DataError, "got -1 in row 0, position 1"),
    ],
)
def test_mistakes_are_named(y_true, shape, options, error, text):
    with pytest.raises(error, match=text):
        ctc(y_true, np.full(shape, -1.0), **options)


def test_targets_are_checked_before_training():
    loss = losses.get("ctc")
    loss.check_targets([[1, 2], [2, -1]], (2, 3))
    with pytest.raises(DataError, match="got 3 in row 1"):
        loss.check_targets([[1, 2], [3, -1]], (2, 3))
    with pytest.raises(DataError, match="room"):
        loss.check_targets([[1, 1], [2, -1]], (2, 3))
    losses.get("ctc", zero_infinity=True).check_targets([[1, 1], [2, -1]], (2, 3))


@pytest.mark.parity
def test_ctc_equals_pytorch():
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(10)
    rows, time, classes, most = 12, 30, 9, 10
    logits = random.normal(0, 3, (rows, time, classes))
    labels = random.integers(0, classes - 1, (rows, most))
    labels[:4, 1::2] = labels[:4, ::2]
    blank = classes - 1
    label_lengths = np.array([10, 7, 5, 1, 0, 0, 3, 10, 10, 2, 6, 8])
    frames = random.integers(22, time + 1, rows)
    flow = random.normal(size=rows)
    ours = cr.tensor(logits)
    with cr.GradientTape() as tape:
        tape.watch(ours)
        found = ctc(labels, ours, label_lengths=label_lengths, logit_lengths=frames, blank=blank)
        total = cr.sum(found * flow)
    theirs = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.ctc_loss(
        torch.log_softmax(theirs, -1).transpose(0, 1), torch.tensor(labels), torch.tensor(frames),
        torch.tensor(label_lengths), blank=blank, reduction="none",
    )  # fmt: skip
    (expected * torch.tensor(flow)).sum().backward()
    np.testing.assert_allclose(found.numpy(), expected.detach().numpy(), rtol=1e-9)
    np.testing.assert_allclose(
        tape.gradient(total, ours).numpy(), theirs.grad.numpy(), rtol=1e-9, atol=1e-12
    )


def test_bits_are_the_same_on_one_thread_and_two():
    random = np.random.default_rng(11)
    logits = random.normal(size=(32, 60, 20)).astype("float32")
    labels, frames = random.integers(1, 20, (32, 15)), random.integers(40, 61, 32)
    bits = set()
    for threads in (1, 2):
        with cr.settings(threads=threads):
            step = cr.jit(
                lambda y, z, n: cr.value_and_grad(lambda p: ctc(y, p, logit_lengths=n).sum())(z)
            )
            bits.add(b"".join(part.numpy().tobytes() for part in step(labels, logits, frames)))
    assert len(bits) == 1


def test_a_network_learns_to_transcribe():
    random = np.random.default_rng(12)
    x, y = random.normal(0, 0.1, (48, 12, 4)).astype("float32"), np.full((48, 3), -1)
    for row in range(48):
        labels = random.integers(1, 4, random.integers(1, 4))
        y[row, : len(labels)] = labels
        x[row, np.arange(len(labels)) * 4 + random.integers(0, 3, len(labels)), labels] += 1
    model = cr.Sequential([cr.layers.Dense(16, activation="tanh"), cr.layers.Dense(4)])
    model.fit(
        x, y, loss="ctc", optimizer=cr.optimizers.Adam(learning_rate=0.02), metrics=["cer"],
        epochs=60, batch_size=16, seed=1, verbose=0,
    )  # fmt: skip
    assert model.evaluate(x, y)["cer"] == 0.0
    found = cr.decoding.ctc_greedy(model.predict(x)).numpy()
    assert np.array_equal(found[:, :3], y)
