"""THE table of metrics: one row a name, with its class, options and other names.

Every loss of ``losses/table.py`` and every function of (y_true, y_pred) is a metric too: its mean.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chainrule import losses
from chainrule.errors import ArgumentError, unknown_name
from chainrule.losses import Loss
from chainrule.metrics.accuracy import Accuracy, BinaryAccuracy, CategoricalAccuracy, TopKAccuracy
from chainrule.metrics.base import MeanLoss, Metric
from chainrule.metrics.confusion import ConfusionMatrix
from chainrule.metrics.edits import CharacterErrorRate, WordErrorRate
from chainrule.metrics.ranking import AUC
from chainrule.metrics.rates import F1, Precision, Recall
from chainrule.metrics.regression import R2, RootMeanSquaredError


@dataclass(frozen=True)
class Row:
    """One metric.

    Attributes:
        name: its own name.
        metric_class: the class.
        aliases: other names. Case and underscores make no difference.
        options: what the name stands for beside the class.
    """

    name: str
    metric_class: type[Metric]
    aliases: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


def _averages(name: str, metric_class: type[Metric], *aliases: str) -> tuple[Row, ...]:
    """The metric itself and its averages, under scikit-learn's names: ``f1_macro``."""
    kinds = ("macro", "micro", "weighted")
    return (
        Row(name, metric_class, aliases),
        *(Row(f"{name}_{kind}", metric_class, (), {"average": kind}) for kind in kinds),
    )


ROWS = (
    Row("accuracy", Accuracy, ("acc", "accuracy_score")),
    Row("binary_accuracy", BinaryAccuracy),
    Row("categorical_accuracy", CategoricalAccuracy, ("sparse_categorical_accuracy",)),
    Row(
        "top_k_accuracy", TopKAccuracy,
        ("top_k", "top_k_categorical_accuracy", "sparse_top_k_categorical_accuracy"),
    ),
    Row("top_5_accuracy", TopKAccuracy, ("top_5", "acc_5"), {"k": 5}),
    Row("top_3_accuracy", TopKAccuracy, ("top_3",), {"k": 3}),
    *_averages("precision", Precision, "precision_score"),
    *_averages("recall", Recall, "recall_score", "sensitivity"),
    *_averages("f1", F1, "f1_score"),
    Row("auc", AUC, ("roc_auc", "roc_auc_score", "auroc")),
    Row("rmse", RootMeanSquaredError, ("root_mean_squared_error",)),
    Row("r2", R2, ("r2_score",)),
    Row("confusion_matrix", ConfusionMatrix),
    Row("character_error_rate", CharacterErrorRate, ("cer",)),
    Row("word_error_rate", WordErrorRate, ("wer",)),
)  # fmt: skip

#: the metric's own name -> its row.
METRICS: dict[str, Row] = {row.name: row for row in ROWS}


def _plain(name: str) -> str:
    """A name without what makes no difference: ``F1Score`` and ``f1_score`` are one."""
    return "".join(c for c in name.lower() if c.isalnum())


_BY_NAME = {_plain(name): row for row in ROWS for name in (row.name, *row.aliases)}


def known_names() -> list[str]:
    """Every name of a metric, losses included."""
    return sorted(
        {name for row in ROWS for name in (row.name, *row.aliases)} | {*losses.known_names()}
    )


def _by_name(name: str, options: Mapping[str, Any]) -> Metric:
    # A name as typed stays the metric's name ("acc", "mse"); a class name becomes the row's own.
    own = name if name == name.lower() else None
    row = _BY_NAME.get(_plain(name))
    if row is not None:
        return row.metric_class(**{"name": own or row.name, **row.options, **options})
    found = losses.find(name)
    if found is None:
        raise unknown_name("metrics", "metric", name, known_names())
    return MeanLoss(losses.get(name, **options), name=own)


def get(
    metric: str | Metric | type[Metric] | Loss | Callable[..., Any],
    *,
    loss: Loss | None = None,
    **options: Any,
) -> Metric:
    """The metric of a name, class, loss or function.

    Args:
        metric: a name (``"accuracy"``, ``"f1_macro"``, ``"mse"``, Keras's and scikit-learn's
            spellings), a ``Metric``, a subclass, a ``Loss``, or a function of ``(y_true, y_pred)``,
            of which the mean over the epoch is taken.
        loss: the loss that the network is trained with: it says what the predictions are
            (independent yes/no outputs or classes, probabilities or margins).
        options: what the metric's class takes, for a name or class.

    Returns:
        A ``Metric``; one that was given is returned as it is.

    Raises:
        UnknownNameError: no metric or loss of that name; the message has the nearest one.
        ArgumentError: not a metric at all, or options where they cannot apply.

    Example:
        >>> cr.metrics.get("top_k_accuracy", k=2).name
        'top_k_accuracy'
        >>> cr.metrics.get("mae").direction
        'min'
    """
    if isinstance(metric, str):
        result = _by_name(metric, options)
    elif isinstance(metric, type) and issubclass(metric, Metric):
        result = metric(**options)
    elif isinstance(metric, Metric):
        if options:
            raise ArgumentError(
                "metrics",
                "options for a metric that is made already",
                got=dict(options),
                expected="a name or a class beside options",
            )
        result = metric
    elif callable(metric):
        result = MeanLoss(metric, **options)
    else:
        raise ArgumentError(
            "metrics",
            "not a metric",
            got=repr(metric),
            expected="a name, a Metric, a Loss or a function of (y_true, y_pred)",
        )
    if loss is not None:
        result.adapt_to(loss)
    return result
