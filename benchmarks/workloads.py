"""The workloads: what is done, by whom, and what chainrule must reach.

A goal is a share of the best peer's median, or a limit in the workload's unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent

OURS = "chainrule"

#: How the samples of a workload are taken.
#: served: the sides keep their programs ready and are measured in turns.
#: fresh: every sample is taken in a new process, whose start is not counted.
#: program: a whole process, from start to exit.
Kind = Literal["served", "fresh", "program"]

#: Which number of a program counts.
Measure = Literal["seconds", "memory"]


@dataclass(frozen=True)
class Variant:
    """One of chainrule's ways to do a workload.

    Args:
        name: the key of the work in ``benchmarks.ours``.
        share: at most this share of the best peer's figure.
        limit: at most this many seconds.
    """

    name: str
    share: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Workload:
    """One row or more of the table.

    Args:
        name: the key on the command line.
        title: what is done, with the unit of work.
        variants: chainrule's.
        peers: variants of each peer by its name.
        kind: how samples are taken.
        measure: which number of a program counts.
        program: chainrule's program and its arguments, for kind "program".
        by_score: the peer goes first and chainrule works to the accuracy that it reached.
    """

    name: str
    title: str
    variants: tuple[Variant, ...]
    peers: Mapping[str, tuple[str, ...]]
    kind: Kind = "served"
    measure: Measure = "seconds"
    program: tuple[str, ...] = ()
    by_score: bool = False


def peer_program(peer: str) -> tuple[str, ...]:
    """The arguments that make a peer's interpreter run the seed program."""
    return (str(ROOT / "benchmarks" / "programs" / f"seed_{peer}.py"),)


_SEED_PROGRAM = ("-m", "benchmarks.programs.seed_chainrule")
_COMMAND = (
    "-c", "import sys, chainrule.cli; sys.exit(chainrule.cli.main())", "train",
    str(ROOT / "examples" / "penguins.csv"), "--target", "species", "--out", "{folder}/model",
)  # fmt: skip
_WARM, _COLD = "cache warm", "cache cold"
_STEPS = {
    "torch": ("eager", "fused", "fused, one thread", "compiled"),
    "jax": ("jit", "scan"),
    "tensorflow": ("function", "XLA"),
}
_WHOLE = dict.fromkeys(_STEPS, ("program",))
_BLAS = {"numpy": ("BLAS",), "torch": ("mm",)}
_SKLEARN = {"sklearn": ("MLPClassifier",)}
_TORCH_ROW = {"torch": ("inference mode",)}

WORKLOADS: tuple[Workload, ...] = (
    Workload(
        "seed", "step of 10-10-1, 1000 rows", (Variant("steps", 0.15), Variant("fit", 0.15)), _STEPS
    ),
    Workload(
        "mlp",
        "step of 784-512-512-10, batch 128",
        (Variant("steps", 0.72), Variant("fit", 0.72)),
        _STEPS,
    ),
    Workload(
        "cold",
        "examples/simple_nn.py with fit, process start to exit",
        (Variant(_WARM, 0.20), Variant(_COLD, 0.30)),
        _WHOLE,
        "program",
        program=_SEED_PROGRAM,
    ),
    Workload(
        "memory",
        "peak memory of the same program",
        (Variant(_WARM, 0.5), Variant(_COLD, 0.5)),
        _WHOLE,
        "program",
        "memory",
        program=_SEED_PROGRAM,
    ),
    Workload(
        "tape",
        "the article's tape loop, an epoch",
        (Variant("eager", 1.0), Variant("jit", 0.25)),
        {"torch": ("eager", "eager, one thread")},
    ),
    Workload("predict_10", "predict of one row, 10-10-1", (Variant("predict", 0.5),), _TORCH_ROW),
    Workload(
        "predict_64", "predict of one row, 10-64-64-1", (Variant("predict", 0.5),), _TORCH_ROW
    ),
    Workload(
        "images",
        "fit of 60,000x784, 784-128-10, batch 64, 3 epochs, compile included",
        (Variant(_WARM, 0.7), Variant(_COLD, 0.7)),
        {"torch": _STEPS["torch"][1:], "jax": ("jit", "scan"), "tensorflow": ("function", "XLA")},
        "fresh",
    ),
    Workload(
        "digits",
        "classifier on digits to the peer's accuracy",
        (Variant("fit", 0.5),),
        _SKLEARN,
        "fresh",
        by_score=True,
    ),
    Workload(
        "letters",
        "classifier on 16,000x16, 26 classes, to the peer's accuracy",
        (Variant("fit", 0.5),),
        _SKLEARN,
        "fresh",
        by_score=True,
    ),
    Workload(
        "compile",
        "compile of the mlp step: trace, passes, code",
        (Variant(_COLD, limit=0.3), Variant(_WARM, limit=0.05)),
        {},
        "fresh",
    ),
    Workload("matmul_512", "product of 512x512", (Variant("jit", 1 / 0.9),), _BLAS),
    Workload("matmul_1024", "product of 1024x1024", (Variant("jit", 1 / 0.9),), _BLAS),
    Workload(
        "second_fit",
        "second fit of an architecture, one step, whole call",
        (Variant("10-10-1", limit=0.005), Variant("784-512-512-10", limit=0.005)),
        {},
    ),
    Workload(
        "command",
        "chainrule train on the penguins, process start to exit",
        (Variant(_WARM, limit=1.0),),
        {},
        "program",
        program=_COMMAND,
    ),
)

BY_NAME = {workload.name: workload for workload in WORKLOADS}

#: Peers that chainrule's own interpreter can run.
OWN_PEERS = ("numpy", "sklearn")
PEERS = (*_STEPS, *OWN_PEERS)


def all_forms(workload: Workload) -> list[tuple[str, str]]:
    """Every side and form of a workload, chainrule's first."""
    ours = [(OURS, variant.name) for variant in workload.variants]
    return ours + [(peer, form) for peer, forms in workload.peers.items() for form in forms]


def is_cold(variant: str) -> bool:
    """Whether a variant must find nothing in the cache of compiled programs."""
    return variant == _COLD
