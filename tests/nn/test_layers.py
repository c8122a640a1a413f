"""Every layer: the conformance check, then what each one must do, and parity with PyTorch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from attention_layer_cases import CASES as ATTENTION_CASES
from audio_layer_cases import CASES as AUDIO_CASES
from picture_layer_cases import CASES as PICTURE_CASES
from recurrent_layer_cases import CASES as RECURRENT_CASES

import chainrule as cr
from chainrule.errors import ShapeError
from chainrule.nn.registry import LAYERS
from chainrule.testing.layer_checks import run_layer_checks

RNG = np.random.default_rng(11)
INDICES = np.array([[0, 3, 6, 2], [5, 5, 1, 0], [4, 2, 2, 6]])
PICTURES = RNG.uniform(0.1, 0.9, (3, 4, 5, 2))

# class -> several (layer, input shape, further arguments of run_layer_checks)
CASES: dict[str, list[tuple[Callable[[], cr.Layer], Any, dict[str, Any]]]] = {
    "Dense": [
        (lambda: cr.layers.Dense(3), (4, 5), {}),
        (lambda: cr.layers.Dense(3, "tanh", use_bias=False, l2=0.1), (4, 2, 5), {}),
        (
            lambda: cr.layers.Dense(
                2, {"name": "elu", "alpha": 0.5}, kernel_initializer="he_normal",
                bias_initializer=cr.initializers.Constant(0.1), kernel_constraint="max_norm",
                activity_regularizer="l2", name="hidden",
            ),
            (3, 4), {},
        ),
    ],
    "Activation": [
        (lambda: cr.layers.Activation("gelu"), (4, 5), {}),
        (lambda: cr.layers.Activation("softmax"), (4, 3, 5), {}),
    ],
    "Dropout": [
        (lambda: cr.layers.Dropout(0.4), (6, 5), {}),
        (lambda: cr.layers.Dropout(0.0), (6, 5), {}),
        (lambda: cr.layers.Dropout(0.5, seed=3), (2, 3, 4), {}),
    ],
    "GaussianNoise": [(lambda: cr.layers.GaussianNoise(0.3), (4, 5), {})],
    "BatchNormalization": [
        (lambda: cr.layers.BatchNormalization(), (6, 5), {}),
        (lambda: cr.layers.BatchNormalization(axis=1, momentum=0.5), (3, 4, 5), {}),
        (lambda: cr.layers.BatchNormalization(center=False, scale=False), (3, 2, 4), {}),
    ],
    "LayerNormalization": [
        (lambda: cr.layers.LayerNormalization(), (4, 5), {}),
        (lambda: cr.layers.LayerNormalization(axis=[1, 2], scale=False), (3, 4, 5), {}),
    ],
    "Normalization": [
        (lambda: cr.layers.Normalization([1.0, 2.0, -3.0], [4.0, 0.25, 0.0]), (4, 3), {}),
        (lambda: cr.layers.Normalization(0.5, 2.0, axis=1), (3, 4, 5), {}),
        (lambda: cr.layers.Normalization().adapt([[0.5, 3.0], [-1.0, 7.0]]), (4, 2), {}),
    ],
    "Imputation": [
        (
            lambda: cr.layers.Imputation(-9, [0.5, 2.0, 1.0]),
            (2, 3),
            # Beside the missing value the function jumps.
            {"inputs": np.array([[-9, 0.3, 1.1], [0.7, -9, -9]]), "order": 0},
        ),
        (lambda: cr.layers.Imputation(5.0, 0.5, axis=1), (3, 4, 5), {}),
    ],
    "Rescaling": [
        (lambda: cr.layers.Rescaling(1 / 255), (4, 3, 2), {}),
        (lambda: cr.layers.Rescaling([2.0, 0.5], offset=[1.0, -3.0]), (4, 2), {}),
    ],
    **{
        name: [(make, (3, 4, 5, 2), {"inputs": PICTURES})]
        for name, make in {
            "RandomFlip": lambda: cr.layers.RandomFlip("horizontal_and_vertical"),
            "RandomShift": lambda: cr.layers.RandomShift(0.3, [0, 0.5], fill_mode="constant"),
            "RandomCrop": lambda: cr.layers.RandomCrop(2, 3),
            "RandomRotation": lambda: cr.layers.RandomRotation(0.5),
            "RandomZoom": lambda: cr.layers.RandomZoom(0.5, [-0.2, 0.9], fill_mode="wrap"),
            "RandomBrightness": lambda: cr.layers.RandomBrightness(0.4, value_range=[-1, 1]),
            "RandomContrast": lambda: cr.layers.RandomContrast(0.5),
            "Cutout": lambda: cr.layers.Cutout([2, 3], rate=0.5, fill_value=0.3),
        }.items()
    },
    "InputLayer": [(lambda: cr.layers.Input((2, 3)), (4, 2, 3), {})],
    "Flatten": [
        (lambda: cr.layers.Flatten(), (4, 2, 3), {}),
        (lambda: cr.layers.Flatten(), (4,), {}),
    ],
    "Reshape": [
        (lambda: cr.layers.Reshape((3, 2)), (4, 6), {}),
        (lambda: cr.layers.Reshape((-1, 2)), (4, 3, 4), {}),
    ],
    "Embedding": [
        (
            lambda: cr.layers.Embedding(7, 3, embeddings_regularizer="l2"),
            (3, 4), {"inputs": INDICES},
        ),
    ],
    "EmbeddingBag": [
        (lambda how=how: cr.layers.EmbeddingBag(7, 3, how), (3, 4), {"inputs": INDICES})
        for how in ("mean", "sqrt_n", "sum")
    ],
    "TokenDropout": [(lambda: cr.layers.TokenDropout(0.5), (3, 4), {"inputs": INDICES})],
    "Concatenate": [
        (lambda: cr.layers.Concatenate(), [(4, 3), (4, 2)], {}),
        (lambda: cr.layers.Concatenate(axis=1), [(4, 3, 2), (4, 1, 2), (4, 2, 2)], {}),
    ],
    "Add": [
        (lambda: cr.layers.Add(), [(4, 3), (4, 3), (4, 3)], {}),
        (lambda: cr.layers.Add(), [(4, 3, 2), (4, 1, 2)], {}),
    ],
}  # fmt: skip
for _name, _cases in [
    *PICTURE_CASES.items(),
    *AUDIO_CASES.items(),
    *RECURRENT_CASES.items(),
    *ATTENTION_CASES.items(),
]:
    CASES[_name] = CASES.get(_name, []) + _cases
# The lists of the issues, written out again so that a lost layer shows.
PROMISED = [
    "Dense",
    "Activation",
    "Dropout",
    "BatchNormalization",
    "LayerNormalization",
    "Flatten",
    "Reshape",
    "Embedding",
    "Concatenate",
    "Add",
    "GaussianNoise",
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "Conv2DTranspose",
    "DepthwiseConv2D",
    "SeparableConv2D",
    *(f"{kind}Pooling{rank}D" for kind in ("Max", "Average") for rank in (1, 2, 3)),
    *(f"Global{kind}Pooling{rank}D" for kind in ("Max", "Average") for rank in (1, 2, 3)),
    "ZeroPadding2D",
    "Cropping2D",
    "UpSampling2D",
    "SpatialDropout2D",
    "GroupNormalization",
    "ResidualBlock",
    "MultiHeadAttention",
    "PositionalEmbedding",
    "PositionalEncoding",
    "TransformerBlock",
    "SimpleRNN",
    "LSTM",
    "GRU",
    "RNN",
]


def test_table_has_every_layer() -> None:
    own = {name for name, cls in LAYERS.items() if cls.__module__.startswith("chainrule.nn.")}
    missing = sorted(own - set(CASES)) + sorted(set(PROMISED) - own)
    print("layers missing from a table:", missing)
    assert missing == []


@pytest.mark.parametrize(
    ("name", "number"), [(name, n) for name in sorted(CASES) for n in range(len(CASES[name]))]
)
def test_conformance(name: str, number: int) -> None:
    make_layer, shape, options = CASES[name][number]
    run_layer_checks(make_layer, shape, **options)


# ---- Dense


def test_dense_values() -> None:
    layer = cr.layers.Dense(2, "relu", dtype="float64")
    x = RNG.standard_normal((4, 3))
    layer(x)
    layer.bias.assign(np.array([0.3, -0.2]))
    expected = np.maximum(x @ layer.kernel.numpy() + [0.3, -0.2], 0)
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-14)


def test_dense_takes_integers_and_lists() -> None:
    layer = cr.layers.Dense(2)
    assert layer(np.ones((4, 3), "uint8")).dtype == np.float32
    assert layer([[1, 2, 3]]).shape == (1, 2)
    assert layer(np.ones((4, 3))).dtype == np.float32


def test_dense_on_no_rows() -> None:
    layer = cr.layers.Dense(2)
    assert layer(np.ones((0, 3))).shape == (0, 2)
    assert layer(np.ones((0, 5, 3))).shape == (0, 5, 2)


def test_linear_takes_torch_arguments() -> None:
    layer = cr.layers.Linear(3, 2, bias=False)
    assert isinstance(layer, cr.layers.Dense)
    assert list(layer.weights) == ["kernel"]
    assert layer.kernel.shape == (3, 2)


# ---- chance


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_share_and_the_mean(rate: float) -> None:
    output = cr.layers.Dropout(rate, seed=1)(np.ones((200, 200)), training=True).numpy()
    kept = output != 0
    error = np.sqrt(rate * (1 - rate) / output.size)
    assert abs(kept.mean() - (1 - rate)) < 5 * error
    np.testing.assert_allclose(output[kept], 1 / (1 - rate), rtol=1e-6)


def test_dropout_draws_anew_each_call_also_in_jit() -> None:
    layer = cr.layers.Dropout(0.5)
    x = np.ones((8, 8), "float32")
    compiled = cr.jit(lambda v: layer(v, training=True))
    first, second = compiled(x).numpy(), compiled(x).numpy()
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, layer(x, training=True).numpy())
    assert np.array_equal(layer(x).numpy(), x)


def test_dropouts_of_one_model_differ() -> None:
    class Two(cr.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = cr.layers.Dropout(0.5), cr.layers.Dropout(0.5)

        def call(self, inputs: cr.Tensor) -> cr.Tensor:
            return cr.stack([self.a(inputs), self.b(inputs)])

    a, b = Two()(np.ones((8, 8)), training=True)
    assert not np.array_equal(a.numpy(), b.numpy())


def test_dropout_gradient_is_the_mask() -> None:
    layer = cr.layers.Dropout(0.5, seed=2)
    x = cr.ones((4, 4))
    with cr.GradientTape() as tape:
        tape.watch(x)
        output = layer(x, training=True)
    np.testing.assert_array_equal(tape.gradient(output, x).numpy(), output.numpy())


def test_noise_moments() -> None:
    output = cr.layers.GaussianNoise(0.5, seed=1, dtype="float64")(
        np.full((300, 300), 2.0), training=True
    ).numpy()
    assert abs(output.mean() - 2.0) < 5 * 0.5 / 300
    assert abs(output.std() - 0.5) < 5 * 0.5 / 300


# ---- normalisation


def test_batch_normalization_running_statistics() -> None:
    layer = cr.layers.BatchNormalization(momentum=0.9, dtype="float64")
    mean, variance = np.zeros(3), np.ones(3)
    for _ in range(3):
        x = RNG.standard_normal((8, 3)) * 2 + 1
        layer(x, training=True)
        mean = 0.9 * mean + 0.1 * x.mean(0)
        variance = 0.9 * variance + 0.1 * x.var(0)
    np.testing.assert_allclose(layer.moving_mean.numpy(), mean, rtol=1e-12)
    np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=1e-12)
    expected = (x - mean) / np.sqrt(variance + 1e-3)
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-12)
    assert [v.name for v in layer.non_trainable_variables] == ["moving_mean", "moving_variance"]
    assert [v.name for v in layer.trainable_variables] == ["gamma", "beta"]


def test_normalization_gives_mean_0_and_variance_1() -> None:
    x = RNG.standard_normal((50, 4, 3)) * [1e-3, 5.0, 1e4] + [0.0, -70.0, 1e5]
    layer = cr.layers.Normalization(dtype="float64").adapt(x)
    y = layer(x).numpy()
    np.testing.assert_allclose(y.mean((0, 1)), 0, atol=1e-10)
    np.testing.assert_allclose(y.std((0, 1)), 1, rtol=1e-10)
    assert [v.name for v in layer.non_trainable_variables] == ["mean", "variance"]
    assert layer.trainable_variables == []
    places = cr.layers.Normalization(axis=(1, 2), dtype="float64").adapt(x)
    np.testing.assert_allclose(places(x).numpy(), (x - x.mean(0)) / x.std(0), rtol=1e-9, atol=1e-12)


def test_normalization_adapts_again_after_it_was_compiled() -> None:
    layer = cr.layers.Normalization([0.0, 0.0], 1.0)
    compiled = cr.jit(layer)
    x = np.array([[1.0, 2.0], [3.0, 6.0]], "float32")
    np.testing.assert_array_equal(compiled(x).numpy(), x)
    layer.adapt(x)
    np.testing.assert_allclose(compiled(x).numpy(), [[-1, -1], [1, 1]], rtol=1e-6)
    layer.reinitialize(seed=1)
    np.testing.assert_allclose(layer(x).numpy(), [[-1, -1], [1, 1]], rtol=1e-6)
    again = cr.layers.Normalization.from_config(layer.get_config())
    np.testing.assert_allclose(again(x).numpy(), [[-1, -1], [1, 1]], rtol=1e-6)
    with pytest.raises(ShapeError, match="another number of features"):
        layer.adapt(np.ones((4, 3)))


def test_rescaling_undoes_normalization() -> None:
    x = RNG.standard_normal((9, 2)) * [3.0, 100.0] + 7
    there = cr.layers.Normalization(dtype="float64").adapt(x)
    back = cr.layers.Rescaling(x.std(0), x.mean(0), dtype="float64")
    np.testing.assert_allclose(back(there(x)).numpy(), x, rtol=1e-12)
    assert cr.layers.Rescaling(1 / 255)(np.full((1, 2), 255, "uint8")).numpy().tolist() == [[1, 1]]


def test_imputation_replaces_only_what_is_missing() -> None:
    x = np.array([[[-999, 1.0], [2.0, -999]], [[3.0, -998.9], [-999, 0.0]]], "float32")
    expected = [[[0.5, 1.0], [2.0, -999]], [[3.0, -998.9], [0.5, 0.0]]]
    layer = cr.layers.Imputation(-999, fill=[0.5, -999])
    np.testing.assert_array_equal(layer(x).numpy(), np.array(expected, "float32"))
    np.testing.assert_array_equal(cr.jit(layer)(x).numpy(), np.array(expected, "float32"))


def test_batch_normalization_frozen_uses_running_statistics() -> None:
    layer = cr.layers.BatchNormalization()
    layer.trainable = False
    x = RNG.standard_normal((8, 3)).astype("float32") + 5
    np.testing.assert_allclose(layer(x, training=True).numpy(), x / np.sqrt(1.001), rtol=1e-6)
    assert (layer.moving_mean.numpy() == 0).all()


@pytest.mark.parametrize("axis", [-1, 1])
def test_batch_normalization_mask(axis: int) -> None:
    x = RNG.standard_normal((4, 5, 3))
    mask = RNG.random((4, 5) if axis == -1 else (4, 3)) < 0.6
    layer = cr.layers.BatchNormalization(axis=axis, momentum=0.0, epsilon=0.0, dtype="float64")
    output = layer(x, training=True, mask=mask).numpy()
    rows = (x if axis == -1 else np.moveaxis(x, 1, -1))[mask]
    np.testing.assert_allclose(layer.moving_mean.numpy(), rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(layer.moving_variance.numpy(), rows.var(0), rtol=1e-12)
    counted = (output if axis == -1 else np.moveaxis(output, 1, -1))[mask]
    np.testing.assert_allclose(counted.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(counted.std(0), 1, rtol=1e-9)


def test_batch_normalization_mask_ignores_what_it_hides() -> None:
    x = RNG.standard_normal((4, 3))
    mask = np.array([True, True, False, True])
    worse = x.copy()
    worse[2] = np.nan
    layers = [cr.layers.BatchNormalization(dtype="float64") for _ in range(2)]
    good, bad = (
        layer(v, training=True, mask=mask).numpy()
        for layer, v in zip(layers, (x, worse), strict=True)
    )
    np.testing.assert_array_equal(good[mask], bad[mask])
    before = layers[0].moving_mean.numpy()
    layers[0](x, training=True, mask=np.zeros(4, bool))
    np.testing.assert_array_equal(layers[0].moving_mean.numpy(), before)


def test_batch_normalization_mask_gradients() -> None:
    mask = np.array([True, True, False, True])
    layer = cr.layers.BatchNormalization(dtype="float64")
    weights = RNG.standard_normal((4, 3))

    def run(x: cr.Tensor) -> cr.Tensor:
        return layer(x, training=True, mask=mask) * weights

    cr.check_gradients(run, RNG.standard_normal((4, 3)))


def test_layer_normalization_values() -> None:
    x = RNG.standard_normal((4, 5, 3)) * 3 + 2
    output = cr.layers.LayerNormalization(axis=(1, 2), epsilon=0.0, dtype="float64")(x).numpy()
    np.testing.assert_allclose(output.mean((1, 2)), 0, atol=1e-13)
    np.testing.assert_allclose(output.std((1, 2)), 1, rtol=1e-12)


# ---- shapes, indices, several inputs


def test_embedding_looks_up_rows_and_adds_gradients_of_repeated_ones() -> None:
    layer = cr.layers.Embedding(7, 3)
    with cr.GradientTape() as tape:
        output = layer(INDICES)
    np.testing.assert_array_equal(output.numpy(), layer.embeddings.numpy()[INDICES])
    gradient = tape.gradient(output, layer.embeddings).numpy()
    np.testing.assert_array_equal(gradient[:, 0], np.bincount(INDICES.ravel(), minlength=7))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "uint32"])
def test_embedding_index_dtypes(dtype: str) -> None:
    assert cr.layers.Embedding(7, 3)(INDICES.astype(dtype)).shape == (3, 4, 3)


def test_argument_names_of_other_libraries() -> None:
    assert cr.layers.Dropout(p=0.2).rate == 0.2
    assert cr.layers.Dense(2, bias=False).use_bias is False
    assert cr.layers.BatchNormalization(eps=1e-5).epsilon == 1e-5
    assert cr.layers.LayerNormalization(eps=1e-5).epsilon == 1e-5
    embedding = cr.layers.Embedding(num_embeddings=4, embedding_dim=2)
    assert (embedding.input_dim, embedding.output_dim) == (4, 2)


def test_concatenate_and_add_values() -> None:
    a, b = RNG.standard_normal((2, 4, 3))
    np.testing.assert_array_equal(
        cr.layers.Concatenate(dtype="float64")([a, b]).numpy(), np.concatenate([a, b], -1)
    )
    np.testing.assert_array_equal(cr.layers.Add(dtype="float64")([a, b]).numpy(), a + b)
    assert cr.layers.Add().compute_output_shape([(None, 1), (None, 4)]) == (None, 4)
    assert cr.layers.Concatenate().compute_output_shape([(None, 1), (None, 4)]) == (None, 5)


def test_lookup_by_name() -> None:
    assert cr.layers.get("Dense") is cr.layers.get("dense") is cr.layers.Dense
    assert cr.layers.get("batch_normalization") is cr.layers.BatchNormalization
    assert cr.layers.get("conv2d_transpose") is cr.layers.Conv2DTranspose
    assert cr.layers.get("MaxPool2d") is cr.layers.get("max_pooling2d") is cr.layers.MaxPooling2D


# ---- parity with PyTorch


def _ours(layer: cr.Layer, x: np.ndarray, flow: np.ndarray, training: bool) -> list[np.ndarray]:
    inputs = cr.tensor(x)
    floating = inputs.dtype.kind == "f"
    with cr.GradientTape() as tape:
        if floating:
            tape.watch(inputs)
        output = layer(inputs, training=training)
        total = (output * flow).sum()
    sources = [*layer.trainable_variables, *([inputs] if floating else [])]
    return [output.numpy(), *(g.numpy() for g in tape.gradient(total, sources))]


def _theirs(module: Any, x: np.ndarray, flow: np.ndarray, training: bool) -> list[np.ndarray]:
    torch = pytest.importorskip("torch")
    module.train(training)
    inputs = torch.tensor(x, requires_grad=x.dtype.kind == "f")
    output = module(inputs)
    (output * torch.tensor(flow)).sum().backward()
    sources = [*module.parameters(), *([inputs] if x.dtype.kind == "f" else [])]
    return [output.detach().numpy(), *(source.grad.numpy() for source in sources)]


def _agree(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parity
@pytest.mark.parametrize("shape", [(6, 5), (4, 3, 5)])
def test_dense_parity(shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    layer = cr.layers.Dense(4, dtype="float64")
    x, flow = RNG.standard_normal(shape), RNG.standard_normal((*shape[:-1], 4))
    layer.ensure_built(shape)
    module = torch.nn.Linear(5, 4, dtype=torch.float64)
    with torch.no_grad():
        module.weight.copy_(torch.tensor(layer.kernel.numpy().T))
        module.bias.copy_(torch.tensor(layer.bias.numpy()))
    expected = _theirs(module, x, flow, training=True)
    expected[1] = expected[1].T
    _agree(_ours(layer, x, flow, training=True), expected)


@pytest.mark.parity
@pytest.mark.parametrize("training", [False, True])
def test_batch_normalization_parity(training: bool) -> None:
    torch = pytest.importorskip("torch")
    layer = cr.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype="float64")
    module = torch.nn.BatchNorm1d(5, eps=1e-5, momentum=0.1, dtype=torch.float64)
    rows = 8
    for _ in range(3):
        x, flow = RNG.standard_normal((2, rows, 5))
        _agree(_ours(layer, x, flow, training), _theirs(module, x, flow, training))
        module.zero_grad()
    np.testing.assert_allclose(layer.moving_mean.numpy(), module.running_mean.numpy(), rtol=1e-10)
    # PyTorch's running variance has the factor n / (n - 1): both start at 1, so compare the parts.
    start = 0.9**3 if training else 1.0
    ours, theirs = layer.moving_variance.numpy() - start, module.running_var.numpy() - start
    np.testing.assert_allclose(ours * rows / (rows - 1), theirs, rtol=1e-10, atol=1e-14)


@pytest.mark.parity
def test_layer_normalization_parity() -> None:
    torch = pytest.importorskip("torch")
    layer = cr.layers.LayerNormalization(axis=(1, 2), epsilon=1e-5, dtype="float64")
    module = torch.nn.LayerNorm((3, 5), eps=1e-5, dtype=torch.float64)
    x, flow = RNG.standard_normal((2, 4, 3, 5))
    layer(x)
    gamma, beta = RNG.standard_normal((2, 3, 5))
    layer.set_weights([gamma, beta])
    with torch.no_grad():
        module.weight.copy_(torch.tensor(gamma))
        module.bias.copy_(torch.tensor(beta))
    _agree(_ours(layer, x, flow, training=True), _theirs(module, x, flow, training=True))


@pytest.mark.parity
def test_embedding_parity() -> None:
    torch = pytest.importorskip("torch")
    layer = cr.layers.Embedding(7, 3, dtype="float64")
    layer(INDICES)
    module = torch.nn.Embedding(7, 3, dtype=torch.float64)
    with torch.no_grad():
        module.weight.copy_(torch.tensor(layer.embeddings.numpy()))
    flow = RNG.standard_normal((3, 4, 3))
    _agree(
        _ours(layer, INDICES, flow, training=False), _theirs(module, INDICES, flow, training=False)
    )
