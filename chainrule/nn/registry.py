"""The closed tables from which a saved model takes its parts.

A file names a part by its kind and class; only what stands here, or what the caller passes as
``custom_objects``, can be made from it. Nothing is imported by name.
"""

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from chainrule.nn.configurable import Configurable
    from chainrule.nn.constraints import Constraint
    from chainrule.nn.initializers import Initializer
    from chainrule.nn.layer import Layer
    from chainrule.nn.regularizers import Regularizer

LAYERS: "dict[str, type[Layer]]" = {}
INITIALIZERS: "dict[str, type[Initializer]]" = {}
REGULARIZERS: "dict[str, type[Regularizer]]" = {}
CONSTRAINTS: "dict[str, type[Constraint]]" = {}

TABLES: "dict[str, dict[str, Any]]" = {
    "layer": LAYERS,
    "initializer": INITIALIZERS,
    "regularizer": REGULARIZERS,
    "constraint": CONSTRAINTS,
}

Part = TypeVar("Part", bound="type[Configurable]")


def register(part: Part) -> Part:
    """Put a class of this library into the table of its kind, under its own name (a decorator)."""
    TABLES[part.kind][part.__name__] = part
    return part
