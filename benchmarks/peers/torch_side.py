"""PyTorch's side: eager, with the fused optimizer, and compiled; denormals flushed.

Small nets, and any net on a busy machine, may run faster on one thread: that is measured too.
A batch that is learnt by heart drives Adam's moments into denormals, which are slow.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn

from benchmarks import data
from benchmarks.serving import Builder, main, threads

torch.set_num_threads(threads())
torch.set_flush_denormal(True)
torch.manual_seed(0)


def network(inputs: int, hidden: tuple[int, ...], outputs: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def seed_problem() -> tuple[Any, ...]:
    """Network, loss, inputs, targets and learning rate of the small network."""
    x, y = map(torch.from_numpy, data.seed_data())
    return network(data.SEED_WIDTH, (10,), 1), nn.MSELoss(), x, y, 0.01


def mlp_problem() -> tuple[Any, ...]:
    """The same of the classifier."""
    x, y = map(torch.from_numpy, data.mlp_data())
    model = network(data.MLP_INPUTS, (data.MLP_HIDDEN, data.MLP_HIDDEN), data.CLASSES)
    return model, nn.CrossEntropyLoss(), x, y.long(), 0.001


class Mode(NamedTuple):
    """How PyTorch is used."""

    fused: bool = True
    compiled: bool = False
    threads: int = threads()


MODES = {
    "eager": Mode(fused=False),
    "fused": Mode(),
    "fused, one thread": Mode(threads=1),
    "compiled": Mode(compiled=True),
}
EAGERWORK: dict[str, dict[str, Builder]] = {
    "seed": {name: steps(seed_problem, mode) for name, mode in MODES.items()},
    "mlp": {name: steps(mlp_problem, mode) for name, mode in MODES.items()},
    "tape": {name: steps(seed_problem, mode) for name, mode in EAGER_MODES.items()},
    "predict_10": {"inference mode": predict("predict_10")},
    "predict_64": {"inference mode": predict("predict_64")},
    "images": {name: image_fit(mode) for name, mode in MODES.items()},
    "matmul_512": {"mm": matmul("matmul_512")},
    "matmul_1024": {"mm": matmul("matmul_1024")},
}

if __name__ == "__main__":
    main(WORK, {"torch": torch.__version__})
