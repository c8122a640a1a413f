"""Activations: values, derivatives, names, parameters, and parity with PyTorch."""

import functools

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, UnknownNameError
from chainrule.nn.activations import ACTIVATIONS, ALIASES, to_config
from chainrule.testing import check_gradients

# name -> value at 1 and at -1, from the formulas by hand (to 6 digits)
KNOWN = {
    "linear": (1.0, -1.0),
    "relu": (1.0, 0.0),
    "leaky_relu": (1.0, -0.01),
    "elu": (1.0, -0.632121),
    "selu": (1.050701, -1.111331),
    "gelu": (0.841345, -0.158655),
    "silu": (0.731059, -0.268941),
    "tanh": (0.761594, -0.761594),
    "sigmoid": (0.731059, 0.268941),
    "softplus": (1.313262, 0.313262),
    "softsign": (0.5, -0.5),
    "hard_sigmoid": (0.666667, 0.333333),
    "mish": (0.865098, -0.303401),
    "relu6": (1.0, 0.0),
    "exponential": (2.718282, 0.367879),
    "softmax": (0.880797, 0.119203),
    "log_softmax": (-0.126928, -2.126928),
}
# The list, written out again so that a lost name shows.
PROMISED = [
    "linear",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "tanh",
    "sigmoid",
    "softplus",
    "softsign",
    "hard_sigmoid",
    "softmax",
    "log_softmax",
    "mish",
    "relu6",
    "exponential",
]
SEQUENCE = np.random.default_rng(3).uniform(-7.5, 7.5, (5, 6))


def test_table_has_every_activation() -> None:
    missing = sorted(set(ACTIVATIONS) - set(KNOWN)) + sorted(set(PROMISED) - set(ACTIVATIONS))
    print("activations missing from a table:", missing)
    assert missing == []


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_known_values(name: str) -> None:
    values = cr.activations.get(name)(cr.tensor(np.array([1.0, -1.0])))
    np.testing.assert_allclose(values.numpy(), KNOWN[name], atol=1e-6)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_gradients_first_and_second_order(name: str) -> None:
    check_gradients(cr.activations.get(name), SEQUENCE)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_eager_equals_jit(name: str) -> None:
    function = cr.activations.get(name)
    np.testing.assert_allclose(
        cr.jit(lambda x: function(x))(SEQUENCE).numpy(), function(cr.tensor(SEQUENCE)).numpy(),
        rtol=1e-14,
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"exponential"}))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_inputs_stay_finite(name: str, dtype: str) -> None:
    x = cr.tensor(np.array([[-1e4, -90.0, 0.0, 90.0, 1e4]], dtype))
    with cr.GradientTape() as tape:
        tape.watch(x)
        y = cr.activations.get(name)(x)
    gradient = tape.gradient(y, x)
    assert y.dtype == np.dtype(dtype)
    assert np.isfinite(y.numpy()).all()
    assert np.isfinite(gradient.numpy()).all()


def test_names_aliases_and_callables() -> None:
    get = cr.activations.get
    assert get("ReLU") is get("relu") is cr.activations.relu
    assert get("LeakyReLU") is cr.activations.leaky_relu
    assert get("hard-sigmoid") is get("HardSigmoid") is cr.activations.hard_sigmoid
    assert get("logistic") is cr.activations.sigmoid
    assert get("identity") is get(None) is cr.activations.linear
    assert get("swish") is cr.activations.silu
    assert set(ALIASES.values()) <= set(ACTIVATIONS)
    own = lambda x: x * 2  # noqa: E731
    assert get(own) is own


def test_parameters_by_name() -> None:
    function = cr.activations.get({"name": "leaky_relu", "negative_slope": 0.2})
    assert function(cr.tensor([-1.0])).numpy().tolist() == pytest.approx([-0.2])
    assert to_config(function) == {"name": "leaky_relu", "negative_slope": 0.2}
    assert to_config(functools.partial(cr.activations.elu, alpha=0.5)) == {
        "name": "elu",
        "alpha": 0.5,
    }
    assert to_config(cr.activations.mish) == "mish"
    assert to_config(cr.tanh) == "tanh"
    assert to_config(lambda x: x) is None


def test_softmax_and_sigmoid_remember_their_input() -> None:
    x = cr.tensor(SEQUENCE)
    for name in ("softmax", "sigmoid", "log_softmax"):
        origin = cr.activations.get(name)(x).origin
        assert origin is not None
        assert origin[0] == name
        assert origin[1] is x
    assert cr.activations.relu(x).origin is None


@pytest.mark.parametrize(
    ("identifier", "error", "text"),
    [
        ("rellu", UnknownNameError, "did you mean 'relu'?"),
        ("sofmax", UnknownNameError, "did you mean 'softmax'?"),
        ("LeakyRelu2", UnknownNameError, "did you mean 'leaky_relu'?"),
        (7, ArgumentError, "a name, a function"),
        (["relu"], ArgumentError, "a name, a function"),
        ({"name": "elu", "alfa": 1.0}, UnknownNameError, "did you mean 'alpha'?"),
        ({"name": "elu", "alpha": "big"}, ArgumentError, "a finite number"),
        ({"name": "relu", "alpha": 1.0}, UnknownNameError, "unknown parameter"),
        ({"slope": 1.0}, ArgumentError, "a name, a function"),
    ],
)
def test_bad_identifiers(identifier: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        cr.activations.get(identifier)
    assert text in str(caught.value)


@pytest.mark.parity
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_parity_with_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    peers = {
        "linear": lambda x: x * 1,
        "leaky_relu": lambda x: functional.leaky_relu(x, 0.01),
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "softplus": lambda x: functional.softplus(x, threshold=1000),
        # torch.hardsigmoid rounds 1/6 to float32 in its float64 derivative.
        "hard_sigmoid": lambda x: functional.relu6(x + 3) / 6,
        "softmax": lambda x: functional.softmax(x, -1),
        "log_softmax": lambda x: functional.log_softmax(x, -1),
        "exponential": torch.exp,
    }
    peer = peers.get(name) or getattr(functional, name)
    weights = np.random.default_rng(4).standard_normal(SEQUENCE.shape)
    theirs = torch.tensor(SEQUENCE, requires_grad=True)
    output = peer(theirs)
    (output * torch.tensor(weights)).sum().backward()
    ours = cr.tensor(SEQUENCE)
    with cr.GradientTape() as tape:
        tape.watch(ours)
        found = cr.activations.get(name)(ours)
        total = (found * weights).sum()
    np.testing.assert_allclose(found.numpy(), output.detach().numpy(), rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(
        tape.gradient(total, ours).numpy(), theirs.grad.numpy(), rtol=1e-10, atol=1e-13
    )


@pytest.mark.parity
def test_parity_of_gelu_by_tanh() -> None:
    torch = pytest.importorskip("torch")
    expected = torch.nn.functional.gelu(torch.tensor(SEQUENCE), approximate="tanh").numpy()
    found = cr.activations.gelu(cr.tensor(SEQUENCE), approximate=True).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)
