"""Model: a layer that trains itself."""

import weakref
from collections.abc import Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Self, Unpack

from numpy.typing import NDArray

from chainrule.losses.class_weights import ClassWeight
from chainrule.nn import Layer
from chainrule.nn.contents import generators_of, walk
from chainrule.nn.layer import LayerOptions
from chainrule.optimizers import Optimizer
from chainrule.tensor import Tensor, jit
from chainrule.tensor.jit import Jitted
from chainrule.tensor.state import STATE
from chainrule.training import fit as training
from chainrule.training.callbacks import Callback, EarlyStopping
from chainrule.training.checkpoints import Checkpoint
from chainrule.training.history import History
from chainrule.training.last_run import LastRun
from chainrule.training.progress import Verbose
from chainrule.training.states import reset_states

if TYPE_CHECKING:
    from chainrule.training.gradient_flow import GradientFlow

# Attributes that change while a model works, which compiled functions do not depend on.
_RUN_TIME = frozenset({"built", "stop_training", "tree_seed"})


class Model(Layer):
    """A network: layers in attributes, and ``call``, which says how they are put together.

    Args:
        name: its name; default the class name in snake case.
        dtype: floating inputs are cast to it; default the widest dtype of the layers inside.
        trainable: False leaves all variables out of training. Default True.

    Example:
        >>> import chainrule as cr
        >>> class Small(cr.Model):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.hidden = cr.layers.Dense(8, activation="tanh")
        ...         self.out = cr.layers.Dense(1)
        ...
        ...     def call(self, inputs):
        ...         return self.out(self.hidden(inputs))
        >>> x = np.linspace(-1, 1, 64, dtype="float32")[:, None]
        >>> model = Small()
        >>> history = model.fit(x, x**2, loss="mse", epochs=50, seed=0)
        >>> history["loss"][-1] < history["loss"][0], model.predict(x).shape
        (True, (64, 1))

    Different from Keras: there is no ``compile``; loss, optimizer and metrics are arguments of
    ``fit``.
    """

    stop_training: bool = False
    _setup: "training.Setup | None" = None
    _last_run: LastRun | None = None
    _compiled: Jitted | None = None

    def __init__(self, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self._dtype_given = "dtype" in options

    def __call__(
        self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any
    ) -> Tensor:
        """Compute the outputs; see `Layer`."""
        if not self.built and not self.__dict__.get("_dtype_given", True):
            self._take_widest_dtype()
        return super().__call__(inputs, *args, training=training, **kwargs)

    def _take_widest_dtype(self) -> None:
        if any(place.layer.dtype == "float64" for place in walk(self)):
            self.dtype = "float64"

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        loss: Any = None,
        optimizer: str | Optimizer = "adam",
        metrics: Iterable[Any] = (),
        epochs: int = 1,
        batch_size: "training.BatchSize" = 32,
        until: Mapping[str, float] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        sample_weight: Any = None,
        class_weight: ClassWeight | None = None,
        early_stopping: bool | EarlyStopping | None = None,
        callbacks: Iterable[Callback] | Callback = (),
        shuffle: bool = True,
        mixup: float = 0.0,
        seed: int | None = None,
        checkpoint: "str | PathLike[str] | Checkpoint | None" = None,
        watch: bool | int = False,
        verbose: Verbose = "auto",
    ) -> History:
        """Train the model: repeat over the data until a reason to stop comes up.

        The reasons: all epochs are done; the goal of ``until`` is reached; early stopping; a
        callback; a loss that is not finite; Ctrl-C, which ends the run after the step and keeps the
        model.

        Args:
            x: the inputs, N rows: array, list, tensor or data frame of numbers; a tuple or dict of
                them for a model with several inputs.
            y: the targets, N rows.
            loss: a name (``"mse"``, ``"cross_entropy"``, ...), a loss, or a function of (y_true,
                y_pred). Default that of the last fit.
            optimizer: a name or an optimizer; default Adam with its default rate. A name starts
                afresh in each fit; an object continues with its state.
            metrics: names or metrics to log, each computed over the whole epoch.
            epochs: passes over the data, at most; default 1.
            batch_size: rows in a step; default 32. None for all rows at once, ``"auto"`` for
                min(200, N).
            until: stop when every number named here is reached, as in ``{"loss": 0.05,
                "val_accuracy": 0.9}``; whether smaller or larger is better follows from the metric.
            validation_split: the share of the rows to hold out for validation, drawn at random (by
                the seed; for classes, with the same share of each class); default 0.
            validation_data: (x, y) or (x, y, sample_weight) to validate on instead.
            sample_weight: N weights, none negative.
            class_weight: a weight for each class, ``{0: 1.0, 1: 5.0}``, or ``"balanced"``.
            early_stopping: True for ``EarlyStopping()``, or one with other settings: stops when the
                validation loss has not improved for 10 epochs, and puts the best weights back.
                Default None: off.
            callbacks: code to run between epochs and batches.
            shuffle: put the rows in a new order in each epoch; default True. A model with stateful
                layers needs False, and is trained in batches of their ``batch_size``.
            mixup: 0.2, for example, trains on means of two rows each, x' = s x + (1 - s) x2, with
                the loss s loss(y) + (1 - s) loss(y2); s is max(b, 1 - b) for a b drawn from
                Beta(mixup, mixup) for each batch. Metrics of the training rows compare with y, the
                larger share. Rows are mixed before any layer sees them. Default 0: off.
            seed: makes the run repeatable to the bit: order of the rows, held-out rows, random
                layers and, if the model is not built yet, its initial weights. Default None: drawn
                from ``cr.set_seed``, else at random.
            checkpoint: a folder of this run, or a `Checkpoint`. All that the run needs is written
                there, now and then and at the end. The same call goes on from the newest whole
                checkpoint, in the middle of an epoch too, to the same bits as a run that was never
                broken off; a finished run is given back, or goes on if there are more epochs.
                Default None.
            watch: look at how large gradients, weights, updates and activations are in some steps;
                the results are in ``History.watched``. 50 looks at every 50th step; True chooses,
                100 or more, so that it takes about 1 % of the time beside a compilation. The run
                gives the same bits. Default False.
            verbose: ``"auto"`` shows a live line on a terminal only; 0 nothing; 1 the live line; 2
                a line an epoch.

        Returns:
            The logged numbers of every epoch, and why the run ended (``History.stopped``). After a
            run that failed or stalled a line in ``History.notes`` offers ``cr.diagnose``.

        Raises:
            DataError: data that cannot be trained on; the message names column and row.
            ShapeError: inputs, outputs and targets that do not fit.
            ArgumentError: an argument outside what is possible, or an unknown name.

        Different from Keras: ``validation_split`` is random instead of the last rows; ``until``;
        weights are relative, so a loss with weights is ``sum(w l) / sum(w)``; the loss of an epoch
        is the mean over its rows.
        """
        options = training.Options(
            loss=loss,
            optimizer=optimizer,
            metrics=metrics,
            epochs=epochs,
            batch_size=batch_size,
            until=until,
            validation_split=validation_split,
            validation_data=validation_data,
            sample_weight=sample_weight,
            class_weight=class_weight,
            early_stopping=early_stopping,
            callbacks=callbacks,
            shuffle=shuffle,
            mixup=mixup,
            seed=seed,
            checkpoint=checkpoint,
            watch=watch,
            verbose=verbose,
        )
        return training.fit(self, x, y, options)

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        *,
        loss: Any = None,
        metrics: Iterable[Any] | None = None,
        sample_weight: Any = None,
        batch_size: int | None = 256,
    ) -> dict[str, Any]:
        """Loss and metrics on given rows, without training.

        Args:
            x: the inputs, as in `fit`.
            y: the targets.
            loss: default that of the last fit.
            metrics: default those of the last fit.
            sample_weight: N weights, none negative.
            batch_size: rows computed at once; None for all. It does not change the result, but for
                rounding.

        Returns:
            The numbers by name, ``{"loss": ..., "accuracy": ...}``; the loss includes the penalties
            of the layers.

        Raises:
            ArgumentError: no loss is known.
            DataError: data that cannot be measured.
        """
        return training.evaluate(self, x, y, loss, metrics, sample_weight, batch_size)

    def predict(self, x: Any, *, batch_size: int | None = 256) -> NDArray[Any] | Any:
        """The outputs for given rows, as an array (N, ...).

        Args:
            x: the inputs, as in `fit`.
            batch_size: rows computed at once; None for all.

        Returns:
            What ``call`` returns, for all rows: probabilities if the model ends in softmax or
                sigmoid. A tuple or dict
            of arrays for a model with several outputs.

        Raises:
            DataError: data that is not finite numbers.
        """
        return training.predict(self, x, batch_size)

    def explain(
        self,
        x: Any,
        y: Any,
        *,
        row: int = 0,
        loss: Any = None,
        optimizer: "str | Optimizer | None" = None,
        language: str = "en",
    ) -> Any:
        """One training step shown: forward, loss, backward, update, with all their numbers.

        Args:
            x: the inputs of a batch, as in `fit`.
            y: their targets.
            row: the example to show; the mean over the batch stands beside it. Default 0.
            loss: as in `fit`; default that of the last fit.
            optimizer: whose update to show; default that of the last fit as it stands, else SGD.
            language: ``"en"`` or ``"zh"``.

        Returns:
            An explanation: print it, ``.to_html(path)``, ``.to_dict()``, ``.check()`` against
            differences in float64, ``.zoom(neuron=, weight=, filter=, time=)``. The model stays as
            it is.

        Raises:
            ArgumentError: no such row, or no loss is known.

        Example:
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.layers.Dense(1, kernel_initializer="ones")])
            >>> print(model.explain([[1.0, 2.0]], [5.0], loss="mse"))  # doctest: +ELLIPSIS
            1 Forward: from the input to the output (one example: 0)
            ...
            L = mean of (output - y)^2 = (3 - 5)^2 / 1 = 4
            ...
        """
        from chainrule.training.explanation import explain_step

        return explain_step(self, x, y, row, loss, optimizer, language)

    def explain_plan(self, x: Any = None, y: Any = None, *, measure: bool = True) -> str:
        """What the machine does for this model: the kernels of the compiled programs, in order.

        For each kernel: what it computes, for which layers, its share of the time, arithmetic
        operations, bytes read and written, the rates reached, into how many pieces it is cut for
        several threads, and why it is not part of the kernel before it.

        Args:
            x: the rows of one batch, as in `fit`. Without ``y``: explain `predict` for them.
            y: their targets: explain a training step of the last fit. Default: all programs that
                the model has used so far.
            measure: run the programs for a moment, on zeros, to measure times. The model does not
                change. Default True.

        Returns:
            Tables in text, one a program.

        Raises:
            StateError: nothing was compiled yet, or there was no fit whose step could be explained.

        Example:
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.layers.Dense(8, activation="relu"), cr.layers.Dense(1)])
            >>> x = np.linspace(-1, 1, 64, dtype="float32")[:, None]
            >>> history = model.fit(x, x**2, loss="mse", seed=0)
            >>> print(model.explain_plan(x, measure=False))  # doctest: +ELLIPSIS
            predict
            cpu back end: native code, kernels in order
               kernel ...
        """
        from chainrule.training.explaining import explain_plan

        return explain_plan(self, x, y, measure)

    def gradient_flow(self, x: Any, y: Any, *, loss: Any = None) -> "GradientFlow":
        """How large the gradient of the loss is at each step of time, in each layer over time.

        norm_t = |dL / dh_t|, over the batch and the units, outside training

        For a recurrent layer h_t is the (first) state after step t, and the gradient takes in all
        that the state does later: it shrinks from step to step on its way back where gradients
        vanish. For other layers with outputs (N, time, features) h_t is the output at step t.

        Args:
            x: the inputs of one batch, as in `fit`.
            y: the targets.
            loss: default that of the last fit.

        Returns:
            The norms by layer; ``print`` shows a table, ``plot`` draws them.

        Raises:
            ArgumentError: no loss is known, or no layer gives out sequences.

        Example:
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.layers.SimpleRNN(4), cr.layers.Dense(1)])
            >>> x = np.ones((2, 50, 1), "float32")
            >>> flow = model.gradient_flow(x, np.ones((2, 1), "float32"), loss="mse")
            >>> list(flow), flow["simple_rnn/cell"].shape
            (['simple_rnn/cell'], (50,))
            >>> flow.ratio("simple_rnn/cell") < 0.01
            True

        Reference: Bengio, Simard and Frasconi, "Learning long-term dependencies with gradient
        descent is difficult", 1994.
        """
        from chainrule.training.gradient_flow import gradient_flow

        return gradient_flow(self, x, y, loss)

    def reset_states(self) -> None:
        """Let stateful layers start afresh, as for new sequences.

        `fit` does it before each epoch and each validation, `evaluate` at the start; `predict` goes
        on from the state that there is.
        """
        reset_states(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to one safetensors file, which `chainrule.load_model` reads.

        The file is written beside the old one and replaces it at once, so it is always whole.

        Raises:
            FileAccessError: the file cannot be written.
        """
        from chainrule.training.saving import save_model

        save_model(self, path)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name[0] != "_" and name not in _RUN_TIME and STATE.trace is None:
            self.forget_compiled()

    @property
    def compiled_call(self) -> Jitted:
        """The forward pass without training, as one compiled function."""
        if self._compiled is None:
            model = weakref.proxy(self)  # which holds what is compiled
            self._compiled = jit(lambda inputs: model(inputs, training=False))
        return self._compiled

    def forget_compiled(self) -> None:
        """Drop what was compiled. Needed after a change inside a layer; done by itself after an
        attribute of the model was set.
        """
        if self._setup is not None or self._compiled is not None:
            self._setup = self._compiled = None

    def seed_if_new(self, seed: int) -> Self:
        """Let the initial values follow from a seed, unless there are values or a seed already."""
        if not self.built and self._tree_seed is None:
            self.tree_seed = seed
        return self

    def reset_generators(self, seed: int) -> None:
        """Let the random layers draw as in a new model with this seed."""
        for _, owner, generator in generators_of(self):
            generator.reset(owner._generator_seed(seed))

    def __getstate__(self) -> dict[str, Any]:
        # Compiled functions stay behind; they are made again when needed.
        state = super().__getstate__()
        return {**state, "_setup": None, "_compiled": None, "_last_run": None}
