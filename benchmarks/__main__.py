"""``python -m benchmarks``: measures the workloads, prints and saves the table of ratios."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import machine, report, sweeps
from benchmarks.results import Result, make_rows
from benchmarks.runner import Runner, own_peers
from benchmarks.serving import threads
from benchmarks.workloads import BY_NAME, PEERS, WORKLOADS, all_forms

#: Cores' worth of other work that a sitting bears.
QUIET_CORES = 0.15
DISTORTED = "figures of sides that use several threads come out too large"

#: Columns of the tables where the output is no terminal.
FILE_WIDTH = 170

EPILOG = """\
A peer is an interpreter in an environment of its own:

    python -m venv pt && pt/bin/pip install torch==2.13.0 numpy
    python -m venv jx && jx/bin/pip install jax jaxlib optax
    python -m venv tfv && tfv/bin/pip install tensorflow-cpu
    python -m benchmarks --peer torch=pt/bin/python --peer jax=jx/bin/python \\
        --peer tensorflow=tfv/bin/python

NumPy's BLAS and scikit-learn are run by this interpreter where they are installed.

workloads:
"""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; ``peers`` becomes a table of interpreters."""
    listed = "".join(f"  {work.name:12} {work.title}\n" for work in WORKLOADS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=EPILOG + listed,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--peer", action="append", default=[], metavar="NAME=PYTHON", help=", ".join(PEERS))
    add("--workloads", nargs="*", metavar="NAME", help="default all; see below")
    add("--sweep", nargs="*", metavar="NAME", help=f"sweeps too: {', '.join(sweeps.SWEEPS)}")
    add("--repeats", type=int, default=5, metavar="N", help="samples of each form (5)")
    add("--seconds", type=float, default=0.3, help="length of a sample of repeated work (0.3)")
    add("--without", nargs="*", default=[], metavar="SIDE:FORM", help="such as torch:compiled")
    add("--mnist", type=Path, metavar="FOLDER", help="MNIST's idx files, for the workload mnist")
    add("--out", type=Path, default=Path(__file__).parent / "results", metavar="FOLDER")
    given = parser.parse_args(arguments)
    given.peers = own_peers(sys.executable)
    for text in given.peer:
        name, _, python = text.partition("=")
        if name not in PEERS:
            parser.error(f"--peer: unknown peer {name!r}: one of {', '.join(PEERS)}")
        found = shutil.which(python)
        if found is None:
            parser.error(f"--peer: no interpreter {python!r} for {name}")
        given.peers[name] = str(Path(found).absolute())
    forms = {f"{side}:{form}" for work in WORKLOADS for side, form in all_forms(work)}
    _known(parser, "--without", given.without, sorted(forms))
    _known(parser, "--workloads", given.workloads or [], BY_NAME)
    _known(parser, "--sweep", given.sweep or [], sweeps.SWEEPS)
    if given.workloads is None:
        given.workloads = list(BY_NAME)
    if given.sweep is not None:
        given.sweep = given.sweep or list(sweeps.SWEEPS)
    given.folders = {} if given.mnist is None else {"mnist": given.mnist.absolute()}
    for path in given.folders.values():
        if not path.is_dir():
            parser.error(f"--mnist: no folder {path}")
    if given.repeats < 1 or given.seconds <= 0:
        parser.error("--repeats and --seconds must be above zero")
    return given


def _known(parser: argparse.ArgumentParser, where: str, names: list[str], known: Any) -> None:
    for name in names:
        if name not in known:
            parser.error(f"{where}: unknown name {name!r}: one of {', '.join(known)}")


def main() -> None:
    """Measure, print, save."""
    given = parse()
    width = None if sys.stdout.isatty() else FILE_WIDTH
    console, progress = Console(width=width), Console(stderr=True)
    start = time.perf_counter()
    found = machine.describe()

    def say(text: str) -> None:
        progress.print(f"[dim]{time.perf_counter() - start:6.1f} s[/dim]  {text}", highlight=False)

    facts: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "machine": found,
        "repeats": given.repeats,
        "seconds": given.seconds,
    }
    others = machine.OtherWork()
    runner = Runner(
        sys.executable, given.peers, given.repeats, given.seconds, given.without, say, given.folders
    )
    lines: list[sweeps.Line] = []
    try:
        for name in given.workloads:
            runner.run(BY_NAME[name])
        if given.sweep is not None:
            say("limit of the arithmetic")
            peak = facts["peak_flops"] = machine.peak_flops(threads())
            lines = sweeps.run_sweeps(given.sweep, peak, given.seconds, given.repeats, say)
    except KeyboardInterrupt:
        say("interrupted: what was measured so far follows")
    facts["versions"] = runner.versions
    found["cores at work for others"] = others.cores()
    rows = [row for result in runner.results for row in make_rows(result)]
    _print(console, facts, runner.results, rows, lines)
    for path in report.save(given.out, facts, runner.results, rows, lines):
        console.print(f"saved {path}", highlight=False)


def _print(
    console: Console, facts: dict[str, Any], results: list[Result], rows: Any, lines: Any
) -> None:
    if rows:
        report.print_series(results, console)
        report.print_rows(rows, console)
    report.print_lines(lines, console)
    about = facts["machine"]
    console.print(f"{about['processor']}, {about['cores']} cores, {about['system']}")
    busy = about["cores at work for others"]
    if busy is not None and busy > QUIET_CORES:
        console.print(f"[red]{busy:.1f} cores were at work for others[/red]: {DISTORTED}")
    for side, versions in facts["versions"].items():
        console.print(f"{side}: " + ", ".join(f"{name} {text}" for name, text in versions.items()))
    if "peak_flops" in facts:
        console.print(f"limit of the arithmetic: {facts['peak_flops'] / 1e9:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
