"""What to do when training does not improve: five pieces of advice, each as a diagnosis.

Five runs go wrong, each in another way. `cr.diagnose` names the cause, tries its remedy, and
`repair` trains again with it. The advice: check the data; change the structure; change learning
rate and batch size; change activation and loss; initialise the weights again.

``python examples/five_pieces_of_advice.py``
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import chainrule as cr


class Case(NamedTuple):
    """A run that went wrong."""

    advice: str
    story: str
    model: cr.Model
    x: Any
    y: Any


def ring(rows: int = 600, seed: int = 0) -> tuple[Any, Any]:
    """Points in the plane; class 1 lies on a ring around class 0."""
    random = np.random.default_rng(seed)
    radius = np.where(np.arange(rows) % 2, 1.6, 0.6) + 0.15 * random.normal(size=rows)
    angle = random.uniform(0, 2 * np.pi, rows)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return x.astype("float32"), (np.arange(rows) % 2).astype("int32")


def classifier(*widths: int, activation: str = "relu", start: str = "he_uniform") -> cr.Model:
    """Dense layers, and two outputs."""
    hidden = [cr.layers.Dense(n, activation, kernel_initializer=start) for n in widths]
    return cr.Sequential([*hidden, cr.layers.Dense(2, kernel_initializer=start)])


def cases() -> Iterator[Case]:
    """The five runs."""
    x, y = ring()
    common: dict[str, Any] = {
        "loss": "cross_entropy",
        "epochs": 60,
        "batch_size": 32,
        "validation_split": 0.25,
        "seed": 1,
    }

    scaled = x * np.array([1, 2000], "float32")
    model = classifier(16)
    model.fit(scaled, y, optimizer=cr.optimizers.Adam(0.01), **common)
    yield Case("data", "one column is 2,000 times larger", model, scaled, y)

    model = classifier(2)
    model.fit(x, y, optimizer=cr.optimizers.Adam(0.02), **common)
    yield Case("structure", "two neurons for a ring", model, x, y)

    model = classifier(16, 16)
    model.fit(x, y, optimizer=cr.optimizers.SGD(1e-6), **common)
    yield Case("rate and batch", "a learning rate of a millionth", model, x, y)

    model = classifier(*[16] * 12, activation="sigmoid", start="glorot_uniform")
    model.fit(x, y, optimizer=cr.optimizers.SGD(0.1), **common)
    yield Case("activation and loss", "twelve layers of sigmoids", model, x, y)

    model = classifier(16, 16, start="zeros")
    model.fit(x, y, optimizer=cr.optimizers.Adam(0.01), **common)
    yield Case("initial weights", "all weights begin at 0", model, x, y)


def main() -> None:
    """Diagnose and repair each."""
    for case in cases():
        print(f"=== {case.advice}: {case.story}\n")
        report = cr.diagnose(case.model, case.x, case.y)
        print(report, "\n")
        if report.causes:
            print(report.repair(apply="all"), "\n")


if __name__ == "__main__":
    main()
