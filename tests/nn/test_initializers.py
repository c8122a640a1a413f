"""Initializers: moments, ranges, orthogonality, seeds, names."""

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, ChainruleError, ShapeError, UnknownNameError
from chainrule.nn.initializers import ALIASES, fans
from chainrule.nn.naming import snake_case
from chainrule.nn.registry import INITIALIZERS

ROWS, COLUMNS = 300, 200
FAN_IN, FAN_OUT = float(ROWS), float(COLUMNS)

# name -> (arguments, mean, standard deviation, largest absolute value)
CASES: dict[str, tuple[dict[str, float], float, float, float]] = {
    "zeros": ({}, 0.0, 0.0, 0.0),
    "ones": ({}, 1.0, 0.0, 1.0),
    "constant": ({"value": 0.25}, 0.25, 0.0, 0.25),
    "random_uniform": ({"minval": -1.0, "maxval": 3.0}, 1.0, 4 / math.sqrt(12), 3.0),
    "random_normal": ({"mean": 2.0, "stddev": 0.5}, 2.0, 0.5, math.inf),
    "truncated_normal": ({"mean": 2.0, "stddev": 0.5}, 2.0, 0.5 * 0.8796256610342398, 3.0),
    "glorot_uniform": ({}, 0.0, math.sqrt(2 / 500), math.sqrt(6 / 500)),
    "glorot_normal": ({}, 0.0, math.sqrt(2 / 500), 2 * math.sqrt(2 / 500) / 0.8796256610342398),
    "he_uniform": ({}, 0.0, math.sqrt(2 / 300), math.sqrt(6 / 300)),
    "he_normal": ({}, 0.0, math.sqrt(2 / 300), 2 * math.sqrt(2 / 300) / 0.8796256610342398),
    "lecun_uniform": ({}, 0.0, math.sqrt(1 / 300), math.sqrt(3 / 300)),
    "lecun_normal": ({}, 0.0, math.sqrt(1 / 300), 2 * math.sqrt(1 / 300) / 0.8796256610342398),
    "orthogonal": ({}, 0.0, math.sqrt(1 / 300), 1.0),
    "identity": ({}, 1 / 300, math.sqrt(1 / 300 - 1 / 300**2), 1.0),
}


def make(name: str) -> cr.initializers.Initializer:
    named = {snake_case(cls.__name__): cls for cls in INITIALIZERS.values()}
    return named[name](**CASES[name][0])


def draw(name: str, dtype: str = "float64", seed: int = 1) -> np.ndarray:
    return make(name)((ROWS, COLUMNS), dtype, key=cr.random.key(seed)).numpy()


def test_table_has_every_initializer() -> None:
    missing = sorted({snake_case(name) for name in INITIALIZERS} - set(CASES))
    print("initializers missing from the table:", missing)
    assert missing == []
    assert set(ALIASES.values()) <= set(CASES)


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_moments(name: str, dtype: str) -> None:
    _, mean, deviation, largest = CASES[name]
    values = draw(name, dtype)
    count = values.size
    assert values.shape == (ROWS, COLUMNS)
    assert values.dtype == np.dtype(dtype)
    # Five standard errors of mean and deviation: a right draw fails once in a million.
    assert abs(values.mean() - mean) <= 5 * deviation / math.sqrt(count) + 1e-7
    assert abs(values.std() - deviation) <= 5 * deviation / math.sqrt(count) + 1e-7
    assert np.abs(values).max() <= largest + 1e-6
    if name.endswith("_uniform"):  # 60,000 draws come close to the bound: it is the right one
        assert np.abs(values).max() >= largest * 0.999


@pytest.mark.parametrize("name", ["random_uniform", "glorot_uniform", "he_uniform"])
def test_uniform_is_even(name: str) -> None:
    values = draw(name)
    counts, _ = np.histogram(values, bins=20, range=(values.min(), values.max()))
    expected = values.size / 20
    assert ((counts - expected) ** 2 / expected).sum() < 50  # chi-square, 19 degrees: 1 in 7,000


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (2, 3, 4), (3, 2, 8)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    values = cr.initializers.Orthogonal(gain=2.0)(shape, "float64", key=cr.random.key(2)).numpy()
    matrix = values.reshape(-1, shape[-1])
    rows, columns = matrix.shape
    product = matrix.T @ matrix if rows >= columns else matrix @ matrix.T
    np.testing.assert_allclose(product, 4.0 * np.eye(min(rows, columns)), atol=1e-12)


def test_identity_and_constant_values() -> None:
    identity = cr.initializers.Identity(gain=3.0)((2, 3)).numpy()
    assert identity.tolist() == [[3.0, 0.0, 0.0], [0.0, 3.0, 0.0]]
    rows = cr.initializers.Constant([1.0, 2.0])((3, 2)).numpy()
    assert rows.tolist() == [[1.0, 2.0]] * 3


@pytest.mark.parametrize("name", sorted(CASES))
def test_keys_and_seeds_repeat(name: str) -> None:
    same = np.array_equal(draw(name, seed=1), draw(name, seed=1))
    other = np.array_equal(draw(name, seed=1), draw(name, seed=2))
    fixed = name in ("zeros", "ones", "constant", "identity")
    assert same
    assert other == fixed
    if not fixed:
        cls = type(make(name))
        seeded = cls(seed=9)
        first = seeded((3, 3), key=cr.random.key(0)).numpy()
        assert np.array_equal(first, seeded((3, 3)).numpy())


@pytest.mark.parametrize("name", sorted(CASES))
def test_config_round_trip(name: str) -> None:
    initializer = make(name)
    again = type(initializer).from_config(initializer.get_config())
    assert again.get_config() == initializer.get_config()
    assert repr(again) == repr(initializer)


def test_names() -> None:
    get = cr.initializers.get
    assert isinstance(get("GlorotUniform"), cr.initializers.GlorotUniform)
    assert isinstance(get("glorot-uniform"), cr.initializers.GlorotUniform)
    assert isinstance(get("xavier_normal"), cr.initializers.GlorotNormal)
    assert isinstance(get("kaiming_uniform"), cr.initializers.HeUniform)
    assert isinstance(get("normal"), cr.initializers.RandomNormal)
    assert isinstance(get(cr.initializers.Zeros), cr.initializers.Zeros)
    given = cr.initializers.Constant(3.0)
    assert get(given) is given


def test_fans() -> None:
    assert fans(()) == (1.0, 1.0)
    assert fans((7,)) == (7.0, 7.0)
    assert fans((3, 4)) == (3.0, 4.0)
    assert fans((3, 3, 16, 32)) == (144.0, 288.0)


def test_own_function_with_and_without_key() -> None:
    layer = cr.layers.Dense(2, kernel_initializer=lambda shape, dtype: np.full(shape, 0.5, dtype))
    layer.ensure_built((None, 3))
    assert (layer.kernel.numpy() == 0.5).all()
    keyed = cr.layers.Dense(
        2, kernel_initializer=lambda shape, dtype, key: cr.random.uniform(key, shape, dtype=dtype)
    )
    keyed.ensure_built((None, 3))
    keyed.reinitialize(seed=1)
    first = keyed.kernel.numpy()
    keyed.reinitialize(seed=1)
    assert np.array_equal(keyed.kernel.numpy(), first)


@pytest.mark.parametrize(
    ("make_bad", "error", "text"),
    [
        (lambda: cr.initializers.get("glorot"), UnknownNameError, "did you mean 'glorot_"),
        (lambda: cr.initializers.get("he_norm"), UnknownNameError, "did you mean 'he_normal'?"),
        (lambda: cr.initializers.get(None), ArgumentError, "a name or an Initializer"),
        (lambda: cr.initializers.get(3), ArgumentError, "bad initializer"),
        (lambda: cr.initializers.RandomNormal(stddev=-1), ArgumentError, "at least 0"),
        (lambda: cr.initializers.RandomUniform(1.0, 0.0), ArgumentError, "bad maxval"),
        (lambda: cr.initializers.RandomNormal(mean=float("nan")), ArgumentError, "a finite number"),
        (lambda: cr.initializers.GlorotUniform(seed=-1), ArgumentError, "bad seed"),
        (lambda: cr.initializers.GlorotUniform(seed=1.5), ArgumentError, "a whole number"),
        (lambda: cr.initializers.Constant("x"), ArgumentError, "finite numbers"),
        (lambda: cr.initializers.Constant([1.0, 2.0])((3, 3)), ShapeError, "do not fit"),
        (lambda: cr.initializers.Orthogonal()((3,)), ShapeError, "at least two axes"),
        (lambda: cr.initializers.Identity()((3, 3, 3)), ShapeError, "two axes"),
        (lambda: cr.initializers.Zeros()((-1, 2)), ArgumentError, "a whole number of at least 0"),
    ],
)
def test_bad_arguments(make_bad: object, error: type[ChainruleError], text: str) -> None:
    with pytest.raises(error) as caught:
        make_bad()  # type: ignore[operator]  # a function of no arguments
    assert text in str(caught.value)


def test_wrong_shape_from_own_function() -> None:
    layer = cr.layers.Dense(2, kernel_initializer=lambda shape, dtype: np.zeros(3))
    with pytest.raises(ShapeError, match="wrong shape of values"):
        layer(np.ones((1, 3)))
