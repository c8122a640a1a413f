"""``python -m benchmarks.clinic``: plants faults, has them diagnosed, prints the scores.

Runs are appended to a file of JSON lines, one a run. Called again, it goes on where it was broken
off. ``--scores`` prints the tables of such a file and runs nothing.
"""

import argparse
import contextlib
import itertools
import json
import multiprocessing
import sys
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from benchmarks.clinic import healthy, judging, running, subjects, tables
from benchmarks.clinic.plants import table
from benchmarks.clinic.rows import VARIABLE, data_folder
from benchmarks.clinic.running import ABLATIONS, Job, Line, Options
from benchmarks.clinic.scores import score


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.clinic", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", help=f"the data sets; default ${VARIABLE}")
    add("--faults", default="", metavar="O1,O2", help="only these, or none; default all")
    add("--subjects", default="", metavar="A,B", help="only these; default all")
    add("--seeds", type=int, default=2, help="planted runs to diagnose in a cell (2)")
    add("--cells", type=int, default=0, help="of each fault and half at most so many (all)")
    add("--doubles", type=int, default=4, help="pairs of faults on a subject and severity (4)")
    add("--healthy", type=int, default=400, help="healthy runs in all (400)")
    add("--half", choices=("calibrate", "report", "all"), default="all")
    add("--ablation", choices=tuple(ABLATIONS), default="full", help="leave probes out")
    add("--budget", type=float, default=60.0, help="seconds for a diagnosis (60)")
    add("--no-repair", action="store_true", help="diagnose only")
    add("--processes", type=int, default=2)
    add("--seconds", type=float, default=0.0, help="end after so long, to be called again (never)")
    add("--out", type=Path, required=True, metavar="FILE", help="the JSON lines")
    add("--scores", action="store_true", help="print the tables of FILE and run nothing")
    add(
        "--compare",
        nargs="*",
        default=[],
        metavar="NAME=FILE",
        help="print other files' measures beside this one's, for ablations; runs nothing",
    )
    given = parser.parse_args(arguments)
    given.faults = _chosen(parser, "--faults", given.faults, table.CODES)
    given.subjects = _chosen(parser, "--subjects", given.subjects, tuple(subjects.PLANS))
    if given.seeds < 1 or given.healthy < 0 or given.processes < 1:
        parser.error("--seeds and --processes must be at least 1, --healthy at least 0")
    if given.seeds > running.JUDGED_SEEDS:
        parser.error(f"--seeds: at most {running.JUDGED_SEEDS}")
    given.data = data_folder(given.data)
    if given.data is not None:
        given.data = given.data.absolute()
    return given


def _chosen(
    parser: argparse.ArgumentParser, where: str, text: str, known: Sequence[str]
) -> tuple[str, ...]:
    if text == "none":
        return ()
    names = tuple(filter(None, text.split(","))) or tuple(known)
    for name in names:
        if name not in known:
            parser.error(f"{where}: unknown name {name!r}: some of {', '.join(known)}")
    return names


def planted_jobs(given: argparse.Namespace, references: dict[str, Line]) -> list[Job]:
    """A job for each fault, subject and severity of the half; with ``--cells`` some of them."""
    halves = ("calibrate", "report") if given.half == "all" else (given.half,)
    found: dict[tuple[str, str], list[Job]] = {
        (code, half): [] for code in given.faults for half in halves
    }
    for plant in table.all():
        for name, severity in itertools.product(plant.subjects, range(plant.severities)):
            cells = found.get((plant.code, judging.half_of(name, severity, tuple(subjects.PLANS))))
            if cells is not None and name in references:
                job = Job("planted", name, plant.name, severity, reference=references[name])
                cells.append(job)
    if given.cells:
        for key, cells in found.items():
            found[key] = sorted(cells, key=lambda job: judging.digest(job.key))[: given.cells]
    return [job for cells in found.values() for job in cells]


def double_jobs(given: argparse.Namespace, references: dict[str, Line]) -> list[Job]:
    """Two faults in one run: so many pairs for each subject and severity."""
    return [
        Job("planted", name, pair, severity, reference=references[name])
        for name in references
        for pair in table.doubles(name, given.doubles, judging.digest, given.faults)
        for severity in range(table.SEVERITIES)
        if given.half in ("all", judging.half_of(name, severity, tuple(subjects.PLANS)))
    ]


def healthy_jobs(given: argparse.Namespace) -> list[Job]:
    """Healthy runs: one of each case, then a second of each, until there are enough."""
    cases = healthy.cases(tuple(given.subjects))
    # The seeds of planted runs are not taken again.
    wanted = [
        Job("healthy", case.subject, case.name, seed=running.REFERENCE_SEEDS + turn)
        for turn in range(-(-given.healthy // max(1, len(cases))))
        for case in cases
    ][: given.healthy]
    return [
        job
        for job in wanted
        if given.half in ("all", judging.half_of_healthy(f"{job.name}/{job.subject}", job.seed))
    ]


def read(path: Path) -> list[Line]:
    """The lines of a file; a last line that was not written to its end is left out."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines


def work(jobs: Sequence[Job], given: argparse.Namespace) -> Generator[list[Line], None, None]:
    """The lines of each job, as they come."""
    options = Options(given.data, given.seeds, given.budget, given.ablation, not given.no_repair)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(given.processes, context, running.start)
    try:
        futures = [pool.submit(running.run, job, options) for job in jobs]
        for future in as_completed(futures):
            yield future.result()
    finally:  # broken off: what has not begun is left for the next call
        pool.shutdown(cancel_futures=True)


def run_all(jobs: Sequence[Job], given: argparse.Namespace, lines: list[Line]) -> None:
    """Run what is not in the file yet, and append it.

    The order is that of a hash: what is broken off has something of everything.
    """
    done = {line["key"] for line in lines if line["kind"] != "failed"}
    left = [job for job in jobs if job.key not in done]
    left.sort(key=lambda job: judging.digest(job.key))
    if not left:
        return
    begin = time.perf_counter()
    with given.out.open("a") as file, contextlib.closing(work(left, given)) as results:
        for count, found in enumerate(results, 1):
            file.write("".join(json.dumps(line) + "\n" for line in found))
            file.flush()
            lines += found
            seconds = time.perf_counter() - begin
            print(f"{seconds:7.1f} s  {count}/{len(left)}  {_said(found)}", file=sys.stderr)
            if given.seconds and seconds > given.seconds:
                break


def _said(found: Sequence[Line]) -> str:
    parts = []
    for line in found:
        named = [f"{c['code']} {c['probability']:.2f}"
                 for c in line.get("diagnosis", {}).get("causes", [])]  # fmt: skip
        verdict = line.get("diagnosis", {}).get("verdict", "")
        parts.append(f"{line['kind']} {verdict} {', '.join(named)}".strip())
    head = found[0] if found else {}
    where = f"{head.get('name', '')} {head.get('subject', '')} {head.get('severity', '')}"
    return f"{where}: {'; '.join(parts)}"


def _name_and_file(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    return name, Path(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, save the tables beside the lines."""
    given = parse(arguments)
    lines = read(given.out)
    if given.compare:
        named = {"full": given.out, **dict(_name_and_file(text) for text in given.compare)}
        print(
            tables.compared({name: score(read(path), given.half) for name, path in named.items()})
        )
        return 0
    if not given.scores:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        run_all([Job("reference", name) for name in given.subjects], given, lines)
        references = {line["subject"]: line for line in lines if line["kind"] == "reference"}
        jobs = [*planted_jobs(given, references), *healthy_jobs(given)]
        run_all([*jobs, *double_jobs(given, references)], given, lines)
    found = score(lines, given.half)
    text = tables.as_markdown(found, lines, given.half)
    print(text)
    given.out.with_suffix(".md").write_text(text)
    given.out.with_suffix(".scores.json").write_text(json.dumps(asdict(found), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
