"""Masks: what is not there changes nothing, to the bit, and how masks pass through a model."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr

BACKENDS = ["reference", "cpu"]
RNG = np.random.default_rng(29)
X = RNG.standard_normal((4, 6, 3))
LENGTHS = np.array([4, 1, 6, 0])
MASK = np.arange(6) < LENGTHS[:, None]
GARBAGE = np.where(MASK[..., None], X, RNG.choice([np.nan, np.inf, -1e300, 7.0], X.shape))
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "sequences": {"return_sequences": True},
    "backwards": {"go_backwards": True},
    "both": {"bidirectional": True, "num_layers": 2, "return_sequences": True},
}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with cr.settings(backend=request.param):
        yield request.param


def make(kind: str, options: str) -> cr.Layer:
    layer = getattr(cr.layers, kind)(5, dtype="float64", **OPTIONS[options])
    layer.tree_seed = 3
    layer(X)
    return layer


def results(layer: cr.Layer, x: Any, mask: Any) -> list[Any]:
    """Output, and the gradients of the input and of all variables, from one compiled function."""
    variables = layer.trainable_variables

    @cr.jit
    def run(x: cr.Tensor, mask: cr.Tensor) -> Any:
        with cr.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, mask=mask)
            total = cr.sum(outputs * cr.sin(cr.arange(outputs.shape[-1], dtype="float64") + 1))
        return outputs, *tape.gradient(total, [x, *variables])

    return [value.numpy() for value in run(x, mask)]


def test_sequence_mask() -> None:
    assert (cr.sequence_mask(LENGTHS, 6).numpy() == MASK).all()
    assert cr.sequence_mask([[1], [2]], 2).tolist() == [[[True, False]], [[True, True]]]
    with pytest.raises(cr.errors.ArgumentError, match="not integers"):
        cr.sequence_mask([1.0], 2)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_what_is_not_there_changes_no_bit(kind: str, options: str, backend: str) -> None:
    layer = make(kind, options)
    clean, dirty = results(layer, X, MASK), results(layer, GARBAGE, MASK)
    for expected, found in zip(clean, dirty, strict=True):
        assert np.isfinite(found).all()
        assert found.tobytes() == expected.tobytes()
    assert (dirty[1][~MASK] == 0).all()
    if layer.return_sequences:
        assert (dirty[0][~MASK] == 0).all()
    else:
        assert (dirty[0][3] == 0).all()


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_each_row_is_as_alone_without_padding(kind: str, options: str, backend: str) -> None:
    layer = make(kind, options)
    found = results(layer, GARBAGE, MASK)
    sums = [np.zeros(v.shape) for v in layer.trainable_variables]
    for row, length in enumerate(LENGTHS[:3]):
        alone = results(layer, X[row : row + 1, :length], MASK[row : row + 1, :length])
        outputs = found[0][row, :length] if layer.return_sequences else found[0][row]
        np.testing.assert_allclose(outputs, alone[0][0], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(found[1][row, :length], alone[1][0], rtol=1e-12, atol=1e-14)
        sums = [a + b for a, b in zip(sums, alone[2:], strict=True)]
    for total, gradient in zip(sums, found[2:], strict=True):
        np.testing.assert_allclose(gradient, total, rtol=1e-11, atol=1e-13)


def test_rows_without_steps_keep_the_first_state() -> None:
    layer = cr.layers.LSTM(2, return_state=True)
    first = tuple(RNG.standard_normal((4, 2)).astype("float32") for _ in range(2))
    outputs, state = layer(X, mask=MASK, initial_state=first)
    for found, given in zip(state, first, strict=True):
        assert (found.numpy()[3] == given[3]).all()
        assert (found.numpy()[:3] != given[:3]).all()
    assert (outputs.numpy()[3] == first[0][3]).all()


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU", "GRU, reset before"])
@pytest.mark.parametrize("options", ["plain", "both"])
def test_gradients_with_masks(kind: str, options: str, backend: str) -> None:
    x, mask = X[:, :4, :2], MASK[:, :4]
    extra = {"reset_after": False} if "," in kind else {}
    cls = getattr(cr.layers, kind.partition(",")[0])
    layer = cls(2, dtype="float64", **OPTIONS[options], **extra)
    first = layer(x, mask=mask)
    state = [RNG.standard_normal((4, 2)) for cell in layer._cells() for _ in cell.state_sizes]
    values = [RNG.uniform(-1, 1, v.shape) for v in layer.variables]
    assert first.shape[0] == 4

    def run(x: Any, *rest: Any) -> cr.Tensor:
        given = iter(rest[: len(state)])
        states = [tuple(next(given) for _ in cell.state_sizes) for cell in layer._cells()]
        for variable, value in zip(layer.variables, rest[len(state) :], strict=True):
            variable.assign(value)
        initial = states if len(states) > 1 else states[0]
        return layer(x, mask=mask, initial_state=initial)

    cr.check_gradients(run, x, *state, *values, order=2)


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_second_derivatives_are_the_same_on_both_back_ends(kind: str) -> None:
    layer = make(kind, "both")

    def roughness(x: cr.Tensor) -> cr.Tensor:
        slope = cr.grad(lambda x: cr.sum(cr.square(layer(x, mask=MASK))))(x)
        return cr.sum(cr.square(slope))

    found = []
    for name in BACKENDS:
        with cr.settings(backend=name):
            found.append(cr.jit(cr.grad(roughness))(X).numpy())
    assert np.abs(found[0]).max() > 0.01
    np.testing.assert_allclose(found[1], found[0], rtol=1e-10, atol=1e-13)


# ---- pooling


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("kind", ["Average", "Max"])
def test_pooling_over_valid_steps(kind: str, keepdims: bool, backend: str) -> None:
    layer = getattr(cr.layers, f"Global{kind}Pooling1D")(keepdims=keepdims, dtype="float64")
    found, flow = results(layer, GARBAGE, MASK)
    for row, length in enumerate(LENGTHS):
        part = X[row, :length]
        expected = getattr(part, {"Average": "mean", "Max": "max"}[kind])(0) if length else 0.0
        np.testing.assert_allclose(found[row].reshape(3), expected, rtol=1e-14)
    assert found.shape == ((4, 1, 3) if keepdims else (4, 3))
    assert (flow[~MASK] == 0).all()
    assert np.isfinite(flow).all()
    assert (flow[MASK] != 0).any()
    cr.check_gradients(lambda x: layer(x, mask=MASK), X, order=2)


def test_pooling_of_integers_with_a_mask() -> None:
    layer = cr.layers.GlobalMaxPooling1D()
    assert layer([[[1], [5]]], mask=[[True, False]]).numpy().tolist() == [[1.0]]


# ---- how masks travel


class Recorder(cr.Layer):
    """Keeps the mask that it was given."""

    def call(self, inputs: cr.Tensor, mask: Any = None) -> cr.Tensor:
        self.seen = None if mask is None else mask.numpy()
        return inputs


TOKENS = np.array([[3, 2, 0, 0], [1, 4, 2, 3], [5, 0, 0, 0]], "int32")
THERE = TOKENS != 0


def test_an_embedding_with_padding_masks_the_layers_behind() -> None:
    first, second, third = Recorder(), Recorder(), Recorder()
    model = cr.Sequential([
        cr.layers.Embedding(6, 3, padding_index=0), first, cr.layers.Dense(5), second,
        cr.layers.LSTM(4), third,
    ])  # fmt: skip
    model(TOKENS)
    assert (first.seen == THERE).all()
    assert (second.seen == THERE).all()
    assert third.seen is None


@pytest.mark.parametrize(
    "change",
    [cr.layers.Conv1D(3, 2), cr.layers.MaxPooling1D(2), cr.layers.Flatten(), cr.layers.GRU(3)],
    ids=lambda layer: type(layer).__name__,
)
def test_a_mask_ends_where_the_steps_end(change: cr.Layer) -> None:
    recorder = Recorder()
    cr.Sequential([cr.layers.Embedding(6, 3, padding_index=0), change, recorder])(TOKENS)
    assert recorder.seen is None


def test_masks_through_a_model_inside_a_model() -> None:
    inner, behind = Recorder(), Recorder()
    tokens = cr.layers.Embedding(6, 3, padding_index=0)
    encoder = cr.Sequential([cr.layers.Input(4, input_dtype="int32"), tokens, inner])
    cr.Sequential([encoder, behind])(TOKENS)
    assert (inner.seen == THERE).all()
    assert (behind.seen == THERE).all()
    given = Recorder()
    cr.Sequential([cr.Sequential([given]), behind])(X, mask=MASK)
    assert (given.seen == MASK).all()
    assert (behind.seen == MASK).all()
    # Only the inputs of the first layer are known from outside.
    late = cr.Sequential([cr.layers.Dense(2), cr.layers.Masking()])
    cr.Sequential([late, behind])(X)
    assert behind.seen is None
    flat = cr.Sequential([cr.layers.Embedding(6, 3, padding_index=0), cr.layers.Flatten()])
    cr.Sequential([flat, cr.layers.Reshape((4, 3)), behind])(TOKENS)
    assert behind.seen is None


def test_a_given_mask_and_padding_both_hold() -> None:
    recorder = Recorder()
    model = cr.Sequential([cr.layers.Embedding(6, 3, padding_index=0), recorder])
    given = np.array([[1, 0, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]], bool)
    model(TOKENS, mask=given)
    assert (recorder.seen == (THERE & given)).all()


def test_masking_by_value() -> None:
    recorder = Recorder()
    model = cr.Sequential([cr.layers.Masking(-1.0), recorder])
    x = np.array([[[1.0, -1.0], [-1.0, -1.0]], [[-1.0, -1.0], [0.0, 0.0]]])
    model(x)
    assert recorder.seen.tolist() == [[True, False], [False, True]]
    model(x, mask=[[False, True], [True, True]])
    assert recorder.seen.tolist() == [[False, False], [False, True]]


def test_masks_reach_attention() -> None:
    model = cr.Sequential([
        cr.layers.Embedding(6, 8, padding_index=0), cr.layers.MultiHeadAttention(2, 4),
        cr.layers.GRU(3, return_sequences=True), cr.layers.GlobalMaxPooling1D(),
    ])  # fmt: skip
    long = np.pad(TOKENS, ((0, 0), (0, 3)))
    np.testing.assert_allclose(model(TOKENS).numpy(), model(long).numpy(), atol=1e-6)


def test_padding_changes_no_prediction_and_no_training(backend: str) -> None:
    def trained(tokens: Any) -> tuple[Any, list[Any]]:
        model = cr.Sequential([
            cr.layers.Embedding(6, 3, padding_index=0),
            cr.layers.GRU(4, bidirectional=True, return_sequences=True),
            cr.layers.GlobalAveragePooling1D(), cr.layers.Dense(1),
        ])  # fmt: skip
        target = np.array([[1.0], [2.0], [3.0]], "float32")
        model.fit(tokens, target, loss="mse", epochs=3, seed=1, batch_size=2)
        return model.predict(tokens), model.get_weights()

    short, weights = trained(TOKENS)
    long, others = trained(np.pad(TOKENS, ((0, 0), (0, 3))))
    np.testing.assert_allclose(short, long, rtol=1e-5)
    for a, b in zip(weights, others, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_loss_at_each_step_leaves_out_what_is_not_there(backend: str) -> None:
    def trained(x: Any, mask: Any) -> list[Any]:
        model = cr.Sequential([
            cr.layers.Masking(), cr.layers.LSTM(4, return_sequences=True), cr.layers.Dense(1),
        ])  # fmt: skip
        target = x.sum(-1, keepdims=True)
        options: dict[str, Any] = {"loss": "mse", "epochs": 2, "seed": 1, "shuffle": False}
        history = model.fit(x, target, sample_weight=mask.astype("float32"), **options)
        return [history["loss"], *model.get_weights()]

    x, rows = np.where(MASK[..., None], X, 0).astype("float32"), LENGTHS > 0
    whole = trained(x[rows], MASK[rows])
    padded = trained(np.pad(x, ((0, 0), (0, 2), (0, 0))), np.pad(MASK, ((0, 0), (0, 2))))
    for a, b in zip(whole, padded, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


# ---- the embedding


def test_the_padding_row_is_zero_and_does_not_learn(backend: str) -> None:
    layer = cr.layers.Embedding(6, 3, padding_idx=2, embeddings_initializer="ones")
    assert (layer(TOKENS).numpy()[TOKENS == 2] == 0).all()
    assert (layer.embeddings.numpy().sum(1) == [3, 3, 0, 3, 3, 3]).all()
    layer.embeddings.assign(np.ones((6, 3)))
    with cr.GradientTape() as tape:
        outputs = layer(TOKENS)
        total = cr.sum(outputs)
    assert (outputs.numpy()[TOKENS == 2] == 0).all()
    counts = np.bincount(TOKENS.ravel(), minlength=6) * (np.arange(6) != 2)
    assert (tape.gradient(total, layer.embeddings).numpy() == counts[:, None]).all()


def test_an_embedding_of_single_indices_makes_no_mask() -> None:
    layer = cr.layers.Embedding(6, 3, padding_index=0)
    indices = cr.tensor([1, 0])
    assert layer(indices).shape == (2, 3)
    assert layer.compute_mask(indices) is None


def test_padding_index_out_of_range() -> None:
    with pytest.raises(cr.errors.ArgumentError, match="padding_index out of range: got 6"):
        cr.layers.Embedding(6, 3, padding_index=6)


# ---- steps by themselves


def test_time_distributed() -> None:
    layer = cr.layers.TimeDistributed(cr.layers.Conv2D(2, 2))
    pictures = RNG.standard_normal((2, 3, 4, 5, 1)).astype("float32")
    found = layer(pictures).numpy()
    for t in range(3):
        np.testing.assert_allclose(found[:, t], layer.layer(pictures[:, t]).numpy(), rtol=1e-6)
    recorder = Recorder()
    model = cr.Sequential([cr.layers.TimeDistributed(cr.layers.Dense(2)), recorder])
    model(X, mask=MASK)
    assert (recorder.seen == MASK).all()
    with pytest.raises(cr.errors.ShapeError, match="at least three axes"):
        cr.layers.TimeDistributed(cr.layers.Dense(2))(X[0])
    with pytest.raises(cr.errors.ArgumentError, match="not a layer"):
        cr.layers.TimeDistributed(abs)


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_a_causal_convolution_sees_no_future(dilation: int) -> None:
    layer = cr.layers.Conv1D(4, 3, padding="causal", dilation=dilation, dtype="float64")
    before = layer(X).numpy()
    kernel, bias = layer.kernel.numpy(), layer.bias.numpy()
    for t in range(6):
        changed = X.copy()
        changed[:, t + 1 :] = RNG.standard_normal(changed[:, t + 1 :].shape)
        assert (layer(changed).numpy()[:, : t + 1] == before[:, : t + 1]).all()
        places = [t - (2 - k) * dilation for k in range(3)]
        expected = bias + sum(X[:, p] @ kernel[k] for k, p in enumerate(places) if p >= 0)
        np.testing.assert_allclose(before[:, t], expected, rtol=1e-12, atol=1e-14)
