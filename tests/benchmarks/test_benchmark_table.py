"""The arithmetic of the benchmarks' table. No times are asserted."""

import json
from pathlib import Path

import pytest

from benchmarks.report import as_markdown, cells, save
from benchmarks.results import Result, Row, best_peer, figure, judge, make_rows
from benchmarks.serving import Measured
from benchmarks.workloads import BY_NAME


def result_of(name: str, values: dict[tuple[str, str], list[float]]) -> Result:
    result = Result(BY_NAME[name])
    for turn, numbers in values.items():
        result.of(*turn).samples += [Measured(number) for number in numbers]
    return result


def seed_result() -> Result:
    return result_of(
        "seed",
        {
            ("chainrule", "steps"): [4e-6, 5e-6, 90e-6],
            ("jax", "jit"): [71e-6, 70e-6, 72e-6],
            ("jax", "scan"): [37e-6, 36e-6, 99e-6],
            ("torch", "fused"): [279e-6, 1e-6, 281e-6],
        },
    )


def test_share_is_median_over_the_best_peers_median() -> None:
    (row,) = make_rows(seed_result())
    assert row.ours == 5e-6
    assert row.peer == "jax scan"
    assert row.best == 37e-6
    assert row.share == pytest.approx(5 / 37)
    assert row.goal == 0.15
    assert row.verdict == "met"


def test_share_of_smallest_looks_at_every_side_at_its_best() -> None:
    (row,) = make_rows(seed_result())
    assert row.share_of_smallest == pytest.approx(4.0)


def test_a_peer_that_failed_does_not_count() -> None:
    result = seed_result()
    result.of("jax", "scan").error = "no memory"
    best = best_peer(result)
    assert best is not None
    assert best.label == "jax jit"
    (row,) = make_rows(result)
    assert row.share == pytest.approx(5 / 71)


def test_without_peers_there_is_no_share() -> None:
    (row,) = make_rows(result_of("seed", {("chainrule", "steps"): [1.0]}))
    assert (row.share, row.verdict, row.peer) == (None, "no peer", "")


def test_our_failure_is_shown() -> None:
    result = seed_result()
    result.of("chainrule", "steps").error = "[dense] broken"
    (row,) = make_rows(result)
    assert (row.ours, row.verdict, row.note) == (None, "failed", "[dense] broken")


def test_a_limit_is_compared_with_the_figure_itself() -> None:
    result = result_of(
        "compile", {("chainrule", "cache cold"): [0.2], ("chainrule", "cache warm"): [0.06]}
    )
    cold, warm = make_rows(result)
    assert (cold.absolute, cold.verdict) == (True, "met")
    assert (warm.goal, warm.verdict) == (0.05, "missed")


def test_fast_but_short_of_the_accuracy_is_missed() -> None:
    result = result_of("digits", {("sklearn", "MLPClassifier"): [2.0]})
    short = Measured(0.1, 0.95, "0.9700 not reached, 300 epochs")
    result.of("chainrule", "fit").samples.append(short)
    (row,) = make_rows(result)
    assert row.share == pytest.approx(0.05)
    assert row.verdict == "missed"
    assert "accuracy 0.9500" in row.note


@pytest.mark.parametrize(
    ("accuracies", "verdict"), [((0.97, 0.98, 0.976), "met"), ((0.97, 0.974), "missed")]
)
def test_an_accuracy_is_judged_by_its_median(accuracies: tuple[float, ...], verdict: str) -> None:
    result = result_of("mnist", {("torch", "fused"): [1.0]})
    samples = result.of("chainrule", "cache warm").samples
    samples += [Measured(3.0, accuracy) for accuracy in accuracies]
    (row,) = make_rows(result)
    assert row.share == 3.0
    assert row.verdict == verdict
    assert "≥ 0.975" in cells(row)


def test_without_an_accuracy_the_work_failed() -> None:
    result = result_of("mnist", {})
    result.of("chainrule", "cache warm").error = "no such folder"
    (row,) = make_rows(result)
    assert (row.accuracy, row.verdict) == (None, "failed")


@pytest.mark.parametrize(
    ("ours", "judged", "goal", "verdict"),
    [
        (1.0, 0.5, 0.5, "met"),
        (1.0, 0.51, 0.5, "missed"),
        (1.0, None, 0.5, "no peer"),
        (1.0, 0.5, None, "no goal"),
        (None, None, 0.5, "failed"),
    ],
)
def test_verdicts(
    ours: float | None, judged: float | None, goal: float | None, verdict: str
) -> None:
    assert judge(ours, judged, goal) == verdict


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3.3e-6, "s", "3.30 µs"),
        (2.2e-9, "s", "0.00220 µs"),
        (0.0372e-3, "s", "37.2 µs"),
        (0.104, "s", "104 ms"),
        (2.08, "s", "2.08 s"),
        (301.4, "MiB", "301 MiB"),
        (None, "s", "-"),
    ],
)
def test_figures_have_three_digits(value: float | None, unit: str, text: str) -> None:
    assert figure(value, unit) == text


def test_goals_are_written_as_share_or_figure() -> None:
    (share,) = make_rows(seed_result())
    (limit,) = make_rows(result_of("command", {("chainrule", "cache warm"): [0.8]}))
    assert "≤ 0.15" in cells(share)
    assert "≤ 1.00 s" in cells(limit)


def test_saved_files_hold_every_sample_and_row(tmp_path: Path) -> None:
    result = seed_result()
    rows: list[Row] = make_rows(result)
    written = save(tmp_path, {"machine": {"cores": 2}}, [result], rows, [])
    content = json.loads((tmp_path / "benchmarks.json").read_text("utf-8"))
    assert content["machine"] == {"cores": 2}
    assert content["rows"][0]["share"] == rows[0].share
    assert [len(series["samples"]) for series in content["series"]] == [3, 3, 3, 3]
    assert all(path.stat().st_size for path in written)
    lines = as_markdown(rows).splitlines()
    assert len({line.count("|") for line in lines}) == 1
