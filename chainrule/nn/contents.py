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
    ``blocks/1``. Attributes named in ``skip`` are left out.
    """
    found: list[tuple[str, Any]] = []
    for name, value in vars(owner).items():
        kind = type(value)
        if kind in _settings or name in skip:
            continue
        if isinstance(value, kinds):
            found.append((name, value))
        elif isinstance(value, _CONTAINERS):
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


def walk(root: "Layer") -> Iterator[Place]:
    """The root and every layer below it, parents first, each once, under its first path.

    A layer's own layers are looked up after it was given out: it may get some in between.
    """
    seen: set[int] = set()
    ahead = [Place("", "", 0, root, root.trainable)]
    while ahead:
        place = ahead.pop()
        path, _, depth, layer, trainable = place
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        yield place
        ahead += [
            Place(join(path, name), name, depth + 1, inner, trainable and inner.trainable)
            for name, inner in reversed(layer.named_layers())
        ]


def variables_of(root: "Layer") -> Iterator[tuple[str, Variable, bool]]:
    """Path, variable and whether it is trained, for every variable in the tree, each once."""
    seen: set[int] = set()
    ahead = [("", root, root.trainable)]
    while ahead:
        path, layer, trainable = ahead.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        variables, layers = layer._own_variables_and_layers()
        for name, variable in variables:
            if id(variable) not in seen:
                seen.add(id(variable))
                yield join(path, name), variable, trainable and variable.trainable
        for name, inner in reversed(layers):
            ahead.append((join(path, name), inner, trainable and inner.trainable))


def generators_of(root: "Layer") -> Iterator[tuple[str, "Layer", Generator]]:
    """Path, owner and generator, for every random generator in the tree, each once."""
    seen: set[int] = set()
    for place in walk(root):
        for name, generator in held(place.layer, Generator):
            if id(generator) not in seen:
                seen.add(id(generator))
                yield join(place.path, name), place.layer, generator
