"""Configs: a part of a model (layer, initializer, ...) as plain JSON values, and back.

The config of an object holds its constructor's parameters, read from the attributes of the same
names. A part inside a config is ``{"kind": "layer", "class": "Dense", "config": {...}}``; the
class is looked up in ``registry`` and in the ``custom_objects`` of the caller, nowhere else.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from chainrule.errors import ArgumentError, unknown_name
from chainrule.nn import activations, registry
from chainrule.nn.naming import look_up, snake_case

CustomObjects = Mapping[str, Any] | None

PART_KEYS = {"kind", "class", "config"}
CUSTOM_FUNCTION = "function"

Constructor = TypeVar("Constructor", bound=Callable[..., None])


def constructor_parameters(cls: type) -> tuple[str, ...]:
    """The constructor's parameters, with those of the base class where it takes ``**options``."""
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        names.update(dict.fromkeys(p.name for p in parameters if p.kind in named))
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
            break
    return tuple(names)


def also_accept(**other_names: str) -> Callable[[Constructor], Constructor]:
    """Let a constructor take arguments by names used elsewhere: ``also_accept(p="rate")``."""

    def decorate(constructor: Constructor) -> Constructor:
        @functools.wraps(constructor)
        def renamed(self: object, *args: Any, **kwargs: Any) -> None:
            for other, proper in other_names.items():
                if other in kwargs:
                    if proper in kwargs:
                        where = snake_case(type(self).__name__)
                        raise ArgumentError(
                            where, f"{proper} given twice", got=f"{proper} and {other}"
                        )
                    kwargs[proper] = kwargs.pop(other)
            constructor(self, *args, **kwargs)

        return renamed  # type: ignore[return-value]  # wraps keeps the signature

    return decorate


class Configurable:
    """Base of everything that can stand in a config."""

    kind: ClassVar[str]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON values, read from the attributes named like them.

        Raises:
            ArgumentError: an argument was not kept under its own name, or has no JSON form.
        """
        where = snake_case(type(self).__name__)
        config = {}
        for name in constructor_parameters(type(self)):
            if not hasattr(self, name):
                raise ArgumentError(
                    where,
                    f"the constructor's argument {name!r} was not kept",
                    got="no attribute of that name",
                    fix=f"write self.{name} = {name} in __init__, or override get_config",
                )
            config[name] = to_config(getattr(self, name), f"{where}.{name}")
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: CustomObjects = None) -> Self:
        """A new object from a config.

        Args:
            config: what ``get_config`` returned.
            custom_objects: the caller's own classes and functions by name; default none.

        Raises:
            UnknownNameError: a key that the constructor does not take, or a class that no table
                holds.
            ArgumentError: a value that the constructor refuses.
        """
        where = snake_case(cls.__name__)
        if not isinstance(config, Mapping):
            raise ArgumentError(
                where, "bad config", got=type(config).__name__, expected="a dictionary"
            )
        known = constructor_parameters(cls)
        for name in config:
            if name not in known:
                raise unknown_name(where, "argument in config", str(name)[:80], known)
        values = {name: from_config(value, custom_objects) for name, value in config.items()}
        try:
            inspect.signature(cls).bind(**values)
        except TypeError as error:
            raise ArgumentError(where, "incomplete config", got=str(error)) from None
        return cls(**values)

    def __repr__(self) -> str:
        config = self.get_config()
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in config.items())})"


def to_config(value: Any, where: str) -> Any:
    """``value`` in JSON values; parts and named functions as their configs.

    Raises:
        ArgumentError: the value has no such form.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, (list, tuple)):
        return [to_config(item, where) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_config(item, where) for key, item in value.items()}
    if isinstance(value, Configurable):
        return {"kind": value.kind, "class": type(value).__name__, "config": value.get_config()}
    if callable(value):
        return _function_to_config(value, where)
    raise ArgumentError(
        where, "cannot be written to a config", got=type(value).__name__,
        expected="a number, text, list, dictionary, named function, layer or other part",
        fix="override get_config and from_config",
    )  # fmt: skip


def _function_to_config(function: Callable[..., Any], where: str) -> Any:
    named = activations.to_config(function)
    if named is not None:
        return named
    name = getattr(function, "__name__", "<lambda>")
    if "<" in name:
        raise ArgumentError(
            where, "a function without a name cannot be saved", got=name,
            fix="define it with def, and pass it in custom_objects when loading",
        )  # fmt: skip
    return {"kind": CUSTOM_FUNCTION, "class": name, "config": {}}


def from_config(value: Any, custom_objects: CustomObjects = None) -> Any:
    """The value that ``to_config`` wrote as this, parts made anew."""
    if isinstance(value, list):
        return [from_config(item, custom_objects) for item in value]
    if isinstance(value, Mapping):
        if set(value) == PART_KEYS:
            return part_from_config(value, custom_objects)
        return {key: from_config(item, custom_objects) for key, item in value.items()}
    return value


def part_from_config(part: Mapping[str, Any], custom_objects: CustomObjects = None) -> Any:
    """The layer, initializer, regularizer, constraint or custom function that ``part`` describes.

    Args:
        part: ``{"kind": ..., "class": ..., "config": {...}}``.
        custom_objects: the caller's own classes and functions by name; they win over the
            library's. Default none.

    Raises:
        UnknownNameError: neither the library nor ``custom_objects`` has this class.
        ArgumentError: the object under this name is of another kind, or the config does not fit it.
    """
    kind, name, config = (part.get(key) for key in ("kind", "class", "config"))
    custom = custom_objects or {}
    if not isinstance(name, str) or not isinstance(kind, str):
        raise ArgumentError(
            "config", "bad part", got=repr(name)[:80], expected="the name of a class"
        )
    if kind == CUSTOM_FUNCTION:
        if name not in custom:
            raise _missing_custom("function", name, custom)
        return custom[name]
    if kind not in registry.TABLES:
        raise unknown_name("config", "kind of part", kind[:80], registry.TABLES)
    table: Mapping[str, Any] = registry.TABLES[kind]
    if name not in custom and name not in table:
        raise _missing_custom(kind, name, {**table, **custom})
    cls = custom.get(name) or table[name]
    if not (isinstance(cls, type) and issubclass(cls, Configurable) and cls.kind == kind):
        raise ArgumentError(
            "config", f"{name!r} is no {kind}", got=repr(cls), expected=f"a {kind} class"
        )
    return cls.from_config(config if config is not None else {}, custom_objects)


def _missing_custom(kind: str, name: str, known: Mapping[str, Any]) -> ArgumentError:
    shown = name[:80]
    fix = f"if it is your own, pass custom_objects={{{shown!r}: ...}}"
    if not known:
        return ArgumentError("config", f"unknown {kind}", got=repr(shown), fix=fix)
    error = unknown_name("config", kind, shown, known)
    return type(error)(
        "config", error.what, got=error.got, expected=error.expected, fix=f"{error.fix} Or {fix}"
    )


Kind = TypeVar("Kind", bound=Configurable)


def resolve(identifier: Any, kind: type[Kind], aliases: Mapping[str, str]) -> Any:
    """The object meant by None, an object, its class, a function, a name or a part's config."""
    if identifier is None or isinstance(identifier, kind):
        return identifier
    if isinstance(identifier, str):
        named = {snake_case(name): part for name, part in registry.TABLES[kind.kind].items()}
        return look_up(kind.kind, kind.kind, identifier, named, aliases)()
    if isinstance(identifier, type) and issubclass(identifier, kind):
        return identifier()
    if isinstance(identifier, Mapping) and set(identifier) == PART_KEYS:
        return resolve(part_from_config(identifier), kind, aliases)
    if callable(identifier) and not isinstance(identifier, type):
        return identifier
    raise ArgumentError(
        kind.kind, f"bad {kind.kind}", got=repr(identifier)[:80],
        expected=f"a name, a {kind.__name__}, a function or None",
    )  # fmt: skip
