"""Samples, medians, ratios and verdicts: the arithmetic of the table."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.serving import Measured
from benchmarks.workloads import OURS, Variant, Workload

Verdict = Literal["met", "missed", "no peer", "failed", "no goal"]


@dataclass
class Series:
    """The samples of one side's variant.

    Args:
        side: chainrule or a peer.
        variant: its way of doing the work.
        samples: in the order they were taken.
        error: why there are no more.
    """

    side: str
    variant: str
    samples: list[Measured] = field(default_factory=list)
    error: str = ""

    @property
    def label(self) -> str:
        """Side and variant in words."""
        return f"{self.side} {self.variant}"

    @property
    def median(self) -> float | None:
        """The median of the samples, if there are any and nothing failed."""
        if self.error or not self.samples:
            return None
        return statistics.median(sample.value for sample in self.samples)

    @property
    def accuracy(self) -> float | None:
        """The median of the accuracies that were reached, if there are any and nothing failed."""
        scores = [sample.score for sample in self.samples if sample.score is not None]
        return statistics.median(scores) if scores and not self.error else None

    @property
    def smallest(self) -> float | None:
        """The smallest sample: the least disturbed by what else runs on the machine."""
        if self.median is None:
            return None
        return min(sample.value for sample in self.samples)

    @property
    def note(self) -> str:
        """What to know about it: an error, or the median accuracy and the last sample's note."""
        if self.error or not self.samples:
            return self.error
        score = "" if self.accuracy is None else f"accuracy {self.accuracy:.4f}"
        return ", ".join(part for part in (score, self.samples[-1].note) if part)


@dataclass
class Result:
    """All series of one workload."""

    workload: Workload
    series: list[Series] = field(default_factory=list)

    def of(self, side: str, variant: str) -> Series:
        """The series of a side's variant, begun if it is new."""
        for series in self.series:
            if (series.side, series.variant) == (side, variant):
                return series
        self.series.append(Series(side, variant))
        return self.series[-1]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        workload: its name.
        title: what is done.
        variant: chainrule's.
        unit: "s" or "MiB".
        ours: the median of chainrule's samples.
        peer: the best peer with its variant, or "".
        best: that peer's median.
        share: ours over best.
        share_of_smallest: chainrule's smallest sample over the smallest of all peers' samples,
            which other work on the machine distorts least.
        accuracy: the median of what chainrule's samples reached, where it is the goal.
        goal: at most this share, or this figure where ``absolute``; at least this accuracy.
        absolute: whether the goal is a figure.
        verdict: whether the goal is met.
        note: what a reader should know.
    """

    workload: str
    title: str
    variant: str
    unit: str
    ours: float | None
    peer: str
    best: float | None
    share: float | None
    share_of_smallest: float | None
    accuracy: float | None
    goal: float | None
    absolute: bool
    verdict: Verdict
    note: str


def best_peer(result: Result) -> Series | None:
    """The peers' series with the smallest median."""
    peers = [s for s in result.series if s.side != OURS and s.median is not None]
    return min(peers, key=lambda s: s.median or 0.0, default=None)


def make_rows(result: Result) -> list[Row]:
    """The lines of one workload, one for each of chainrule's variants that was measured."""
    measured = {series.variant: series for series in result.series if series.side == OURS}
    return [
        _row(result, variant, measured[variant.name])
        for variant in result.workload.variants
        if variant.name in measured
    ]


def _row(result: Result, variant: Variant, series: Series) -> Row:
    workload = result.workload
    best = best_peer(result)
    ours, peer = series.median, best.median if best else None
    share = _ratio(ours, peer)
    absolute = variant.limit is not None
    accuracy = series.accuracy if variant.accuracy is not None else None
    goal: float | None
    if variant.accuracy is not None:
        goal, verdict = variant.accuracy, judge_accuracy(accuracy, variant.accuracy)
    else:
        goal, judged = (variant.limit, ours) if absolute else (variant.share, share)
        verdict = judge(ours, judged, goal, failed=_fell_short(series))
    notes = [note for note in (series.note, best.note if best else "") if note]
    return Row(
        workload=workload.name,
        title=workload.title,
        variant=variant.name,
        unit="MiB" if workload.measure == "memory" else "s",
        ours=ours,
        peer=best.label if best else "",
        best=peer,
        share=share,
        share_of_smallest=_ratio(series.smallest, _smallest_of_peers(result)),
        accuracy=accuracy,
        goal=goal,
        absolute=absolute,
        verdict=verdict,
        note="; ".join(notes),
    )


def _ratio(ours: float | None, peer: float | None) -> float | None:
    return ours / peer if ours is not None and peer else None


def _smallest_of_peers(result: Result) -> float | None:
    found = [s.smallest for s in result.series if s.side != OURS]
    return min((value for value in found if value is not None), default=None)


def judge(
    ours: float | None, judged: float | None, goal: float | None, *, failed: bool = False
) -> Verdict:
    """Whether a goal is met.

    Args:
        ours: chainrule's figure; None if it failed.
        judged: what is compared with the goal; None if there is nothing to compare with.
        goal: at most this.
        failed: the work was done but did not reach what it had to.
    """
    if ours is None:
        return "failed"
    if goal is None:
        return "no goal"
    if judged is None:
        return "no peer"
    return "met" if judged <= goal and not failed else "missed"


def judge_accuracy(reached: float | None, goal: float) -> Verdict:
    """Whether an accuracy is met; None if chainrule failed."""
    if reached is None:
        return "failed"
    return "met" if reached >= goal else "missed"


def _fell_short(series: Series) -> bool:
    return any("not reached" in sample.note for sample in series.samples)


def figure(value: float | None, unit: str) -> str:
    """A figure with three digits in the unit that suits its size.

    >>> figure(0.0000372, "s"), figure(2.04, "s"), figure(301.2, "MiB")
    ('37.2 µs', '2.04 s', '301 MiB')
    """
    if value is None:
        return "-"
    name = unit
    if unit == "s" and value < 1:
        value, name = (value * 1e3, "ms") if value >= 1e-3 else (value * 1e6, "µs")
    return f"{value:#.3g}".rstrip(".") + f" {name}"
