"""PyTorch's side: eager, with the fused optimizer, and compiled; denormals flushed.

Small nets, and any net on a busy machine, may run faster on one thread: that is measured too.
A batch that is learnt by heart drives Adam's moments into denormals, which are slow.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from benchmarks import data
from benchmarks.memory import growth
from benchmarks.peers import torch_networks
from benchmarks.serving import Builder, Measured, Options, Sample, main, once, repeated, threads

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


def picture_problem(
    network: Callable[[], nn.Module], read: Callable[[], tuple[Any, Any]]
) -> Callable[[], tuple[Any, ...]]:
    """The same of a network for pictures."""

    def problem() -> tuple[Any, ...]:
        x, y = map(torch.from_numpy, read())
        rate = data.PICTURE_RATE
        return network(), nn.CrossEntropyLoss(), channels_first(x), y.long(), rate

    return problem


def channels_first(x: Any) -> Any:
    """Pictures (N, height, width, channels) as PyTorch's modules take them."""
    return x.permute(0, 3, 1, 2).contiguous()


class Mode(NamedTuple):
    """How PyTorch is used."""

    fused: bool = True
    compiled: bool = False
    channels_last: bool = False
    workers: int = threads()

    def arrange(self, module_or_pictures: Any) -> Any:
        """Lay kernels or pictures out in memory."""
        arranged = torch_networks.arranged
        return arranged(module_or_pictures) if self.channels_last else module_or_pictures


MODES = {
    "eager": Mode(fused=False),
    "fused": Mode(),
    "fused, one thread": Mode(workers=1),
    "compiled": Mode(compiled=True),
}
PICTURE_MODES = {
    "fused": Mode(),
    "channels last": Mode(channels_last=True),
    "compiled": Mode(compiled=True),
    "compiled, channels last": Mode(compiled=True, channels_last=True),
}
EAGER_MODES = {"eager": Mode(fused=False), "eager, one thread": Mode(fused=False, workers=1)}


def make_step(
    model: nn.Module, loss_function: Any, rate: float, mode: Mode
) -> Callable[[Any, Any], Any]:
    """A training step on a batch, in the form of PyTorch's tutorials."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=mode.fused)

    def forward(x: Any, y: Any) -> Any:
        return loss_function(model(x), y)

    loss_of = torch.compile(forward) if mode.compiled else forward

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def steps(problem: Callable[[], tuple[Any, ...]], mode: Mode) -> Builder:
    """Steps on one batch."""

    def build(options: Options) -> Sample:
        model, loss_function, x, y, rate = problem()
        model, x = mode.arrange(model), mode.arrange(x)
        step = make_step(model, loss_function, rate, mode)

        def run(count: int) -> None:
            torch.set_num_threads(mode.workers)
            for epoch in range(count):
                loss = step(x, y)
                if epoch % 100 == 0:
                    float(loss)

        return repeated(run, options.seconds)

    return build


def predict(name: str) -> Builder:
    """One row through the network, call after call."""

    def build(options: Options) -> Sample:
        row = torch.from_numpy(data.row_data())
        model = network(data.PREDICT_WIDTH, data.PREDICT_HIDDEN[name], 1).eval()

        def run(count: int) -> None:
            with torch.inference_mode():
                for _ in range(count):
                    model(row)

        return repeated(run, options.seconds)

    return build


def image_fit(mode: Mode) -> Builder:
    """Three epochs of the images, rows shuffled, and the compiling of the step."""

    def build(options: Options) -> Sample:
        x, y = map(torch.from_numpy, data.image_data())
        y = y.long()
        model = network(data.MLP_INPUTS, (data.IMAGE_HIDDEN,), data.CLASSES)

        def run() -> None:
            torch.set_num_threads(mode.workers)
            step = make_step(model, nn.CrossEntropyLoss(), 0.001, mode)
            # The short last batch would be compiled apart: all peers leave it out.
            whole = data.IMAGES // data.IMAGE_BATCH * data.IMAGE_BATCH
            for _ in range(data.IMAGE_EPOCHS):
                for rows in torch.split(torch.randperm(len(x))[:whole], data.IMAGE_BATCH):
                    loss = step(x.index_select(0, rows), y.index_select(0, rows))
                float(loss)

        return once(run)

    return build


def mnist_fit(mode: Mode) -> Builder:
    """Epochs of MNIST, rows shuffled, and the compiling of the step; then the accuracy."""

    def build(options: Options) -> Sample:
        split = data.mnist(options.folder())
        x, x_check = (
            mode.arrange(channels_first(torch.from_numpy(part)))
            for part in (split.x, split.x_check)
        )
        y, y_check = (torch.from_numpy(part).long() for part in (split.y, split.y_check))
        torch.manual_seed(options.seed)
        model = mode.arrange(torch_networks.cnn(dropout=0.5))

        def sample() -> Measured:
            start = time.perf_counter()
            step = make_step(model, nn.CrossEntropyLoss(), data.PICTURE_RATE, mode)
            for _ in range(data.MNIST_EPOCHS):
                for rows in torch.split(torch.randperm(len(x)), data.PICTURE_BATCH):
                    loss = step(x.index_select(0, rows), y.index_select(0, rows))
                float(loss)
            seconds = time.perf_counter() - start
            model.eval()
            with torch.inference_mode():
                found = model(x_check).argmax(1)
            return Measured(seconds, float((found == y_check).float().mean()))

        return sample

    return build


def matmul(name: str) -> Builder:
    """A product of two square matrices."""

    def build(options: Options) -> Sample:
        x, y = map(torch.from_numpy, data.square_data(data.SQUARES[name]))

        def run(count: int) -> None:
            for _ in range(count):
                torch.mm(x, y)

        return repeated(run, options.seconds)

    return build


cnn_problem = picture_problem(torch_networks.cnn, data.cnn_data)
resnet20_problem = picture_problem(torch_networks.resnet20, data.picture_data)
mobilenet_problem = picture_problem(torch_networks.mobilenet_tiny, data.picture_data)


def recurrent_problem(layer: type[nn.RNNBase]) -> Callable[[], tuple[Any, ...]]:
    """Network, loss, batch and learning rate of a recurrent layer."""

    def problem() -> tuple[Any, ...]:
        x, y = map(torch.from_numpy, data.sequence_data())
        model = torch_networks.Recurrent(layer)
        return model, nn.CrossEntropyLoss(), x, y.long(), data.PICTURE_RATE

    return problem


def transformer_problem() -> tuple[Any, ...]:
    """The same of a transformer block."""
    x, y = map(torch.from_numpy, data.token_data())
    model = torch_networks.Transformer()
    return model, nn.CrossEntropyLoss(), x, y.long(), data.PICTURE_RATE


def ctc(mode: Mode) -> Builder:
    """The mean CTC loss of a batch and its gradient."""

    def build(options: Options) -> Sample:
        scores, labels, frames, counts = map(torch.from_numpy, data.transcript_data())
        scores.requires_grad_()

        def run(count: int) -> None:
            torch.set_num_threads(mode.workers)
            for _ in range(count):
                scores.grad = None
                log_p = torch.log_softmax(scores, -1).transpose(0, 1)
                rows: Any = nn.functional.ctc_loss(log_p, labels, frames, counts, reduction="none")
                rows.mean().backward()

        return repeated(run, options.seconds)

    return build


WORK: dict[str, dict[str, Builder]] = {
    "seed": {name: steps(seed_problem, mode) for name, mode in MODES.items()},
    "mlp": {name: steps(mlp_problem, mode) for name, mode in MODES.items()},
    "tape": {name: steps(seed_problem, mode) for name, mode in EAGER_MODES.items()},
    "predict_10": {"inference mode": predict("predict_10")},
    "predict_64": {"inference mode": predict("predict_64")},
    "images": {name: image_fit(mode) for name, mode in MODES.items()},
    "cnn": {name: steps(cnn_problem, mode) for name, mode in PICTURE_MODES.items()},
    "resnet20": {name: steps(resnet20_problem, mode) for name, mode in PICTURE_MODES.items()},
    "mobilenet": {name: steps(mobilenet_problem, mode) for name, mode in PICTURE_MODES.items()},
    "lstm": {name: steps(recurrent_problem(nn.LSTM), mode) for name, mode in MODES.items()},
    "gru": {name: steps(recurrent_problem(nn.GRU), mode) for name, mode in MODES.items()},
    "transformer": {name: steps(transformer_problem, mode) for name, mode in MODES.items()},
    "ctc": {name: ctc(mode) for name, mode in EAGER_MODES.items()},
    "cnn_growth": {name: growth(steps(cnn_problem, mode)) for name, mode in PICTURE_MODES.items()},
    "mnist": {name: mnist_fit(mode) for name, mode in PICTURE_MODES.items()},
    "matmul_512": {"mm": matmul("matmul_512")},
    "matmul_1024": {"mm": matmul("matmul_1024")},
}

if __name__ == "__main__":
    main(WORK, {"torch": torch.__version__})
