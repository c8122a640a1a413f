"""One call that checks a layer: shapes, dtypes, config, gradients, jit, seeds, copies."""

from __future__ import annotations

import copy
import json
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import tree
from chainrule.errors import ChainruleError
from chainrule.nn.contents import walk
from chainrule.nn.layer import Layer
from chainrule.tensor import GradientTape, Tensor, jit
from chainrule.testing.gradients import check_gradients

SEED = 5


class LayerCheckError(ChainruleError, AssertionError):
    """A layer that breaks one of the rules that ``run_layer_checks`` tests."""


def run_layer_checks(
    make_layer: Callable[[], Layer],
    input_shape: Any,
    *,
    inputs: Any = None,
    training: Sequence[bool] = (False, True),
    order: int = 2,
    tolerance: float = 1e-6,
    custom_objects: dict[str, Any] | None = None,
) -> None:
    """Check that a layer keeps all the rules that models, files and the optimizer rely on.

    In float64 and float32, outside and in training: the output has the shape that
    ``compute_output_shape`` announces and the layer's dtype; a layer made from the config (through
    JSON) computes the same; first and second derivatives agree with finite differences, and every
    trainable variable has a gradient; ``jit`` gives what eager code gives, also the same state;
    one seed gives the same variables and the same random draws twice; a deep copy computes the
    same and shares nothing; paths are unique.

    Args:
        make_layer: makes a new layer of default dtype that is not built.
        input_shape: shape of the input with its batch size, (N, ...), or a list of shapes.
        inputs: the input itself, where random normal numbers do not do. Default None.
        training: values of ``training`` to check. Default both.
        order: order of the derivatives to check; 0 for none. Default 2.
        tolerance: relative difference allowed between derivatives. Default 1e-6.
        custom_objects: the caller's own classes in the config, by name. Default none.

    Raises:
        LayerCheckError: a rule is broken; the message says which.
        GradientError: a derivative differs from the finite difference.

    Example:
        >>> import chainrule as cr
        >>> from chainrule.testing.layer_checks import run_layer_checks
        >>> run_layer_checks(lambda: cr.layers.Dense(2, activation="tanh"), (3, 4))
    """
    custom = dict(custom_objects or {})
    custom.setdefault(type(make_layer()).__name__, type(make_layer()))
    values = _random_inputs(input_shape) if inputs is None else tree.map_leaves(np.asarray, inputs)
    case = _Case(make_layer, values, custom)
    case.check_construction()
    for mode in training:
        case.check_shape_and_dtype(mode)
        case.check_config(mode)
        case.check_jit(mode)
        case.check_seed(mode)
        case.check_copy(mode)
        if order:
            case.check_gradients(mode, order, tolerance)


def _random_inputs(shape: Any) -> Any:
    if isinstance(shape, list):
        return [_random_inputs(part) for part in shape]
    if isinstance(shape, dict):
        return {key: _random_inputs(part) for key, part in shape.items()}
    return np.random.default_rng([SEED, *shape]).standard_normal(shape)


class _Case:
    """One kind of layer and the input it is checked on."""

    def __init__(
        self, make_layer: Callable[[], Layer], values: Any, custom_objects: dict[str, Any]
    ) -> None:
        self.make_layer = make_layer
        self.values = values
        self.custom_objects = custom_objects

    def make(self, dtype: str = "float64") -> Layer:
        """A new layer that is built and has the fixed seed."""
        layer = self.make_layer()
        for place in walk(layer):
            place.layer.dtype = dtype
        layer.tree_seed = SEED
        layer(self.values)
        return layer

    def check_construction(self) -> None:
        layer = self.make_layer()
        _require(layer, not layer.built, "make_layer must return a layer that is not built")
        made = self.make()
        paths = list(made.weights)
        _require(made, made.built, "the layer is not built after a call")
        _require(made, len(made.variables) == len(set(paths)), "two variables have one path", paths)
        _require(
            made,
            paths == [variable.path for variable in made.variables],
            "the variables do not carry their paths",
            [variable.path for variable in made.variables],
            paths,
        )
        _require(made, len(str(made.summary()).splitlines()) > 4, "the summary is empty")

    def check_shape_and_dtype(self, training: bool) -> None:
        shapes = tree.map_leaves(lambda x: (None, *x.shape[1:]), self.values)
        for dtype in ("float64", "float32"):
            layer = self.make(dtype)
            announced = layer.compute_output_shape(shapes)
            for some in (slice(None), slice(1)):
                given = tree.map_leaves(operator.itemgetter(some), self.values)
                outputs = layer(given, training=training)
                found = (None, *outputs.shape[1:])
                _require(
                    layer, tuple(announced) == found, "compute_output_shape is wrong",
                    announced, found,
                )  # fmt: skip
                batch = tree.flatten(given)[0][0].shape[0]
                _require(
                    layer,
                    outputs.shape[0] == batch,
                    "the batch axis changed",
                    outputs.shape[0],
                    batch,
                )
                if outputs.dtype.kind == "f" and self._is_floating():
                    _require(
                        layer, outputs.dtype.name == dtype, "wrong dtype", outputs.dtype.name, dtype
                    )

    def check_config(self, training: bool) -> None:
        layer = self.make()
        text = json.dumps(layer.get_config(), allow_nan=False)
        again = type(layer).from_config(json.loads(text), self.custom_objects)
        written = json.dumps(again.get_config(), allow_nan=False)
        _require(layer, written == text, "the config changes on its way", written, text)
        for place in walk(again):
            place.layer.dtype = "float64"
        again.tree_seed = SEED
        again(self.values)
        again.set_weights(layer.get_weights())
        self._same(
            layer,
            "a layer made from the config computes something else",
            again(self.values, training=training),
            layer(self.values, training=training),
        )

    def check_jit(self, training: bool) -> None:
        eager, traced = self.make(), self.make()
        compiled = jit(lambda x: traced(x, training=training))
        for _ in range(2):
            expected = eager(self.values, training=training)
            self._same(eager, "jit gives another output", compiled(self.values), expected)
            self._same_state(eager, "jit leaves another state", traced)
        _require(eager, len(compiled.graphs) == 1, "jit traces the layer again for each call")
        fresh = self.make_layer()
        for place in walk(fresh):
            place.layer.dtype = "float64"
        fresh.tree_seed = SEED
        built_inside = jit(lambda x: fresh(x, training=training))(self.values)
        expected = self.make()(self.values, training=training)
        self._same(eager, "a first call inside jit builds it differently", built_inside, expected)

    def check_seed(self, training: bool) -> None:
        layer = self.make()
        first = [layer(self.values, training=training), *layer.get_weights()]
        layer.reinitialize(seed=SEED + 1)
        layer.reinitialize(seed=SEED)
        second = [layer(self.values, training=training), *layer.get_weights()]
        for a, b in zip(first, second, strict=True):
            self._same(layer, "reinitialize does not repeat the seed", b, a)

    def check_copy(self, training: bool) -> None:
        layer = self.make()
        twin = copy.deepcopy(layer)
        shared = {id(v) for v in layer.variables} & {id(v) for v in twin.variables}
        _require(layer, not shared, "a deep copy shares variables")
        expected = layer(self.values, training=training)
        found = twin(self.values, training=training)
        self._same(layer, "a deep copy computes something else", found, expected)

    def check_gradients(self, training: bool, order: int, tolerance: float) -> None:
        layer = self.make()
        state = layer.get_weights()
        trained = layer.trainable_variables
        leaves, structure = tree.flatten(self.values)

        def run(*arguments: Any) -> Tensor:
            for generator in layer.generators:
                generator.reset(SEED)
            for variable, value in zip(layer.variables, state, strict=True):
                variable.assign(value)
            for variable, argument in zip(trained, arguments[len(leaves) :], strict=True):
                variable.assign(argument)
            given = tree.unflatten(structure, arguments[: len(leaves)])
            return layer(given, training=training)

        with GradientTape() as tape:
            total = layer(self.values, training=training).sum()
        gradients = tape.gradient(total, trained) if trained else []
        for variable, gradient in zip(trained, gradients, strict=True):
            _require(layer, gradient is not None, f"{variable.path} has no gradient")
        values = [variable.numpy() for variable in trained]
        if trained or any(x.dtype.kind == "f" for x in leaves):
            check_gradients(run, *leaves, *values, order=order, tolerance=tolerance)

    def _is_floating(self) -> bool:
        return all(x.dtype.kind == "f" for x in tree.flatten(self.values)[0])

    def _same(self, layer: Layer, what: str, found: Any, expected: Any) -> None:
        left, right = np.asarray(found), np.asarray(expected)
        close = left.shape == right.shape and np.allclose(left, right, rtol=1e-12, atol=1e-12)
        _require(layer, close, what, left, right)

    def _same_state(self, layer: Layer, what: str, other: Layer) -> None:
        for expected, found in zip(_state(layer), _state(other), strict=True):
            self._same(layer, what, found, expected)


def _state(layer: Layer) -> Iterator[NDArray[Any]]:
    yield from layer.get_weights()
    for generator in layer.generators:
        yield generator.state.numpy()


def _require(
    layer: Layer, holds: bool, what: str, got: object = None, expected: object = None
) -> None:
    if not holds:
        raise LayerCheckError(layer.where, what, got=got, expected=expected)
