"""MediaClassifier: what classifiers of pictures, sounds and texts share: a NetworkClassifier."""

from collections.abc import Collection
from os import PathLike
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ArgumentError
from chainrule.estimators.base import not_fitted_error
from chainrule.estimators.classifier import NetworkClassifier
from chainrule.estimators.parameters import ALIASES
from chainrule.formats import write_model_file

Array = NDArray[Any]

OWN = "given by the user"
"""The name of a network that the user made."""


class MediaClassifier:
    """Base of `ImageClassifier`, `SoundClassifier` and `TextClassifier`.

    Args:
        settings: those of `NetworkClassifier`, checked here.
    """

    #: The key of what a file of this estimator says beside the network.
    key: ClassVar[str]
    #: Whether its network takes indices, such as tokens of texts.
    takes_indices: ClassVar[bool] = False

    classifier_: NetworkClassifier
    network_: str
    preparation_: Any

    def __init__(self, settings: dict[str, Any]) -> None:
        for name in ("model", "preprocessing", "hidden", "activation", "dropout"):
            if name in settings:
                raise ArgumentError(
                    type(self).__name__, f"there is no setting {name!r}",
                    got=repr(settings[name])[:60], fix="pass a function as network",
                )  # fmt: skip
        NetworkClassifier(**settings)._checked_parameters()  # refuses wrong settings at once
        self.settings = settings

    @property
    def classes_(self) -> Array:
        """The classes, sorted."""
        return self._fitted().classes_

    def predict_proba(self, x: Any) -> Array:
        """The probability of each class, (N, K), in the order of ``classes_``."""
        raise NotImplementedError

    def predict(self, x: Any) -> Array:
        """The most probable class of each example, (N,)."""
        return np.asarray(self.classes_[self.predict_proba(x).argmax(axis=1)])

    def score(self, x: Any, y: Any) -> float:
        """The share of the examples that `predict` gets right.

        Args:
            x: N examples.
            y: their N classes.
        """
        return float(np.mean(self.predict(x) == np.asarray(y)))

    def network_inputs(self, x: Any) -> Array:
        """Examples as the network takes them.

        Args:
            x: N examples with their classes, such as `fit` takes.
        """
        raise NotImplementedError

    def save(self, path: str | PathLike[str]) -> None:
        """Write the network, its classes and the preparation of the examples to one file.

        `chainrule.estimators.load` reads it.

        Raises:
            NotFittedError: there is nothing to save.
            FileAccessError: the file cannot be written.
        """
        from chainrule.estimators.saving import estimator_to_parts

        metadata, arrays = estimator_to_parts(self._fitted())
        write_model_file(path, {**metadata, self.key: self._about()}, arrays)

    @classmethod
    def from_parts(cls, about: object, classifier: Any, where: str) -> "MediaClassifier":
        """Rebuild from what a file says beside the network, and the estimator of the network.

        Raises:
            FileFormatError: the parts are damaged or do not fit each other.
        """
        raise NotImplementedError

    def preparation_facts(self) -> dict[str, Any]:
        """How examples are prepared, as JSON values, for a report."""
        return dict(self.preparation_.to_config())

    def _about(self) -> dict[str, Any]:
        """What a file says beside the network."""
        return {"preparation": self.preparation_.to_config(), "network": self.network_}

    def _fitted(self) -> NetworkClassifier:
        if not hasattr(self, "classifier_"):
            raise not_fitted_error(type(self).__name__)
        return self.classifier_


def settings_with(given: dict[str, Any], count: int, rule: "DefaultRule") -> dict[str, Any]:
    """The settings given, and those that follow from the number of examples.

    Args:
        given: what the user set.
        count: how many examples there are to learn from.
        rule: what follows.
    """
    names = {ALIASES.get(name, name) for name in given}
    known = NetworkClassifier(**given).get_params(deep=False)
    if known["batch_size"] == "auto":
        known["batch_size"] = rule.batch_size(count)
    batch = count if known["batch_size"] is None else int(known["batch_size"])
    if "epochs" not in names:
        known["epochs"] = rule.epochs(count, batch)
    others = rule.others(-(-count // batch), int(known["epochs"]), names)
    known |= {name: value for name, value in others.items() if name not in names}
    for name in ("model", "preprocessing"):
        del known[name]
    return known


class DefaultRule(Protocol):
    """The settings for so many examples: a module of defaults."""

    def batch_size(self, count: int) -> int:
        """Examples in a step."""

    def epochs(self, count: int, batch: int) -> int:
        """Passes over the examples."""

    def others(self, steps: int, epochs: int, given: Collection[str]) -> dict[str, Any]:
        """Other settings, by the steps of an epoch, the epochs, and what the user has set."""
