"""Layer: the base of everything that computes with variables, from Dense to a whole model."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypedDict

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import (
    ArgumentError,
    ChainruleError,
    ShapeError,
    StateError,
    unknown_name,
)
from chainrule.nn import constraints, initializers, regularizers
from chainrule.nn.calling import (
    ANY_KEYWORD,
    call_parameters,
    calling,
    current_call,
    shapes_of,
    to_tensors,
    zeros_of,
)
from chainrule.nn.configurable import Configurable, constructor_parameters
from chainrule.nn.contents import generators_of, held, join, variables_of, walk
from chainrule.nn.naming import check_name, snake_case
from chainrule.nn.seeding import check_seed, derive_seed, next_seed
from chainrule.nn.summary import Summary, summarize
from chainrule.nn.validate import dtype_of, sizes, truth
from chainrule.tensor import Tensor, Variable
from chainrule.tensor.random import Generator
from chainrule.tensor.state import scope

Shape = tuple[int | None, ...]

# Attributes of the base class that hold no layers; its variables are listed by themselves.
_OWN = frozenset({"_weights", "_initializers", "_added_losses", "_input_shape", "_output_shape"})


class LayerOptions(TypedDict, total=False):
    """The arguments that every layer takes besides its own."""

    name: str | None
    dtype: str
    trainable: bool


class Layer(Configurable):
    """Base class of layers and models.

    A layer of your own needs ``__init__``, which keeps its arguments under their own names,
    ``build``, which creates variables once the input shape is known, and ``call``, which computes.
    Layers, variables and random generators are found by attribute, also in lists and dictionaries.

    Args:
        name: its name; default the attribute that holds it, else the class name in snake case.
        dtype: dtype of its variables; floating inputs are cast to it. Default "float32".
        trainable: False leaves its variables out of training. Default True.

    Raises:
        UnknownNameError: an argument that the layer does not take.
        DTypeError: a dtype that is not floating.

    Example:
        >>> import chainrule as cr
        >>> class Scale(cr.Layer):
        ...     def build(self, input_shape):
        ...         self.factor = self.add_weight("factor", (input_shape[-1],), "ones")
        ...
        ...     def call(self, inputs):
        ...         return inputs * self.factor
        >>> layer = Scale()
        >>> layer(cr.ones((2, 3))).shape, list(layer.weights)
        ((2, 3), ['factor'])

    Different from Keras: ``training`` defaults to False and reaches inner calls by itself; masks
    are passed as the argument ``mask``, never hung on tensors; paths come from attributes.
    """

    kind: ClassVar[str] = "layer"
    # "one" or "several" makes a wrong number of inputs an error; "any" leaves it to the layer.
    takes: ClassVar[str] = "any"

    def __init__(
        self,
        *,
        name: str | None = None,
        dtype: str = "float32",
        trainable: bool = True,
        **unknown: object,
    ) -> None:
        label = snake_case(type(self).__name__)
        for argument in unknown:
            raise unknown_name(label, "argument", argument, constructor_parameters(type(self)))
        self._given_name = None if name is None else check_name(label, name)
        self._path = ""
        self._dtype: np.dtype[Any]
        self.dtype = dtype
        self._trainable = truth(label, "trainable", trainable)
        self.built = False
        self._tree_seed: int | None = None
        self._weights: dict[str, Variable] = {}
        self._initializers: dict[str, Callable[..., Any]] = {}
        self._added_losses: list[Tensor] = []
        self._losses_call = self._last_call = 0
        self._input_shape: Any = None
        self._output_shape: Any = None

    # ---- what subclasses write

    def build(self, input_shape: Any) -> None:
        """Create the variables; called once, before the first ``call``.

        Args:
            input_shape: the input's shape, its batch axis None; for several inputs a list of
                shapes.
        """

    def call(self, *inputs: Any, **options: Any) -> Any:
        """Compute the output; a ``call`` that names ``training`` or ``mask`` is given them."""
        raise StateError(
            self.where,
            f"{type(self).__name__} has no call method",
            fix="define call(self, inputs)",
        )

    def compute_mask(self, inputs: Any, mask: Tensor | None = None) -> Tensor | None:
        """The mask of the outputs, asked for after each call by what passes masks on.

        Args:
            inputs: what the layer was called with; None where they are not known any more.
            mask: their mask, (N, steps), True for the steps that are there, or None.

        Returns:
            Here the mask of the inputs; a container drops it where the outputs are no sequences of
            these steps.
        """
        return mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output for an input of this shape; None stands for the batch.

        This general form runs the layer on zeros, building it if needed; many layers override it.
        """
        rows_unlike_other_sizes = 2
        return shapes_of(self(zeros_of(input_shape, self.dtype, rows_unlike_other_sizes)))

    # ---- calling

    def __call__(
        self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any
    ) -> Tensor:
        """Compute the output, after building the layer when this is its first call.

        Args:
            inputs: a tensor, array or nested list of shape (N, ...), or several in a list or
                dictionary.
            args: further inputs, passed to ``call`` as they are.
            training: whether dropout, noise and batch statistics act. Default: as in the call
                around this one, else False.
            kwargs: further arguments of ``call``, such as ``mask``.

        Raises:
            ShapeError: rank or width do not fit.
            DTypeError: not numbers, or of the wrong kind.
        """
        own = self.__dict__
        if "_weights" not in own:
            label = snake_case(type(self).__name__)
            raise StateError(label, "not set up", fix="call super().__init__() in __init__")
        with calling(self, training) as call:
            # Into the dictionary: a model looks at the attributes that are set.
            own["_last_call"] = call.number
            if not self.built and not self._path:
                call.root.assign_paths()
            where = self._path or self.name
            try:
                if type(inputs) is not Tensor or inputs.dtype is not self._dtype:
                    inputs = to_tensors(where, inputs, self._dtype)
                if self.takes == "several" or not isinstance(inputs, Tensor):
                    inputs = self._checked_inputs(inputs)
                if not self.built:
                    self._build(shapes_of(inputs), call.root)
                with scope(where):
                    outputs = self.call(inputs, *args, **self._call_options(call.training, kwargs))
            except ChainruleError as error:
                if not hasattr(error, "__notes__"):
                    error.add_note(f"in layer {where} ({type(self).__name__})")
                raise
        own["_input_shape"], own["_output_shape"] = shapes_of(inputs), shapes_of(outputs)
        return outputs  # type: ignore[no-any-return]  # call may be the user's

    def _checked_inputs(self, inputs: Any) -> Any:
        several = not isinstance(inputs, Tensor)
        if self.takes != "any" and several != (self.takes == "several"):
            raise ArgumentError(
                self.where, "wrong number of inputs",
                got=f"a structure of {len(inputs)} inputs" if several else "one tensor",
                expected="one tensor" if several else "a list of tensors",
                fix="stack them into one array" if several else "put the inputs into a list",
            )  # fmt: skip
        return inputs

    def _call_options(self, training: bool, given: dict[str, Any]) -> dict[str, Any]:
        accepted = call_parameters(type(self))
        if "training" in accepted:
            given["training"] = training
        if given and ANY_KEYWORD not in accepted:
            for name in given.keys() - accepted:
                raise unknown_name(self.where, "argument", name, accepted | {"training"})
        return given

    def _build(self, input_shape: Any, root: "Layer") -> None:
        try:
            self.build(input_shape)
        except BaseException:
            self._weights.clear()
            raise
        self.built = True
        root.assign_paths()

    def ensure_built(self, input_shape: Any, dtype: str | None = None) -> None:
        """Build this layer and all inside it without data, by one call on zeros; once only.

        Args:
            input_shape: shape with the batch axis first, (None, size, ...), or a list of shapes.
            dtype: dtype of the zeros, such as "int32" for indices. Default the layer's.
        """
        if not self.built:
            self(zeros_of(input_shape, dtype or self.dtype, 1))

    # ---- variables

    def add_weight(
        self,
        name: str,
        shape: Sequence[int],
        initializer: Any = "glorot_uniform",
        *,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        dtype: str | None = None,
    ) -> Variable:
        """Create a variable; its values follow from the seed of the whole model and its path.

        Args:
            name: its name, the last part of its path.
            shape: its shape.
            initializer: a name, ``Initializer`` or function. Default "glorot_uniform".
            trainable: whether training changes it. Default True.
            regularizer: adds a penalty to the loss. Default none.
            constraint: applied after each update. Default none.
            dtype: default the layer's.

        Returns:
            The variable.

        Raises:
            ArgumentError: the layer has a variable of this name.
        """
        if check_name(self.where, name) in self._weights:
            raise ArgumentError(self.where, "two variables of one name", got=repr(name))
        path = join(self._path, name)
        self._initializers[name] = initializers.get(initializer)
        variable = Variable(
            initializers.initial_values(
                self._initializers[name],
                sizes(self.where, f"shape of {name}", shape, minimum=0),
                dtype_of(self.where, dtype or self.dtype).name,
                derive_seed(self._seed_in_call(), path),
            ),
            name=name,
            trainable=trainable,
        )
        variable.path = path
        variable.regularizer = regularizers.get(regularizer)
        variable.constraint = constraints.get(constraint)
        self._weights[name] = variable
        return variable

    def add_generator(self) -> Generator:
        """Create a random generator, for use in ``build``; each call of its ``next_key`` draws
        anew.

        Its seed is the layer's own ``seed`` where it has one, else it follows from the seed of the
        whole model and the layer's path.
        """
        return Generator(self._generator_seed(self._seed_in_call()))

    def _seed_in_call(self) -> int:
        call = current_call()
        return (call.root if call is not None else self).tree_seed

    def _generator_seed(self, tree_seed: int) -> int:
        own: int | None = getattr(self, "seed", None)
        return derive_seed(tree_seed, self._path) if own is None else own

    def own_variables(self) -> list[tuple[str, Variable]]:
        """The variables that this layer itself holds, with their names, in order of creation."""
        own = list(self._weights.items())
        known = {id(variable) for _, variable in own}
        return own + [(name, v) for name, v in held(self, Variable, _OWN) if id(v) not in known]

    def _own_variables_and_layers(
        self,
    ) -> tuple[list[tuple[str, Variable]], list[tuple[str, "Layer"]]]:
        """``own_variables`` and ``named_layers``, with one look at the attributes for both."""
        cls = type(self)
        if (cls.own_variables, cls.named_layers) != (Layer.own_variables, Layer.named_layers):
            return self.own_variables(), self.named_layers()
        variables = list(self._weights.items())
        known = {id(variable) for _, variable in variables}
        layers = []
        for name, part in held(self, (Variable, Layer), _OWN):
            if isinstance(part, Layer):
                layers.append((name, part))
            elif id(part) not in known:
                variables.append((name, part))
        return variables, layers

    @property
    def weights(self) -> dict[str, Variable]:
        """Every variable of this layer and of the layers inside it, by its path from here."""
        return {path: variable for path, variable, _ in variables_of(self)}

    @property
    def variables(self) -> list[Variable]:
        """Every variable, in the order of ``weights``."""
        return [variable for _, variable, _ in variables_of(self)]

    @property
    def trainable_variables(self) -> list[Variable]:
        """The variables that training changes."""
        return [variable for _, variable, trained in variables_of(self) if trained]

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The other variables: running statistics, and what was frozen."""
        return [variable for _, variable, trained in variables_of(self) if not trained]

    @property
    def generators(self) -> list[Generator]:
        """The random generators of this layer and of the layers inside it."""
        return [generator for _, _, generator in generators_of(self)]

    def count_params(self) -> int:
        """The number of numbers in all variables."""
        return sum(variable.size for variable in self.variables)

    def get_weights(self) -> list[NDArray[Any]]:
        """The values of all variables, in the order of ``weights``."""
        return [variable.numpy() for variable in self.variables]

    def set_weights(self, values: Sequence[Any]) -> None:
        """Assign all variables; nothing changes when one value does not fit.

        Args:
            values: one array for each variable, in the order of ``weights``.

        Raises:
            ShapeError: another number of arrays, or an array of another shape.
        """
        weights = self.weights
        if len(values) != len(weights):
            raise ShapeError(
                self.where, "wrong number of arrays", got=len(values),
                expected=f"{len(weights)}: {', '.join(weights)}",
                fix="build the layer first by calling it" if not weights else "give one for each",
            )  # fmt: skip
        for (path, variable), value in zip(weights.items(), values, strict=True):
            if np.shape(value) != variable.shape:
                raise ShapeError(path, "wrong shape", got=np.shape(value), expected=variable.shape)
        for variable, value in zip(weights.values(), values, strict=True):
            variable.assign(value)

    # ---- losses

    def add_loss(self, value: Tensor) -> None:
        """Add a scalar to the loss, inside ``call``; ``losses`` shows it until the next call."""
        if self._losses_call != self._last_call:
            self._losses_call, self._added_losses = self._last_call, []
        self._added_losses.append(value)

    @property
    def losses(self) -> list[Tensor]:
        """The penalties of trainable variables, and what the last call added by ``add_loss``."""
        penalties = [
            variable.regularizer(variable)
            for _, variable, trained in variables_of(self)
            if trained and variable.regularizer is not None
        ]
        for place in walk(self):
            if place.layer._losses_call == self._last_call:
                penalties += place.layer._added_losses
        return penalties

    # ---- seeds

    @property
    def tree_seed(self) -> int:
        """The seed of this layer and all inside it, drawn when first asked for; settable."""
        if self._tree_seed is None:
            self._tree_seed = next_seed()
        return self._tree_seed

    @tree_seed.setter
    def tree_seed(self, seed: int | None) -> None:
        self._tree_seed = None if seed is None else check_seed(self.where, seed)

    def reinitialize(self, seed: int | None = None) -> None:
        """Draw all initial values again, and set the random generators back.

        Variables made by ``add_weight`` get the values that a new model with this seed would have;
        variables that were created otherwise keep theirs.

        Args:
            seed: a whole number of at least 0. Default None: a new seed (see ``set_seed``).

        Example:
            >>> import chainrule as cr
            >>> layer = cr.layers.Dense(2)
            >>> layer.ensure_built((None, 3))
            >>> layer.reinitialize(seed=1)
            >>> first = layer.kernel.numpy()
            >>> layer.reinitialize(seed=1)
            >>> bool((layer.kernel.numpy() == first).all())
            True
        """
        self.tree_seed = next_seed() if seed is None else seed
        if not self._path:
            self.assign_paths()
        for place in walk(self):
            place.layer._draw_own_weights(self.tree_seed)
        for _, owner, generator in generators_of(self):
            generator.reset(owner._generator_seed(self.tree_seed))

    def _draw_own_weights(self, seed: int) -> None:
        for name, variable in self._weights.items():
            own_seed = derive_seed(seed, join(self._path, name))
            initializer = self._initializers[name]
            variable.assign(
                initializers.initial_values(
                    initializer, variable.shape, variable.dtype.name, own_seed
                )
            )

    # ---- the tree

    def named_layers(self) -> list[tuple[str, "Layer"]]:
        """The layers directly inside this one, with their names; containers may override it."""
        return held(self, Layer, _OWN)

    @property
    def layers(self) -> list["Layer"]:
        """The layers directly inside this one."""
        return [layer for _, layer in self.named_layers()]

    def assign_paths(self) -> None:
        """Give every layer and variable below its path, seen from this layer as the root."""
        for place in walk(self):
            place.layer._path = place.path
        for path, variable, _ in variables_of(self):
            variable.path = path

    @property
    def path(self) -> str:
        """Where the model holds it, such as ``encoder/dense1``; empty for the outermost layer."""
        return self._path

    @property
    def name(self) -> str:
        """Its given name, else the last part of its path, else the class name in snake case."""
        return self._given_name or self._path.rpartition("/")[2] or snake_case(type(self).__name__)

    @property
    def where(self) -> str:
        """What errors call this layer: its path, or its name when it is the outermost."""
        return self._path or self.name

    @property
    def input_shape(self) -> Any:
        """The input's shape in the last call, its batch axis None; None before the first call."""
        return self._input_shape

    @property
    def output_shape(self) -> Any:
        """The output's shape in the last call, its batch axis None; None before the first call."""
        return self._output_shape

    @property
    def dtype(self) -> str:
        """The dtype of its variables; settable until it is built."""
        return self._dtype.name

    @dtype.setter
    def dtype(self, dtype: str) -> None:
        label = snake_case(type(self).__name__)
        if getattr(self, "built", False):
            raise StateError(label, "dtype set after building", got=dtype, expected=self.dtype)
        self._dtype = dtype_of(label, dtype, floating=True)

    @property
    def trainable(self) -> bool:
        """Whether training changes its variables; setting it reaches all layers inside."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for place in walk(self):
            place.layer._trainable = truth(self.where, "trainable", value)

    # ---- config and display

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON values; a name that was not given stays None."""
        config = super().get_config()
        if "name" in config:
            config["name"] = self._given_name
        return config

    def summary(self, input_shape: Any = None) -> Summary:
        """A table of the layers inside, with output shapes and numbers of parameters.

        Args:
            input_shape: shape with the batch axis first, for which an unbuilt layer is built.
                Default None: shapes that are not known yet are shown as "?".

        Returns:
            A summary; ``print`` or ``str`` shows the table, its attributes hold the numbers.

        Different from Keras: it returns the table instead of printing it.
        """
        if input_shape is not None:
            self.ensure_built(input_shape)
        return summarize(self)

    def __getstate__(self) -> dict[str, Any]:
        # Losses of a traced call stand for nothing outside their trace.
        return {**self.__dict__, "_added_losses": []}

    def __repr__(self) -> str:
        state = f"{self.count_params():,} parameters" if self.built else "not built"
        return f"<{type(self).__name__} {self.name!r}, {state}>"
