"""What `fit(watch=True)` costs: runs with and without it, in turns.

The watched run compiles a second program, a cost that a run has once; it is reported apart from the
share of the step time, which is taken between runs of two lengths.

``python -m benchmarks.clinic.passive [--data DIR] [--subjects A,B] [--repeats 5] [--json]``
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import chainrule as cr
from benchmarks.clinic import subjects
from benchmarks.clinic.rows import data_folder
from benchmarks.clinic.subjects import Subject

#: Updates of the short and of the long run: what the long one takes more is steps and nothing else.
SHORT_STEPS, LONG_STEPS = 1000, 6000


def seconds(subject: Subject, steps: int, watch: bool) -> float:
    """How long a run of about so many steps takes, without validation."""
    recipe = subject.recipe(0)
    per_epoch = -(-recipe.rows // recipe.batch_size)
    model = recipe.make()
    begin = time.perf_counter()
    model.fit(
        recipe.x, recipe.y, loss=recipe.settings["loss"], optimizer=recipe.optimizer(),
        epochs=max(1, steps // per_epoch), batch_size=recipe.batch_size, seed=0, verbose=0,
        watch=watch,
    )  # fmt: skip
    return time.perf_counter() - begin


def measure(subject: Subject, repeats: int) -> dict[str, float]:
    """The share of the step time, and the seconds before the first step."""
    steps: dict[bool, list[float]] = {False: [], True: []}
    starts: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(repeats):
        for watch in (False, True) if turn % 2 else (True, False):
            short = seconds(subject, SHORT_STEPS, watch)
            longer = seconds(subject, LONG_STEPS, watch) - short
            steps[watch].append(longer)
            starts[watch].append(short - longer * SHORT_STEPS / (LONG_STEPS - SHORT_STEPS))
    # The smallest are the least disturbed by what else runs on the machine.
    plain, watched = min(steps[False]), min(steps[True])
    start = min(starts[True]) - min(starts[False])
    return {"step share": watched / plain - 1, "start seconds": start,
            "step microseconds": 1e6 * plain / (LONG_STEPS - SHORT_STEPS)}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each subject and print a line for it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--subjects", default=",".join(subjects.PLANS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="end with a JSON line")
    given = parser.parse_args(arguments)
    cr.config.threads = 1
    found = {}
    for name in given.subjects.split(","):
        subject = subjects.get(name, data_folder(given.data))
        seconds(subject, 1, True)  # compiles
        found[name] = measure(subject, given.repeats)
        print("  ".join([f"{name:12}", *(f"{k} {v:.4f}" for k, v in found[name].items())]))
    shares = [values["step share"] for values in found.values()]
    print(f"share of the step time: median {statistics.median(shares):.4f}, most {max(shares):.4f}")
    if given.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
