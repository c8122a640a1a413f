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

    With ``check="debug"``, set before a function is first called or a model is built:

    * every graph is verified after tracing and after each pass;
    * every value, those inside compiled functions and their loops too (which the reference
      interpreter computes beside them), must have its declared shape and dtype: ``GraphError``;
    * finite numbers that make infinity or NaN are an error (``NotFiniteError``), also where the
      result is masked later. What comes of a number that was not finite from the start may be
      infinite or NaN; what comes of an infinity alone may be infinite, not NaN;
    * an index outside its axis is an error (``ArgumentError``), in compiled functions too, of
      embeddings, class numbers, ``take_along_axis`` and ``one_hot`` as well. (``"normal"`` never
      reads or writes outside of an array either, but says less, or lets one of the last four pass);
    * buffers handed to native code must have the dtype, shape, order and alignment that it was
      compiled for, and it may write to nothing but its results: ``GraphError``.

    Errors name the operation, the layer, the place in the array and the step of a loop. ``fit``
    raises them as well; the variables keep the values from before that run of steps.

    Attributes:
        backend: what runs compiled functions: ``"cpu"``, native code, or ``"reference"``, the NumPy
            interpreter. The environment variable CHAINRULE_BACKEND sets it at the start.
        check: ``"normal"``, or ``"debug"`` to look at everything, as slow as that may be; results
            are the same to the bit. The environment variable CHAINRULE_CHECK sets it at the start.
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


config = Config(
    backend=os.environ.get("CHAINRULE_BACKEND", "cpu"),
    check=os.environ.get("CHAINRULE_CHECK", "normal"),
)


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
