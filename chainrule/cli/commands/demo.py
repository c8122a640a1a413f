"""``chainrule demo``: a small network trained before the user's eyes."""

import time

import click
from rich.console import Console
from rich.text import Text

from chainrule.cli.options import json_option
from chainrule.cli.report import console, print_json
from chainrule.cli.text import count
from chainrule.training.demo import demonstrate

BAR_WIDTH = 40
SHOWN = {digit * 10**power for power in range(8) for digit in (1, 2, 5)}
"""The epochs that get a line: the loss falls fast at first."""


@click.command()
@click.option("--epochs", default=1000, show_default=True, type=click.IntRange(min=1))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@json_option
def demo(epochs: int, seed: int, as_json: bool) -> None:
    """Train a small network on random rows and watch the loss fall.

    The network has ten hidden neurons with ReLU and one output. It learns 1000 rows of 10 random
    numbers, once step by step (forward pass, loss, gradients, update) and once with fit. It is the
    program of examples/simple_nn.py.
    """
    out = console()
    out.print("1000 random rows of 10 numbers; Dense(10, relu), Dense(1); Adam; full batches")
    start = time.perf_counter()
    first = 0.0

    def show(epoch: int, loss: float) -> None:
        nonlocal first
        first = first or loss
        if (epoch + 1) in SHOWN or epoch + 1 == epochs:
            _print_line(out, epoch + 1, loss, first)

    result = demonstrate(epochs=epochs, seed=seed, report=show)
    seconds = time.perf_counter() - start
    out.print(f"The same with fit: loss {result.with_fit[-1]:.4f} after {count(epochs, 'epoch')}.")
    out.print(f"Both runs took {seconds:.1f} s.")
    if as_json:
        print_json(
            {
                "epochs": epochs,
                "first_loss": result.with_tape[0],
                "loss": result.with_tape[-1],
                "loss_with_fit": result.with_fit[-1],
                "seconds": round(seconds, 3),
            }
        )


def _print_line(out: Console, epoch: int, loss: float, first: float) -> None:
    mark = "#" if out.options.ascii_only else "█"
    bar = mark * max(1, min(BAR_WIDTH, round(BAR_WIDTH * loss / first)))
    out.print(Text(f"epoch {epoch:5d}  loss {loss:.4f}  ").append(bar, style="cyan"))
