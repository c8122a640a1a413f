"""What `Model.fit`, `evaluate` and `predict` do: read, check, build, split, hand to the loop."""

import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from chainrule import losses, metrics, optimizers
from chainrule.data.split import split_indices
from chainrule.errors import ArgumentError, DataError
from chainrule.losses import Loss
from chainrule.losses.class_weights import ClassWeight
from chainrule.metrics import Metric
from chainrule.nn.seeding import derive_seed, next_seed
from chainrule.nn.validate import number, whole_number
from chainrule.optimizers import LBFGS, Optimizer
from chainrule.tensor import Tensor
from chainrule.training.batches import Batches, Data, even_size
from chainrule.training.callbacks import Callback, Direction, EarlyStopping, Run
from chainrule.training.checkpoints import WHERE, CheckpointFolder, identity_of
from chainrule.training.history import History
from chainrule.training.inputs import (
    Array,
    Arrays,
    as_arrays,
    cast_floats,
    count_rows,
    plain_rows,
    take_rows,
)
from chainrule.training.last_run import LastRun
from chainrule.training.loop import Loop, measure
from chainrule.training.mixup import Mixup
from chainrule.training.prediction import outputs_in_batches, to_arrays
from chainrule.training.progress import Progress, Verbose, make_progress
from chainrule.training.states import batch_rows, check_order, kept_states, reset_states
from chainrule.training.step import EvaluationStep, FullBatchStep, TrainingStep
from chainrule.training.targets import as_targets, fit_targets, stratify_labels
from chainrule.training.weights import example_weights

if TYPE_CHECKING:
    from chainrule.training.model import Model
    from chainrule.training.watching import Watch

BatchSize = int | Literal["auto"] | None
EVALUATION_ROWS = 256
#: The curve of a shorter run says nothing.
TELLING_EPOCHS = 8


@dataclass
class Setup:
    """What a model was trained with, for `evaluate` and the next `fit`."""

    loss: Loss
    metrics: list[Metric]
    spellings: dict[str, str]
    optimizer: Optimizer
    step: TrainingStep
    evaluation: EvaluationStep
    given: tuple[Any, ...]


@dataclass
class Options:
    """The arguments of `Model.fit`, described there."""

    loss: Any
    optimizer: Any
    metrics: Iterable[Any]
    epochs: int
    batch_size: BatchSize
    until: Mapping[str, float] | None
    validation_split: float
    validation_data: Any
    sample_weight: Any
    class_weight: ClassWeight | None
    early_stopping: bool | EarlyStopping | None
    callbacks: Iterable[Callback] | Callback
    shuffle: bool
    mixup: float
    seed: int | None
    checkpoint: Any
    watch: bool | int
    verbose: Verbose


def fit(model: "Model", x: Any, y: Any, options: Options) -> History:
    """Train a model; see `Model.fit`."""
    if options.checkpoint is None:
        return _fit(model, x, y, options, None)
    folder = CheckpointFolder(options.checkpoint)
    with folder.locked():
        return _fit(model, x, y, options, folder)


def _fit(
    model: "Model", x: Any, y: Any, options: Options, folder: CheckpointFolder | None
) -> History:
    last = model._last_run = LastRun(options)
    seed = _seed(options, folder)
    epochs = whole_number("fit", "epochs", options.epochs)
    inputs = as_arrays(x, "x", "fit")
    targets = as_targets(y, count_rows(inputs), "fit")
    outputs = probe(model, inputs, options.seed)
    setup = prepare(model, options)
    check_order(model, options.shuffle, options.validation_split, setup.optimizer)
    last.begin(model, setup.optimizer, seed)
    if setup.step.mixup is not None:
        setup.step.mixup.generator.reset(derive_seed(seed, "mixup"))
    notes = _notes(setup, outputs)
    data = ready(model, inputs, targets, outputs, setup.loss, "fit")
    weights = example_weights(options.sample_weight, options.class_weight, targets, "fit")
    if weights is not None:
        data = Data(data.x, data.y, weights.astype(outputs.dtype))
    data, held_out = _hold_out(model, data, setup.loss, options, seed)
    size = _batch_rows(options.batch_size, data.rows, setup.optimizer, notes)
    size = batch_rows(model, size, data.rows, "fit")
    batches = Batches(data, size, derive_seed(seed, "order of rows") if options.shuffle else None)
    if folder is not None:
        known_settings = {
            "batch_size": batches.size,
            "shuffle": options.shuffle,
            "loss": setup.loss.name,
            "optimizer": setup.optimizer.name,
            "metrics": [metric.name for metric in setup.metrics],
        }
        folder.check_identity(identity_of(setup.step.state(), data, known_settings))
    validation = None
    if held_out is not None:
        most = None if size is None else max(size, EVALUATION_ROWS)
        most = batch_rows(model, most, held_out.rows, "fit: validation_data")
        validation = (setup.evaluation, _evaluation_batches(held_out, most))
    callbacks = _callbacks(options)
    known = directions(setup, callbacks, validation is not None)
    run = Run(model, setup.optimizer, epochs, batches.steps, known, setup.spellings, notes)
    until = _until(options.until, run)
    progress = make_progress(options.verbose, epochs)
    model.stop_training = False
    watch = _watch(setup.step, options.watch)
    loop = Loop(run, setup.step, batches, validation, callbacks, until, progress, folder, watch)
    last.history = history = loop.run()
    if setup.step.untrained:
        history.notes.append(
            "never trained, the loss does not depend on them: " + ", ".join(setup.step.untrained)
        )
    if history.epochs >= TELLING_EPOCHS or history.stopped_by == "not_finite":
        _tell_trouble(model, setup.loss, batches, outputs, history, progress)
    return history


def _seed(options: Options, folder: CheckpointFolder | None) -> int:
    """The seed of the run: that of the checkpoint, if there is one."""
    given = options.seed
    if given is not None:
        given = whole_number("fit", "seed", given, minimum=0)
    seed = next_seed() if given is None else given
    if folder is not None:
        if folder.saved is not None:
            seed = folder.saved.seed
            if given not in (None, seed):
                raise ArgumentError(
                    WHERE, "the checkpoint is of a run with another seed", got=given,
                    expected=seed, fix="leave the seed out, or choose another folder",
                )  # fmt: skip
        folder.seed = seed
    return seed


def probe(model: "Model", inputs: Arrays, seed: int | None = None) -> Any:
    """Call the model on the first rows: builds it, and shows the shape and dtype of its outputs.

    A seed decides the initial values of a model that is not built yet, and what random layers draw.
    """
    if seed is not None:
        model.seed_if_new(seed)
    with kept_states(model):
        outputs = model(take_rows(inputs, slice(0, 2)), training=False)
    if seed is not None:
        model.reset_generators(seed)
    return outputs


def ready(
    model: "Model", inputs: Arrays, targets: Any, outputs: Any, loss: Loss, where: str
) -> Data:
    """Inputs and targets in the dtypes of the model, aligned and checked."""
    targets = fit_targets(targets, outputs, loss, where)
    return Data(cast_inputs(model, inputs, where), targets)


def cast_inputs(model: "Model", inputs: Arrays, where: str) -> Arrays:
    """Floating inputs in the model's dtype, so that no step has to cast them."""
    return cast_floats(inputs, np.dtype(model.dtype), "x", where)


def prepare(model: "Model", options: Options) -> Setup:
    """Loss, optimizer, metrics and compiled steps; those of the last fit if they are the same."""
    metric_list = listed(options.metrics)
    previous = model._setup
    given = (options.loss, options.optimizer, options.mixup, *metric_list)
    same_variables = previous is not None and same(
        previous.step.variables, model.trainable_variables
    )
    if previous is not None and same_variables and same(previous.given, given):
        return previous
    loss = find_loss(options.loss, previous, "fit")
    optimizer = optimizers.get(options.optimizer)
    found, spellings = find_metrics(metric_list)
    for metric in found:
        metric.adapt_to(loss)
    mixup = Mixup(options.mixup) if options.mixup else None
    step: TrainingStep
    # The model holds its steps. Did they hold it, its memory would wait for the garbage collector.
    shown = cast("Model", weakref.proxy(model))
    if not isinstance(optimizer, LBFGS):
        step = TrainingStep(shown, loss, optimizer, found, mixup)
    elif mixup is None:
        step = FullBatchStep(shown, loss, optimizer, found)
    else:
        raise ArgumentError(
            "fit",
            f"mixup does not go with {optimizer.name}, which works on all rows as they are",
            got=f"mixup={options.mixup}",
            fix="choose another optimizer, such as 'adam', or leave mixup out",
        )
    continued = previous is not None and previous.optimizer is optimizer
    if int(optimizer.iterations) == 0 or continued:  # else it may belong to another model
        optimizer.build(model.trainable_variables)
    # A name makes a new optimizer each time; an object goes on with its state.
    reusable = given if isinstance(options.optimizer, Optimizer) else ()
    setup = Setup(
        loss, found, spellings, optimizer, step, EvaluationStep(shown, loss, found), reusable
    )
    model._setup = setup
    return setup


def same(first: Sequence[Any], second: Sequence[Any]) -> bool:
    """Whether two sequences hold the same objects (or equal names and numbers)."""
    return len(first) == len(second) and all(
        a is b or (isinstance(a, str | float | int) and a == b) for a, b in zip(first, second)
    )


def listed(given: Any) -> list[Any]:
    """A list of what was given, which may be a single name or object."""
    return list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]


def find_loss(loss: Any, previous: Setup | None, where: str) -> Loss:
    """The loss asked for, or that of the last fit."""
    if loss is not None:
        return losses.get(loss)
    if previous is not None:
        return previous.loss
    raise ArgumentError(
        where,
        "no loss was given",
        expected="a name, a loss or a function of (y_true, y_pred)",
        fix="pass loss='mse' for numbers, loss='cross_entropy' for one class of several, or "
        "loss='binary_cross_entropy' for yes or no",
    )


def find_metrics(specs: Sequence[Any]) -> tuple[list[Metric], dict[str, str]]:
    """The metrics, and the name under which each is logged by the name the user gave it."""
    found = [metrics.get(spec) for spec in specs]
    names = [metric.name for metric in found]
    for name in names:
        if names.count(name) > 1 or name == "loss":
            raise ArgumentError(
                "fit",
                "two logged numbers have the same name",
                got=repr(name),
                fix="give one of the metrics another name with name=",
            )
    spellings = {spec: metric.name for spec, metric in zip(specs, found) if isinstance(spec, str)}
    return found, spellings


def _notes(setup: Setup, outputs: Any) -> list[str]:
    notes = []
    folded = setup.loss.folded(outputs) if isinstance(outputs, Tensor) else None
    if folded is not None:
        computed = "which is computed safely from the values before it"
        notes.append(f"the final {folded} is folded into the loss, {computed}")
    if setup.optimizer.ema_decay is not None:
        notes.append(
            "the model holds the last weights; optimizer.swap_ema() puts their average in place"
        )
    return notes


def _hold_out(
    model: "Model", data: Data, loss: Loss, options: Options, seed: int
) -> tuple[Data, Data | None]:
    """The training rows and the validation rows."""
    fraction = options.validation_split
    if options.validation_data is not None:
        if fraction:
            raise ArgumentError(
                "fit", "validation_split and validation_data together", fix="give only one of them"
            )
        return data, _validation_data(model, options.validation_data, loss)
    if not fraction:
        return data, None
    if not 0 < fraction < 1:
        raise ArgumentError(
            "fit",
            "validation_split outside its range",
            got=fraction,
            expected="at least 0, below 1",
        )
    training, held_out = held_out_rows(data.y, loss, fraction, seed)
    parts = data.take(training), data.take(held_out)
    for name, part in zip(("training", "validation"), parts):
        if part.weights is not None and not part.weights.any():
            raise DataError(
                "fit",
                f"all {name} rows have weight 0",
                got=f"{part.rows} rows",
                fix="leave rows without weight out of the data, or pass validation_data",
            )
    return parts


def held_out_rows(
    y: Array, loss: Loss, fraction: float, seed: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The numbers of the training rows and of the validation rows that a run with this seed has.

    The rows keep their order: without shuffling, training goes through them as they came.
    """
    training, held_out = split_indices(
        len(y), fraction,
        seed=derive_seed(seed, "validation rows"), stratify=stratify_labels(y, loss),
    )  # fmt: skip
    return np.sort(training), np.sort(held_out)


def _validation_data(model: "Model", given: Any, loss: Loss) -> Data:
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        raise ArgumentError(
            "fit",
            "wrong validation_data",
            got=type(given).__name__,
            expected="(x, y) or (x, y, sample_weight)",
        )
    where = "fit: validation_data"
    inputs = as_arrays(given[0], "x", where)
    targets = as_targets(given[1], count_rows(inputs), where)
    data = ready(model, inputs, targets, probe(model, inputs), loss, where)
    weights = example_weights(given[2] if len(given) == 3 else None, None, data.y, where)
    return Data(data.x, data.y, weights)


def _batch_rows(size: BatchSize, rows: int, optimizer: Optimizer, notes: list[str]) -> int | None:
    if optimizer.full_batch:
        if rows > 32 and size not in (None, 32):
            notes.append(
                f"{optimizer.name} uses all {rows} rows in each step; "
                f"batch_size={size} has no effect"
            )
        return None
    if size is None:
        return None
    if size == "auto":
        return min(200, rows)
    return whole_number("fit", "batch_size", size)


def _callbacks(options: Options) -> list[Callback]:
    """The user's callbacks, then early stopping, which may watch what they log."""
    callbacks = listed(options.callbacks)
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise ArgumentError(
                "fit",
                "not a callback",
                got=repr(callback),
                expected="an instance of cr.callbacks.Callback",
            )
    stopping = options.early_stopping
    if isinstance(stopping, EarlyStopping):
        callbacks.append(stopping)
    elif stopping is True:
        callbacks.append(EarlyStopping())
    elif stopping not in (None, False):
        raise ArgumentError(
            "fit",
            "wrong early_stopping",
            got=repr(stopping),
            expected="True, False or an EarlyStopping",
            fix="pass cr.callbacks.EarlyStopping(patience=10)",
        )
    return callbacks


def directions(
    setup: Setup, callbacks: Sequence[Callback], validation: bool
) -> dict[str, Direction]:
    """Every name that the run will log, with the direction in which it improves."""
    known: dict[str, Direction] = {"loss": "min"}
    known.update({metric.name: metric.direction for metric in setup.metrics})
    if validation:
        known.update({f"val_{name}": direction for name, direction in list(known.items())})
    if setup.optimizer.schedule is not None:
        known["learning_rate"] = "min"
    for callback in callbacks:
        known.update(callback.logged)
    return known


def _tell_trouble(
    model: "Model",
    loss: Loss,
    batches: Batches,
    outputs: Tensor,
    history: History,
    progress: Progress | None,
) -> None:
    from chainrule.training.stalled import find_trouble  # not needed in short runs

    trouble = find_trouble(model, loss, batches.data, outputs, history, batches.steps)
    if trouble is not None:
        history.notes.append(trouble)
        if progress is not None:
            progress.say(trouble)


def _watch(step: TrainingStep, watch: bool | int) -> "Watch | None":
    if watch is False:
        return None
    from chainrule.training.watching import Watch  # not needed in most runs

    return Watch(step, None if watch is True else whole_number("fit", "watch", watch))


def _until(until: Mapping[str, Any] | None, run: Run) -> dict[str, float]:
    goals = {}
    for name, limit in (until or {}).items():
        logged = run.logged_name(name, "fit: until")
        goals[logged] = number("fit: until", f"limit for {name}", limit)
    return goals


def evaluate(
    model: "Model",
    x: Any,
    y: Any,
    loss: Any,
    metric_specs: Iterable[Any] | None,
    sample_weight: Any,
    batch_size: int | None,
) -> dict[str, Any]:
    """Measure a model; see `Model.evaluate`."""
    where = "evaluate"
    previous = model._setup
    inputs = as_arrays(x, "x", where)
    targets = as_targets(y, count_rows(inputs), where)
    outputs = probe(model, inputs)
    known = previous is not None and same(previous.step.variables, model.trainable_variables)
    if loss is None and metric_specs is None and previous is not None and known:
        step = previous.evaluation
    else:
        specs = [] if metric_specs is None else listed(metric_specs)
        found = (
            previous.metrics
            if metric_specs is None and previous is not None
            else find_metrics(specs)[0]
        )
        step = EvaluationStep(model, find_loss(loss, previous, where), found)
    data = ready(model, inputs, targets, outputs, step.loss, where)
    data = Data(data.x, data.y, example_weights(sample_weight, None, data.y, where))
    size = None if batch_size is None else whole_number(where, "batch_size", batch_size)
    size = batch_rows(model, size, data.rows, where)
    reset_states(model)
    return measure(step, _evaluation_batches(data, size))


def _evaluation_batches(data: Data, most: int | None) -> Batches:
    """Rows to measure in batches of at most so many; None puts all in one."""
    return Batches(data, None if most is None else even_size(data.rows, most))


def predict(model: "Model", x: Any, batch_size: int | None) -> Any:
    """The outputs for all rows; see `Model.predict`."""
    if model.built:
        plain = plain_rows(x, model._dtype, batch_size)
        if plain is not None:
            return to_arrays(model.compiled_call(plain))
    inputs = as_arrays(x, "x", "predict")
    if not model.built:
        probe(model, inputs)
    inputs = cast_inputs(model, inputs, "predict")
    rows = count_rows(inputs)
    size = rows if batch_size is None else whole_number("predict", "batch_size", batch_size)
    return outputs_in_batches(model.compiled_call, inputs, size)
