"""The workloads: what is done, by whom, and what chainrule must reach.

A goal is a share of the best peer's median, a limit in the workload's unit, or an accuracy.
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
        accuracy: at least this, whatever the time.
    """

    name: str
    share: float | None = None
    limit: float | None = None
    accuracy: float | None = None


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
        peer_program: the name of the peers' programs, for kind "program".
        by_score: the peer goes first and chainrule works to the accuracy that it reached.
        folder: the option of the command line that names the folder to read, if one is read.
    """

    name: str
    title: str
    variants: tuple[Variant, ...]
    peers: Mapping[str, tuple[str, ...]]
    kind: Kind = "served"
    measure: Measure = "seconds"
    program: tuple[str, ...] = ()
    peer_program: str = ""
    by_score: bool = False
    folder: str = ""

    def program_of(self, peer: str) -> tuple[str, ...]:
        """The arguments that make a peer's interpreter run its program."""
        return ("-m", f"benchmarks.programs.{self.peer_program}_{peer}")


_SEED_PROGRAM = ("-m", "benchmarks.programs.seed_chainrule")
_CNN_PROGRAM = ("-m", "benchmarks.programs.cnn_chainrule")
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
_PICTURE_STEPS = {
    "torch": ("fused", "channels last", "compiled", "compiled, channels last"),
    "jax": ("jit",),
    "tensorflow": ("function", "XLA"),
}
_TORCH_STEPS = {"torch": _PICTURE_STEPS["torch"]}
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
        peer_program="seed",
    ),
    Workload(
        "memory",
        "peak memory of the same program",
        (Variant(_WARM, 0.5), Variant(_COLD, 0.5)),
        _WHOLE,
        "program",
        "memory",
        program=_SEED_PROGRAM,
        peer_program="seed",
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
    Workload(
        "cnn",
        "step of two convolutions with pooling, 28x28x1, batch 64",
        (Variant("steps", 0.60), Variant("fit", 0.60)),
        _PICTURE_STEPS,
    ),
    Workload(
        "resnet20",
        "step of ResNet-20, 32x32x3, batch 64",
        (Variant("steps", 0.80),),
        _PICTURE_STEPS,
    ),
    Workload(
        "mobilenet",
        "step of a small MobileNet, 32x32x3, batch 64",
        (Variant("steps", 0.80),),
        _PICTURE_STEPS,
    ),
    Workload(
        "lstm",
        "step of an LSTM of 128 units, 64 steps of 32 numbers, batch 32",
        (Variant("steps", 0.62),),
        _STEPS,
    ),
    Workload(
        "gru",
        "step of a GRU of 128 units, 64 steps of 32 numbers, batch 32",
        (Variant("steps", 0.45),),
        _STEPS,
    ),
    Workload(
        "transformer",
        "step of a transformer block of width 128, 4 heads, 64 tokens, batch 32",
        (Variant("steps", 0.80),),
        _STEPS,
    ),
    Workload(
        "ctc",
        "CTC loss and gradient, 100 frames of 30 classes, up to 20 labels, batch 32",
        (Variant("jit", 0.80),),
        {"torch": ("eager", "eager, one thread"), "jax": ("jit",), "tensorflow": ("function",)},
    ),
    Workload(
        "cnn_memory",
        "peak memory of a program of 100 steps of the two convolutions",
        (Variant(_WARM, 1.0), Variant(_COLD, 1.0)),
        {"torch": ("program",)},
        "program",
        "memory",
        program=_CNN_PROGRAM,
        peer_program="cnn",
    ),
    Workload(
        "cnn_growth",
        "the same over the memory after the imports",
        (Variant(_WARM, 1.0), Variant(_COLD, 1.0)),
        _TORCH_STEPS,
        "fresh",
        "memory",
    ),
    Workload(
        "compile_cnn",
        "compile of the step of the two convolutions",
        (Variant(_COLD, limit=0.5), Variant(_WARM, limit=0.1)),
        {},
        "fresh",
    ),
    Workload(
        "compile_lstm",
        "compile of the step of the LSTM",
        (Variant(_COLD, limit=1.0), Variant(_WARM, limit=0.1)),
        {},
        "fresh",
    ),
    Workload(
        "compile_resnet20",
        "compile of the step of ResNet-20",
        (Variant(_COLD, limit=2.0), Variant(_WARM, limit=0.1)),
        {},
        "fresh",
    ),
    Workload(
        "mnist",
        "small_cnn on the digits of --mnist, 5 epochs, compile included",
        (Variant(_WARM, accuracy=0.975), Variant(_COLD, accuracy=0.975)),
        _PICTURE_STEPS,
        "fresh",
        folder="mnist",
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
