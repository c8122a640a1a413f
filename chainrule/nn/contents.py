"""What a layer holds: variables, generators and layers in its attributes, and the whole tree."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from chainrule.tensor import Variable
from chainrule.tensor.random import Generator

if TYPE_CHECKING:
    from chainrule.nn.layer import Layer


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


def held(owner: object, kinds: tuple[type, ...], skip: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """The objects of these kinds in the attributes of ``owner``, with their names.

    Lists, tuples and dictionaries are looked into: ``self.blocks = [...]`` gives ``blocks/0``,
    ``blocks/1``. Attributes named in ``skip`` are left out.
    """
    for name, value in vars(owner).items():
        # Most attributes are settings; this loop runs for each layer whenever variables are listed.
        if isinstance(value, kinds):
            yield name, value
        elif isinstance(value, (list, tuple, dict)) and name not in skip:
            yield from _held_in(value, name, kinds)


def _held_in(value: Any, name: str, kinds: tuple[type, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, kinds):
        yield name, value
    elif isinstance(value, (list, tuple, dict)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _held_in(item, f"{name}/{key}", kinds)


def walk(root: "Layer") -> Iterator[Place]:
    """The root and every layer below it, parents first, each once, under its first path."""
    seen: set[int] = set()

    def visit(layer: "Layer", name: str, above: Place | None) -> Iterator[Place]:
        if id(layer) in seen:
            return
        seen.add(id(layer))
        place = Place("", "", 0, layer, layer.trainable)
        if above is not None:
            trainable = above.trainable and layer.trainable
            place = Place(join(above.path, name), name, above.depth + 1, layer, trainable)
        yield place
        for inner_name, inner in layer.named_layers():
            yield from visit(inner, inner_name, place)

    return visit(root, "", None)


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
        for name, generator in held(place.layer, (Generator,), frozenset()):
            if id(generator) not in seen:
                seen.add(id(generator))
                yield join(place.path, name), place.layer, generator
