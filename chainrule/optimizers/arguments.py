"""Checks of hyper-parameters and the spellings that users bring from Keras and PyTorch.

``accepts_aliases`` wraps a constructor: it renames accepted spellings (``lr``, ``betas``, ``eps``,
``clipnorm``, ...) and refuses unknown names with the nearest right one. The other functions check
one value and return it.
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, TypedDict, TypeVar, cast, get_type_hints

from chainrule.errors import ArgumentError, unknown_name

# Spelling -> the parameters that take its value (several: the value is a tuple, one part for each).
ALIASES: dict[str, tuple[str, ...]] = {
    "lr": ("learning_rate",),
    "eps": ("epsilon",),
    "betas": ("beta_1", "beta_2"),
    "alpha": ("rho",),
    "clipvalue": ("clip_value",),
    "clipnorm": ("clip_norm",),
    "global_clipnorm": ("global_clip_norm",),
    "gradient_accumulation_steps": ("accumulate_steps",),
    "ema_momentum": ("ema_decay",),
}


class Options(TypedDict, total=False):
    """The options that every optimizer takes; `chainrule.optimizers.Optimizer` describes them."""

    name: str | None
    weight_decay: float | None
    no_decay: list[str] | tuple[str, ...]
    l2: float
    clip_value: float | None
    clip_norm: float | None
    global_clip_norm: float | None
    accumulate_steps: int | None
    ema_decay: float | None


OPTION_NAMES: tuple[str, ...] = tuple(get_type_hints(Options))

Initializer = TypeVar("Initializer", bound=Callable[..., None])


def parameter_names(initializer: Callable[..., None]) -> tuple[str, ...]:
    """The names that a constructor takes, the common options too where it has ``**options``."""
    parameters = list(inspect.signature(initializer).parameters.values())[1:]
    named = tuple(p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD)
    return named if len(named) == len(parameters) else named + OPTION_NAMES


def accepts_aliases(initializer: Initializer) -> Initializer:
    """Let a constructor take the spellings of `ALIASES` whose meaning it has."""
    names = parameter_names(initializer)

    @functools.wraps(initializer)
    def checked(self: Any, *args: Any, **keywords: Any) -> None:
        initializer(self, *args, **_renamed(type(self).__name__, names, keywords))

    return cast(Initializer, checked)


def _renamed(where: str, names: tuple[str, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for spelling, value in keywords.items():
        targets = (spelling,) if spelling in names else ALIASES.get(spelling, ())
        if not targets or not set(targets) <= set(names):
            raise unknown_name(where, "argument", spelling, names)
        values = (value,)
        if len(targets) > 1:
            values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
            if len(values) != len(targets):
                raise ArgumentError(
                    where,
                    f"wrong value of {spelling}",
                    got=repr(value),
                    expected="(" + ", ".join(targets) + ")",
                )
        for target, part in zip(targets, values, strict=True):
            if target in result:
                raise ArgumentError(
                    where, f"{target} is given twice", got=repr(spelling), fix="give one of the two"
                )
            result[target] = part
    return result


def number(where: str, name: str, value: object) -> float:
    """``value`` as a float, or an error when it is no finite number."""
    try:
        result = float(cast(float, value))
    except (TypeError, ValueError):
        result = math.nan
    if not math.isfinite(result) or isinstance(value, str):
        raise ArgumentError(where, f"wrong {name}", got=repr(value), expected="a finite number")
    return result


def positive(where: str, name: str, value: object) -> float:
    """``value`` as a float above 0."""
    result = number(where, name, value)
    if result <= 0:
        raise ArgumentError(where, f"wrong {name}", got=repr(value), expected="a number above 0")
    return result


def not_negative(where: str, name: str, value: object) -> float:
    """``value`` as a float of at least 0."""
    result = number(where, name, value)
    if result < 0:
        raise ArgumentError(
            where, f"wrong {name}", got=repr(value), expected="a number of at least 0"
        )
    return result


def fraction(where: str, name: str, value: object) -> float:
    """``value`` as a float in [0, 1)."""
    result = number(where, name, value)
    if not 0 <= result < 1:
        raise ArgumentError(
            where, f"wrong {name}", got=repr(value), expected="a number of at least 0 and below 1"
        )
    return result


def whole(where: str, name: str, value: object, minimum: int = 1) -> int:
    """``value`` as an integer of at least ``minimum``."""
    result = number(where, name, value)
    if result != int(result) or result < minimum:
        raise ArgumentError(
            where, f"wrong {name}", got=repr(value), expected=f"an integer of at least {minimum}"
        )
    return int(result)
