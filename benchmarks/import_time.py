"""Prints how long ``import chainrule`` takes beside ``import numpy``, each in fresh processes.

The figures are medians over repeats, warm (the files have been read once), without the start of the
interpreter. ``python benchmarks/import_time.py [repeats]``
"""

import statistics
import subprocess
import sys

PROGRAM = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def import_seconds(module: str, repeats: int) -> float:
    """Return the median time of ``import module`` over fresh processes, after one that warms up."""
    command = [sys.executable, "-c", PROGRAM.format(module)]
    times = []
    for _ in range(repeats + 1):
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        times.append(float(result.stdout))
    return statistics.median(times[1:])


def main() -> None:
    """Measure and print one line for each module."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    for module in ("numpy", "chainrule"):
        seconds = import_seconds(module, repeats)
        print(f"import {module:<10} {1000 * seconds:7.1f} ms  (median of {repeats})")


if __name__ == "__main__":
    main()
