"""Estimators as files: network, preprocessing, targets and settings in one safetensors file.

Nothing in a file is run, and every value is checked before it is used: the container by `formats`,
the network by `training.saving`, columns and targets by `data`, the rest here.
"""

import json
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data import ClassEncoder, MultiLabelEncoder, RegressionScaler, TablePreprocessor
from chainrule.errors import ChainruleError, FileFormatError
from chainrule.estimators.audio_classifier import SoundClassifier
from chainrule.estimators.classifier import NetworkClassifier
from chainrule.estimators.image_classifier import ImageClassifier
from chainrule.estimators.media_classifier import MediaClassifier
from chainrule.estimators.network import Encoder, NetworkEstimator
from chainrule.estimators.regressor import NetworkRegressor
from chainrule.estimators.speech_recognizer import SpeechRecognizer
from chainrule.estimators.text_classifier import TextClassifier
from chainrule.estimators.text_generator import TextGenerator
from chainrule.formats import read_model_file, write_model_file
from chainrule.training.saving import model_to_parts, parts_to_model

VERSION = 1
MAX_COLUMNS = 1_000_000
MAX_NAME = 4_096
NETWORK, COLUMNS = "network/", "columns/"

CLASSES: dict[str, type[NetworkClassifier] | type[NetworkRegressor]] = {
    "NetworkClassifier": NetworkClassifier,
    "NetworkRegressor": NetworkRegressor,
}
WRAPPERS: tuple[type[MediaClassifier], ...] = (ImageClassifier, SoundClassifier, TextClassifier)
ENCODERS: dict[str, type[Encoder]] = {
    "classes": ClassEncoder,
    "labels": MultiLabelEncoder,
    "numbers": RegressionScaler,
}
KINDS_OF_TARGET = {"NetworkClassifier": ("classes", "labels"), "NetworkRegressor": ("numbers",)}
PROBABILITIES = ("softmax", "sigmoid", "exp", "as they are", "")
KEYS = {
    "version", "class", "parameters", "probabilities", "columns", "names", "preprocessing",
    "target", "target_name", "epochs", "loss",
}  # fmt: skip

Arrays = dict[str, NDArray[Any]]


def save_estimator(estimator: NetworkEstimator, path: str | PathLike[str]) -> None:
    """Write a fitted estimator; see `NetworkEstimator.save`."""
    write_model_file(path, *estimator_to_parts(estimator))


def estimator_to_parts(estimator: NetworkEstimator) -> tuple[dict[str, Any], Arrays]:
    """A fitted estimator as JSON values and arrays."""
    architecture, weights = model_to_parts(estimator.model_)
    arrays = {NETWORK + name: value for name, value in weights.items()}
    preprocessing = None
    if estimator.preprocessor_ is not None:
        preprocessing, learnt = estimator.preprocessor_.to_config()
        arrays.update({COLUMNS + name: value for name, value in learnt.items()})
    encoder = estimator.target_encoder_
    kind = next(kind for kind, found in ENCODERS.items() if isinstance(encoder, found))
    names = getattr(estimator, "feature_names_in_", None)
    about = {
        "version": VERSION,
        "class": type(estimator).__name__,
        "parameters": _plain_parameters(estimator),
        "probabilities": getattr(estimator, "_probabilities", ""),
        "columns": estimator.n_features_in_,
        "names": None if names is None else list(names),
        "preprocessing": preprocessing,
        "target": {"kind": kind, "config": encoder.to_config()},
        "target_name": estimator.target_name_,
        "epochs": estimator.n_iter_,
        "loss": estimator.loss_
        if estimator.loss_ is None or np.isfinite(estimator.loss_)
        else None,
    }
    return {"architecture": architecture, "estimator": about}, arrays


def _plain_parameters(estimator: NetworkEstimator) -> dict[str, Any]:
    """The parameters that JSON can hold; the others keep their defaults in the loaded estimator."""
    result = {}
    for name, value in estimator.get_params(deep=False).items():
        plain = list(value) if isinstance(value, tuple | np.ndarray) else value
        plain = plain.item() if isinstance(plain, np.generic) else plain
        if isinstance(plain, list):
            plain = [item.item() if isinstance(item, np.generic) else item for item in plain]
        try:
            if json.loads(json.dumps(plain, allow_nan=False)) == plain:
                result[name] = plain
        except (TypeError, ValueError):
            continue
    return result


def load(
    path: str | PathLike[str], custom_objects: Mapping[str, Any] | None = None
) -> NetworkClassifier | NetworkRegressor | MediaClassifier | SpeechRecognizer | TextGenerator:
    """Read an estimator that ``save`` wrote. No code in the file is run.

    Args:
        path: the file.
        custom_objects: your own layer and model classes and functions by name; default none.

    Returns:
        The fitted estimator, without the history of its training.

    Raises:
        FileAccessError: the file cannot be read.
        FileFormatError: not an estimator's file, damaged, or not consistent.
        UnknownNameError: the network uses a class or function that is not passed.

    Example:
        >>> import tempfile, os
        >>> from chainrule.estimators import NetworkRegressor, load
        >>> X = np.arange(20.0)[:, None]
        >>> regressor = NetworkRegressor(hidden=4, epochs=2, random_state=0).fit(X, X[:, 0])
        >>> path = os.path.join(tempfile.mkdtemp(), "regressor.safetensors")
        >>> regressor.save(path)
        >>> bool((load(path).predict(X) == regressor.predict(X)).all())
        True
    """
    where = str(path)
    metadata, arrays = read_model_file(path)
    if "speech" in metadata:
        return SpeechRecognizer.from_parts(metadata, arrays, custom_objects, where)
    if "writer" in metadata:
        return TextGenerator.from_parts(metadata, arrays, where)
    kind = next((kind for kind in WRAPPERS if kind.key in metadata), None)
    if kind is None:
        return estimator_from_parts(metadata, arrays, custom_objects, where)
    about, indices = metadata.pop(kind.key), kind.takes_indices
    estimator = estimator_from_parts(metadata, arrays, custom_objects, where, indices=indices)
    return kind.from_parts(about, estimator, where)


def estimator_from_parts(
    metadata: Mapping[str, Any],
    arrays: Arrays,
    custom_objects: Mapping[str, Any] | None,
    where: str,
    *,
    indices: bool = False,
) -> NetworkClassifier | NetworkRegressor:
    """The estimator that `estimator_to_parts` took apart; nothing is assumed about the parts.

    ``indices`` says that the network takes indices, such as tokens of texts.

    Raises:
        FileFormatError, UnknownNameError: see `load`.
    """
    about = metadata.get("estimator")
    if metadata.keys() != {"architecture", "estimator"} or not isinstance(about, dict):
        raise _damaged(
            where, "the file holds no estimator", sorted(metadata), "'architecture', 'estimator'",
            "use a file that estimator.save(path) wrote; cr.load_model(path) reads plain models",
        )  # fmt: skip
    _check_about(about, where)
    weights = {k.removeprefix(NETWORK): a for k, a in arrays.items() if k.startswith(NETWORK)}
    learnt = {k.removeprefix(COLUMNS): a for k, a in arrays.items() if k.startswith(COLUMNS)}
    if len(weights) + len(learnt) != len(arrays):
        raise _damaged(where, "arrays that belong to nothing", len(arrays), "network and columns")
    estimator = _with_parameters(about, where)
    model = parts_to_model(metadata["architecture"], weights, custom_objects, where=where)
    estimator.model_, estimator.takes_indices = model, indices
    _restore_columns(estimator, about, learnt, where)
    _restore_target(estimator, about, where)
    _check_network(estimator, where)
    estimator.n_iter_ = about["epochs"]
    estimator.loss_ = about["loss"]
    estimator.history_ = estimator.loss_curve_ = None
    estimator._optimizer = None
    estimator._loss_missing = "loss" not in about["parameters"]
    return estimator


def _check_about(about: dict[str, Any], where: str) -> None:
    """Every entry is there and of the right type."""
    if about.keys() != KEYS:
        raise _damaged(where, "damaged settings", sorted(about)[:20], f"the keys {sorted(KEYS)}")
    names, target, loss = about["names"], about["target"], about["loss"]
    columns = about["columns"]
    right = {
        "version": type(about["version"]) is int and about["version"] == VERSION,
        "class": isinstance(about["class"], str) and about["class"] in CLASSES,
        "parameters": isinstance(about["parameters"], dict),
        "probabilities": about["probabilities"] in PROBABILITIES,
        "columns": type(columns) is int and 1 <= columns <= MAX_COLUMNS,
        "names": names is None
        or (isinstance(names, list) and len(names) == columns and all(map(_is_name, names))),
        "target": isinstance(target, dict) and target.keys() == {"kind", "config"},
        "target_name": about["target_name"] is None or _is_name(about["target_name"]),
        "epochs": type(about["epochs"]) is int and 0 <= about["epochs"] < 2**53,
        "loss": loss is None or type(loss) in (int, float),
    }
    for key, fine in right.items():
        if not fine:
            raise _damaged(where, f"damaged {key}", about[key])
    if target["kind"] not in KINDS_OF_TARGET[about["class"]]:
        raise _damaged(where, "damaged target", target["kind"])


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_NAME


def _with_parameters(about: dict[str, Any], where: str) -> NetworkClassifier | NetworkRegressor:
    """A new estimator with the stored parameters."""
    kind = CLASSES[about["class"]]
    parameters = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in about["parameters"].items()
    }
    if not set(parameters) <= set(kind._parameter_names()):
        raise _damaged(where, "damaged parameters", sorted(parameters)[:20])
    make: Callable[..., NetworkClassifier | NetworkRegressor] = kind
    estimator = make(**parameters)
    try:
        estimator._checked_parameters()
    except ChainruleError as error:
        raise _damaged(where, "damaged parameters", error.what) from error
    return estimator


def _restore_columns(
    estimator: NetworkEstimator, about: dict[str, Any], learnt: Arrays, where: str
) -> None:
    estimator.n_features_in_ = about["columns"]
    if about["names"] is not None:
        estimator.feature_names_in_ = np.array(about["names"], dtype=object)
    if about["preprocessing"] is None:
        if learnt:
            raise _damaged(where, "arrays that belong to nothing", sorted(learnt)[:5])
        estimator.preprocessor_ = None
        return
    stored = TablePreprocessor.from_config(about["preprocessing"], learnt, where)
    if stored.n_inputs != about["columns"]:
        raise _damaged(where, "damaged columns", stored.n_inputs, about["columns"])
    estimator.preprocessor_ = stored


def _restore_target(estimator: NetworkEstimator, about: dict[str, Any], where: str) -> None:
    encoder = ENCODERS[about["target"]["kind"]].from_config(about["target"]["config"], where)
    estimator.target_encoder_ = encoder
    estimator.target_name_ = about["target_name"]
    if isinstance(estimator, NetworkClassifier):
        estimator._probabilities = about["probabilities"]
        if isinstance(encoder, MultiLabelEncoder):
            estimator.n_outputs_ = len(encoder.names)
            estimator.classes_ = np.arange(estimator.n_outputs_)
        elif isinstance(encoder, ClassEncoder):
            estimator.n_outputs_ = 1
            estimator.classes_ = encoder.classes
    elif isinstance(encoder, RegressionScaler):
        estimator.n_outputs_ = encoder.n_outputs


def _check_network(estimator: NetworkEstimator, where: str) -> None:
    """The network takes the features there are, and has the outputs that the targets need."""
    if estimator.preprocessor_ is None:
        features = (2, estimator.n_features_in_)
        shape = estimator.model_.input_shape
        if shape is not None and len(shape) > 2:
            features = (2, *shape[1:])
    else:
        features = (2, estimator.preprocessor_.n_features)
    try:
        dtype = np.int32 if estimator.takes_indices else np.float32
        outputs = estimator.model_(np.zeros(features, dtype), training=False)
        width = outputs.shape[1] if len(outputs.shape) > 1 else 1
    except Exception as error:  # classes of the caller may raise anything
        raise _damaged(where, "the network does not take the columns", str(error)[:200]) from error
    wanted = {estimator._output_width()}
    if isinstance(estimator, NetworkClassifier) and wanted == {2}:
        wanted.add(1)
    if width not in wanted:
        raise _damaged(where, "the network does not fit the target", width, sorted(wanted))


def _damaged(
    where: str, what: str, got: object, expected: object = None, fix: str = "train and save again"
) -> FileFormatError:
    shown = repr(got) if not isinstance(got, str) else got
    return FileFormatError(where, what, got=shown[:200], expected=expected, fix=fix)
