"""Where each number of a step comes from: the numbers before it, and its equation."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.training.explanation.pieces import Marked, Number, number, place_text
from chainrule.training.explanation.record import LayerRecord, StepRecord

# A sum of more terms is not written out.
_MOST_TERMS = 12

Sources = tuple[tuple[str, ...], str]
Array = NDArray[Any]


class Origins:
    """The numbers of a step on one example, each with its name, sources and equation.

    Args:
        one: the step.
        words: the sentences.
    """

    def __init__(self, one: StepRecord, words: dict[str, str]) -> None:
        self._one = one
        self._words = words
        self._weights = {w.path: w.before for w in one.weights}
        self._layers = {record.path: i for i, record in enumerate(one.layers)}

    def marked(self, part: str, index: int, array: Array) -> Marked:
        """The numbers of an array, by their places in it laid flat.

        Args:
            part: "z", "a", "dz" or "da" of a layer, "w" for the gradient of a weight.
            index: the number of the layer or the weight.
            array: the numbers.
        """
        flat = array.reshape(-1)
        shape = array.shape if part == "w" else array.shape[1:]
        rule = {"z": self._z, "a": self._a, "dz": self._dz, "da": self._da, "w": self._w}[part]
        symbol = {"dz": "dL/dz", "da": "dL/da", "w": "dL/dw"}.get(part, part)

        def at(place: int) -> Number:
            sources, equation = rule(index, place)
            said = f"{symbol}[{place_text(place, shape)}] = {equation}"
            return Number(flat[place], f"{part}{index}.{place}", sources, said)

        return at

    def input(self, place: int) -> Number:
        """A number of the example."""
        return Number(self._one.x.reshape(-1)[place], f"x.{place}", (), self._words["input"])

    def target(self, place: int) -> Number:
        """A number of the target."""
        return Number(self._one.y.reshape(-1)[place], f"y.{place}", (), self._words["target"])

    def output(self, place: int) -> Number:
        """A number of the output."""
        last = len(self._one.layers) - 1
        sources = (f"a{last}.{place}",) if last >= 0 else ()
        return Number(
            self._one.outputs.reshape(-1)[place], f"o.{place}", sources, self._words["output"]
        )

    # ---- one rule for each kind of number

    def _z(self, index: int, place: int) -> Sources:
        record = self._one.layers[index]
        return self._inputs(record), self._computed(record, place)

    def _a(self, index: int, place: int) -> Sources:
        record = self._one.layers[index]
        if record.z is None:
            return self._inputs(record), self._computed(record, place)
        whole = record.activation in ("softmax", "log_softmax") or record.z.shape != record.a.shape
        at = f"z{index}" if whole else f"z{index}.{place}"
        return (at,), f"{record.activation}(z)"

    def _dz(self, index: int, place: int) -> Sources:
        record = self._one.layers[index]
        if record.da is None:
            return ("o", "y"), self._words["at once"].format(kind=record.activation)
        return (f"da{index}.{place}", f"z{index}.{place}"), "dL/da * f'(z)"

    def _da(self, index: int, place: int) -> Sources:
        users = [i for i, r in enumerate(self._one.layers) if index in r.sources]
        if not users:
            last = np.array_equal(self._one.layers[index].a, self._one.outputs)
            return (("o", "y"), self._words["from loss"]) if last else ((), self._words["chain"])
        sources = tuple(self._delta(i) for i in users)
        user = self._one.layers[users[0]]
        kernel, delta = self._kernel(user), user.delta
        if len(users) == 1 and kernel is not None and delta is not None:
            return sources, "sum of w * delta = " + _sum(kernel[place], delta[0])
        return sources, self._words["from layers"].format(
            layers=", ".join(self._one.layers[i].path for i in users)
        )

    def _w(self, index: int, place: int) -> Sources:
        weight = self._one.weights[index]
        path, _, name = weight.path.rpartition("/")
        if path not in self._layers:
            return (), self._words["chain"]
        i = self._layers[path]
        record = self._one.layers[i]
        delta = record.delta
        if delta is None or self._kernel(record) is None:
            return (self._delta(i),), self._words["chain"]
        row, column = divmod(place, delta.shape[1])
        mine = f"{self._delta(i)}.{column}"
        if name == "kernel":
            x = record.inputs[0, row]
            came = tuple(f"{group}.{row}" for group in self._inputs(record))
            return (*came, mine), f"x * delta = {number(x)} * {number(delta[0, column])}"
        return (mine,), "delta"

    # ---- pieces of them

    def _delta(self, index: int) -> str:
        return f"{'da' if self._one.layers[index].z is None else 'dz'}{index}"

    def _inputs(self, record: LayerRecord) -> tuple[str, ...]:
        """The arrays that came in: outputs of other layers, or the example."""
        x = self._one.x
        given = "x" if record.inputs.shape == x.shape and np.array_equal(record.inputs, x) else ""
        return tuple(filter(None, (f"a{i}" if i >= 0 else given for i in record.sources)))

    def _kernel(self, record: LayerRecord) -> Array | None:
        """The weights of a dense layer of one row."""
        kernel = self._weights.get(f"{record.path}/kernel")
        dense = record.kind == "Dense" and record.inputs.ndim == 2
        return kernel if dense else None

    def _computed(self, record: LayerRecord, place: int) -> str:
        kernel = self._kernel(record)
        if kernel is None:
            return self._words["computed"].format(kind=record.kind)
        bias = self._weights.get(f"{record.path}/bias")
        end = "" if bias is None else f" + {number(bias[place])}"
        return "sum of x * w + b = " + _sum(record.inputs[0], kernel[:, place]) + end


def _sum(first: Array, second: Array) -> str:
    terms = [
        f"{number(a)}*{number(b)}"
        for a, b in zip(first[: _MOST_TERMS + 1], second[: _MOST_TERMS + 1], strict=True)
    ]
    return " + ".join([*terms[:_MOST_TERMS], "..."] if len(terms) > _MOST_TERMS else terms)
