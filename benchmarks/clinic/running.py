"""One run of the benchmark: train with the fault in it, let it be diagnosed, repair, judge."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

import chainrule as cr
from benchmarks.clinic import healthy, judging, subjects
from benchmarks.clinic.plants import Plant, table
from benchmarks.clinic.rows import Pair
from benchmarks.clinic.subjects import Subject
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.engine import examine
from chainrule.diagnosis.recipe import Recipe, Trained
from chainrule.diagnosis.report import Report

Line = dict[str, Any]

#: Which probes may be used: the cost of the dearest, and whether remedies are tried.
Ablation = Literal["full", "no twins", "passive", "static"]
ABLATIONS: dict[Ablation, tuple[int, bool]] = {
    "full": (2, True), "no twins": (2, False), "passive": (1, False), "static": (0, False),
}  # fmt: skip

REFERENCE_SEEDS = 20
#: Planted runs that tell whether a fault hurts. Where no distribution is compared, two are enough:
#: of times the first is left out, which has loading and compiling in it.
JUDGED_SEEDS, FEW_SEEDS = 5, 2
#: What the baseline that only knows the learning rate tries.
OTHER_RATES = (0.1, 10.0)


@dataclass(frozen=True)
class Options:
    """What all runs have in common.

    Attributes:
        data: the folder of the data sets.
        seeds: planted runs to diagnose in each cell.
        budget: seconds for one diagnosis.
        ablation: which probes are used.
        repair: whether repairs are run and judged.
    """

    data: Path | None = None
    seeds: int = 2
    budget: float = 60.0
    ablation: Ablation = "full"
    repair: bool = True


@dataclass(frozen=True)
class Job:
    """What a process works on at a time.

    Attributes:
        kind: ``"reference"``: the healthy runs of a subject that planted ones are compared with;
            ``"planted"``: a fault on a subject in one severity; ``"healthy"``: one healthy run.
        subject: its name.
        name: of the plant, or of the healthy case.
        severity: of the plant.
        seed: of the healthy run.
        reference: the line of the subject's reference.
    """

    kind: Literal["reference", "planted", "healthy"]
    subject: str
    name: str = ""
    severity: int = 0
    seed: int = 0
    reference: Line | None = None

    @property
    def key(self) -> str:
        """What tells it apart from all others, to know what is done."""
        return "|".join([self.kind, self.subject, self.name, str(self.severity), str(self.seed)])


def run(job: Job, options: Options) -> list[Line]:
    """The lines of a job. What goes wrong in it becomes a line with ``error``."""
    work: dict[str, Callable[[Job, Options], list[Line]]] = {
        "reference": _reference, "planted": _planted, "healthy": _healthy,
    }  # fmt: skip
    try:
        lines = work[job.kind](job, options)
    except Exception:
        lines = [{"kind": "failed", "of": job.kind, "error": traceback.format_exc(limit=-3)}]
    about = {
        "key": job.key, "subject": job.subject, "name": job.name, "severity": job.severity,
    }  # fmt: skip
    return [{**about, **line} for line in lines]


def start(threads: int = 1) -> None:
    """Prepare a process: it has one of the cores."""
    cr.config.threads = threads


def _reference(job: Job, options: Options) -> list[Line]:
    subject = subjects.get(job.subject, options.data)
    scores, gaps, seconds = [], [], []
    for seed in range(REFERENCE_SEEDS):
        recipe = subject.recipe(seed)
        trained = recipe.train()
        scores.append(_score(subject, trained, subject.test))
        gaps.append(_gap(subject, recipe, trained, scores[-1]))
        seconds.append(trained.seconds)
    # The first includes loading and compiling.
    return [{"kind": "reference", "scores": scores, "gaps": gaps, "seconds": seconds[1:]}]


def _score(subject: Subject, trained: Trained, test: Pair) -> float:
    if trained.error is not None:
        return -np.inf
    return subjects.score(subject.metric, trained.model, *test)


def _gap(subject: Subject, recipe: Recipe, trained: Trained, reached: float) -> float:
    """What the validation rows promise above the test rows, negative: higher is better."""
    if recipe.validation is None or trained.error is not None:
        return 0.0
    promised = subjects.score(subject.metric, trained.model, *recipe.validation)
    return reached - promised


# ---- planted


@dataclass(frozen=True)
class _Planted:
    """A trained run with a fault in it."""

    seed: int
    recipe: Recipe
    trained: Trained
    test: Pair
    judged: float


def _planted(job: Job, options: Options) -> list[Line]:
    assert job.reference is not None
    plant = table.named(job.name)
    subject = subjects.get(job.subject, options.data)
    few = plant.judged in ("exact", "time")
    seeds = max(FEW_SEEDS, options.seeds) if few else JUDGED_SEEDS
    cell = [_plant(plant, subject, job.severity, seed) for seed in range(seeds)]
    usual, verdict = _judge(plant, subject, job.reference, cell)
    about: Line = {
        "code": plant.code, "judged": plant.judged, "harm": verdict.harm,
        "chance": verdict.chance, "effect": verdict.effect,
        "planted_scores": [_score(subject, one.trained, one.test) for one in cell],
    }  # fmt: skip
    if not verdict.hurts:
        return [{**about, "kind": "rejected"}]
    if plant.judged in ("score", "gap", "group"):
        cell = [one for one in cell if judging.hurts_itself(usual, one.judged)]
    if not cell:
        return [{**about, "kind": "rejected"}]
    return [
        {**about, **_diagnosed(plant, subject, job, one, options)} for one in cell[: options.seeds]
    ]


def _random(plant: Plant, subject: Subject, severity: int, seed: int) -> np.random.Generator:
    places = [ord(letter) for letter in f"{plant.name}/{subject.name}"]
    return np.random.default_rng([seed, severity, *places])


def _plant(plant: Plant, subject: Subject, severity: int, seed: int) -> _Planted:
    drawn = _random(plant, subject, severity, seed)
    recipe = plant.edit(subject.recipe(seed), severity, drawn)
    test = subject.test
    if plant.test is not None:
        test = plant.test(*test, severity, _random(plant, subject, severity, seed))
    trained = recipe.train()
    reached = _score(subject, trained, test)
    judged = reached
    if plant.judged == "gap":
        judged = _gap(subject, recipe, trained, reached)
    elif plant.judged == "group":
        judged = _worst_group(plant, subject, trained, test)
    return _Planted(seed, recipe, trained, test, judged)


def _worst_group(plant: Plant, subject: Subject, trained: Trained, test: Pair) -> float:
    assert plant.groups is not None
    found = np.asarray(plant.groups(test[0]))
    rows = [np.flatnonzero(found == group) for group in np.unique(found)]
    return min(_score(subject, trained, (test[0][part], test[1][part])) for part in rows)


def _judge(
    plant: Plant, subject: Subject, reference: Line, cell: list[_Planted]
) -> tuple[list[float], judging.Verdict]:
    """What healthy runs reach in what the plant is judged by, and the verdict."""
    planted = [one.judged for one in cell]
    if plant.judged == "exact":
        return reference["scores"], judging.Verdict(True, float("nan"), 0.0, float("nan"))
    if plant.judged == "time":
        seconds = [one.trained.seconds for one in cell[1:]]
        return reference["scores"], judging.judge_time(reference["seconds"], seconds)
    usual = reference["gaps"] if plant.judged == "gap" else reference["scores"]
    if plant.judged == "group":
        well = [subject.recipe(seed).train() for seed in range(REFERENCE_SEEDS)]
        usual = [_worst_group(plant, subject, trained, subject.test) for trained in well]
    return usual, judging.judge(usual, planted)


def _diagnosed(plant: Plant, subject: Subject, job: Job, one: _Planted, options: Options) -> Line:
    assert job.reference is not None
    before = _score(subject, one.trained, one.test)
    place = plant.located
    if callable(place):
        place = place(one.recipe, job.severity, _random(plant, subject, job.severity, one.seed))
    line: Line = {
        "kind": "double" if table.PLUS in plant.code else "planted",
        "seed": one.seed, "score": before,
        "healthy": float(np.median(job.reference["scores"])),
        "healthy_seconds": float(np.median(job.reference["seconds"])),
        "seconds": one.trained.seconds, "place": _plain(place),
        "half": judging.half_of(subject.name, job.severity, tuple(subjects.PLANS)),
    }  # fmt: skip
    report, found = _diagnose(one.recipe, one.trained, subject, options)
    line["diagnosis"] = found
    if report is None or not options.repair:
        return line
    causes = [cause["code"] for cause in found["causes"]]
    line["repair"] = _repaired(report, "all", subject, one.test)
    if plant.judged == "score":
        line["rate search"] = _other_rates(one, subject)
    if causes and causes[0] != plant.code:
        line["alone"] = _repaired(report, causes[:1], subject, one.test)
    return line


def _other_rates(one: _Planted, subject: Subject) -> Line:
    """What changing nothing but the learning rate reaches: the best of three on validation rows."""
    runs = [(one.recipe, one.trained)]
    for factor in OTHER_RATES:
        try:
            recipe = one.recipe.with_rate(one.recipe.learning_rate * factor)
            runs.append((recipe, recipe.train()))
        except (ValueError, TypeError):  # an optimizer without a rate
            continue
    validation = one.recipe.validation or (one.recipe.x, one.recipe.y)
    _, best = max(runs, key=lambda run: _score(subject, run[1], validation))
    return {"score": _score(subject, best, one.test)}


# ---- healthy


def _healthy(job: Job, options: Options) -> list[Line]:
    known = healthy.cases((job.subject,))
    case = next(case for case in known if case.name == job.name)
    subject = subjects.get(job.subject, options.data)
    recipe, test = case.recipe(job.seed, options.data), case.test(options.data)
    trained = recipe.train()
    report, found = _diagnose(recipe, trained, subject, options)
    line: Line = {
        "kind": "healthy", "seed": job.seed, "expected": case.expected, "diagnosis": found,
        "score": _score(subject, trained, test), "seconds": trained.seconds,
        "half": judging.half_of_healthy(f"{case.name}/{case.subject}", job.seed),
    }  # fmt: skip
    if report is not None and found["causes"] and options.repair:
        line["repair"] = _repaired(report, "safe", subject, test)
    return [line]


# ---- both


def _diagnose(
    recipe: Recipe, trained: Trained, subject: Subject, options: Options
) -> tuple[Report | None, Line]:
    """What diagnosis says, given what a user would give it."""
    columns = list(subject.columns) if subject.columns else None
    if columns and recipe.x.shape[-1] != len(columns):
        columns += [f"column {i}" for i in range(len(columns), recipe.x.shape[-1])]
    begin = time.perf_counter()
    try:
        if options.ablation == "full":
            report = cr.diagnose(
                trained.model, recipe.x, recipe.y, trained.history, budget=options.budget,
                validation_data=recipe.validation, columns=columns,
            )  # fmt: skip
        else:
            report = _ablated(recipe, trained, columns, options)
        found = _plain(report.to_dict())
    except Exception:
        error = traceback.format_exc(limit=-3)
        return None, {"verdict": "error", "causes": [], "notes": [], "error": error,
                      "took": time.perf_counter() - begin}  # fmt: skip
    return report, {**found, "took": time.perf_counter() - begin}


def _ablated(
    recipe: Recipe, trained: Trained, columns: list[str] | None, options: Options
) -> Report:
    cost, twins = ABLATIONS[options.ablation]
    case = Case(
        trained.model, recipe.x, recipe.y, trained.history, recipe.validation, columns,
        options.budget,
    )  # fmt: skip
    examination = examine(case, cost, twins)
    otherwise: Any = "unknown" if examination.poor else "healthy"
    return Report(case, examination, "causes" if examination.causes else otherwise)


def _repaired(report: Report, apply: Any, subject: Subject, test: Pair) -> Line:
    """What the repaired model reaches on the rows that nobody saw."""
    begin = time.perf_counter()
    try:
        repaired = report.repair(apply)
        reached = subjects.score(subject.metric, repaired.model, *test)
    except Exception:
        return {"error": traceback.format_exc(limit=-3), "applied": [], "score": -np.inf}
    history = repaired.history
    return {
        "applied": list(repaired.applied), "score": reached,
        "seconds": None if history is None else history.seconds,
        "took": time.perf_counter() - begin,
    }  # fmt: skip


def _plain(value: Any) -> Any:
    """Lists, dicts, numbers and text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return value
