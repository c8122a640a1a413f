"""The benchmark of diagnosis: its scores on made-up results, its halves, its subjects."""

import csv
import gzip
import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from benchmarks.clinic import __main__ as program
from benchmarks.clinic import healthy, judging, rows, running, scores, subjects, tables
from benchmarks.clinic.plants import Plant, editing, table
from chainrule.diagnosis.recipe import Recipe

NAMES = tuple(subjects.PLANS)


# ---- made-up results


def cause(code: str, probability: float = 0.9, **place: Any) -> dict[str, Any]:
    return {"code": code, "probability": probability, "place": place}


def planted(code: str, *found: dict[str, Any], **more: Any) -> dict[str, Any]:
    diagnosis = {"verdict": "causes" if found else "healthy", "causes": list(found), "took": 2.0}
    return {
        "kind": "planted", "code": code, "judged": "score", "half": "report", "score": 0.5,
        "healthy": 1.0, "healthy_seconds": 1.0, "seconds": 1.0, "diagnosis": diagnosis, **more,
    }  # fmt: skip


def well(*found: dict[str, Any], **more: Any) -> dict[str, Any]:
    line = planted("", *found, **more)
    return {"expected": "healthy", "name": "reference", "subject": "moons", **line,
            "kind": "healthy", "code": None}  # fmt: skip


def test_shares_are_means_over_faults_not_over_runs() -> None:
    easy = [planted("O1", cause("O1")) for _ in range(8)]
    found = scores.score([*easy, planted("D5", cause("O1"), cause("D5")), planted("V1")])
    assert found.top1 == pytest.approx((1 + 0 + 0) / 3)
    assert found.top3 == pytest.approx((1 + 1 + 0) / 3)
    assert found.detected == pytest.approx(2 / 3)
    assert found.silence == 0.1
    assert len(found.missing) == 38
    assert "O1" not in found.missing


def test_another_cause_is_tolerated_if_its_remedy_alone_brings_the_metric_back() -> None:
    other = cause("O2")
    back = planted("O1", other, alone={"score": 0.98})
    not_back = planted("O1", other, alone={"score": 0.97})
    assert scores.tolerated(back)
    assert not scores.tolerated(not_back)
    assert not scores.tolerated(planted("O1", other))
    assert scores.tolerated(planted("O1", cause("O1")))
    no_way_back = planted("D7", other, alone={"score": 1.0}, judged="gap")
    assert not scores.tolerated(no_way_back)
    from_nothing = planted("O1", other, score=-float("inf"), alone={"score": 0.9})
    assert scores.tolerated(from_nothing)


@pytest.mark.parametrize(
    ("expected", "found", "right"),
    [
        ({"layer": "dense_1"}, {"layer": "dense_1"}, True),
        ({"layer": "dense_1"}, {"layer": "dense"}, False),
        ({"layer": "dense_1"}, {}, False),
        ({"layer": ["dense", "dense_1"]}, {"layer": "dense_1"}, True),
        ({"column": 3}, {"column": "3"}, True),
        ({"column": "island"}, {"column": "'island'"}, True),
        ({"rows": [1, 2, 3]}, {"rows": [2, 3]}, True),
        ({"rows": [1, 2, 3]}, {"rows": [3, 7, 8]}, False),
    ],
)
def test_place(expected: dict[str, Any], found: dict[str, Any], right: bool) -> None:
    assert scores.is_located(planted("V3", cause("V3", **found), place=expected)) is right


def test_a_place_counts_only_where_the_fault_was_named() -> None:
    assert scores.is_located(planted("V3", cause("O1"), place={"layer": "dense"})) is None
    assert scores.is_located(planted("V3", cause("V3"))) is None


def test_repaired_means_95_percent_of_healthy_in_twice_the_time() -> None:
    def line(score: float, seconds: float) -> dict[str, Any]:
        return planted("O1", repair={"score": score, "seconds": seconds})

    assert scores.is_repaired(line(0.95, 2.9)) is True
    assert scores.is_repaired(line(0.94, 1.0)) is False
    assert scores.is_repaired(line(0.99, 3.1)) is False
    assert scores.is_repaired(planted("O1")) is None
    found = scores.score([line(0.99, 1), line(0.1, 1), planted("T6", repair={"score": 0.0})])
    assert found.repaired == 0.5


def test_false_alarms_and_harm() -> None:
    worse = {"score": 0.494, "applied": ["O1"]}
    lines = [well() for _ in range(398)]
    lines += [well(cause("O1"), repair=worse), well(cause("G1"), repair={"score": 0.496})]
    found = scores.score(lines)
    assert found.false_alarms == 2 / 400
    assert found.harm == 1 / 400
    # Wilson's interval for 2 of 400, from its formula in other words: the root of
    # (p - 1/200)^2 = z^2 p (1 - p) / 400.
    p = found.false_alarm_limit
    assert (p - 1 / 200) ** 2 == pytest.approx(1.959964**2 * p * (1 - p) / 400)
    assert p > 1 / 200


def test_no_signal() -> None:
    right = well(expected="no signal")
    right["diagnosis"]["verdict"] = "no signal"
    assert scores.score([right, well(expected="no signal"), well()]).no_signal == 0.5


def test_calibration_error() -> None:
    assert scores.calibration_error([(0.75, True)] * 3 + [(0.75, False)]) == 0
    assert scores.calibration_error([(0.9, False)] * 2) == pytest.approx(0.9)
    mixed = [(0.9, False)] * 2 + [(0.25, True), (0.25, False), (0.25, False), (0.25, False)]
    assert scores.calibration_error(mixed) == pytest.approx(0.9 / 3)
    assert scores.stated([planted("O1", cause("O1", 0.8), cause("D3", 0.6))]) == [
        (0.8, True), (0.6, False),
    ]  # fmt: skip
    assert scores.stated([well(cause("O1", 0.8))]) == [(0.8, False)]


def test_baselines_and_confusions() -> None:
    lines = [planted("O1", cause("O1")), planted("D5", cause("O1")), planted("V1"), planted("V1")]
    found = scores.baselines(scores.score(lines))
    assert found["random guess"] == pytest.approx((1 / 41, 3 / 41))
    assert found["always the learning rate"] == pytest.approx((1 / 6, 1 / 3))
    assert scores.confusions(lines) == [("V1", "nothing", 2), ("D5", "O1", 1)]
    assert scores.alarms([well(cause("G1")), well()]) == [("reference", "moons", "G1", 1)]


def test_two_faults_are_scored_by_themselves() -> None:
    def line(*codes: str) -> dict[str, Any]:
        return planted("O1 + V5", *map(cause, codes), kind="double")

    lines = [line("V5"), line("D3", "O1", "V5"), line("O1", "V5"), line()]
    found = scores.score([*lines, planted("O2")])
    assert (found.doubles, found.double_top1, found.double_top3) == (4, 0.5, 0.5)
    assert (found.runs, found.top1, found.calibration) == (1, 0, 0)


def test_the_baseline_that_changes_the_rate_is_scored_like_a_repair() -> None:
    lines = [
        planted("O1", **{"repair": {"score": 1.0}, "rate search": {"score": reached}})
        for reached in (0.96, 0.94)
    ]
    other = planted("V5", **{"repair": {"score": 1.0}, "rate search": {"score": 0.99}})
    no_remedy = planted("T6", **{"repair": {"score": 0.0}, "rate search": {"score": 0.99}})
    assert scores.score([*lines, other, no_remedy]).rate_search == 0.75


def test_sets_of_runs_are_put_side_by_side() -> None:
    full, less = scores.score([planted("O1", cause("O1"))]), scores.score([planted("O1")])
    text = tables.compared({"full": full, "static": less})
    assert "| top1 strict                             | 1.00 " in text
    assert text.splitlines()[0].split("|")[2:4] == [
        " full                          ",
        " static                        ",
    ]


def test_reliability_has_the_bins_of_the_error() -> None:
    said = [(0.95, True), (0.99, False), (1.0, True), (0.52, False)]
    assert scores.reliability(said) == [(0.5, 0.6, 1, 0.0), (0.9, 1.0, 3, 2 / 3)]


def test_halves_are_scored_apart_and_tables_have_every_fault() -> None:
    lines = [planted("O1", cause("O1")), planted("O1", half="calibrate"), well(half="calibrate"),
             {"kind": "rejected", "half": "report"}]  # fmt: skip
    assert scores.score(lines, "report").top1 == 1
    assert scores.score(lines, "calibrate").top1 == 0
    found = scores.score(lines)
    assert (found.runs, found.healthy, found.rejected) == (2, 1, 1)
    text = tables.as_markdown(found, lines)
    assert "| O1    | 2    | 0.50" in text
    assert "Faults without a run: D1, D2" in text
    assert all(line.startswith("|") or not line or ":" in line for line in text.splitlines())


# ---- judging


def test_a_plant_that_does_nothing_is_rejected() -> None:
    random = np.random.default_rng(3)
    usual = random.normal(0.9, 0.02, 20)
    assert not judging.judge(usual, random.normal(0.9, 0.02, 5)).hurts
    assert not judging.judge(usual, usual[:5]).hurts
    assert judging.judge(usual, random.normal(0.84, 0.02, 5)).hurts
    assert not judging.judge(usual, random.normal(0.96, 0.02, 5)).hurts
    # Certain, but nobody would notice.
    assert not judging.judge([0.9] * 20, [0.895] * 5).hurts
    assert judging.judge([0.9] * 20, [0.85] * 5).hurts
    assert judging.judge(usual, [-np.inf, np.nan, 0.9, -1e9, -np.inf]).hurts


def test_the_chance_is_that_of_all_permutations() -> None:
    healthy_scores, planted_scores = [0.9, 0.8, 0.85, 0.95], [0.7, 0.82]
    found = judging.judge(healthy_scores, planted_scores)
    both = np.array(healthy_scores + planted_scores)
    differences = [
        np.delete(both, [i, j]).mean() - both[[i, j]].mean() for i in range(6) for j in range(i)
    ]
    exact = np.mean([d >= found.harm - 1e-12 for d in differences])
    assert found.chance == pytest.approx(exact, abs=0.02)


def test_times_and_single_runs() -> None:
    assert judging.judge_time([1.0, 1.1, 0.9], [1.6, 1.7]).hurts
    assert not judging.judge_time([1.0, 1.1, 0.9], [1.3, 1.4]).hurts
    assert judging.hurts_itself([0.9, 0.8], 0.79)
    assert not judging.hurts_itself([0.9, 0.8], 0.8)
    assert judging.hurts_itself([0.9, 0.8], float("nan"))


def test_halves_are_stable_and_have_every_severity() -> None:
    halves = {(n, s): judging.half_of(n, s, NAMES) for n in NAMES for s in (0, 1)}
    assert list(halves.values()).count("report") == 10
    for name in NAMES:
        assert halves[name, 0] != halves[name, 1]
    assert [n for n in NAMES if halves[n, 0] == "report"] == [
        "moons", "digits_cnn", "films", "spoken", "adding",
    ]  # fmt: skip
    assert {judging.half_of_healthy("reference/moons", seed) for seed in (0, 1)} == {
        "calibrate", "report",
    }  # fmt: skip


# ---- plants and subjects


def test_plants_are_well_formed() -> None:
    for plant in table.all():
        assert set(plant.subjects) <= set(NAMES), plant.name
        assert plant.subjects, plant.name
        assert plant.severities >= 1, plant.name
        assert (plant.judged == "group") == (plant.groups is not None), plant.name
    assert len(table.CODES) == 41


def test_every_planted_fault_is_in_both_halves() -> None:
    cells = {
        (plant.code, judging.half_of(name, severity, NAMES))
        for plant in table.all()
        for name in plant.subjects
        for severity in range(plant.severities)
    }
    for code in {plant.code for plant in table.all()}:
        assert (code, "calibrate") in cells
        assert (code, "report") in cells


def test_two_plants_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plant = Plant("O1", ("moons",), lambda recipe, severity, random: recipe)
    monkeypatch.setattr(table, "FAMILIES", (_Family((plant, plant)),))
    with pytest.raises(ValueError, match=r"two rows named \['O1'\]"):
        table.all()
    other = Plant("X9", ("moons",), lambda recipe, severity, random: recipe)
    monkeypatch.setattr(table, "FAMILIES", (_Family((other,)),))
    with pytest.raises(ValueError, match=r"unknown codes \['X9'\]"):
        table.all()


class _Family:
    def __init__(self, plants: tuple[Plant, ...]) -> None:
        self.PLANTS = plants


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders and files as those of the data sets, with a few made-up rows."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    (folder / "mnist").mkdir()
    for part, count in (("train", 90), ("t10k", 20)):
        pictures = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        for kind, values, header in (
            ("images-idx3", pictures, 16), ("labels-idx1", np.arange(count) % 10, 8),
        ):  # fmt: skip
            content = bytes(header) + values.astype(np.uint8).tobytes()
            path = folder / "mnist" / f"{part}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(content))
    with (folder / "penguins.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["species", "island", "bill_length_mm", "bill_depth_mm", "flipper_length_mm",
                      "body_mass_g", "sex", "year"])  # fmt: skip
        for i in range(60):
            numbers = random.normal(50, 9, 4).round(1).tolist() if i else ["", 1, 2, 3]
            out.writerow(["ABC"[i % 3], "xyz"[i % 2], *numbers, ("male", "female", "")[i % 3], 7])
    with (folder / "movie_sentences.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["text", "rating", "split"])
        out.writerows([f"a {'good' if i % 2 else 'bad'} film", i % 2 * 4 - 2, "train"]
                      for i in range(90))  # fmt: skip
    recordings = folder / "fsdd" / "recordings"
    recordings.mkdir(parents=True)
    for i in range(40):
        with wave.open(str(recordings / f"{i % 10}_somebody_{i}.wav"), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(random.integers(-999, 999, 3000 + 90 * i).astype("<i2").tobytes())
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_subjects_build_and_train(
    name: str, stand_ins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "cache_folder", lambda part: None)
    subject = subjects.get.__wrapped__(name, stand_ins)
    recipe = subject.recipe(5)
    assert recipe.settings["seed"] == 5
    assert recipe.x.dtype in (np.float32, np.int32)
    assert not recipe.make().built
    trained = recipe.train(epochs=1)
    assert trained.error is None
    reached = subjects.score(subject.metric, trained.model, *subject.test)
    assert np.isfinite(reached)
    if subject.columns:
        assert len(subject.columns) == recipe.x.shape[1]


def test_read_rows_are_kept_outside_the_project(
    stand_ins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "cache_folder", lambda part: tmp_path / part)
    first = rows.load("penguins", stand_ins)
    monkeypatch.setitem(rows.READ, "penguins", None)
    again = rows.load("penguins", stand_ins)
    assert len(list(tmp_path.rglob("penguins-*.npz"))) == 1
    assert again.columns == first.columns == (
        "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "island=x",
        "island=y", "sex=female", "sex=male",
    )  # fmt: skip
    for part in ("train", "validation", "test"):
        for a, b in zip(getattr(first, part), getattr(again, part), strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(FileNotFoundError, match="give --data"):
        rows.load("films", tmp_path / "nowhere")


def test_scores_of_outputs() -> None:
    y = np.array([0, 1, 1, 0], np.int32)
    logits = np.array([[2.0, 1], [0, 1], [3, 1], [1, 0]])
    assert subjects.score_outputs("accuracy", logits, y) == 0.75
    assert subjects.score_outputs("accuracy", np.array([[-1.0], [2], [3], [-2]]), y[:, None]) == 1
    assert subjects.score_outputs("accuracy", np.array([[0.1], [0.9], [0.6], [0.4]]), y) == 1
    assert subjects.score_outputs("accuracy", logits, np.eye(2)[y]) == 0.75
    classes = np.array([0, 1, 2, 2])
    assert (
        subjects.score_outputs("accuracy", np.array([[0.2], [1.4], [1.6], [0.9]]), classes) == 0.75
    )
    quantity = np.array([[1.0], [2], [3]])
    assert subjects.score_outputs("r2", quantity, quantity) == 1
    assert subjects.score_outputs("r2", np.full((3, 1), 2.0), quantity) == 0
    assert subjects.score_outputs("r2", np.full((3, 1), np.nan), quantity) == -np.inf
    assert subjects.score_outputs("r2", np.zeros((3, 2)), quantity) == -np.inf


def test_editing_leaves_what_it_does_not_change() -> None:
    recipe = subjects.get("moons").recipe(3).with_settings(epochs=2)
    plain = recipe.train().model.predict(recipe.x)
    same = editing.initialised(recipe, lambda path, value: None).train().model.predict(recipe.x)
    again = editing.rebuilt(recipe, lambda index, layer: layer).train().model.predict(recipe.x)
    np.testing.assert_array_equal(plain, same)
    np.testing.assert_array_equal(plain, again)
    narrow = editing.rebuilt(
        recipe, lambda index, layer: editing.reconfigured(layer, units=2) if index < 2 else layer
    )
    assert [layer.units for layer in narrow.make().layers] == [2, 2, 2]  # type: ignore[attr-defined]
    zero = editing.initialised(recipe, lambda path, value: 0 * value if "kernel" in path else None)
    assert not zero.make().variables[0].numpy().any()


# ---- the chain


def _nothing(recipe: Recipe, severity: int, random: np.random.Generator) -> Recipe:
    return recipe


def _stopped(recipe: Recipe, severity: int, random: np.random.Generator) -> Recipe:
    return recipe.with_rate(1e-7)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> running.Line:
    """Fewer runs, two plants, and the reference of the moons."""
    family = _Family((Plant("O2", ("moons",), _stopped), Plant("O1", ("moons",), _nothing)))
    monkeypatch.setattr(table, "FAMILIES", (family,))
    monkeypatch.setattr(running, "REFERENCE_SEEDS", 5)
    monkeypatch.setattr(running, "JUDGED_SEEDS", 4)
    return running.run(running.Job("reference", "moons"), running.Options())[0]


def test_a_cell_is_planted_diagnosed_and_repaired(small: running.Line) -> None:
    assert small["kind"] == "reference"
    assert min(small["scores"]) > 0.95
    job = running.Job("planted", "moons", "O2", 1, reference=small)
    lines = running.run(job, running.Options(seeds=1))
    assert [line["kind"] for line in lines] == ["planted"]
    assert lines[0]["code"] == "O2"
    assert lines[0]["score"] < 0.9
    assert lines[0]["key"] == job.key
    assert lines[0]["diagnosis"]["verdict"] != "error"
    assert json.loads(json.dumps(lines[0]))["half"] == judging.half_of("moons", 1, NAMES)


def test_a_plant_without_effect_gives_a_rejected_cell(small: running.Line) -> None:
    lines = running.run(
        running.Job("planted", "moons", "O1", 0, reference=small), running.Options()
    )
    assert [line["kind"] for line in lines] == ["rejected"]
    assert not judging.judge(small["scores"], lines[0]["planted_scores"]).hurts


def test_a_diagnosis_that_fails_is_a_line(
    small: running.Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr(cr, "diagnose", fail)
    job = running.Job("planted", "moons", "O2", 1, reference=small)
    line = running.run(job, running.Options(seeds=1))[0]
    assert line["diagnosis"]["verdict"] == "error"
    assert "no luck" in line["diagnosis"]["error"]
    assert scores.score([line]).errors == 1
    assert (
        running.run(running.Job("planted", "moons", "?", reference=small), running.Options())[0][
            "kind"
        ]
        == "failed"
    )


def test_two_faults_in_one_run(small: running.Line, monkeypatch: pytest.MonkeyPatch) -> None:
    def narrow(recipe: Recipe, severity: int, random: np.random.Generator) -> Recipe:
        return editing.rebuilt(recipe, lambda i, layer: editing.reconfigured(layer, units=2))

    plants = (*table.FAMILIES[0].PLANTS, Plant("S2", ("moons",), narrow))
    monkeypatch.setattr(table, "FAMILIES", (_Family(plants),))
    names = table.doubles("moons", 9, judging.digest)
    assert sorted(names) == ["S2 + O1", "S2 + O2"]
    assert table.doubles("moons", 1, judging.digest) == names[:1]
    assert table.doubles("moons", 9, judging.digest, ["S2", "O2"]) == ["S2 + O2"]
    assert table.doubles("article", 9, judging.digest) == []
    job = running.Job("planted", "moons", "S2 + O2", 0, reference=small)
    line = running.run(job, running.Options(seeds=1, repair=False))[0]
    assert (line["kind"], line["code"]) == ("double", "S2 + O2")
    recipe = table.named("S2 + O2").edit(
        subjects.get("moons").recipe(0), 0, np.random.default_rng(0)
    )
    assert recipe.learning_rate == 1e-7
    assert recipe.make().layers[0].units == 2  # type: ignore[attr-defined]


def test_healthy_cases_are_of_known_subjects_and_enough() -> None:
    cases = healthy.cases()
    assert {case.subject for case in cases} <= set(NAMES)
    assert len({(case.name, case.subject) for case in cases}) == len(cases)
    names = {case.name for case in cases}
    assert len(names) >= 16
    given = program.parse(["--out", "x", "--faults", "none"])
    jobs = program.healthy_jobs(given)
    assert len(jobs) == len({job.key for job in jobs}) == 400
    halves = [judging.half_of_healthy(f"{job.name}/{job.subject}", job.seed) for job in jobs]
    assert 180 <= halves.count("report") <= 220


@pytest.mark.parametrize("name", ["one to twenty", "quasi-Newton", "one probability"])
def test_healthy_runs_are_healthy(name: str) -> None:
    case = next(case for case in healthy.cases(("moons",)) if case.name == name)
    trained = case.recipe(2).train()
    assert trained.error is None
    assert subjects.score("accuracy", trained.model, *case.test()) > 0.95


def test_jobs_are_chosen_by_fault_half_and_number() -> None:
    references = {name: {"kind": "reference", "subject": name} for name in NAMES}
    given = program.parse(["--out", "x", "--faults", "O1,O2", "--cells", "3"])
    jobs = program.planted_jobs(given, references)
    assert len(jobs) == 12
    assert {job.name.split(":")[0] for job in jobs} == {"O1", "O2"}
    half = program.parse(["--out", "x", "--faults", "O1", "--half", "report"])
    for job in program.planted_jobs(half, references):
        assert judging.half_of(job.subject, job.severity, NAMES) == "report"


def test_what_is_in_the_file_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.jsonl"
    done: list[str] = []

    def work(jobs: Any, given: Any) -> Any:
        for job in jobs:
            done.append(job.key)
            yield running.run(job, running.Options(given.data, repair=False))

    monkeypatch.setattr(program, "work", work)
    monkeypatch.setattr(running, "REFERENCE_SEEDS", 2)
    arguments = ["--out", str(out), "--subjects", "moons", "--faults", "none", "--healthy", "1"]
    program.main(arguments)
    assert len(done) == 2
    with out.open("a") as file:
        file.write('{"kind": "heal')
    program.main(arguments)
    assert len(done) == 2
    program.main([*arguments, "--healthy", "3", "--seconds", "1e-9"])
    assert len(done) == 3
    assert (tmp_path / "results.scores.json").exists()
    assert "false alarms" in capsys.readouterr().out
