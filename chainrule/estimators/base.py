"""What scikit-learn expects of an estimator, without needing scikit-learn.

Parameters are the constructor's arguments, kept under their own names; results end in an
underscore. scikit-learn is imported only by what it calls itself (``__sklearn_tags__``).
"""

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, Self, TypeVar, cast

from chainrule.errors import StateError, unknown_name
from chainrule.estimators.parameters import proper_names, proper_values


class NotFittedError(StateError, ValueError, AttributeError):
    """An estimator was used before ``fit``.

    Where scikit-learn is in use, the error raised is its ``NotFittedError`` as well.
    """


def not_fitted_error(where: str) -> NotFittedError:
    """The error for an estimator that has seen no data."""
    return _error_class("sklearn.exceptions" in sys.modules)(
        where, "it is not fitted yet", got="no training data", fix="call fit(X, y) first"
    )


@functools.cache
def _error_class(with_sklearn: bool) -> type[NotFittedError]:
    """The class to raise: scikit-learn's too, so that code written for scikit-learn catches it."""
    if not with_sklearn:
        return NotFittedError
    from sklearn.exceptions import NotFittedError as SklearnNotFittedError

    return type("NotFittedError", (NotFittedError, SklearnNotFittedError), {})


Constructor = TypeVar("Constructor", bound=Callable[..., None])


def parameter_names(constructor: Callable[..., None]) -> tuple[str, ...]:
    """The names of a constructor's parameters."""
    return tuple(inspect.signature(constructor).parameters)[1:]


def accepts_other_names(constructor: Constructor) -> Constructor:
    """Let a constructor take the other names in the table of parameters, such as ``max_iter``.

    The signature that everybody sees stays that of the constructor.
    """
    names = parameter_names(constructor)

    @functools.wraps(constructor)
    def renamed(self: object, *arguments: Any, **keywords: Any) -> None:
        keywords = proper_names(type(self).__name__, names, keywords)
        for name in keywords:
            if name not in names:
                raise unknown_name(type(self).__name__, "parameter", name, names)
        constructor(self, *arguments, **keywords)

    return cast(Constructor, renamed)


class Estimator:
    """Base of the estimators: parameters and their protocol.

    A subclass names every parameter in its constructor, stores each under the same name and
    checks nothing there; ``fit`` checks.
    """

    _estimator_type: str

    @classmethod
    def _parameter_names(cls) -> tuple[str, ...]:
        """The names of the constructor's parameters."""
        return parameter_names(cls.__init__)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name.

        Args:
            deep: also the parameters of parameters that have some, as ``name__parameter``;
                default True.
        """
        result: dict[str, Any] = {}
        for name in self._parameter_names():
            value = getattr(self, name)
            if deep and hasattr(value, "get_params") and not isinstance(value, type):
                inner = value.get_params().items()
                result.update((f"{name}__{key}", part) for key, part in inner)
            result[name] = value
        return result

    def set_params(self, **parameters: Any) -> Self:
        """Change parameters; ``name__parameter`` reaches a parameter of a parameter.

        Returns:
            The estimator itself.

        Raises:
            UnknownNameError: no parameter has this name; the message has the nearest.
        """
        where, names = type(self).__name__, self._parameter_names()
        inner: dict[str, dict[str, Any]] = {}
        for key, value in proper_names(where, names, parameters).items():
            name, _, rest = key.partition("__")
            if name not in names:
                raise unknown_name(where, "parameter", key, names)
            if rest:
                inner.setdefault(name, {})[rest] = value
            else:
                setattr(self, name, value)
        for name, changes in inner.items():
            getattr(self, name).set_params(**changes)
        return self

    def _checked_parameters(self) -> dict[str, Any]:
        """The parameters by name, every one of them checked."""
        return proper_values(type(self).__name__, self.get_params(deep=False))

    def __repr__(self) -> str:
        parameters = list(inspect.signature(type(self).__init__).parameters.values())[1:]
        shown = [
            f"{p.name}={getattr(self, p.name)!r}"
            for p in parameters
            if not _equal(getattr(self, p.name), p.default)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __sklearn_tags__(self) -> Any:
        """What the estimator can do, in scikit-learn's words; called by scikit-learn only."""
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

        kind = self._estimator_type
        return Tags(
            estimator_type=kind,
            target_tags=TargetTags(required=True, multi_output=True),
            classifier_tags=ClassifierTags(multi_label=True) if kind == "classifier" else None,
            regressor_tags=RegressorTags() if kind == "regressor" else None,
            input_tags=InputTags(sparse=True, categorical=True, allow_nan=True),
        )


def _equal(value: Any, default: Any) -> bool:
    """Whether a parameter has its default value; arrays and the like never have."""
    return value is default or (type(value) is type(default) and bool(value == default))
