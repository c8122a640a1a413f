"""The registry of workloads, the command line, and the pipe between the processes."""

import gzip
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import data, ours
from benchmarks.__main__ import parse
from benchmarks.machine import OtherWork, describe, peak_ir
from benchmarks.memory import growth
from benchmarks.processes import Side, SideError, run_program
from benchmarks.runner import Runner
from benchmarks.serving import Measured, Options, Sample, repeated
from benchmarks.sweeps import SWEEPS, Net, nets
from benchmarks.workloads import (
    BY_NAME,
    PEERS,
    ROOT,
    WORKLOADS,
    Variant,
    Workload,
    all_forms,
)

WITHOUT_PROGRAMS = [workload for workload in WORKLOADS if workload.kind != "program"]


def name_of(workload: Workload) -> str:
    return workload.name


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(WORKLOADS)


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_every_form_has_one_goal(workload: Workload) -> None:
    assert workload.variants
    for variant in workload.variants:
        goals = (variant.share, variant.limit, variant.accuracy)
        assert sum(goal is not None for goal in goals) == 1, variant
    if any(variant.share is not None for variant in workload.variants):
        assert workload.peers
    assert set(workload.peers) <= set(PEERS)


@pytest.mark.parametrize("workload", WITHOUT_PROGRAMS, ids=name_of)
def test_chainrule_can_do_every_form(workload: Workload) -> None:
    assert set(ours.WORK[workload.name]) == {variant.name for variant in workload.variants}


def test_nothing_is_prepared_that_no_workload_asks_for() -> None:
    assert set(ours.WORK) == {workload.name for workload in WITHOUT_PROGRAMS}


@pytest.mark.parametrize("peer", PEERS)
def test_peers_name_the_forms_that_workloads_ask_for(peer: str) -> None:
    # Read, not imported: the peers live in environments of their own.
    source = (ROOT / "benchmarks" / "peers" / f"{peer}_side.py").read_text("utf-8")
    assert "\nWORK" in source
    for workload in WITHOUT_PROGRAMS:
        for form in workload.peers.get(peer, ()):
            assert f'"{form}"' in source, (workload.name, form)


def test_peers_programs_exist() -> None:
    for workload in WORKLOADS:
        if workload.kind == "program":
            for peer in workload.peers:
                option, module = workload.program_of(peer)
                assert option == "-m"
                assert (ROOT / f"{module.replace('.', '/')}.py").is_file()
    assert BY_NAME["memory"].program == BY_NAME["cold"].program
    assert BY_NAME["memory"].peer_program == BY_NAME["cold"].peer_program


def test_command_line() -> None:
    given = parse(["--peer", f"jax={sys.executable}", "--workloads", "seed", "--repeats", "2"])
    assert given.peers["jax"] == sys.executable
    assert (given.workloads, given.repeats, given.sweep) == (["seed"], 2, None)
    assert parse([]).workloads == list(BY_NAME)
    assert parse(["--sweep"]).sweep == list(SWEEPS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peer", f"caffe={sys.executable}"], "unknown peer 'caffe'"),
        (["--peer", "jax=/nowhere/python"], "no interpreter"),
        (["--workloads", "sead"], "unknown name 'sead'"),
        (["--sweep", "height"], "unknown name 'height'"),
        (["--without", "torch:quick"], "unknown name 'torch:quick'"),
        (["--repeats", "0"], "above zero"),
        (["--mnist", "/nowhere"], "no folder /nowhere"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
    assert message in capsys.readouterr().err


def test_forms_begin_with_chainrules() -> None:
    forms = all_forms(BY_NAME["tape"])
    assert forms[:3] == [("chainrule", "eager"), ("chainrule", "jit"), ("torch", "eager")]


def test_repeated_work_is_divided_by_its_count() -> None:
    counts = []
    sample = repeated(counts.append, 0.001)
    measured = sample()
    assert isinstance(measured, Measured)
    assert counts[0] == 3
    assert measured.value * counts[-1] < 1.0


def test_a_side_answers_through_the_pipe() -> None:
    with Side(sys.executable, "benchmarks.peers.numpy_side", "matmul_512") as side:
        assert "numpy" in side.versions
        with pytest.raises(SideError, match="KeyError"):
            side.prepare("sorting")


def test_a_side_that_cannot_start_says_why() -> None:
    with pytest.raises(SideError, match="invalid choice"):
        Side(sys.executable, "benchmarks.peers.numpy_side", "gardening")


def test_programs_are_timed_and_weighed() -> None:
    run = run_program([sys.executable, "-c", "x = bytearray(64 << 20)"], sys.executable)
    assert run.seconds > 0
    assert run.memory is None or 64 < run.memory < 200
    with pytest.raises(SideError, match="ZeroDivisionError"):
        run_program([sys.executable, "-c", "1 / 0"], sys.executable)


def test_processes_may_keep_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    program = "import sys; assert not sys.dont_write_bytecode"
    run_program([sys.executable, "-c", program], sys.executable)


def test_sweeps_vary_one_thing() -> None:
    assert [net for value, net in nets("depth") if value == 2] == [Net()]
    for name in SWEEPS:
        assert all(getattr(net, name) == value for value, net in nets(name))


def test_flops_of_a_step() -> None:
    # One layer: forward and weight gradient. Two: also the deltas of the first.
    assert Net(width=10, batch=3, depth=1).flops == 2 * (2 * 3 * 10 * 10)
    assert Net(width=10, batch=3, depth=2).flops == 5 * (2 * 3 * 10 * 10)


@pytest.mark.parametrize("fused", [True, False])
def test_code_of_the_arithmetic_limit_is_accepted(fused: bool) -> None:
    llvm = pytest.importorskip("chainrule.backends.cpu.llvm")
    text = peak_ir(4, 6, fused)
    assert b"peak" in llvm.compile_object(text)
    assert text.count("llvm.fma" if fused else "fmul") >= 6


def test_the_machine_is_named() -> None:
    facts = describe()
    assert facts["processor"]
    assert facts["cores"] >= 1
    cores = OtherWork().cores()
    assert cores is None or cores >= 0


def test_sides_are_measured_in_turns_and_what_fails_is_noted() -> None:
    workload = replace(BY_NAME["matmul_512"], variants=(Variant("jit", 1.0), Variant("gone", 1.0)))
    said: list[str] = []
    runner = Runner(sys.executable, {"numpy": sys.executable}, 2, 0.001, [], said.append)
    runner.run(workload)
    (result,) = runner.results
    assert [len(series.samples) for series in result.series] == [2, 0, 2]
    assert "KeyError" in result.of("chainrule", "gone").error
    measured = [text.split(":")[1].split(",")[0].strip() for text in said if " of 2" in text]
    assert measured == ["chainrule jit", "numpy BLAS", "numpy BLAS", "chainrule jit"]


def test_work_on_a_folder_is_left_out_without_it() -> None:
    said: list[str] = []
    runner = Runner(sys.executable, {}, 1, 0.001, [], said.append)
    runner.run(BY_NAME["mnist"])
    assert runner.results == []
    assert said == ["mnist: left out, --mnist is not given"]


def write_idx(path: Path, lengths: list[int], values: list[int], packed: bool) -> None:
    header = bytes([0, 0, 8, len(lengths)])
    header += b"".join(length.to_bytes(4, "big") for length in lengths)
    content = header + bytes(values)
    path.write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [True, False])
def test_digits_are_read_packed_or_not(tmp_path: Path, packed: bool) -> None:
    ending = ".gz" if packed else ""
    for part, count in (("train", 2), ("t10k", 1)):
        pixels = [place % 256 for place in range(count * 784)]
        write_idx(tmp_path / f"{part}-images-idx3-ubyte{ending}", [count, 28, 28], pixels, packed)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte{ending}", [count], [7] * count, packed)
    split = data.mnist(tmp_path)
    assert split.x.shape == (2, 28, 28, 1)
    assert split.x_check.shape == (1, 28, 28, 1)
    assert split.x[0, 9, 3, 0] == 1.0  # the 256th pixel
    assert split.y.tolist() == [7, 7]


def test_growth_is_the_peak_and_not_what_is_left() -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux forgets a peak")

    def build(options: Options) -> Sample:
        return lambda: Measured(len(np.ones(40 << 17)))  # 40 MiB for a moment

    assert 38 < growth(build)(Options())().value < 60


def test_a_folder_must_be_named(tmp_path: Path) -> None:
    assert Options(data=tmp_path).folder() == tmp_path
    with pytest.raises(ValueError, match="name it"):
        Options().folder()
