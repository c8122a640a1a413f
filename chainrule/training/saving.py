"""Saving and loading models: a model as JSON values and arrays, and back; the file is `formats`'.

Nothing that a file says is run. Its layers come from the closed tables of `nn.registry` and from
what the caller passes; its shapes are compared with its arrays before a variable is made.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from chainrule.errors import (
    ArgumentError,
    ChainruleError,
    FileFormatError,
    StateError,
    UnknownNameError,
)
from chainrule.formats import read_model_file, write_model_file
from chainrule.formats.atomic import PathLike, place
from chainrule.formats.strict_json import RESTORE, plain, shown
from chainrule.nn import Layer, initializers, registry
from chainrule.nn.calling import calling
from chainrule.nn.configurable import CUSTOM_FUNCTION, PART_KEYS, part_from_config, to_config
from chainrule.nn.contents import join, walk
from chainrule.tensor import Variable
from chainrule.training.model import Model
from chainrule.training.sequential import Sequential

__all__ = ["load_model", "load_model_and_extra", "model_to_parts", "parts_to_model", "save_model"]

Table = dict[str, Any]
Arrays = Mapping[str, NDArray[Any]]

MAX_LAYERS = 1_000
"""In one file; making them takes time that grows with the square of their number."""

LIBRARY: dict[str, dict[str, Any]] = registry.TABLES
"""What a file may name without being passed it; importing `layers` and `Sequential` fills it."""

_ROW_KEYS = {"built", "dtype", "input_shape", "output_shape", "trainable"}
_PASS = "pass the class or function itself: load_model(path, custom_objects={{{}}})"


def save_model(model: Model, path: PathLike, extra: Mapping[str, Any] | None = None) -> None:
    """Write a model to one safetensors file, atomically: structure, weights, and ``extra``.

    Args:
        model: the model; layers that never ran are saved without weights.
        path: the file to write or replace.
        extra: what belongs to the model besides the network, such as preprocessing and class
            names: JSON values in a table. Default: nothing.

    Raises:
        FileAccessError: the file cannot be written (`formats.check_writable` tells beforehand).
        ArgumentError: a layer whose constructor arguments cannot be saved, or one layer in two
            places of a `Sequential`.
        StateError: a layer that was built by hand and never ran.

    Example:
        >>> import tempfile, os
        >>> from chainrule.training.saving import save_model, load_model_and_extra
        >>> model = cr.Sequential([cr.layers.Dense(2)])
        >>> y = model(np.ones((1, 3)))
        >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
        >>> save_model(model, path, extra={"classes": ["no", "yes"]})
        >>> loaded, extra = load_model_and_extra(path)
        >>> bool((loaded(np.ones((1, 3))).numpy() == y.numpy()).all()), extra
        (True, {'classes': ['no', 'yes']})

    Different from Keras: the optimizer's state is not saved.
    """
    architecture, arrays = model_to_parts(model)
    metadata = {"architecture": architecture, "extra": dict(extra or {})}
    write_model_file(path, metadata, arrays)


def load_model(path: PathLike, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """Read a model that ``model.save`` or `save_model` wrote. No code in the file is run.

    Args:
        path: the file.
        custom_objects: your own layer and model classes, and functions such as activations, by
            name: ``{"SimpleNN": SimpleNN}``. Default: none.

    Returns:
        The model, ready to predict or to train on.

    Raises:
        FileAccessError: the file cannot be read.
        FileFormatError: not a model file, damaged, or not consistent.
        UnknownNameError: the model uses a class or function that is not passed.

    Example:
        >>> import tempfile, os
        >>> class SimpleNN(cr.Model):
        ...     def __init__(self, width=4):
        ...         super().__init__()
        ...         self.width = width
        ...         self.dense1 = cr.layers.Dense(width, activation="relu")
        ...         self.dense2 = cr.layers.Dense(1)
        ...
        ...     def call(self, inputs):
        ...         return self.dense2(self.dense1(inputs))
        >>> model = SimpleNN(width=8)
        >>> y = model(np.ones((1, 3)))
        >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
        >>> model.save(path)
        >>> loaded = cr.load_model(path, custom_objects={"SimpleNN": SimpleNN})
        >>> loaded.width, bool((loaded(np.ones((1, 3))).numpy() == y.numpy()).all())
        (8, True)
    """
    return load_model_and_extra(path, custom_objects)[0]


def load_model_and_extra(
    path: PathLike, custom_objects: Mapping[str, Any] | None = None
) -> tuple[Model, Table]:
    """Read a model and the ``extra`` that it was saved with; see `load_model`."""
    where = place(path)
    metadata, arrays = read_model_file(path)
    if metadata.keys() != {"architecture", "extra"} or not isinstance(metadata["extra"], dict):
        raise FileFormatError(
            where,
            "the file holds no model",
            got=f"metadata {shown(sorted(metadata))}",
            expected="the tables 'architecture' and 'extra'",
            fix="use a file that model.save(path) wrote",
        )
    architecture = metadata["architecture"]
    return parts_to_model(architecture, arrays, custom_objects, where=where), metadata["extra"]


def model_to_parts(model: Model) -> tuple[Table, dict[str, NDArray[Any]]]:
    """A model as JSON values and arrays.

    Args:
        model: the model.

    Returns:
        The architecture, for `parts_to_model`, and the values of all variables by their paths.

    Raises:
        ArgumentError, StateError: see `save_model`.
    """
    if not isinstance(model, Model):
        raise ArgumentError(
            "save_model",
            "this is not a model",
            got=type(model).__name__,
            expected="a chainrule Model",
            fix="put the layer into cr.Sequential([...])",
        )
    rows = {item.path: _row(item.layer) for item in walk(model)}
    if len(rows) > MAX_LAYERS:
        raise ArgumentError(
            model.where,
            "the model has too many layers to be saved",
            got=len(rows),
            expected=f"at most {MAX_LAYERS}",
            fix="put several steps into one layer",
        )
    weights = model.weights
    architecture = {
        "model": to_config(model, model.where),
        "layers": rows,
        "frozen": [path for path, variable in weights.items() if not variable.trainable],
    }
    arrays = {path: variable.numpy() for path, variable in weights.items()}
    return plain(architecture, where=model.where), arrays


def _row(layer: Layer) -> Table:
    """What a layer knows besides its constructor's arguments."""
    if layer.built and layer.input_shape is None:
        raise StateError(
            layer.where,
            "the layer was built but never ran, so its input shape is not known",
            fix="call the model on some data before saving it",
        )
    if isinstance(layer, Sequential) and len({id(inner) for inner in layer}) < len(layer):
        raise ArgumentError(
            layer.where,
            "one layer stands in two places of a Sequential, which a file cannot say",
            fix="write a Model of your own whose call uses the layer twice",
        )
    return {
        "built": layer.built,
        "dtype": layer.dtype,
        "input_shape": layer.input_shape,
        "output_shape": layer.output_shape,
        "trainable": layer.trainable,
    }


def parts_to_model(
    architecture: Any,
    arrays: Arrays,
    custom_objects: Mapping[str, Any] | None = None,
    *,
    where: str = "model",
) -> Model:
    """The model that `model_to_parts` took apart.

    Args:
        architecture: JSON values; nothing is assumed about them.
        arrays: the values of all variables by their paths.
        custom_objects: your own classes and functions by name; default none.
        where: what messages call the source.

    Raises:
        FileFormatError: the parts are not those of a model, or do not fit each other.
        UnknownNameError: a class or function that is not passed.
        ArgumentError: custom_objects is not a dictionary of classes and functions.
    """
    custom = _checked_custom_objects(custom_objects)
    part, rows, frozen = _checked_architecture(architecture, where)
    _check_classes(part, custom, where)
    try:
        model = part_from_config(part, custom)
        if not isinstance(model, Model):
            raise _bad(where, "the outermost layer is no model", type(model).__name__, "a Model")
        _Builder(rows, arrays, where).build(model)
    except FileFormatError:
        raise
    except Exception as error:  # classes of the caller, given values of the file, raise anything
        raise _bad(where, "the structure cannot be built", _in_words(error)) from error
    _assign(model, arrays, frozen, where)
    return model


def _checked_custom_objects(custom_objects: Any) -> Mapping[str, Any]:
    custom: Any = {} if custom_objects is None else custom_objects
    if not isinstance(custom, Mapping) or not all(
        isinstance(name, str) and callable(value) for name, value in custom.items()
    ):
        raise ArgumentError(
            "load_model",
            "custom_objects is not a table of classes and functions",
            got=shown(custom),
            expected="a dictionary from names to classes and functions",
            fix="pass custom_objects={'MyLayer': MyLayer}",
        )
    return custom


def _checked_architecture(architecture: Any, where: str) -> tuple[Table, Table, list[str]]:
    """The parts of the architecture, all of the right types."""
    keys = {"model", "layers", "frozen"}
    if not isinstance(architecture, Mapping) or architecture.keys() != keys:
        raise _bad(where, "the architecture is wrong", shown(architecture), f"keys {sorted(keys)}")
    part, rows, frozen = (architecture[key] for key in ("model", "layers", "frozen"))
    if not isinstance(part, Mapping) or part.keys() != PART_KEYS:
        raise _bad(where, "the model's part is wrong", shown(part), f"keys {sorted(PART_KEYS)}")
    if not isinstance(rows, Mapping) or not 0 < len(rows) <= MAX_LAYERS:
        count = len(rows) if isinstance(rows, Mapping) else shown(rows)
        raise _bad(where, "the list of layers is wrong", count, f"1 to {MAX_LAYERS} layers")
    for path, row in rows.items():
        if not isinstance(row, Mapping) or row.keys() != _ROW_KEYS:
            got = f"{shown(row)} for layer {shown(path)}"
            raise _bad(where, "a layer's entry is wrong", got, f"keys {sorted(_ROW_KEYS)}")
    if not isinstance(frozen, list) or not all(isinstance(path, str) for path in frozen):
        raise _bad(where, "the list of frozen variables is wrong", shown(frozen), "a list of names")
    return dict(part), dict(rows), frozen


def _check_classes(part: Table, custom: Mapping[str, Any], where: str) -> None:
    """Every class in the architecture is known; else one error names all that are missing."""
    missing: dict[str, None] = {}
    number = 0
    for inner in _parts_in(part):
        kind, name = inner["kind"], inner["class"]
        if not isinstance(kind, str) or not isinstance(name, str):
            raise _bad(where, "a part has a wrong class", shown(inner), "the name of a class")
        if kind != CUSTOM_FUNCTION and kind not in LIBRARY:
            raise _bad(where, "a part is of an unknown kind", shown(kind), ", ".join(LIBRARY))
        number += kind == Layer.kind
        if name not in custom and name not in LIBRARY.get(kind, {}):
            missing[name] = None
    if number > MAX_LAYERS:
        raise _bad(where, "the model has too many layers", number, f"at most {MAX_LAYERS}")
    if missing:
        names = [shown(name) for name in missing][:5]
        raise UnknownNameError(
            where,
            "the model uses classes or functions that are not part of chainrule",
            got=", ".join(names),
            expected="all of them in custom_objects",
            fix=_PASS.format(", ".join(f"{name}: {name[1:-1]}" for name in names)),
        )


def _parts_in(value: Any) -> Iterator[Mapping[str, Any]]:
    """All parts inside JSON values, from the outside in."""
    if isinstance(value, Mapping):
        if value.keys() == PART_KEYS:
            yield value
        for inner in value.values():
            yield from _parts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _parts_in(inner)


@dataclass
class _Builder:
    """Builds the layers of a new model from a file's entries, without running the model."""

    rows: Table
    arrays: Arrays
    where: str

    def build(self, model: Model) -> None:
        """Build every layer that was built when it was saved; parents before what they hold."""
        left = dict(self.rows)
        with calling(model, training=False):
            for item in walk(model):
                if item.path not in left:
                    known = ", ".join(list(self.rows)[:10])
                    what = "the structure has a layer that the file does not list"
                    raise _bad(self.where, what, shown(item.path), known)
                self._restore(item.layer, item.path, left.pop(item.path))
        if left:
            what = "the file lists a layer that its structure does not have"
            raise _bad(self.where, what, shown(next(iter(left))))
        model.assign_paths()

    def _restore(self, layer: Layer, path: str, row: Mapping[str, Any]) -> None:
        built, dtype, trainable = row["built"], row["dtype"], row["trainable"]
        if type(built) is not bool or not isinstance(dtype, str) or type(trainable) is not bool:
            expected = "built and trainable true or false, dtype a name"
            got = f"{shown(row)} for layer {shown(path)}"
            raise _bad(self.where, "a layer's entry is wrong", got, expected)
        layer.trainable = trainable
        if not layer.built:
            layer.dtype = dtype
        if built and not layer.built:
            self._build_layer(layer, path, self._shape(row["input_shape"], path))
        # The summary shows these; only a call sets them otherwise.
        for name in "input_shape", "output_shape":
            if row[name] is not None:
                setattr(layer, f"_{name}", self._shape(row[name], path))

    def _build_layer(self, layer: Layer, path: str, shape: Any) -> None:
        """Let the layer create its variables from the file's arrays, each of the right shape."""

        def add_weight(
            name: str, shape: Any, initializer: Any = "glorot_uniform", **options: Any
        ) -> Variable:
            stored = self._stored(join(path, name), tuple(shape))
            variable = Layer.add_weight(layer, name, shape, lambda *_: stored, **options)
            layer._initializers[name] = initializers.get(initializer)
            return variable

        vars(layer)["add_weight"] = add_weight
        try:
            layer.build(shape)
        finally:
            del vars(layer)["add_weight"]
        layer.built = True

    def _stored(self, path: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """The array of this path, when it has this shape."""
        if path not in self.arrays:
            raise _bad(self.where, "an array is missing", f"none named {shown(path)}")
        stored = self.arrays[path]
        if stored.shape != shape:
            what = f"the array {shown(path)} does not fit the structure"
            raise _bad(self.where, what, f"shape {stored.shape}", f"shape {shown(shape)}")
        return stored

    def _shape(self, value: Any, path: str) -> Any:
        """A shape as layers have it: a tuple, or a list or dictionary of shapes."""
        if isinstance(value, Mapping):
            return {name: self._shape(inner, path) for name, inner in value.items()}
        if isinstance(value, list):
            if any(isinstance(inner, list | Mapping) for inner in value):
                return [self._shape(inner, path) for inner in value]
            if all(size is None or (type(size) is int and size >= 0) for size in value):
                return tuple(value)
        got = f"{shown(value)} for layer {shown(path)}"
        raise _bad(self.where, "a shape is wrong", got, "a list of sizes, none negative")


def _assign(model: Model, arrays: Arrays, frozen: list[str], where: str) -> None:
    """Give the variables their values, after all are found to fit."""
    weights = model.weights
    if weights.keys() != arrays.keys():
        odd = next(iter(weights.keys() ^ arrays.keys()))
        what = "a variable has no array" if odd in weights else "an array belongs to no variable"
        raise _bad(where, what, shown(odd))
    for path, variable in weights.items():
        stored = arrays[path]
        if (stored.shape, stored.dtype) != (variable.shape, variable.dtype):
            what = f"the array {shown(path)} does not fit the structure"
            expected = f"shape {variable.shape} of {variable.dtype}"
            raise _bad(where, what, f"shape {stored.shape} of {stored.dtype}", expected)
    for path in frozen:
        if path not in weights:
            raise _bad(where, "a frozen variable does not exist", shown(path))
    for path, variable in weights.items():
        variable.assign(arrays[path])
        variable.trainable = path not in frozen


def _in_words(error: Exception) -> str:
    text = str(error) if isinstance(error, ChainruleError) else f"{type(error).__name__}: {error}"
    return shown(text, 300)[1:]


def _bad(where: str, what: str, got: object = None, expected: object = None) -> FileFormatError:
    return FileFormatError(where, what, got=got, expected=expected, fix=RESTORE)
