"""Errors: one message form for the whole library.

Every message reads ``[where] what: got ..., expected .... To fix: ...``. Each class also derives
from the built-in class that Python users would catch (``ValueError``, ``TypeError``, ``OSError``),
so no caller has to know this module.
"""

import difflib
from collections.abc import Iterable


def message(
    where: str, what: str, *, got: object = None, expected: object = None, fix: str = ""
) -> str:
    """Build ``[where] what: got ..., expected .... To fix: ...``; parts that are not given are left
    out.
    """
    text = f"[{where}] {what}"
    facts = []
    if got is not None:
        facts.append(f"got {got}")
    if expected is not None:
        facts.append(f"expected {expected}")
    if facts:
        text += ": " + ", ".join(facts)
    text = text.rstrip(".") + "."
    if fix:
        text += f" To fix: {fix.rstrip('.')}" + ("" if fix.endswith("?") else ".")
    return text


class ChainruleError(Exception):
    """Base class of every error that chainrule raises on purpose.

    Args:
        where: the operation, layer path, file or column that refused.
        what: what is wrong, in a few words.
        got: what was given.
        expected: what would have been right.
        fix: what to do, as an instruction.
    """

    def __init__(
        self, where: str, what: str, *, got: object = None, expected: object = None, fix: str = ""
    ) -> None:
        super().__init__(message(where, what, got=got, expected=expected, fix=fix))
        self.where = where
        self.what = what
        self.got = got
        self.expected = expected
        self.fix = fix

    def __str__(self) -> str:
        # KeyError-like bases would show the repr; every class here shows the message itself.
        return str(self.args[0]) if self.args else self.what

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.where, self.what, self.got, self.expected, self.fix)


def _rebuild(
    cls: type[ChainruleError], where: str, what: str, got: object, expected: object, fix: str
) -> ChainruleError:
    return cls(where, what, got=got, expected=expected, fix=fix)


class ShapeError(ChainruleError, ValueError):
    """A rank, width or length that does not fit."""


class DTypeError(ChainruleError, TypeError):
    """A kind of number that the operation does not take."""


class ArgumentError(ChainruleError, ValueError):
    """An argument outside what the function takes."""


class UnknownNameError(ArgumentError):
    """A name (layer, loss, optimizer, activation, ...) that no table holds."""


class GradientError(ChainruleError, ValueError):
    """A derivative that does not exist or was not recorded."""


class GraphError(ChainruleError, ValueError):
    """A graph that breaks the rules of the intermediate language."""


class NotFiniteError(ChainruleError, FloatingPointError):
    """Finite numbers that made infinity or NaN, while ``config.check`` is ``"debug"``."""


class StateError(ChainruleError, RuntimeError):
    """A call that came too early or too late (not built, already stopped)."""


class DataError(ChainruleError, ValueError):
    """Data that cannot be trained on: empty, not finite, of one class, with a missing column."""


class FileFormatError(ChainruleError, ValueError):
    """A file whose content is not what it must be: not a table, damaged, hostile."""


class FileAccessError(ChainruleError, OSError):
    """A file that cannot be read or written."""


class MissingDependencyError(ChainruleError, ImportError):
    """An optional package that is not installed."""


# Characters of a list of names in a message.
MOST_LISTED = 600


def unknown_name(where: str, kind: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """The error for a name that is in no table, with the nearest right one.

    >>> print(unknown_name("activation", "activation", "rellu", ["relu", "tanh"]))
    [activation] unknown activation: got 'rellu', expected one of relu, tanh. To fix: did you mean
    'relu'?
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=0.4)
    fix = f"did you mean {near[0]!r}?" if near else f"use one of the {len(names)} known names"
    listed = ", ".join(names)
    if len(listed) > MOST_LISTED:
        listed = f"{listed[:MOST_LISTED].rpartition(', ')[0]}, ... ({len(names)} in all)"
    return UnknownNameError(
        where, f"unknown {kind}", got=repr(name), expected=f"one of {listed}", fix=fix
    )


def missing_dependency(where: str, package: str, extra: str) -> MissingDependencyError:
    """The error for an optional package that is not installed."""
    return MissingDependencyError(
        where, f"the package {package} is not installed", fix=f"pip install 'chainrule[{extra}]'"
    )
