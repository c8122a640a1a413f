"""THE table of losses: one row a loss, with its function, its class and every name it goes by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chainrule.errors import ArgumentError, unknown_name
from chainrule.losses import distributions, entropies, focal, margins, regression, temporal
from chainrule.losses.base import FunctionLoss, Loss, LossFunction


@dataclass(frozen=True)
class Row:
    """One loss.

    Attributes:
        function: ``function(y_true, y_pred, **options)``, one value a row.
        loss_class: the class that averages it.
        aliases: other names (Keras, PyTorch, short). Case, underscores and a trailing "loss" make
            no difference.
        special: names that stand for the loss with some options.
    """

    function: LossFunction
    loss_class: type[Loss]
    aliases: tuple[str, ...] = ()
    special: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the function: the loss's own name."""
        return self.function.__name__


ROWS = (
    Row(regression.half_squared_error, regression.HalfSquaredError, ("half_mse", "quadratic")),
    Row(regression.mean_squared_error, regression.MeanSquaredError, ("mse", "l2")),
    Row(regression.mean_absolute_error, regression.MeanAbsoluteError, ("mae", "l1")),
    Row(
        regression.mean_absolute_percentage_error, regression.MeanAbsolutePercentageError, ("mape",)
    ),
    Row(
        regression.mean_squared_logarithmic_error, regression.MeanSquaredLogarithmicError, ("msle",)
    ),
    Row(regression.huber, regression.Huber, ("smooth_l1",)),
    Row(regression.log_cosh, regression.LogCosh),
    Row(regression.quantile_loss, regression.Quantile, ("pinball", "mean_pinball_loss")),
    Row(regression.cosine_similarity, regression.CosineSimilarity, ("cosine",)),
    Row(
        entropies.cross_entropy, entropies.CrossEntropy,
        ("ce", "nll", "categorical_crossentropy", "sparse_categorical_crossentropy",
         "softmax_cross_entropy"),
    ),
    Row(
        entropies.binary_cross_entropy, entropies.BinaryCrossEntropy,
        ("bce", "bce_with_logits", "sigmoid_cross_entropy"), {"BCELoss": {"from_logits": False}},
    ),
    Row(
        focal.focal_cross_entropy, focal.FocalCrossEntropy,
        ("focal", "categorical_focal_crossentropy"),
    ),
    Row(focal.binary_focal_cross_entropy, focal.BinaryFocalCrossEntropy, ("binary_focal",)),
    Row(margins.hinge, margins.Hinge),
    Row(margins.squared_hinge, margins.SquaredHinge),
    Row(margins.categorical_hinge, margins.CategoricalHinge, ("multi_class_hinge",)),
    Row(temporal.ctc, temporal.CTC, ("connectionist_temporal_classification",)),
    Row(
        distributions.kl_divergence, distributions.KLDivergence,
        ("kl", "kld", "kl_div", "kullback_leibler_divergence"),
    ),
    Row(
        distributions.poisson, distributions.Poisson, (), {"PoissonNLLLoss": {"log_input": True}}
    ),
    Row(
        distributions.gaussian_negative_log_likelihood, distributions.GaussianNegativeLogLikelihood,
        ("gaussian_nll",),
    ),
)  # fmt: skip

#: the loss's own name -> its row.
LOSSES: dict[str, Row] = {row.name: row for row in ROWS}


def _letters(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _plain(name: str) -> str:
    """A name without what makes no difference: ``MSELoss``, ``mse`` and ``MSE`` are one."""
    letters = _letters(name)
    return letters.removesuffix("loss") or letters


_SPECIAL = {_letters(name): (row, row.special[name]) for row in ROWS for name in row.special}
_BY_NAME = {
    _plain(name): row for row in ROWS for name in (row.name, row.loss_class.__name__, *row.aliases)
}


def known_names() -> list[str]:
    """Every name in the table, the losses' own names and the aliases."""
    return sorted(name for row in ROWS for name in (row.name, *row.aliases))


def find(name: str) -> tuple[Row, Mapping[str, Any]] | None:
    """The row of a name and the options that the name stands for, or None."""
    special = _SPECIAL.get(_letters(name))
    if special is not None:
        return special
    row = _BY_NAME.get(_plain(name))
    return None if row is None else (row, {})


def get(loss: str | Loss | type[Loss] | LossFunction, **options: Any) -> Loss:
    """The loss of a name, class or function.

    Args:
        loss: a name (``"mse"``, ``"cross_entropy"``, Keras's and PyTorch's spellings), a ``Loss``,
            a subclass, or any function of ``(y_true, y_pred)``.
        options: what the loss's class takes, for a name or class.

    Returns:
        A ``Loss``; one that was given is returned as it is.

    Raises:
        UnknownNameError: no loss of that name; the message has the nearest one.
        ArgumentError: not a loss at all, or options where they cannot apply.

    Example:
        >>> cr.losses.get("huber", delta=2.0)
        Huber(delta=2.0)
        >>> cr.losses.get("MSELoss")
        MeanSquaredError()
        >>> cr.losses.get(lambda y_true, y_pred: cr.mean(abs(y_true - y_pred), axis=-1))
        FunctionLoss(<lambda>)
    """
    if isinstance(loss, str):
        found = find(loss)
        if found is None:
            raise unknown_name("losses", "loss", loss, known_names())
        return found[0].loss_class(**{**found[1], **options})
    if isinstance(loss, type) and issubclass(loss, Loss):
        return loss(**options)
    row = next((row for row in ROWS if row.function is loss), None)
    if row is not None:
        return row.loss_class(**options)
    if options:
        raise ArgumentError(
            "losses", "options for a loss that is made already", got=options,
            expected="a name or a class beside options",
        )  # fmt: skip
    return loss if isinstance(loss, Loss) else FunctionLoss(loss)


def from_config(
    config: Mapping[str, Any], custom_objects: Mapping[str, type[Loss] | LossFunction] | None = None
) -> Loss:
    """The loss that ``get_config`` described.

    Args:
        config: ``{"loss": ..., "name": ..., **options}``.
        custom_objects: the caller's own losses and functions by name.

    Returns:
        A ``Loss``.

    Raises:
        UnknownNameError: a loss that is neither in the table nor in ``custom_objects``.

    Example:
        >>> cr.losses.from_config(cr.losses.Huber(2.0).get_config())
        Huber(delta=2.0)
    """
    custom = custom_objects or {}
    name = config["loss"]
    options = {key: value for key, value in config.items() if key != "loss"}
    if name not in custom:
        if name not in LOSSES:
            raise unknown_name("losses", "loss", name, [*LOSSES, *custom])
        return LOSSES[name].loss_class(**options)
    own = custom[name]
    if isinstance(own, type) and issubclass(own, Loss):
        return own(**options)
    return FunctionLoss(own, name=config["name"])
