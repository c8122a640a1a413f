"""The scores of the benchmark, from the lines of its runs."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.clinic.plants.table import CODES, PLUS

Line = dict[str, Any]

#: Causes of which no remedy can be run: only the user knows what is right.
NOT_REPAIRABLE = ("D6", "D10", "T6", "N1", "N2")
REPAIRED_SHARE = 0.95
#: A repaired run may take this many times as long as a healthy one, and a second to compile.
MOST_SECONDS, COMPILE_SECONDS = 2.0, 1.0
HARM = 0.005
BINS = 10
RATE_CODES = ("O1", "O2")
#: Keys of a place that name rows; the others must agree exactly.
ROWS = "rows"


# ---- one run


def causes(line: Line) -> list[str]:
    """The codes that were named, the most probable first."""
    return [str(cause["code"]) for cause in line["diagnosis"]["causes"]]


def first_of(line: Line) -> str:
    """The code that was named first, ``"nothing"`` if none was."""
    codes = causes(line)
    return codes[0] if codes else "nothing"


def first(line: Line) -> bool:
    """Whether the planted fault was named first."""
    return causes(line)[:1] == [line["code"]]


def among_three(line: Line) -> bool:
    """Whether it was among the first three."""
    return line["code"] in causes(line)[:3]


def tolerated(line: Line) -> bool:
    """Whether the first cause is the planted one, or its remedy alone brings the metric back."""
    if first(line):
        return True
    alone, before = line.get("alone"), max(line["score"], -1.0)
    if not alone or line.get("judged") not in ("score", "group"):
        return False
    way = line["healthy"] - before
    return bool(way > 0 and alone["score"] >= before + REPAIRED_SHARE * way)


def is_repaired(line: Line) -> bool | None:
    """Whether the repaired model reaches the healthy ones; None where nothing was repaired."""
    repair = line.get("repair")
    if repair is None:
        return None
    seconds, allowed = repair.get("seconds"), line["healthy_seconds"] * MOST_SECONDS
    in_time = seconds is None or seconds <= allowed + COMPILE_SECONDS
    return bool(in_time and repair["score"] >= REPAIRED_SHARE * line["healthy"])


def is_located(line: Line) -> bool | None:
    """Whether the place of the planted fault is right; None where it has none or was not named."""
    expected = line.get("place")
    named = [c for c in line["diagnosis"]["causes"] if c["code"] == line["code"]]
    if not expected or not named:
        return None
    found = named[0]["place"]
    return all(_agrees(key, wanted, found.get(key)) for key, wanted in expected.items())


def _agrees(key: str, wanted: Any, found: Any) -> bool:
    if found is None:
        return False
    expected = {_text(item) for item in (wanted if isinstance(wanted, list) else [wanted])}
    given = {_text(item) for item in (found if isinstance(found, list) else [found])}
    if key == ROWS:
        return bool(given) and len(given & expected) >= len(given) / 2
    return bool(given & expected)


def _text(value: Any) -> str:
    return str(value).strip("'\"")


# ---- all runs


@dataclass(frozen=True)
class FaultScore:
    """The shares of one fault's runs."""

    code: str
    runs: int
    detected: float
    top1: float
    tolerant: float
    top3: float
    located: float | None
    repaired: float | None


@dataclass(frozen=True)
class Scores:
    """The scores of a set of runs; shares over faults are means of the faults' shares.

    Attributes:
        faults: each fault that has runs.
        missing: codes of faults without a run.
        runs: planted runs.
        healthy: healthy runs.
        detected, top1, tolerant, top3, located, repaired: means over faults.
        false_alarms: share of healthy runs with a cause.
        false_alarm_limit: the upper end of its 95 % interval.
        no_signal: share of unpredictable targets with the verdict "no signal".
        harm: share of healthy runs that the safe repair makes worse by over half a point.
        calibration: the expected calibration error of the probabilities.
        silence: share of planted runs without any cause.
        took: seconds of a diagnosis, median.
        cost: seconds of a diagnosis over those of the training, median.
        errors: diagnoses that failed.
        rejected: cells whose fault does not hurt.
        doubles: runs with two faults.
        double_top1: share of them where one of the two was named first.
        double_top3: share where both were among three.
        rate_search: share repaired, over faults as above, by nothing but a better learning rate.
    """

    faults: tuple[FaultScore, ...]
    missing: tuple[str, ...]
    runs: int
    healthy: int
    detected: float
    top1: float
    tolerant: float
    top3: float
    located: float | None
    repaired: float | None
    false_alarms: float
    false_alarm_limit: float
    no_signal: float | None
    harm: float
    calibration: float
    silence: float
    took: float
    cost: float
    errors: int
    rejected: int
    doubles: int
    double_top1: float | None
    double_top3: float | None
    rate_search: float | None


def score(lines: Iterable[Line], half: str = "all") -> Scores:
    """The scores of one half of the runs, or of all."""
    lines = list(lines)
    chosen = [line for line in lines if half == "all" or line.get("half") == half]
    planted = [line for line in chosen if line["kind"] == "planted"]
    twice = [line for line in chosen if line["kind"] == "double"]
    well = [line for line in chosen if line["kind"] == "healthy"]
    faults = tuple(_fault(code, runs) for code, runs in _by_code(planted) if runs)
    alarms = [bool(causes(line)) for line in well]
    unpredictable = [line for line in well if line["expected"] == "no signal"]
    diagnosed = [*planted, *well]
    return Scores(
        faults=faults,
        missing=tuple(code for code, runs in _by_code(planted) if not runs),
        runs=len(planted),
        healthy=len(well),
        detected=_over(faults, lambda f: f.detected) or 0.0,
        top1=_over(faults, lambda f: f.top1) or 0.0,
        tolerant=_over(faults, lambda f: f.tolerant) or 0.0,
        top3=_over(faults, lambda f: f.top3) or 0.0,
        located=_over(faults, lambda f: f.located),
        repaired=_over(faults, lambda f: f.repaired),
        false_alarms=share(alarms) or 0.0,
        false_alarm_limit=upper_limit(sum(alarms), len(alarms)),
        no_signal=share([line["diagnosis"]["verdict"] == "no signal" for line in unpredictable]),
        harm=share([_is_harmed(line) for line in well]) or 0.0,
        calibration=calibration_error(stated(diagnosed)),
        silence=share([not causes(line) for line in planted]) or 0.0,
        took=_median([line["diagnosis"]["took"] for line in diagnosed]),
        cost=_median([line["diagnosis"]["took"] / line["seconds"] for line in diagnosed]),
        errors=sum(line["diagnosis"]["verdict"] == "error" for line in diagnosed)
        + sum(line["kind"] == "failed" for line in lines),
        rejected=sum(line["kind"] == "rejected" for line in lines),
        doubles=len(twice),
        double_top1=share([first_of(line) in line["code"].split(PLUS) for line in twice]),
        double_top3=share([set(line["code"].split(PLUS)) <= set(causes(line)) for line in twice]),
        rate_search=_rate_search(planted),
    )


def _by_code(planted: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    found: dict[str, list[Line]] = defaultdict(list)
    for line in planted:
        found[line["code"]].append(line)
    return [(code, found[code]) for code in CODES]


def _fault(code: str, runs: Sequence[Line]) -> FaultScore:
    repaired = [is_repaired(line) for line in runs if _can_be_repaired(line)]
    return FaultScore(
        code,
        len(runs),
        share([bool(causes(line)) for line in runs]) or 0.0,
        share([first(line) for line in runs]) or 0.0,
        share([tolerated(line) for line in runs]) or 0.0,
        share([among_three(line) for line in runs]) or 0.0,
        share([found for line in runs if (found := is_located(line)) is not None]),
        share([bool(found) for found in repaired]) if repaired else None,
    )


def _rate_search(planted: Sequence[Line]) -> float | None:
    shares = []
    for _, runs in _by_code(planted):
        tried = [line for line in runs if _can_be_repaired(line) and "rate search" in line]
        reached = [line["rate search"]["score"] for line in tried]
        found = share([r >= REPAIRED_SHARE * line["healthy"] for r, line in zip(reached, tried)])
        if found is not None:
            shares.append(found)
    return sum(shares) / len(shares) if shares else None


def _can_be_repaired(line: Line) -> bool:
    repairable = line["code"] not in NOT_REPAIRABLE and line.get("judged") != "time"
    return repairable and "repair" in line


def _is_harmed(line: Line) -> bool:
    repair = line.get("repair")
    return repair is not None and repair["score"] < line["score"] - HARM


def share(found: Sequence[bool]) -> float | None:
    """The share of True; None of nothing."""
    return sum(found) / len(found) if found else None


def _over(
    faults: Sequence[FaultScore], value: Callable[[FaultScore], float | None]
) -> float | None:
    """The mean over the faults that have such a value."""
    found = [v for fault in faults if (v := value(fault)) is not None]
    return sum(found) / len(found) if found else None


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else float("nan")


def upper_limit(events: int, runs: int) -> float:
    """The upper end of Wilson's 95 % interval of a share.

    Reference: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22, 1927.
    """
    if not runs:
        return 1.0
    z, p = 1.959964, events / runs
    middle = p + z * z / (2 * runs)
    spread = z * math.sqrt(p * (1 - p) / runs + z * z / (4 * runs * runs))
    return min(1.0, (middle + spread) / (1 + z * z / runs))


# ---- probabilities


def stated(lines: Iterable[Line]) -> list[tuple[float, bool]]:
    """Each probability that was said, and whether the cause was the planted one."""
    return [
        (float(cause["probability"]), cause["code"] == line.get("code"))
        for line in lines
        if line["kind"] in ("planted", "healthy")
        for cause in line["diagnosis"]["causes"]
    ]


def calibration_error(said: Sequence[tuple[float, bool]]) -> float:
    """The expected calibration error: the mean over all statements of the distance between the
    probability and the share that was right, in ten bins of equal width.

    Reference: Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning",
    AAAI 2015.
    """
    bins: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for chance, right in said:
        bins[_bin(chance)].append((chance, right))
    error = 0.0
    for found in bins.values():
        chances, rights = zip(*found, strict=True)
        error += len(found) * abs(sum(chances) / len(found) - sum(rights) / len(found))
    return error / len(said) if said else 0.0


def reliability(said: Sequence[tuple[float, bool]]) -> list[tuple[float, float, int, float]]:
    """For each bin with statements: from, to, how many, the share that was right."""
    rows = []
    for index in range(BINS):
        rights = [right for chance, right in said if _bin(chance) == index]
        if rights:
            rows.append((index / BINS, (index + 1) / BINS, len(rights), sum(rights) / len(rights)))
    return rows


def _bin(chance: float) -> int:
    return min(int(chance * BINS), BINS - 1)


# ---- what to compare with


def baselines(found: Scores) -> dict[str, tuple[float, float]]:
    """top1 and top3 of a diagnosis that guesses, and of one that always names the learning rate.

    Both are macro-averaged over the faults that have runs, as the scores are.
    """
    count, with_runs = len(CODES), [fault.code for fault in found.faults]
    rates = [code in RATE_CODES for code in with_runs]
    named = sum(rates) / len(with_runs) if with_runs else 0.0
    # The one of the two rate faults that is named first is right in half of them.
    return {"random guess": (1 / count, 3 / count), "always the learning rate": (named / 2, named)}


def confusions(lines: Iterable[Line], half: str = "all") -> list[tuple[str, str, int]]:
    """Which fault was taken for which how often: (planted, named first or "nothing", count)."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in lines:
        if line["kind"] != "planted" or half not in ("all", line["half"]) or first(line):
            continue
        counts[line["code"], first_of(line)] += 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(*pair, count) for pair, count in ordered]


def alarms(lines: Iterable[Line], half: str = "all") -> list[tuple[str, str, str, int]]:
    """The causes named in healthy runs: (case, subject, code, count)."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for line in lines:
        if line["kind"] == "healthy" and half in ("all", line["half"]):
            counts.update((line["name"], line["subject"], code) for code in causes(line))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(*case, count) for case, count in ordered]
