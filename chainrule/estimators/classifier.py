"""NetworkClassifier: a network that tells classes or labels from the columns of a table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from chainrule import losses
from chainrule.data import ClassEncoder, Column, MultiLabelEncoder, TablePreprocessor
from chainrule.errors import ArgumentError, DataError
from chainrule.estimators.base import accepts_other_names
from chainrule.estimators.defaults import label_smoothing
from chainrule.estimators.network import NetworkEstimator, unchanged_on_error
from chainrule.estimators.parameters import AUTO
from chainrule.estimators.validation import target_width
from chainrule.losses import Loss, ProbabilityLoss
from chainrule.optimizers import Optimizer
from chainrule.optimizers.schedules import Schedule
from chainrule.training.callbacks import Callback, EarlyStopping
from chainrule.training.model import Model
from chainrule.training.progress import Verbose

Array = NDArray[Any]
Auto = Literal["auto"]


class NetworkClassifier(NetworkEstimator):
    """A network for classes, under scikit-learn's contract; scikit-learn need not be installed.

    Columns of any kind become numbers first (`chainrule.data.TablePreprocessor`). Then dense
    layers with dropout learn by AdamW on cross-entropy; training stops when the loss on held-out
    rows no longer falls, and the best weights are put back.

    Shapes: X (N, D); y (N,) classes, or (N, K) zeros and ones for K labels a row.

    Args:
        hidden: widths of the hidden layers; default (64, 64).
        activation: of the hidden layers, a name or function; default "silu".
        optimizer: a name or an Optimizer; default "adam".
        learning_rate: a number or a schedule; default "auto": 0.003 for Adam and its kin, else
            the optimizer's own.
        batch_size: rows in a step; default "auto": about a 32nd of the rows, at least 32, at most
            256, all of fewer than 50. None: all rows.
        epochs: passes over the rows, at most; default 300.
        until: stop at a goal, such as ``{"loss": 0.05}`` or ``{"val_accuracy": 0.95}``.
        early_stopping: True, False or an EarlyStopping; default "auto": on, unless there are fewer
            than 50 rows or ``until`` says when to stop.
        patience: epochs without an improvement before early stopping; default 20.
        validation_fraction: the share of rows to hold out, stratified; default "auto": where
            something watches it, 0.1, or 0.2 of fewer than 1,000 rows.
        dropout: the share of hidden units left out in a step; default "auto": 0.2, 0 for fewer
            than 50 rows.
        weight_decay: decoupled; default "auto": for Adam and its kin 300 / N, between 0.01 and 1;
            else 0.
        label_smoothing: of the default loss; default "auto": 0.05, but 0 where ``until`` has a
            goal for the loss.
        mixup: train on means of two rows and of their targets, as in `Model.fit`; default 0: no.
        loss: a loss that takes class probabilities or logits, or a function of (y_true, y_pred)
            with one-hot rows and probabilities; default "auto": cross-entropy.
        class_weight: a weight for each class, or "balanced"; default none.
        model: a Model to train a copy of, or a function, of nothing or of (columns, classes), that
            returns one; ``hidden``, ``activation`` and ``dropout`` have no effect then.
        preprocessing: False takes numbers as they are; a TablePreprocessor sets its options;
            default "auto": numbers standardised, categories one-hot, missing cells filled.
        callbacks: see `chainrule.callbacks`; default none.
        random_state: a whole number makes the fit repeatable; default None.
        verbose: as in `Model.fit`; default 0.

    Some parameters go by the names of Keras, PyTorch and scikit-learn too, such as ``max_iter``,
        ``lr`` and ``hidden_layer_sizes``.

    Attributes:
        classes_: the classes, sorted; for labels 0 to K-1.
        model_: the trained network.
        preprocessor_: what turns columns into numbers; ``preprocessor_.report()`` tells how.
        target_encoder_: the classes, with their names and counts.
        history_: what happened in training; None after loading.
        n_iter_: epochs that were trained.
        loss_, loss_curve_: the training loss, of the last epoch and of each.
        n_features_in_, feature_names_in_, n_outputs_: columns of X, their names, columns of y.

    Example:
        >>> from chainrule.estimators import NetworkClassifier
        >>> X = {"legs": [2, 4, 2, 4] * 10, "sound": ["tweet", "meow", "tweet", None] * 10}
        >>> y = ["bird", "cat", "bird", "cat"] * 10
        >>> classifier = NetworkClassifier(epochs=50, random_state=0).fit(X, y)
        >>> classifier.predict({"legs": [4, 2], "sound": ["meow", "tweet"]}).tolist()
        ['cat', 'bird']

    Different from scikit-learn's MLPClassifier: it takes data frames with text and missing cells,
        stops early by default, and smooths the labels, which keeps probabilities below 0.98.
    """

    _estimator_type = "classifier"

    classes_: Array
    target_encoder_: ClassEncoder | MultiLabelEncoder
    _probabilities: str

    @accepts_other_names
    def __init__(
        self,
        hidden: int | Sequence[int] = (64, 64),
        *,
        activation: str | Callable[..., Any] = "silu",
        optimizer: str | Optimizer = "adam",
        learning_rate: float | Schedule | Auto = "auto",
        batch_size: int | Auto | None = "auto",
        epochs: int = 300,
        until: Mapping[str, float] | None = None,
        early_stopping: bool | EarlyStopping | Auto = "auto",
        patience: int = 20,
        validation_fraction: float | Auto = "auto",
        dropout: float | Auto = "auto",
        weight_decay: float | Auto = "auto",
        label_smoothing: float | Auto = "auto",
        mixup: float = 0.0,
        loss: str | Loss | Callable[..., Any] = "auto",
        class_weight: Mapping[Any, float] | str | None = None,
        model: Model | Callable[..., Model] | None = None,
        preprocessing: bool | TablePreprocessor | Auto = "auto",
        callbacks: Sequence[Callback] = (),
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
        verbose: Verbose = 0,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.until = until
        self.early_stopping = early_stopping
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.mixup = mixup
        self.loss = loss
        self.class_weight = class_weight
        self.model = model
        self.preprocessing = preprocessing
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    # ---- targets

    def _learn_targets(self, y: Any, weights: Array | None, parameters: dict[str, Any]) -> None:
        if target_width(y) > 1:
            self.target_encoder_ = MultiLabelEncoder().fit(y, "y")
            self.n_outputs_ = len(self.target_encoder_.names)
            self.classes_ = np.arange(self.n_outputs_)
        else:
            self._set_classes(ClassEncoder().fit(y, "y"))

    def _encode(self, y: Any) -> Array:
        codes = self.target_encoder_.encode(y, "y")
        if not self._one_hot or isinstance(self.target_encoder_, MultiLabelEncoder):
            return codes
        return np.eye(len(self.classes_), dtype=np.float32)[codes]

    @property
    def _one_hot(self) -> bool:
        """Whether the loss is a general one, which takes one-hot rows and probabilities."""
        return self.loss != AUTO and not isinstance(losses.get(self.loss), ProbabilityLoss)

    @property
    def _many_labels(self) -> bool:
        return isinstance(self.target_encoder_, MultiLabelEncoder)

    def _row_weights(
        self, targets: Array, weights: Array | None, parameters: dict[str, Any]
    ) -> Array | None:
        if parameters["class_weight"] is None:
            return weights
        if self._many_labels:
            raise ArgumentError(
                "NetworkClassifier", "class_weight with several labels a row",
                got=repr(parameters["class_weight"]), fix="pass sample_weight to fit instead",
            )  # fmt: skip
        codes = targets.argmax(axis=1) if self._one_hot else targets
        given = np.ones(len(codes)) if weights is None else weights
        return given * self._class_weights(parameters["class_weight"], codes, given)[codes]

    def _class_weights(self, setting: Any, codes: Array, weights: Array) -> Array:
        """The weight of each class, (K,)."""
        count = len(self.classes_)
        if isinstance(setting, str):
            sums = np.bincount(codes, weights, minlength=count)
            present = np.maximum(sums, np.finfo(float).tiny)
            return np.where(sums > 0, sums.sum() / (np.count_nonzero(sums) * present), 1.0)
        known = self.classes_.tolist()
        unknown = [label for label in setting if label not in known]
        if unknown:
            raise DataError(
                "NetworkClassifier", "class_weight names a class that y does not have",
                got=repr(unknown[0]), expected=", ".join(map(repr, known[:20])),
            )  # fmt: skip
        return np.array([float(setting.get(label, 1.0)) for label in known])

    # ---- network and loss

    def _output_layer(self, parameters: dict[str, Any]) -> tuple[int, Any]:
        width = self.n_outputs_ if self._many_labels else len(self.classes_)
        if parameters["loss"] == AUTO:
            return width, None
        loss = losses.get(parameters["loss"])
        if not isinstance(loss, ProbabilityLoss):
            return width, "sigmoid" if self._many_labels else "softmax"
        if loss.activation == "sigmoid" and not self._many_labels:
            width = 1
        if loss.options["from_logits"] is False:
            return width, loss.activation
        return width, None

    def _choose_loss(self, outputs: Any, parameters: dict[str, Any]) -> Loss:
        loss = self._loss_for(outputs, parameters)
        folded = None if outputs.origin is None else outputs.origin[0]
        if folded == "log_softmax":
            self._probabilities = "exp"
        elif folded is not None or not isinstance(loss, ProbabilityLoss):
            self._probabilities = "as they are"
        else:
            are_logits = loss.options["from_logits"] is not False
            self._probabilities = loss.activation if are_logits else "as they are"
        return loss

    def _loss_for(self, outputs: Any, parameters: dict[str, Any]) -> Loss:
        one_output = outputs.shape[-1] == 1
        yes_or_no = self._many_labels or (one_output and len(self.classes_) == 2)
        if parameters["loss"] == AUTO:
            kind = losses.BinaryCrossEntropy if yes_or_no else losses.CrossEntropy
            return kind(label_smoothing=label_smoothing(parameters))
        loss = losses.get(parameters["loss"])
        if isinstance(loss, ProbabilityLoss):
            if (loss.activation == "sigmoid") != yes_or_no:
                kind_of_target = (
                    "labels, several a row"
                    if self._many_labels
                    else (f"one of {len(self.classes_)} classes")
                )
                raise ArgumentError(
                    "NetworkClassifier", f"the loss {loss.name} does not fit the target",
                    got=kind_of_target,
                    fix="use binary_cross_entropy for yes or no, cross_entropy for one of several",
                )  # fmt: skip
        elif loss.task in ("binary", "classes") and loss.name != "kl_divergence":
            raise ArgumentError(
                "NetworkClassifier", f"the loss {loss.name} gives scores, not probabilities",
                expected="a loss that takes probabilities",
                fix="use cross_entropy, or train a Model with this loss",
            )  # fmt: skip
        return loss

    def _metrics(self) -> list[str]:
        return ["binary_accuracy" if self._many_labels else "accuracy"]

    # ---- using

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Go on learning: one epoch over these rows.

        The first call also learns the preprocessing from its rows, so let it have many of them.

        Args:
            X: N rows.
            y: N targets.
            classes: all classes, needed by the first call unless its rows show every class.
            sample_weight: N weights from 0 up; default 1.

        Returns:
            The estimator itself.

        Raises:
            DataError: a class that is not in ``classes``, and all that `fit` raises.
        """
        parameters = self._checked_parameters()
        first = not hasattr(self, "model_")
        known = first and classes is not None and target_width(y) <= 1
        with unchanged_on_error(self):
            if known:
                self._set_classes(ClassEncoder().fit(classes, "classes"))
            elif classes is not None and not first:
                self._check_same_classes(classes)
            self._continue(X, y, sample_weight, parameters, known_targets=known)
        return self

    def _set_classes(self, encoder: ClassEncoder) -> None:
        self.target_encoder_ = encoder
        self.n_outputs_ = 1
        self.classes_ = encoder.classes

    def _check_same_classes(self, classes: Any) -> None:
        given = np.unique(np.asarray(classes))
        if not np.array_equal(given, self.classes_):
            raise DataError(
                "NetworkClassifier", "other classes than in the first call of partial_fit",
                got=given.tolist()[:20], expected=self.classes_.tolist()[:20],
            )  # fmt: skip

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, (N, K), in the order of ``classes_``.

        Args:
            X: N rows.
        """
        outputs = self._outputs(X).astype(np.float64)
        if self._probabilities == "softmax":
            powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
        if self._probabilities == "sigmoid":
            smaller = np.exp(-np.abs(outputs))
            outputs = np.where(outputs >= 0, 1.0, smaller) / (1.0 + smaller)
        elif self._probabilities == "exp":
            outputs = np.exp(outputs)
        if outputs.shape[1] == 1 and not self._many_labels:
            return np.concatenate([1 - outputs, outputs], axis=1)
        return outputs

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithms of `predict_proba`; of zero, that of the smallest float64 number."""
        return np.asarray(np.log(np.maximum(self.predict_proba(X), np.finfo(np.float64).tiny)))

    def predict(self, X: Any) -> Array:
        """The most probable class of each row, (N,); for labels (N, K) zeros and ones.

        Args:
            X: N rows.
        """
        probabilities = self.predict_proba(X)
        if isinstance(self.target_encoder_, MultiLabelEncoder):
            return self.target_encoder_.decode(probabilities > 0.5)
        return self.target_encoder_.decode(probabilities.argmax(axis=1))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of rows that `predict` gets right; for labels, right in all of them.

        Args:
            X: N rows.
            y: their targets.
            sample_weight: N weights; default 1.
        """
        found = self.predict(X)
        if isinstance(self.target_encoder_, MultiLabelEncoder):
            right = (self.target_encoder_.encode(y, "y") == found).all(axis=1)
        else:
            right = found == (y.values if isinstance(y, Column) else np.asarray(y).reshape(-1))
        return float(np.average(right, weights=sample_weight))
