"""The table of a model's layers: shapes and numbers of parameters, in plain text."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chainrule.nn.contents import variables_of, walk

if TYPE_CHECKING:
    from chainrule.nn.layer import Layer

WIDTH = 88
UNKNOWN = "?"
COLUMNS = (30, 24, 20, 14)


@dataclass(frozen=True)
class SummaryRow:
    """One layer; ``parameters`` counts those of the layers inside it too, None when not built."""

    path: str
    name: str
    kind: str
    output_shape: Any
    parameters: int | None
    trainable: bool
    depth: int


@dataclass(frozen=True)
class Summary:
    """A model in numbers; ``str`` gives the table.

    Attributes:
        title: name and class of the outermost layer.
        rows: one for each layer, parents before what is inside them.
        trainable: number of parameters that training changes.
        non_trainable: number of the others.
        nbytes: memory of all parameters.
        complete: whether every layer is built.

    Example:
        >>> import chainrule as cr
        >>> print(cr.layers.Dense(2).summary((None, 3)))  # doctest: +ELLIPSIS
        dense (Dense)
        ...
        Parameters: 8 (32 bytes), 8 trainable, 0 not trainable
    """

    title: str
    rows: list[SummaryRow] = field(default_factory=list)
    trainable: int = 0
    non_trainable: int = 0
    nbytes: int = 0
    complete: bool = True

    @property
    def parameters(self) -> int:
        """The number of all parameters."""
        return self.trainable + self.non_trainable

    def __str__(self) -> str:
        lines = [self.title, "=" * WIDTH, _line("Layer", "Class", "Output shape", "Parameters")]
        lines.append("-" * WIDTH)
        for row in self.rows:
            name = "  " * row.depth + row.name
            count = UNKNOWN if row.parameters is None else f"{row.parameters:,}"
            frozen = "" if row.trainable else " (frozen)"
            lines.append(_line(name + frozen, row.kind, _shape(row.output_shape), count))
        lines += ["=" * WIDTH, self._totals()]
        return "\n".join(line.rstrip() for line in lines)

    def _totals(self) -> str:
        text = (
            f"Parameters: {self.parameters:,} ({_size(self.nbytes)}), "
            f"{self.trainable:,} trainable, {self.non_trainable:,} not trainable"
        )
        if not self.complete:
            text += (
                "\nNot built yet: call it on data, or give summary an input_shape, for all shapes."
            )
        return text

    __repr__ = __str__


def summarize(layer: "Layer") -> Summary:
    """The summary of a layer and all inside it."""
    places = list(walk(layer))
    shown = places[1:] if len(places) > 1 else places
    rows = [
        SummaryRow(
            path=place.path,
            name=place.name or place.layer.name,
            kind=type(place.layer).__name__,
            output_shape=place.layer.output_shape,
            parameters=place.layer.count_params() if place.layer.built else None,
            trainable=place.trainable,
            depth=max(0, place.depth - 1),
        )
        for place in shown
    ]
    counts = [(variable, trained) for _, variable, trained in variables_of(layer)]
    return Summary(
        title=f"{layer.where} ({type(layer).__name__})",
        rows=rows,
        trainable=sum(variable.size for variable, trained in counts if trained),
        non_trainable=sum(variable.size for variable, trained in counts if not trained),
        nbytes=sum(variable.size * variable.dtype.itemsize for variable, _ in counts),
        complete=all(place.layer.built for place in places),
    )


def _line(*cells: str) -> str:
    *left, last = (_cut(cell, width) for cell, width in zip(cells, COLUMNS, strict=True))
    widths = zip(left, COLUMNS[:-1], strict=True)
    return "".join(cell.ljust(width) for cell, width in widths) + last.rjust(COLUMNS[-1])


def _cut(text: str, width: int) -> str:
    return text if len(text) < width else text[: width - 4] + "..."


def _shape(shape: Any) -> str:
    if shape is None:
        return UNKNOWN
    if isinstance(shape, list):
        return ", ".join(_shape(part) for part in shape)
    if isinstance(shape, dict):
        return ", ".join(f"{key}: {_shape(part)}" for key, part in shape.items())
    return "(" + ", ".join("N" if size is None else str(size) for size in shape) + ")"


def _size(nbytes: int) -> str:
    if nbytes < 1024:
        return f"{nbytes} bytes"
    for unit, power in (("KiB", 10), ("MiB", 20)):
        if nbytes < 1024 << power:
            return f"{nbytes / 2**power:.1f} {unit}"
    return f"{nbytes / 2**30:.1f} GiB"
