"""Takes the samples: every round measures each side once, every second round in reverse order."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.processes import ProgramRun, Side, SideError, new_folder, run_program
from benchmarks.results import Result
from benchmarks.serving import Measured
from benchmarks.workloads import OURS, OWN_PEERS, Workload, all_forms, is_cold

Say = Callable[[str], None]
Turn = tuple[str, str]


@dataclass
class Runner:
    """Runs workloads.

    Args:
        python: chainrule's interpreter.
        peers: the interpreters of the peers by name.
        repeats: samples of each variant.
        seconds: length of a sample of repeated work.
        without: forms to leave out, as "side:form".
        say: is told what goes on.
        folders: those that workloads read, by the option that names them.
        versions: of the libraries, by side; filled in.
        results: of the workloads so far, the one that is being measured included; filled in.
    """

    python: str
    peers: Mapping[str, str]
    repeats: int
    seconds: float
    without: Sequence[str]
    say: Say
    folders: Mapping[str, Path] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    _programs: dict[tuple[str, ...], dict[Turn, list[ProgramRun] | str]] = field(
        default_factory=dict
    )

    def run(self, workload: Workload) -> None:
        """Measure one workload on every side that can do it; skip one whose data are not there."""
        if workload.folder and workload.folder not in self.folders:
            self.say(f"{workload.name}: left out, --{workload.folder} is not given")
            return
        turns = [
            (side, form)
            for side, form in all_forms(workload)
            if (side == OURS or side in self.peers) and f"{side}:{form}" not in self.without
        ]
        result = Result(workload)
        self.results.append(result)
        for turn in turns:
            result.of(*turn)
        if workload.by_score:  # the peer says how far to go
            turns.sort(key=lambda turn: turn[0] == OURS)
        with new_folder() as warm:
            if workload.kind == "served":
                self._serve(workload, turns, result, warm)
            elif workload.kind == "fresh":
                self._renew(workload, turns, result, warm)
            else:
                self._programs_of(workload, turns, result, warm)

    # ---- sides that keep their programs ready

    def _serve(self, workload: Workload, turns: list[Turn], result: Result, cache: Path) -> None:
        with contextlib.ExitStack() as stack:
            sides: dict[str, Side] = {}
            for side, variant in turns:
                with self._excused(result, side, variant):
                    if side not in sides:
                        self.say(f"{workload.name}: {side} starts")
                        sides[side] = stack.enter_context(self._start(side, workload, cache))
                    self.say(f"{workload.name}: {side} prepares {variant}")
                    sides[side].prepare(variant)
            for number, side, variant in self._rounds(turns):
                series = result.of(side, variant)
                if series.error:
                    continue
                self.say(f"{workload.name}: {side} {variant}, {number + 1} of {self.repeats}")
                with self._excused(result, side, variant):
                    series.samples.append(sides[side].sample(variant))

    # ---- a new process for each sample

    def _renew(self, workload: Workload, turns: list[Turn], result: Result, cache: Path) -> None:
        if any(side == OURS and not is_cold(variant) for side, variant in turns):
            self._warm(workload, turns, cache)
        target: float | None = None
        for number, side, variant in self._rounds(turns, turning=not workload.by_score):
            series = result.of(side, variant)
            if series.error:
                continue
            self.say(f"{workload.name}: {side} {variant}, {number + 1} of {self.repeats}")
            if workload.by_score and side == OURS and target is None:
                series.error = "no peer says which accuracy to reach"
                continue
            wanted = target if side == OURS else None
            with self._excused(result, side, variant):
                sample = self._fresh_sample(workload, side, variant, cache, wanted, number)
                series.samples.append(sample)
                if side != OURS and sample.score is not None:
                    target = sample.score

    def _warm(self, workload: Workload, turns: list[Turn], cache: Path) -> None:
        """Fill the cache of compiled programs by a run that does not count."""
        self.say(f"{workload.name}: {OURS} fills its cache")
        variant = next(name for side, name in turns if side == OURS and not is_cold(name))
        with contextlib.suppress(SideError):
            self._fresh_sample(workload, OURS, variant, cache, 0.0)

    def _fresh_sample(
        self,
        workload: Workload,
        side: str,
        variant: str,
        cache: Path,
        target: float | None,
        seed: int = 0,
    ) -> Measured:
        with contextlib.ExitStack() as stack:
            if side == OURS and is_cold(variant):
                cache = stack.enter_context(new_folder())
            process = stack.enter_context(self._start(side, workload, cache, target, seed))
            process.prepare(variant)
            return process.sample(variant)

    # ---- whole programs

    def _programs_of(
        self, workload: Workload, turns: list[Turn], result: Result, cache: Path
    ) -> None:
        runs = self._programs.get(workload.program)
        if runs is None:
            runs = self._programs[workload.program] = self._run_programs(workload, turns, cache)
        for (side, variant), found in runs.items():
            series = result.of(side, variant)
            if isinstance(found, str):
                series.error = found
                continue
            for run in found:
                value = run.seconds if workload.measure == "seconds" else run.memory
                if value is None:
                    series.error = "the system does not tell"
                else:
                    series.samples.append(Measured(value))

    def _run_programs(
        self, workload: Workload, turns: list[Turn], cache: Path
    ) -> dict[Turn, list[ProgramRun] | str]:
        runs: dict[Turn, list[ProgramRun] | str] = {}
        for turn in turns:  # one run each that does not count: files are read, the cache is filled
            self.say(f"{workload.name}: {turn[0]} {turn[1]}, a first run")
            try:
                self._program(workload, *turn, cache)
                runs[turn] = []
            except SideError as error:
                runs[turn] = str(error)
        for number, side, variant in self._rounds(turns):
            kept = runs[side, variant]
            if isinstance(kept, str):
                continue
            self.say(f"{workload.name}: {side} {variant}, {number + 1} of {self.repeats}")
            try:
                kept.append(self._program(workload, side, variant, cache))
            except SideError as error:
                runs[side, variant] = str(error)
        return runs

    def _program(self, workload: Workload, side: str, variant: str, cache: Path) -> ProgramRun:
        with new_folder() as folder:
            if side != OURS:
                return run_program([self.peers[side], *workload.program_of(side)], self.python)
            arguments = [part.replace("{folder}", str(folder)) for part in workload.program]
            place = folder / "cache" if is_cold(variant) else cache
            return run_program([self.python, *arguments], self.python, place)

    # ---- shared

    def _rounds(self, turns: list[Turn], turning: bool = True) -> Iterator[tuple[int, str, str]]:
        for number in range(self.repeats):
            for side, variant in reversed(turns) if turning and number % 2 else turns:
                yield number, side, variant

    def _start(
        self,
        side: str,
        workload: Workload,
        cache: Path,
        target: float | None = None,
        seed: int = 0,
    ) -> Side:
        python = self.python if side == OURS else self.peers[side]
        module = "benchmarks.ours" if side == OURS else f"benchmarks.peers.{side}_side"
        options = ["--seconds", str(self.seconds), "--seed", str(seed)]
        options += ["--data", str(self.folders[workload.folder])] if workload.folder else []
        options += [] if target is None else ["--target", str(target)]
        process = Side(python, module, workload.name, cache if side == OURS else None, options)
        self.versions.setdefault(side, process.versions)
        return process

    @contextlib.contextmanager
    def _excused(self, result: Result, side: str, variant: str) -> Iterator[None]:
        """A side that fails is noted and left out; the others go on."""
        try:
            yield
        except SideError as error:
            result.of(side, variant).error = str(error)
            self.say(f"{result.workload.name}: {side} {variant} failed: {error}")


def own_peers(python: str) -> dict[str, str]:
    """The peers that chainrule's own interpreter can run."""
    return {name: python for name in OWN_PEERS if importlib.util.find_spec(name) is not None}
