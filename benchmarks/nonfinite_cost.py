"""What training pays for noticing numbers that are not finite: ``fit`` beside a copy without that.

``python benchmarks/nonfinite_cost.py [repeats]`` trains in turns with the loop as it is and with a
copy of its source from which the watching was cut out, on one thread, and prints medians of
processor time with quartiles of their ratio. In the last case a callback is called after each
batch, so that Python is asked at every step.
"""

import inspect
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

import chainrule as cr
from benchmarks.ours import mlp_problem, seed_problem
from chainrule.training import fit, loop

#: What is cut out, and what stands there instead.
CUTS = {
    "before = self._remember(history.epochs, 0, count, exactly=True)": "before = None",
    "self._remember(epoch, place.batches, rows)": "pass",
    "self._remember(epoch, number, (x, y, weights))": "pass",
    "ended = self._first_end(losses)": "ended = None",
    "if not all_finite(losses):": "if False:",
    "if not math.isfinite(loss):": "if False:",
}


class AfterEachBatch(cr.callbacks.Callback):
    """Makes training go step by step."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Nothing."""


def unwatched() -> type[loop.Loop]:
    """The loop without any watching."""
    source = inspect.getsource(loop)
    for old, new in CUTS.items():
        assert old in source, old
        source = source.replace(old, new)
    module = ModuleType("unwatched")
    exec(compile(source, "unwatched", "exec"), module.__dict__)  # noqa: S102 - our own, changed
    found: type[loop.Loop] = module.__dict__["Loop"]
    return found


def seed_steps() -> Callable[[], object]:
    """Full batches of the small network, thousands in one run of the back end."""
    model, x, y, loss, rate = seed_problem()
    settings = _settings(loss, rate, batch_size=None, epochs=8_000)
    return lambda: model.fit(x, y, **settings)


def mlp_steps() -> Callable[[], object]:
    """Batches of the classifier, as many in a run as take a tenth of a second."""
    model, x, y, loss, rate = mlp_problem()
    x, y = np.concatenate([x] * 20), np.concatenate([y] * 20)
    settings = _settings(loss, rate, batch_size=len(x) // 20, epochs=1)
    return lambda: model.fit(x, y, **settings)


def few_rows() -> Callable[[], object]:
    """Batches of the small network, an epoch in one run of the back end."""
    model, x, y, loss, rate = seed_problem()
    settings = _settings(loss, rate, batch_size=max(1, len(x) // 20), epochs=500)
    return lambda: model.fit(x, y, **settings)


def watched_steps() -> Callable[[], object]:
    """The small network step by step."""
    model, x, y, loss, rate = seed_problem()
    settings = _settings(loss, rate, batch_size=None, epochs=1_000)
    return lambda: model.fit(x, y, callbacks=[AfterEachBatch()], **settings)


def _settings(loss: str, rate: float, **others: Any) -> dict[str, Any]:
    optimizer = cr.optimizers.Adam(learning_rate=rate)
    return {"loss": cr.losses.get(loss), "optimizer": optimizer, "verbose": 0, **others}


CASES = {
    "seed": seed_steps,
    "mlp": mlp_steps,
    "seed in batches": few_rows,
    "seed, step by step": watched_steps,
}


def main() -> None:
    """Measure and print one line for each case."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    kinds = {"with": loop.Loop, "without": unwatched()}
    cr.config.threads = 1  # one that waits for the other would count as work
    for name, make in CASES.items():
        train = make()
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        for repeat in range(repeats + 1):
            for kind, found in list(kinds.items())[:: 1 if repeat % 2 else -1]:
                vars(fit)["Loop"] = found
                begin = time.process_time()
                train()
                if repeat:  # the first one compiles
                    times[kind].append(time.process_time() - begin)
        ratios = [a / b - 1 for a, b in zip(*times.values(), strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4)
        best = min(times["with"]) / min(times["without"]) - 1
        print(
            f"{name:20} {statistics.median(times['with']) * 1e3:8.1f} ms with, "
            f"{statistics.median(times['without']) * 1e3:8.1f} ms without: "
            f"{statistics.median(ratios):+.2%} (quartiles {low:+.2%} to {high:+.2%}), "
            f"fastest {best:+.2%}"
        )


if __name__ == "__main__":
    main()
