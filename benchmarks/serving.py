"""A side of a comparison: a process that prepares work and then does it when it is told to.

A module with a table of work calls `main`. The measuring process writes commands to its standard
input, one a line, and reads one JSON object a line from its standard output:

* ``prepare VARIANT`` builds, compiles and warms up; the answer is empty.
* ``sample VARIANT`` does the work once and answers with a `Measured`.

So several sides hold their programs ready and are measured in turns. Only the standard library.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """One sample.

    Args:
        value: seconds, for the unit of work that the workload names.
        score: the accuracy that was reached, where one is asked for.
        note: what a reader should know.
    """

    value: float
    score: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Options:
    """What the measuring process wants.

    Args:
        seconds: how long a sample of repeated work should last, about.
        target: the accuracy to train to, where one is asked for.
        seed: of what is random, other in every new process.
        data: the folder of a workload that reads one.
    """

    seconds: float = 0.3
    target: float | None = None
    seed: int = 0
    data: Path | None = None

    def folder(self) -> Path:
        """The folder to read."""
        if self.data is None:
            raise ValueError("this work reads a folder: name it")
        return self.data


Sample = Callable[[], Measured]
Builder = Callable[[Options], Sample]
Work = Mapping[str, Mapping[str, Builder]]


def repeated(run: Callable[[int], object], seconds: float) -> Sample:
    """A sample of work that can be repeated.

    Args:
        run: does the work so many times and returns when it is done.
        seconds: how long a sample should last, about.

    Returns:
        A function that measures the seconds for doing the work once.
    """
    run(3)
    count, spent = 1, 0.0
    while spent < seconds / 4 and count < 1 << 20:
        start = time.perf_counter()
        run(count)
        spent = time.perf_counter() - start
        if spent < seconds / 4:
            count *= 4
    count = max(1, round(count * seconds / max(spent, 1e-9)))

    def sample() -> Measured:
        start = time.perf_counter()
        run(count)
        return Measured((time.perf_counter() - start) / count)

    return sample


def once(run: Callable[[], str | None]) -> Sample:
    """A sample of work that is done once; ``run`` may return a note."""

    def sample() -> Measured:
        start = time.perf_counter()
        note = run()
        return Measured(time.perf_counter() - start, note=note or "")

    return sample


def threads() -> int:
    """How many threads every side may use: the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def main(work: Work, versions: Mapping[str, str]) -> None:
    """Serve one workload of a table until standard input ends.

    Args:
        work: what builds a sample, by workload and variant.
        versions: of the libraries in use.
    """
    parser = argparse.ArgumentParser(description="one side of a comparison")
    parser.add_argument("workload", choices=sorted(work))
    parser.add_argument("--seconds", type=float, default=Options.seconds)
    parser.add_argument("--target", type=float)
    parser.add_argument("--seed", type=int, default=Options.seed)
    parser.add_argument("--data", type=Path)
    arguments = vars(parser.parse_args())
    variants = work[arguments.pop("workload")]
    options = Options(**arguments)
    # Answers go to what was standard output; what libraries print goes to standard error.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(content: object) -> None:
        channel.write(json.dumps(content) + "\n")
        channel.flush()

    answer({"versions": {"python": sys.version.split()[0], **versions}})
    samples: dict[str, Sample] = {}
    for line in sys.stdin:
        command, _, variant = line.strip().partition(" ")
        try:
            if command == "prepare":
                samples[variant] = variants[variant](options)
                answer({})
            else:
                answer(asdict(samples[variant]()))
        except Exception as error:
            traceback.print_exc()
            reason = (str(error) or type(error).__name__).splitlines()
            answer({"error": f"{type(error).__name__}: {reason[0]}"})
