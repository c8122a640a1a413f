"""Settings: one object, and a context manager to change some of them for a while."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from chainrule.errors import ArgumentError, unknown_name

BACKENDS = ("cpu", "reference")
CHECKS = ("normal", "debug")
MOST_THREADS = 1024


@dataclass
class Config:
    """The settings of this process.

    Attributes:
        backend: what runs compiled functions: ``"cpu"``, native code, or ``"reference"``, the NumPy
            interpreter. The environment variable CHAINRULE_BACKEND sets it at the start.
        check: ``"normal"``, or ``"debug"`` to verify every graph after tracing and after each pass.
        threads: how many threads the cpu back end may use at most; ``None`` for as many as pay.
            Results do not depend on it.
    """

    backend: str = "cpu"
    check: str = "normal"
    threads: int | None = None

    def __setattr__(self, name: str, value: object) -> None:
        if name == "threads":
            if value is not None and (type(value) is not int or not 1 <= value <= MOST_THREADS):
                raise ArgumentError(
                    "config.threads",
                    "not a number of threads",
                    got=repr(value),
                    expected=f"None or a whole number from 1 to {MOST_THREADS}",
                )
            object.__setattr__(self, name, value)
            return
        choices = {"backend": BACKENDS, "check": CHECKS}
        if name not in choices:
            raise unknown_name("config", "setting", name, [*choices, "threads"])
        if value not in choices[name]:
            raise ArgumentError(
                f"config.{name}",
                "unknown value",
                got=repr(value),
                expected="one of " + ", ".join(choices[name]),
            )
        object.__setattr__(self, name, value)


config = Config(backend=os.environ.get("CHAINRULE_BACKEND", "cpu"))


@contextlib.contextmanager
def settings(**changes: object) -> Iterator[Config]:
    """Change settings inside a ``with`` block.

    >>> with settings(check="debug") as current:
    ...     current.check
    'debug'
    """
    before = replace(config)
    try:
        for name, value in changes.items():
            setattr(config, name, value)
        yield config
    finally:
        for field in fields(Config):
            setattr(config, field.name, getattr(before, field.name))
