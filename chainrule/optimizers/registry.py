"""Optimizers by name."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from chainrule.errors import ArgumentError, unknown_name
from chainrule.optimizers.adam import Adam, Adamax, AdamW, Nadam
from chainrule.optimizers.adaptive import Adadelta, Adagrad, RMSprop
from chainrule.optimizers.lbfgs import LBFGS
from chainrule.optimizers.momentum import SGD, Lion
from chainrule.optimizers.optimizer import Optimizer

OPTIMIZERS: dict[str, type[Optimizer]] = {
    optimizer.__name__: optimizer
    for optimizer in (
        SGD,
        RMSprop,
        Adagrad,
        Adadelta,
        Adam,
        AdamW,
        Nadam,
        Adamax,
        Lion,
        LBFGS,
    )
}

# Names in lower case without separators: the class names and a few that say the arguments too.
NAMES: dict[str, Callable[[], Optimizer]] = {
    **{name.lower(): optimizer for name, optimizer in OPTIMIZERS.items()},
    "gradientdescent": SGD,
    "momentum": lambda: SGD(momentum=0.9),
    "nesterov": lambda: SGD(momentum=0.9, nesterov=True),
    "amsgrad": lambda: Adam(amsgrad=True),
}


def get(optimizer: object, custom_objects: Mapping[str, type[Any]] | None = None) -> Optimizer:
    """The optimizer that an ``optimizer`` argument means.

    Args:
        optimizer: a name ("adam", "RMSprop", "l-bfgs", "nesterov", ...; case and separators do not
            matter), an `Optimizer`, a class, or what `serialize` returned.
        custom_objects: class name -> your own `Optimizer` or `Schedule` class.

    Returns:
        The same object if it is an `Optimizer`, else a new one.

    Raises:
        UnknownNameError: the name is in no table.
        ArgumentError: none of these.

    Example:
        >>> import chainrule as cr
        >>> cr.optimizers.get("adam").learning_rate
        0.001
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        return optimizer()
    custom = custom_objects or {}
    if isinstance(optimizer, str):
        name = "".join(c for c in optimizer.lower() if c.isalnum())
        if name in NAMES:
            return NAMES[name]()
        if optimizer in custom:
            return cast(Optimizer, custom[optimizer]())
        raise unknown_name("optimizer", "optimizer", optimizer, [*NAMES, *custom])
    if isinstance(optimizer, Mapping):
        known = {**OPTIMIZERS, **custom}
        class_name = optimizer.get("class_name")
        if class_name not in known:
            raise unknown_name("optimizer", "optimizer", class_name, known)
        found = known[cast(str, class_name)]
        return cast(Optimizer, found.from_config(optimizer.get("config", {}), custom))
    raise ArgumentError(
        "optimizer",
        "not an optimizer",
        got=type(optimizer).__name__,
        expected='a name such as "adam" or an Optimizer',
    )


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """The optimizer, without its state, as ``{"class_name": ..., "config": ...}``."""
    return {"class_name": type(optimizer).__name__, "config": optimizer.get_config()}
