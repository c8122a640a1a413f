"""What a layer holds: variables, generators and layers in its attributes, and the whole tree."""

from collections.abc import Iterator
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

from chainrule.tensor import Variable
from chainrule.tensor.random import Generator

if TYPE_CHECKING:
    from chainrule.nn.layer import Layer


_CONTAINERS = (list, tuple, dict)
# Classes of which no attribute is anything here or holds it. Most attributes are such settings, and
# the variables of a model are listed in every step of a loop written by hand.
_settings: set[type] = {NoneType, bool, int, float, str}


class Place(NamedTuple):
    """A layer in a tree: where it is, and whether it and all around it are trainable."""

    path: str
    name: str
    depth: int
    layer: "Layer"
    trainable: bool


def join(path: str, name: str) -> str:
    """The path of ``name`` inside ``path``; the root's own path is empty."""
    return f"{path}/{name}" if path else name


def held(
    owner: object, kinds: type | tuple[type, ...], skip: frozenset[str] = frozenset()
) -> list[tuple[str, Any]]:
    """The objects of these kinds in the attributes of ``owner``, with their names.

    Lists, tuples and dictionaries are looked into: ``self.blocks = [...]`` gives ``blocks/0``,
    ``blocks/1``. Attributes named in ``skip`` are left out where they are such containers.
    """
    found: list[tuple[str, Any]] = []
    for name, value in vars(owner).items():
        kind = type(value)
        if kind in _settings:
            continue
        if isinstance(value, kinds):
            found.append((name, value))
        elif isinstance(value, _CONTAINERS):
            if name not in skip:
                _look_into(value, name, kinds, found)
        elif not (issubclass(kind, (Variable, Generator)) or hasattr(kind, "named_layers")):
            _settings.add(kind)
    return found


def _look_into(
    value: Any, name: str, kinds: type | tuple[type, ...], found: list[tuple[str, Any]]
) -> None:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, kinds):
            found.append((f"{name}/{key}", item))
        elif isinstance(item, _CONTAINERS):
            _look_into(item, f"{name}/{key}", kinds, found)


def walk(root: "Layer") -> list[Place]:
    """The root and every layer below it, parents first, each once, under its first path."""
    places = [Place("", "", 0, root, root.trainable)]
    _add_inner(places[0], {id(root)}, places)
    return places


def _add_inner(place: Place, seen: set[int], places: list[Place]) -> None:
    for name, layer in place.layer.named_layers():
        if id(layer) not in seen:
            seen.add(id(layer))
            trainable = place.trainable and layer.trainable
            inner = Place(join(place.path, name), name, place.depth + 1, layer, trainable)
            places.append(inner)
            _add_inner(inner, seen, places)


def variables_of(root: "Layer") -> Iterator[tuple[str, Variable, bool]]:
    """Path, variable and whether it is trained, for every variable in the tree, each once."""
    seen: set[int] = set()
    for place in walk(root):
        for name, variable in place.layer.own_variables():
            if id(variable) not in seen:
                seen.add(id(variable))
                yield join(place.path, name), variable, place.trainable and variable.trainable


def generators_of(root: "Layer") -> Iterator[tuple[str, "Layer", Generator]]:
    """Path, owner and generator, for every random generator in the tree, each once."""
    seen: set[int] = set()
    for place in walk(root):
        for name, generator in held(place.layer, Generator):
            if id(generator) not in seen:
                seen.add(id(generator))
                yield join(place.path, name), place.layer, generator
