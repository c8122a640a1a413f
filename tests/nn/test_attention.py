"""Attention and transformer blocks: what they compute, masks, positions, parity with PyTorch."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import chainrule as cr
from chainrule.errors import ArgumentError, DTypeError, ShapeError
from chainrule.nn.layers.attention import masked_softmax

RNG = np.random.default_rng(21)
layers = cr.layers


def seen(lengths, time):
    return np.arange(time) < np.array(lengths)[:, None]


def by_hand(layer, query, value, key, visible):
    """Head by head, query by query; hidden keys are left out."""
    w = {name: variable.numpy() for name, variable in layer.weights.items()}
    q, k, v = (
        x @ w[f"{name}_kernel"] + w.get(f"{name}_bias", 0)
        for name, x in (("query", query), ("key", key), ("value", value))
    )
    heads, size = layer.num_heads, layer.key_dim
    depth = v.shape[-1] // heads
    outputs = np.zeros((*query.shape[:2], heads * depth))
    weights = np.zeros((len(query), heads, query.shape[1], key.shape[1]))
    for n, h, i in np.ndindex(*weights.shape[:3]):
        keys = np.flatnonzero(visible[n, h, i])
        if len(keys):
            columns = slice(h * size, (h + 1) * size)
            scores = k[n, keys, columns] @ q[n, i, columns] / np.sqrt(size)
            powers = np.exp(scores - scores.max())
            weights[n, h, i, keys] = powers / powers.sum()
        outputs[n, i, h * depth : (h + 1) * depth] = (
            weights[n, h, i] @ v[n, :, h * depth : (h + 1) * depth]
        )
    return outputs @ w["output_kernel"] + w.get("output_bias", 0), weights


@st.composite
def problems(draw):
    small = st.integers(1, 3)
    heads, rows, queries = draw(small), draw(small), draw(st.integers(1, 5))
    layer = layers.MultiHeadAttention(
        heads, draw(small), draw(st.one_of(st.none(), small)), causal=draw(st.booleans()),
        use_bias=draw(st.booleans()), bias_initializer="normal", dtype="float64",
    )  # fmt: skip
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    query = random.normal(size=(rows, queries, draw(small)))
    if draw(st.booleans()):
        inputs, keys = (query, query, query), queries
    else:
        keys = draw(st.integers(1, 5))
        inputs = (query, *(random.normal(size=(rows, keys, draw(small))) for _ in range(2)))
    mask = random.random((rows, keys)) < 0.7 if draw(st.booleans()) else None
    shapes = [(queries, keys), (rows, queries, keys), (rows, 1, queries, keys)]
    shape = draw(st.sampled_from([None, *shapes, (rows, heads, queries, keys), (1, 1, keys)]))
    attention_mask = None if shape is None else random.random(shape) < 0.7
    return layer, inputs, mask, attention_mask


@settings(deadline=None, max_examples=40)
@given(problems())
def test_attention_equals_heads_one_by_one(problem):
    layer, (query, value, key), mask, attention_mask = problem
    given_ = [query] if query is value else [query, value, key]
    options = {"mask": mask, "attention_mask": attention_mask, "return_attention_scores": True}
    found, weights = layer(*given_, **options)
    visible = np.ones((len(query), layer.num_heads, query.shape[1], key.shape[1]), bool)
    if mask is not None:
        visible &= mask[:, None, None]
        if query is value:
            query = value = key = np.where(mask[..., None], query, 0)
    if attention_mask is not None:
        other = attention_mask
        visible &= other[:, None] if other.ndim == 3 else other
    if layer.causal:
        visible &= np.arange(key.shape[1]) <= np.arange(query.shape[1])[:, None]
    expected, expected_weights = by_hand(layer, query, value, key, visible)
    np.testing.assert_allclose(weights.numpy(), expected_weights, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-11)
    assert (weights.numpy()[~visible] == 0).all()


def test_value_is_the_key_too_and_may_be_named():
    layer = layers.MultiHeadAttention(2, 3, dtype="float64")
    query, value = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 5, 4))
    expected = layer(query, value, value).numpy()
    assert np.array_equal(layer(query, value).numpy(), expected)
    assert np.array_equal(layer(query, value=value, key=value).numpy(), expected)
    assert np.array_equal(layer([cr.tensor(query), cr.tensor(value)]).numpy(), expected)
    from_lists = layer(query.tolist(), value.tolist()).numpy()  # by way of float32
    np.testing.assert_allclose(from_lists, expected, atol=1e-6)
    assert layer(np.ones((1, 2, 4), int)).dtype == "float64"
    assert layer.key_kernel.shape == (4, 6)


# ---- masks


def with_gradients(layer, given_, kept, **options):
    """The outputs that count, and the gradients of their squares."""
    with cr.GradientTape() as tape:
        outputs = layer(*given_, **options)
        counted = cr.where(kept[..., None], outputs, 0)
        total = cr.sum(cr.square(counted))
    gradients = tape.gradient(total, layer.trainable_variables)
    return [counted.numpy(), *(g.numpy() for g in gradients)]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", ["self", "cross", "block"])
def test_garbage_in_padding_changes_no_bit(kind, causal, compiled):
    time = 6
    mask = seen([6, 3, 1, 0], time)
    x = RNG.normal(size=(4, time, 5)).astype("float32")
    garbage = np.where(mask[..., None], x, np.float32(np.nan))
    garbage[1, 4] = np.inf
    if kind == "block":
        layer = layers.TransformerBlock(2, 3, 7, causal=causal)
    else:
        layer = layers.MultiHeadAttention(2, 3, causal=causal)
    query = RNG.normal(size=(4, 2, 4)).astype("float32")
    kept = np.ones((4, 2), bool) if kind == "cross" else mask

    def run(x):
        return with_gradients(layer, [query, x] if kind == "cross" else [x], kept, mask=mask)

    def run_compiled(x):
        given_ = [query, x] if kind == "cross" else [x]
        step = cr.jit(lambda *inputs: _traced(layer, inputs, kept, mask))
        return [part.numpy() for part in step(*given_)]

    results = [(run_compiled if compiled else run)(part) for part in (x, garbage)]
    for clean, other in zip(*results, strict=True):
        assert np.isfinite(clean).all()
        assert clean.tobytes() == other.tobytes()


def _traced(layer, inputs, kept, mask):
    with cr.GradientTape() as tape:
        counted = cr.where(kept[..., None], layer(*inputs, mask=mask), 0)
        total = cr.sum(cr.square(counted))
    return [counted, *tape.gradient(total, layer.trainable_variables)]


def test_what_sees_nothing_is_the_bias():
    layer = layers.MultiHeadAttention(2, 3, bias_initializer="normal")
    outputs, weights = layer(
        RNG.normal(size=(2, 3, 4)), mask=seen([3, 0], 3), return_attention_scores=True
    )
    assert (weights.numpy()[1] == 0).all()
    assert (outputs.numpy()[1] == layer.output_bias.numpy()).all()
    assert np.allclose(weights.numpy()[0].sum(-1), 1)


def test_causal_outputs_do_not_see_the_future():
    block = layers.TransformerBlock(2, 4, 8, causal=True)
    x = RNG.normal(size=(2, 6, 4)).astype("float32")
    changed = x.copy()
    changed[:, 3:] += 1
    first, second = block(x).numpy(), block(changed).numpy()
    assert first[:, :3].tobytes() == second[:, :3].tobytes()
    assert not np.allclose(first[:, 3:], second[:, 3:])


def test_softmax_of_what_is_visible():
    scores = np.array([[1e4, -1e4, 3.0], [0.0, 1.0, 2.0], [5.0, 5.0, 5.0]])
    visible = np.array([[False, True, False], [True, False, True], [False, False, False]])
    found = masked_softmax(cr.tensor(scores), cr.tensor(visible)).numpy()
    share = 1 / (1 + np.exp(2.0))
    np.testing.assert_allclose(found, [[0, 1, 0], [share, 0, 1 - share], [0, 0, 0]], rtol=1e-14)


@pytest.mark.parametrize("kind", ["attention", "block"])
def test_gradients_with_masks(kind):
    attention = {"num_heads": 2, "key_dim": 2, "causal": True, "dtype": "float64"}
    if kind == "block":
        layer = layers.TransformerBlock(feed_forward_units=3, **attention)
    else:
        layer = layers.MultiHeadAttention(bias_initializer="normal", **attention)
    x = RNG.normal(size=(2, 3, 4))
    layer(x)
    mask, attention_mask = seen([3, 2], 3), RNG.random((2, 3, 3)) < 0.8
    trained = layer.trainable_variables

    def run(x, *values):
        for variable, value in zip(trained, values, strict=True):
            variable.assign(value)
        return layer(x, mask=mask, attention_mask=attention_mask)

    cr.check_gradients(run, x, *(v.numpy() for v in trained), order=2)


def test_a_sequential_passes_the_mask_on():
    model = cr.Sequential(
        [
            layers.PositionalEmbedding(5),
            layers.TransformerBlock(2, 2, 4),
            layers.GlobalAveragePooling1D(),
        ]
    )
    mask = seen([5, 2], 5)
    x = RNG.normal(size=(2, 5, 4)).astype("float32")
    garbage = np.where(mask[..., None], x, 1e6).astype("float32")
    assert model(x, mask=mask).numpy().tobytes() == model(garbage, mask=mask).numpy().tobytes()


# ---- positions


def test_waves_are_those_of_the_paper():
    found = layers.PositionalEncoding(dtype="float64")(np.zeros((1, 50, 7))).numpy()[0]
    for t, i in np.ndindex(50, 4):
        angle = t / 10000 ** (2 * i / 7)
        assert found[t, 2 * i] == pytest.approx(np.sin(angle), abs=1e-12)
        if 2 * i + 1 < 7:
            assert found[t, 2 * i + 1] == pytest.approx(np.cos(angle), abs=1e-12)


def test_embedding_of_positions_adds_the_first_rows():
    layer = layers.PositionalEmbedding(6)
    x = RNG.normal(size=(2, 4, 3)).astype("float32")
    assert np.array_equal(layer(x).numpy(), x + layer.embeddings.numpy()[:4])
    assert layer(np.ones((1, 6, 3), int)).shape == (1, 6, 3)


# ---- one thread and two


def test_a_step_has_the_same_bits_on_one_thread_and_two():
    x, y = RNG.normal(size=(16, 24, 32)).astype("float32"), RNG.integers(0, 3, 16)
    bits = []
    for threads in (1, 2):
        model = cr.Sequential(
            [
                layers.TransformerBlock(2, 16, 64, dropout=0.1),
                layers.GlobalAveragePooling1D(),
                layers.Dense(3),
            ]
        )
        with cr.settings(threads=threads):
            model.fit(x, y, loss="cross_entropy", epochs=2, batch_size=8, seed=3, verbose=0)
        bits.append(b"".join(value.tobytes() for value in model.get_weights()))
    assert bits[0] == bits[1]


# ---- mistakes


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda layer: layer(np.ones((2, 4))), ShapeError, r"expected \(batch, time, 4\)"),
        (lambda layer: layer(np.ones((2, 3, 5))), ShapeError, r"expected \(batch, time, 4\)"),
        (
            lambda layer: layer(np.ones((2, 3, 4)), np.ones((1, 3, 4))),
            ShapeError,
            "do not fit",
        ),
        (
            lambda layer: layer(np.ones((2, 3, 4)), np.ones((2, 3, 4)), np.ones((2, 2, 4))),
            ShapeError,
            "as many keys as values",
        ),
        (lambda layer: layer(np.ones((2, 3, 4)), key=np.ones((2, 3, 4))), ArgumentError, "value"),
        (lambda layer: layer([np.ones((2, 3, 4))] * 4), ArgumentError, "got 4"),
        (
            lambda layer: layer(np.ones((2, 3, 4)), mask=np.ones((2, 4), bool)),
            ShapeError,
            "shape of the mask",
        ),
        (
            lambda layer: layer(np.ones((2, 3, 4)), attention_mask=np.ones((3, 2), bool)),
            ShapeError,
            r"got \(3, 2\), expected \(3, 3\), \(2, 3, 3\) or \(2, 2, 3, 3\)",
        ),
        (
            lambda layer: layer(np.ones((2, 3, 4)), attention_mask=np.ones(3, bool)),
            ShapeError,
            "attention mask",
        ),
        (
            lambda layer: layer(np.ones((2, 3, 4)), attention_mask=np.ones((3, 3))),
            DTypeError,
            "floating",
        ),
    ],
)
def test_mistakes_in_calls_are_named(call, error, text):
    layer = layers.MultiHeadAttention(2, 2)
    layer(np.ones((1, 2, 4)))
    with pytest.raises(error, match=text):
        call(layer)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: layers.MultiHeadAttention(0, 2), ArgumentError, "num_heads"),
        (lambda: layers.MultiHeadAttention(2, 2, 0), ArgumentError, "value_dim"),
        (lambda: layers.MultiHeadAttention(2, 2, dropout=1.0), ArgumentError, "dropout"),
        (lambda: layers.MultiHeadAttention(2, 2)(np.ones((2, 3))), ShapeError, "sequences"),
        (lambda: layers.TransformerBlock(2, 2, 0), ArgumentError, "feed_forward_units"),
        (lambda: layers.TransformerBlock(2, 2, 3)(np.ones((2, 3))), ShapeError, "sequences"),
        (lambda: layers.PositionalEncoding(0.5), ArgumentError, "max_wavelength"),
        (lambda: layers.PositionalEncoding()(np.ones((2, 3))), ShapeError, "sequences"),
        (lambda: layers.PositionalEmbedding(2)(np.ones((2, 3, 4))), ShapeError, "at most 2"),
    ],
)
def test_mistakes_in_arguments_are_named(make, error, text):
    with pytest.raises(error, match=text):
        make()
