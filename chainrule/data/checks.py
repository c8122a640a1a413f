"""Checks of stored settings that come from a file: type, bound and place of every value."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import FileFormatError

MAX_ITEMS = 1_000_000
MAX_TEXT = 4096


class StoredConfig:
    """One dict of stored settings, read with a check on every value.

    Args:
        config: what the file held.
        where: what to call it in errors.
        keys: the keys that it must have, no fewer and no more.

    Example:
        >>> stored = StoredConfig({"classes": 3}, "targets", ("classes",))
        >>> stored.integer("classes", 0, 10)
        3
    """

    def __init__(self, config: object, where: str, keys: tuple[str, ...]) -> None:
        self.where = where
        if not isinstance(config, Mapping):
            raise self.wrong("stored settings", type(config).__name__, "a dict")
        if set(config) != set(keys):
            raise self.wrong(
                "stored settings", sorted(map(str, config))[:20], f"the keys {list(keys)}"
            )
        self._config = config

    def wrong(self, what: str, got: object, expected: str) -> FileFormatError:
        """Return the error for a value that is not what it must be."""
        shown = repr(got)
        return FileFormatError(
            self.where,
            f"damaged {what}",
            got=shown[:80] + ("..." if len(shown) > 80 else ""),
            expected=expected,
            fix="train and save again",
        )

    def integer(self, key: str, low: int, high: int) -> int:
        """Return a whole number within bounds."""
        value = self._config[key]
        if type(value) is not int or not low <= value <= high:
            raise self.wrong(key, value, f"a whole number from {low} to {high}")
        return value

    def boolean(self, key: str) -> bool:
        """Return True or False."""
        value = self._config[key]
        if type(value) is not bool:
            raise self.wrong(key, value, "true or false")
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """Return one of a few texts."""
        value = self._config[key]
        if type(value) is not str or value not in choices:
            raise self.wrong(key, value, " or ".join(choices))
        return value

    def items(self, key: str, most: int = MAX_ITEMS) -> list[Any]:
        """Return a list of bounded length."""
        value = self._config[key]
        if type(value) is not list or len(value) > most:
            raise self.wrong(key, value, f"a list of at most {most} items")
        return value

    def part(self, key: str, keys: tuple[str, ...]) -> "StoredConfig":
        """Return a dict inside this one."""
        return StoredConfig(self._config[key], self.where, keys)

    def raw(self, key: str) -> Any:
        """Return a value as it is, for somebody else to check."""
        return self._config[key]

    def integer_or(self, key: str, word: str, low: int, high: int) -> int | str:
        """Return a whole number within bounds, or one word."""
        return word if self._config[key] == word else self.integer(key, low, high)

    def choices(self, key: str, choices: tuple[str, ...], length: int) -> list[str]:
        """Return a list of given length, each item one of a few texts."""
        value = self.texts(key, length, distinct=False, length=length)
        if not set(value) <= set(choices):
            raise self.wrong(key, value, " or ".join(choices))
        return value

    def texts(
        self, key: str, most: int = MAX_ITEMS, *, distinct: bool = True, length: int | None = None
    ) -> list[str]:
        """Return a list of texts of bounded length, all different unless told otherwise."""
        value = self.items(key, most if length is None else length)
        if length is not None and len(value) != length:
            raise self.wrong(key, f"{len(value)} texts", f"{length}")
        for text in value:
            if type(text) is not str or len(text) > MAX_TEXT:
                raise self.wrong(key, text, f"text of at most {MAX_TEXT} characters")
        if distinct and len(set(value)) != len(value):
            raise self.wrong(key, value, "different texts")
        return value

    def floats(
        self, key: str, length: int | None = None, *, positive: bool = False
    ) -> NDArray[Any]:
        """Return a list of finite numbers as a float64 array, of a given length if any."""
        value = self.items(key)
        for number in value:
            if type(number) not in (int, float) or not -1e308 < number < 1e308:
                raise self.wrong(key, number, "finite numbers")
            if positive and number <= 0:
                raise self.wrong(key, number, "positive numbers")
        if length is not None and len(value) != length:
            raise self.wrong(key, f"{len(value)} numbers", f"{length}")
        return np.array(value, dtype=np.float64)

    def optional(self, key: str, read: Callable[[str], Any]) -> Any:
        """Return None where the value is null, else what `read` makes of it."""
        return None if self._config[key] is None else read(key)


def stored_array(
    arrays: Mapping[str, Any], name: str, where: str, *, dtype: str, length: int
) -> NDArray[Any]:
    """Return one stored array after a check of type, length and (for floats) finiteness."""
    array = arrays.get(name)
    good = (
        isinstance(array, np.ndarray)
        and array.dtype == np.dtype(dtype)
        and array.shape == (length,)
        and bool(np.isfinite(array).all())
    )
    if not good or array is None:
        got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "nothing"
        raise FileFormatError(
            where,
            f"damaged array {name!r}",
            got=got,
            expected=f"{dtype} ({length},), all finite",
            fix="train and save again",
        )
    return np.array(array)
