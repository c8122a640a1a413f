"""The training step and the evaluation step, each one traced function.

A training step is forward pass, loss with penalties, backward pass, optimizer update, layer state
(running statistics, random keys) and metrics: everything that happens to a batch, so that a back
end sees all of it as one graph.
"""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from chainrule import tree
from chainrule.errors import ArgumentError, GradientError
from chainrule.losses import Loss
from chainrule.metrics import Metric
from chainrule.nn import Layer
from chainrule.optimizers import LBFGS, Optimizer
from chainrule.tensor import GradientTape, Tensor, Variable, functions, jit
from chainrule.training.inputs import count_rows
from chainrule.training.mixup import Mixup
from chainrule.training.nonfinite import Origin, find_origin


def batch_loss(
    model: Layer,
    loss: Callable[..., Tensor],
    y: Tensor,
    outputs: Tensor,
    weights: Tensor | None,
) -> Tensor:
    """What training lowers: the weighted mean loss of a batch plus the layers' penalties."""
    total = loss(y, outputs, sample_weight=weights)
    for penalty in model.losses:
        total = total + penalty
    return total


def weakly(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that does not hold its object: what the object holds goes with the object, at once.

    A step holds the variables and the optimizer's slots, which may be large.
    """
    reference = weakref.WeakMethod(method)

    def call(*arguments: Any, **keywords: Any) -> Any:
        bound = reference()
        assert bound is not None  # the caller holds the object
        return bound(*arguments, **keywords)

    call.__name__ = method.__name__
    return call


def gather(
    rows: Tensor, x: Any, y: Tensor, weights: Tensor | None
) -> tuple[Any, Tensor, Tensor | None]:
    """The batch of some rows of the data, inside a compiled function."""

    def gathered(values: Any) -> Any:
        return None if values is None else functions.take(values, rows, 0)

    return tree.map_leaves(gathered, x), gathered(y), gathered(weights)


class _Step:
    def __init__(self, model: Layer, loss: Loss, metrics: Sequence[Metric] = ()) -> None:
        self.model = model
        self.loss = loss
        self.metrics = list(metrics)

    def _measure(self, y: Tensor, outputs: Tensor, weights: Tensor | None) -> None:
        if self.metrics:
            predictions = self.loss.predictions(outputs)
            for metric in self.metrics:
                metric.update(y, predictions, sample_weight=weights)


class TrainingStep(_Step):
    """One training step on a batch, as one compiled function. ``fit`` uses it; so can a loop of
    your own.

    ``loss = loss(y, model(x)) + penalties;  w <- optimizer(w, d loss / d w)``

    Args:
        model: a model that is built.
        loss: the loss.
        optimizer: changes the model's trainable variables.
        metrics: updated with every batch; reset and read them between epochs.
        mixup: mixes the rows of each batch (see ``Mixup``); metrics compare with the target of the
            row that has the larger share. Default None.

    Raises:
        ArgumentError: the model has no trainable variables, or the optimizer is no step-by-step
            method.

    >>> import chainrule as cr
    >>> model = cr.Sequential([cr.layers.Dense(1)])
    >>> x, y = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")
    >>> _ = model(x)
    >>> step = TrainingStep(model, cr.losses.get("mse"), cr.optimizers.SGD(0.1))
    >>> step(x, y) > step(x, y)
    True
    """

    def __init__(
        self,
        model: Layer,
        loss: Loss,
        optimizer: Optimizer,
        metrics: Sequence[Metric] = (),
        mixup: Mixup | None = None,
    ) -> None:
        super().__init__(model, loss, metrics)
        self.optimizer = optimizer
        self.mixup = mixup
        self.variables: list[Variable] = list(model.trainable_variables)
        if not self.variables:
            raise ArgumentError(
                model.name,
                "the model has nothing to train",
                got="no trainable variables",
                fix="set trainable=True on a layer, or call the model once, which builds it",
            )
        self.untrained: list[str] = []
        self._compiled = jit(weakly(self._run))
        self._compiled_rows = jit(weakly(self._run_rows))

    # Whether batches must be given one at a time.
    one_by_one = False

    @property
    def converged(self) -> bool:
        """Whether further steps would change nothing."""
        return False

    def __call__(self, x: Any, y: Any, sample_weight: Any = None) -> float:
        """Train on one batch and return its loss, from before the update."""
        return float(self._compiled(x, y, sample_weight))

    def run_rows(self, rows: NDArray[Any], data: tuple[Any, ...]) -> NDArray[Any]:
        """Train on many batches in one run of the back end, which gathers their rows.

        Args:
            rows: the numbers of the rows of each batch, (steps, batch size), whole numbers.
            data: inputs, targets and weights (or None) of all rows, as tensors.

        Returns:
            The loss of each batch, from before its update, (steps,).
        """
        losses: NDArray[Any] = self._compiled_rows.repeat([rows], *data).numpy()
        return losses

    def run_whole(self, steps: int, data: tuple[Any, ...]) -> NDArray[Any]:
        """Train on all rows at once, many times in one run of the back end; losses (steps,)."""
        losses: NDArray[Any] = self._compiled.repeat([], *data, steps=steps).numpy()
        return losses

    def origin(self, *batch: Any) -> Origin | None:
        """Where a step on this batch (x, y, weights) makes the first number that is not finite."""
        return find_origin(*self._compiled.replay(*batch), rows=count_rows(batch[0]))

    def origin_of_rows(self, rows: NDArray[Any], data: tuple[Any, ...]) -> Origin | None:
        """The same for the batch of some rows of the data."""
        return find_origin(*self._compiled_rows.replay(rows, *data), rows=len(rows))

    def state(self) -> list[tuple[Variable, Tensor]]:
        """Every variable that a step changes, with its present value."""
        metrics = [v for metric in self.metrics for v in metric.variables]
        generators = [*self.model.generators, *([self.mixup.generator] if self.mixup else [])]
        keys = [generator.state for generator in generators]
        every = [*self.model.variables, *self.optimizer.variables, *metrics, *keys]
        return [(variable, variable.value) for variable in every]

    def explain(self, *batch: Any, measure: bool = False) -> str:
        """What runs in a step on this batch (x, y, weights); without one, in every step so far.

        See ``Jitted.explain``.
        """
        functions = [self._compiled] if batch else [self._compiled, self._compiled_rows]
        texts = [function.explain(*batch, measure=measure) for function in functions]
        return "\n\n".join(filter(None, texts))

    def _run_rows(self, rows: Tensor, x: Any, y: Tensor, weights: Tensor | None) -> Tensor:
        return self._run(*gather(rows, x, y, weights))

    def _run(self, x: Any, y: Tensor, weights: Tensor | None) -> Tensor:
        loss, gradients, outputs = self.differentiate(x, y, weights)
        self.optimizer.apply_gradients(zip(gradients, self.variables), missing_gradients="skip")
        self._measure(y, outputs, weights)
        return loss

    def differentiate(
        self, x: Any, y: Tensor, weights: Tensor | None
    ) -> tuple[Tensor, list[Tensor | None], Tensor]:
        """Loss, gradient of each variable (None where the loss does not depend on it), outputs."""
        loss_function: Callable[..., Tensor] = self.loss
        if self.mixup is not None:
            mix = self.mixup.draw(y.shape[0])
            x, loss_function = mix.inputs(x), mix.loss(self.loss)
        with GradientTape() as tape:
            outputs = self.model(x, training=True)
            loss = batch_loss(self.model, loss_function, y, outputs, weights)
        gradients = tape.gradient(loss, self.variables)
        self.untrained = [v.path for g, v in zip(gradients, self.variables) if g is None]
        if len(self.untrained) == len(self.variables):
            raise GradientError(
                self.model.name,
                "the loss does not depend on any trainable variable",
                got=", ".join(self.untrained),
                fix="check that call returns what the layers made, not cut off by stop_gradient",
            )
        return loss, gradients, outputs


class FullBatchStep(TrainingStep):
    """A step of an optimizer that evaluates the loss of all rows several times, such as L-BFGS.

    Layers that draw random numbers draw the same ones in every evaluation of one step, so that the
    optimizer sees one function; metrics are measured once, after the step.
    """

    one_by_one = True

    def __init__(
        self, model: Layer, loss: Loss, optimizer: LBFGS, metrics: Sequence[Metric] = ()
    ) -> None:
        super().__init__(model, loss, optimizer, metrics)
        self._minimizer = optimizer
        self._evaluate = jit(weakly(self._value_and_gradients))
        self._after = EvaluationStep(model, loss, metrics)
        self._data: tuple[Any, ...] = ()
        self._function: Callable[[], tuple[float, list[NDArray[Any]]]] | None = None

    @property
    def converged(self) -> bool:
        """Whether the optimizer found no better weights in its last step."""
        return self._minimizer.converged

    def __call__(self, x: Any, y: Any, sample_weight: Any = None) -> float:
        """Make one step on all rows and return the loss after it."""
        data = (x, y, sample_weight)
        known = len(self._data) == 3 and all(a is b for a, b in zip(self._data, data))
        if self._function is None or not known or self.model.generators:
            # The optimizer spares an evaluation where it is given the same function as before.
            self._data, self._function = data, self._function_of(*data)
        loss = self._minimizer.minimize_step(self._function, self.variables)
        if self.metrics:
            self._after(*data)
        return float(loss)

    def origin(self, *batch: Any) -> Origin | None:
        return find_origin(*self._evaluate.replay(*batch), rows=count_rows(batch[0]))

    def explain(self, *batch: Any, measure: bool = False) -> str:
        """What runs when loss and gradients are evaluated; see ``TrainingStep.explain``."""
        return self._evaluate.explain(*batch, measure=measure)

    def _function_of(
        self, x: Any, y: Any, sample_weight: Any
    ) -> Callable[[], tuple[float, list[NDArray[Any]]]]:
        states = [generator.state for generator in self.model.generators]
        before = [state.numpy() for state in states]

        def value_and_gradients() -> tuple[float, list[NDArray[Any]]]:
            for state, value in zip(states, before, strict=True):
                state.assign(value)
            value, gradients = self._evaluate(x, y, sample_weight)
            return float(value), [gradient.numpy() for gradient in gradients]

        return value_and_gradients

    def _value_and_gradients(
        self, x: Any, y: Tensor, weights: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        loss, gradients, _ = self.differentiate(x, y, weights)
        return loss, [
            functions.zeros_like(variable.value) if gradient is None else gradient
            for gradient, variable in zip(gradients, self.variables)
        ]


class EvaluationStep(_Step):
    """Loss and metrics of a batch without training, as one compiled function."""

    def __init__(self, model: Layer, loss: Loss, metrics: Sequence[Metric] = ()) -> None:
        super().__init__(model, loss, metrics)
        self._compiled = jit(weakly(self._run_leaves))

    def __call__(self, x: Any, y: Any, sample_weight: Any = None) -> float:
        """Measure one batch and return its loss."""
        leaves, structure = self._leaves(x, y, sample_weight)
        return float(self._compiled(*leaves, structure=structure))

    def run_stacked(self, x: Any, y: Any, sample_weight: Any = None) -> NDArray[Any]:
        """Measure many batches in one run of the back end: arrays (batches, batch size, ...).

        Returns:
            The loss of each batch, (batches,).
        """
        leaves, structure = self._leaves(x, y, sample_weight)
        losses: NDArray[Any] = self._compiled.repeat(leaves, structure=structure).numpy()
        return losses

    def _leaves(self, *data: Any) -> tuple[list[Any], tree.Structure]:
        return tree.flatten(tuple(part for part in data if part is not None))

    def _run_leaves(self, *leaves: Tensor, structure: tree.Structure) -> Tensor:
        return self._run(*tree.unflatten(structure, leaves))

    def explain(self, *, measure: bool = False) -> str:
        """What ran so far; see ``Jitted.explain``."""
        return self._compiled.explain(measure=measure)

    def _run(self, x: Any, y: Tensor, weights: Tensor | None = None) -> Tensor:
        outputs = self.model(x, training=False)
        loss = batch_loss(self.model, self.loss, y, outputs, weights)
        self._measure(y, outputs, weights)
        return loss
