"""Whether a planted fault hurts, and in which half of the benchmark a run is."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.clinic.rows import Array

Half = Literal["calibrate", "report"]

#: A fault hurts if the test metric is worse with this probability of chance at most, ...
MOST_CHANCE = 0.05
#: ... by this many standard deviations, ...
LEAST_EFFECT = 0.5
#: ... and by this much: what nobody would notice is no fault.
LEAST_HARM = 0.01
#: A fault that costs time makes training this many times as long.
LEAST_SLOWDOWN = 1.5
DRAWS = 5000
#: What a run is worth at least: one that is not finite shall not decide the mean by itself.
FLOOR = -1.0


@dataclass(frozen=True)
class Verdict:
    """How much worse planted runs are than healthy ones.

    Attributes:
        hurts: whether the fault counts.
        harm: the difference of the means.
        chance: the probability of such a difference by chance.
        effect: the difference in standard deviations.
    """

    hurts: bool
    harm: float
    chance: float
    effect: float


def judge(healthy: Sequence[float], planted: Sequence[float]) -> Verdict:
    """Compare what healthy and planted runs reach, higher being better.

    The chance is that of a permutation test on the difference of the means; the effect is
    Cohen's d. Neither gets larger by runs that are far below everything: they count as ``FLOOR``.
    """
    first = np.clip(np.asarray(healthy, np.float64), FLOOR, None)
    second = np.clip(np.nan_to_num(np.asarray(planted, np.float64), nan=-np.inf), FLOOR, None)
    harm = float(first.mean() - second.mean())
    together = np.concatenate([first, second])
    random = np.random.default_rng(0)
    shuffled = random.permuted(np.tile(together, (DRAWS, 1)), axis=1)
    means = shuffled[:, : len(first)].mean(1) - shuffled[:, len(first) :].mean(1)
    chance = float((1 + (means >= harm - 1e-12).sum()) / (1 + DRAWS))
    effect = _effect(first, second)
    hurts = chance < MOST_CHANCE and effect >= LEAST_EFFECT and harm >= LEAST_HARM
    return Verdict(hurts, harm, chance, effect)


def _effect(first: Array, second: Array) -> float:
    difference = float(first.mean() - second.mean())
    squares = np.square(first - first.mean()).sum() + np.square(second - second.mean()).sum()
    deviation = float(np.sqrt(squares / max(1, len(first) + len(second) - 2)))
    if deviation == 0:
        return float(np.sign(difference)) * float("inf") if difference else 0.0
    return difference / deviation


def hurts_itself(healthy: Sequence[float], score: float) -> bool:
    """Whether this one run is worse than every healthy one: p = 1 / (runs + 1)."""
    return not score >= min(healthy)


def judge_time(healthy: Sequence[float], planted: Sequence[float]) -> Verdict:
    """Compare seconds: of training, in the middle of the runs."""
    slower = float(np.median(planted) / max(float(np.median(healthy)), 1e-9))
    return Verdict(slower >= LEAST_SLOWDOWN, slower - 1, float("nan"), float("nan"))


def half_of(subject: str, severity: int, subjects: Sequence[str]) -> Half:
    """The half of a subject's runs of one severity: each severity of a subject is in another half.

    Subjects are put in the order of a hash of their names; from one to the next the halves change
    places. So both halves have the same subjects and severities in the sum, and nobody chose.
    """
    order = sorted(subjects, key=digest)
    return ("calibrate", "report")[(order.index(subject) + severity) % 2]


def half_of_healthy(name: str, seed: int) -> Half:
    """The half of a healthy run."""
    return ("calibrate", "report")[(int(digest(name), 16) + seed) % 2]


def digest(text: str) -> str:
    """A hash as text: an order that nobody chose."""
    return hashlib.sha256(text.encode()).hexdigest()
