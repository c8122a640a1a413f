"""Changing the model of a run: remedies that replace layers or set what they do.

`set_activation`, `set_dropout` and `set_initializer` work on every model: they set attributes of
its layers. The others build a `Sequential` anew; ask `is_sequential` first. Layers that are not
touched keep their first weights wherever their shapes stay the same.

Layers are named by their paths, as in ``Case.layers`` and ``LayerRecord.path``.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from chainrule.diagnosis.recipe import Recipe
from chainrule.errors import ChainruleError
from chainrule.nn import Layer, activations, initializers
from chainrule.nn.configurable import constructor_parameters
from chainrule.nn.contents import walk
from chainrule.nn.seeding import derive_seed
from chainrule.training.fit import probe
from chainrule.training.inputs import as_arrays
from chainrule.training.model import Model
from chainrule.training.sequential import Sequential

#: Of a layer's path and the layer: the layers to have there instead, each a new one or the layer
#: itself; None leaves it.
Change = Callable[[str, Layer], Layer | Sequence[Layer] | None]
Paths = Collection[str]

#: The arguments that say how wide the output of a layer is.
WIDTHS = ("units", "filters", "output_dim", "feed_forward_units")
#: The arguments that say which share of the values a layer drops.
RATES = ("rate", "dropout", "recurrent_dropout")


# ---- layers of a Sequential


def is_sequential(model: Model) -> bool:
    """Whether the model is a plain list of layers, which can be built anew with others."""
    return type(model) is Sequential


def with_layers(recipe: Recipe, change: Change) -> Recipe:
    """The run of a `Sequential` with other layers.

    Args:
        recipe: the run.
        change: says for each layer what stands there; it is asked again for each new model.
    """
    seed = int(recipe.settings.get("seed") or 0)

    def edit(model: Model) -> Model:
        return _rebuilt(model, change, recipe.x, seed)

    return recipe.with_model(edit)


def replace_layer(recipe: Recipe, path: str, make: Callable[[Layer], Any]) -> Recipe:
    """The run with what ``make`` gives for the layer at this path, one layer or several."""
    return with_layers(recipe, lambda at, layer: make(layer) if at == path else None)


def insert_before(recipe: Recipe, paths: Paths, make: Callable[[], Layer]) -> Recipe:
    """The run with a new layer before each of these."""
    return with_layers(recipe, lambda at, layer: [make(), layer] if at in paths else None)


def insert_after(recipe: Recipe, paths: Paths, make: Callable[[], Layer]) -> Recipe:
    """The run with a new layer after each of these."""
    return with_layers(recipe, lambda at, layer: [layer, make()] if at in paths else None)


def insert_first(recipe: Recipe, make: Callable[[], Layer]) -> Recipe:
    """The run with a new layer in front of the model, of whatever kind it is."""
    seed = int(recipe.settings.get("seed") or 0)

    def edit(model: Model) -> Model:
        if not is_sequential(model) or not model.layers:
            return Sequential([make(), model])
        first = model.named_layers()[0][0]
        change = lambda at, layer: [make(), layer] if at == first else None  # noqa: E731
        return _rebuilt(model, change, recipe.x, seed)

    return recipe.with_model(edit)


def remove_layers(recipe: Recipe, paths: Paths) -> Recipe:
    """The run without these layers."""
    return with_layers(recipe, lambda at, layer: [] if at in paths else None)


def configure(recipe: Recipe, paths: Paths, **arguments: Any) -> Recipe:
    """The run with other arguments of the constructors of these layers."""
    return with_layers(
        recipe, lambda at, layer: reconfigured(layer, **arguments) if at in paths else None
    )


def with_widths(recipe: Recipe, factor: float) -> Recipe:
    """The run with layers ``factor`` times as wide; the last layer with a width stays."""

    def edit(model: Model) -> Model:
        wide = [path for path, layer in model.named_layers() if width_of(layer) is not None]
        return _rebuilt(model, lambda at, layer: change(at, layer, wide[:-1]), recipe.x, seed)

    def change(at: str, layer: Layer, wide: Paths) -> Layer | None:
        if at not in wide:
            return None
        widths = {name: getattr(layer, name) for name in WIDTHS if hasattr(layer, name)}
        return reconfigured(layer, **{n: max(1, round(w * factor)) for n, w in widths.items()})

    seed = int(recipe.settings.get("seed") or 0)
    return recipe.with_model(edit)


def width_of(layer: Layer) -> int | None:
    """How wide the output of a layer is by its arguments; None where they do not say."""
    for name in WIDTHS:
        value = getattr(layer, name, None)
        if isinstance(value, int):
            return value
    return None


def reconfigured(layer: Layer, **arguments: Any) -> Layer:
    """A new layer of the same kind, some arguments changed: ``reconfigured(dense, units=20)``."""
    try:
        return type(layer).from_config({**layer.get_config(), **arguments})
    except ChainruleError:  # a function without a name, or a class of the user's in an argument
        own = {name: getattr(layer, name) for name in constructor_parameters(type(layer))}
        return type(layer)(**{**own, "name": layer._given_name, **arguments})


def _rebuilt(model: Model, change: Change, x: Any, seed: int) -> Model:
    """A new model of the changed layers, built if the old one was."""
    assert isinstance(model, Sequential)
    layers: list[Layer] = []
    same: list[tuple[Layer, Layer]] = []  # each layer that stays, and what takes its place
    changed = False
    for path, layer in model.named_layers():
        given = change(path, layer)
        given = layer if given is None else given
        parts = [given] if isinstance(given, Layer) else given
        for part in parts:
            if part is not layer:
                changed = True
                layers.append(part)
            else:  # behind a change the inputs may have another width
                layers.append(reconfigured(layer) if changed and layer.weights else layer)
                same.append((layer, layers[-1]))
        changed = changed or layer not in parts
    made = Sequential(layers, name=model._given_name, trainable=model.trainable)
    if model.built or model._dtype_given:
        made.dtype = model.dtype
    made.tree_seed = seed if model._tree_seed is None else model._tree_seed
    if model.built:
        probe(made, as_arrays(x, "x", "diagnose"))
        for before, after in same:
            _take_over(before, after)
    return made


def _take_over(before: Layer, after: Layer) -> None:
    """Give a layer the values of another one where the shapes are the same."""
    values = before.weights
    for path, variable in after.weights.items():
        if path in values and values[path].shape == variable.shape:
            variable.assign(values[path].numpy())


# ---- attributes of any model


def set_activation(recipe: Recipe, paths: Paths, activation: Any) -> Recipe:
    """The run with another activation in these layers, and in the cells inside them."""

    def edit(model: Model) -> None:
        for layer in _inside(model, paths):
            if callable(layer.__dict__.get("activation")):
                vars(layer)["activation"] = activations.get(activation)

    return recipe.with_model(edit)


def set_dropout(recipe: Recipe, rate: float, paths: Paths | None = None) -> Recipe:
    """The run with at most this share dropped, in these layers (default: in all)."""

    def edit(model: Model) -> None:
        for layer in _inside(model, paths):
            for name in dropping(layer):
                vars(layer)[name] = min(rate, getattr(layer, name))

    return recipe.with_model(edit)


def dropping(layer: Layer) -> dict[str, float]:
    """The arguments by which a layer drops values, with the shares, those above 0."""
    found = {name: layer.__dict__.get(name) for name in RATES}
    return {name: rate for name, rate in found.items() if isinstance(rate, float) and rate > 0}


def set_initializer(recipe: Recipe, given: Mapping[str, Any], paths: Paths | None = None) -> Recipe:
    """The run with other first values.

    Args:
        recipe: the run.
        given: an initializer for each name of a variable, such as ``{"kernel": "he_normal"}``.
        paths: of the layers; default all.
    """
    seed = int(recipe.settings.get("seed") or 0)

    def edit(model: Model) -> None:
        made = {name: initializers.get(initializer) for name, initializer in given.items()}
        tree_seed = seed if model._tree_seed is None else model._tree_seed
        for layer in _inside(model, paths):
            for name, initializer in made.items():
                if hasattr(layer, f"{name}_initializer"):
                    vars(layer)[f"{name}_initializer"] = initializer
                if name in layer._weights:
                    variable = layer._weights[name]
                    layer._initializers[name] = initializer
                    variable.assign(
                        initializers.initial_values(
                            initializer, variable.shape, variable.dtype.name,
                            derive_seed(tree_seed, variable.path),
                        )
                    )  # fmt: skip

    return recipe.with_model(edit)


def _inside(model: Model, paths: Paths | None) -> Iterator[Layer]:
    """The layers at these paths and below them; all for None."""
    for place in walk(model):
        parts = place.path.split("/")
        above = ("/".join(parts[: n + 1]) for n in range(len(parts)))
        if place.path and (paths is None or any(path in paths for path in above)):
            yield place.layer
