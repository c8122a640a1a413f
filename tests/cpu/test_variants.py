"""Code for every kind of processor: run where this machine can, else emulated or read."""

import functools
import re
import shutil
import subprocess

import numpy as np
import pytest
from test_cpu_backend import traced
from test_random_graphs import assert_close

import chainrule as cr
from chainrule.backends import BACKENDS, cpu
from chainrule.backends.cpu import executable, llvm, program
from chainrule.backends.cpu.plan import Plan
from chainrule.backends.cpu.runtime import runtime_text
from chainrule.backends.cpu.target import TARGETS
from chainrule.graph.widen import widened
from chainrule.training.step import TrainingStep

COMPILER = shutil.which("aarch64-linux-gnu-gcc")
EMULATOR = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")


@pytest.fixture(params=sorted(set(TARGETS) - {"neon"}))
def variant(request, monkeypatch):
    """Programs are made for this kind of processor, and only for what every one of it has."""
    if request.param not in llvm.runnable_variants():
        pytest.skip("this machine cannot run that code")
    monkeypatch.setattr(executable, "host_target", lambda: TARGETS[request.param])
    load = functools.partial(program.library, variant=request.param)
    monkeypatch.setattr(program, "library", load)
    return request.param


def dense():
    layers = [cr.layers.Dense(65, activation="relu"), cr.layers.LayerNormalization()]
    return cr.Sequential([*layers, cr.layers.Dense(33, activation="gelu"), cr.layers.Dense(5)])


def regularized():
    layers = [cr.layers.Dense(40), cr.layers.BatchNormalization(), cr.layers.Dropout(0.3)]
    return cr.Sequential([*layers, cr.layers.Dense(5, activation="softmax")])


def tiny():
    return cr.Sequential([cr.layers.Dense(10, activation="tanh"), cr.layers.Dense(1)])


STEPS = {
    "dense": (dense, 50, 20, 5, "cross_entropy", "adam"),
    "regularized": (regularized, 33, 17, 5, "cross_entropy", cr.optimizers.SGD(0.1, momentum=0.9)),
    "tiny": (tiny, 300, 10, 0, "mse", "adam"),
}


def training_step(name):
    """The graph of a whole training step in float32, and numbers for it."""
    make, rows, features, classes, loss, optimizer = STEPS[name]
    generator = np.random.default_rng(7)
    x = generator.standard_normal((rows, features)).astype("float32")
    y = generator.integers(0, classes, rows) if classes else x[:, :1] * 2
    model = make()
    with cr.settings(backend="reference"):
        model.tree_seed = 3
        model(x)
        metrics = [cr.metrics.get("accuracy")] if classes else []
        loss, optimizer = cr.losses.get(loss), cr.optimizers.get(optimizer)
        for metric in metrics:
            metric.adapt_to(loss)
        optimizer.build(model.trainable_variables)
        step = TrainingStep(model, loss, optimizer, metrics)
        (compiled,) = [step._compiled._program((x, y, None), {})]
    (graph,) = step._compiled.graphs
    made, arrays = compiled
    return graph, [*arrays, *made._state()]


@pytest.mark.parametrize("name", list(STEPS))
def test_whole_training_steps(name, variant):
    graph, inputs = training_step(name)
    wide = [x.astype("float64") if x.dtype.kind == "f" else x for x in inputs]
    expected = BACKENDS["reference"](widened(graph)).run(wide)
    assert_close(cpu.compile(graph).run(inputs), expected, "float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_of_few_rows_and_columns(variant, dtype):
    """Numbers that are whole, so that every order of adding is exact."""
    generator = np.random.default_rng(1)
    for n, m, k in [(4, 3, 4), (1, 1, 1), (5, 2, 9), (3, 5, 16), (7, 6, 3), (17, 7, 8), (2, 9, 33)]:
        x, y = (generator.integers(-9, 9, s).astype(dtype) for s in ((n, k), (k, m)))
        expected = x @ y

        def products(x, y, xt, yt):
            return x @ y, xt.T @ y, x @ yt.T, xt.T @ yt.T

        inputs = [x, y, np.ascontiguousarray(x.T), np.ascontiguousarray(y.T)]
        for found in cpu.compile(traced(products, inputs)).run(inputs):
            np.testing.assert_array_equal(found, expected, err_msg=f"{n}, {m}, {k}")


# ---- AArch64


@pytest.fixture
def neon(monkeypatch):
    """Modules are written for AArch64."""
    machine = llvm.machine
    monkeypatch.setattr(llvm, "machine", lambda variant=None: machine(variant or "neon"))


@pytest.mark.parametrize("name", list(STEPS))
def test_whole_training_steps_are_neon_code(name, neon):
    graph, _ = training_step(name)
    text = llvm.assembly(program.module_text(Plan(graph, TARGETS["neon"])), "neon")
    assert len(re.findall(r"\bfmla\tv\d+\.4s", text)) > 20
    assert not re.search(r"[xyz]mm\d", text)
    # No function is called but those that programs bring along.
    called = set(re.findall(r"\bbl\t(\w+)", text)) - set(re.findall(r"^(\w+):", text, re.MULTILINE))
    assert all(name.startswith("chainrule_") or name in llvm._SYSTEM for name in called)


MAIN = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
void chainrule_once(void *entry, void **buffers);
void program(void **buffers, int64_t thread, int64_t threads, void *control);
int main(void) {
    int64_t count, head[2];
    if (fread(&count, 8, 1, stdin) != 1) return 1;
    void **buffers = calloc(count, sizeof(void *));
    int64_t (*heads)[2] = calloc(count, sizeof head);
    for (int64_t i = 0; i < count; i++) {
        if (fread(heads[i], 8, 2, stdin) != 2) return 2;
        buffers[i] = aligned_alloc(128, (heads[i][0] / 128 + 2) * 128);
        memset(buffers[i], 255, (heads[i][0] / 128 + 2) * 128);
        if (heads[i][1] == 1 && fread(buffers[i], 1, heads[i][0], stdin) != heads[i][0]) return 3;
        if (heads[i][1] == 3) buffers[i] = 0;
    }
    chainrule_once(program, buffers);
    for (int64_t i = 0; i < count; i++)
        if (heads[i][1] == 2) fwrite(buffers[i], 1, heads[i][0], stdout);
    return 0;
}
"""


def packed(plan, inputs):
    """What the emulated program reads: each buffer's bytes and kind, and its numbers if it has any.

    Kinds: 0 memory, 1 given, 2 wanted, 3 a flag that is 0.
    """
    given = {view.buffer: x for view, x in zip(plan.inputs, inputs, strict=True)}
    kinds = {"output": 2, "flag": 3}
    parts = [np.array([len(plan.buffers)])]
    for number, buffer in enumerate(plan.buffers):
        array = given.get(number, buffer.array)
        kind = 1 if array is not None else kinds.get(buffer.kind, 0)
        parts.append(np.array([buffer.size * buffer.dtype.itemsize, kind]))
        if array is not None:
            parts.append(np.ascontiguousarray(array))
    return b"".join(part.tobytes() for part in parts)


@pytest.mark.skipif(not (COMPILER and EMULATOR), reason="needs aarch64-linux-gnu-gcc and qemu-user")
@pytest.mark.parametrize("name", list(STEPS))
def test_whole_training_steps_on_an_emulated_processor(name, neon, tmp_path):
    graph, inputs = training_step(name)
    plan = Plan(graph, TARGETS["neon"])
    for place, text in [("program.o", program.module_text(plan)),
                        ("runtime.o", runtime_text("aarch64", "linux"))]:  # fmt: skip
        (tmp_path / place).write_bytes(llvm.compile_object(text, "neon"))
    (tmp_path / "main.c").write_text(MAIN)
    files = [str(tmp_path / place) for place in ("main.c", "program.o", "runtime.o")]
    binary = str(tmp_path / "step")
    subprocess.run([COMPILER, "-static", "-O1", "-o", binary, *files, "-lm"], check=True)
    done = subprocess.run(
        [EMULATOR, binary], input=packed(plan, inputs), capture_output=True, check=True
    )
    outputs = {}
    start = 0
    for number, buffer in enumerate(plan.buffers):
        if buffer.kind == "output":
            outputs[number] = np.frombuffer(done.stdout, buffer.dtype, buffer.size, start)
            start += outputs[number].nbytes
    assert start == len(done.stdout)
    found = [outputs[view.buffer].reshape(view.shape) for view in plan.outputs]
    wide = [x.astype("float64") if x.dtype.kind == "f" else x for x in inputs]
    expected = BACKENDS["reference"](widened(graph)).run(wide)
    assert_close(found, expected, "float32")
