"""What is kept of compiled graphs besides their code: read back, refused when wrong, used again."""

import json
import sys
from dataclasses import fields

import numpy as np
import pytest

import chainrule as cr
from chainrule.backends import BACKENDS, Repetition
from chainrule.backends.compiled import Compilations
from chainrule.backends.cpu import cache, executable
from chainrule.backends.cpu.blueprint import from_bytes, to_bytes
from chainrule.backends.cpu.plan import Plan
from chainrule.backends.cpu.target import host_target
from chainrule.training.step import TrainingStep

TABLE = np.arange(12.0).reshape(3, 4)
HEAD = 8


@pytest.fixture
def folder(tmp_path):
    """The folder that compiled programs go to; memory is empty."""
    before = cache.default_folder()
    cache.use_folder(tmp_path / "objects")
    yield tmp_path / "objects"
    cache.use_folder(before)


def traced(function, inputs):
    jitted = cr.jit(function)
    with cr.settings(backend="reference"):
        jitted(*inputs)
    return jitted.graphs[0]


def updates(w, count, x):
    """A step of descent: one output may stand where its input stood, and one is no step at all."""
    with cr.GradientTape() as tape:
        tape.watch(w)
        loss = cr.square(x @ w - cr.tensor(TABLE)).mean()
    return w - 0.1 * tape.gradient(loss, w), count + 1, loss, cr.zeros((3, 0))


INPUTS = [np.full((5, 4), 0.5), np.array(3), np.linspace(-1, 1, 15).reshape(3, 5)]


def tiny_step():
    """A training step of a small network, which arranges the rows once for many steps."""
    model = cr.Sequential([cr.layers.Dense(10, activation="tanh"), cr.layers.Dense(1)])
    x = np.random.default_rng(0).normal(size=(300, 10)).astype("float32")
    y = x[:, :1] * 2
    with cr.settings(backend="reference"):
        model.tree_seed = 1
        model(x)
        optimizer = cr.optimizers.Adam()
        optimizer.build(model.trainable_variables)
        step = TrainingStep(model, cr.losses.get("mse"), optimizer)
        program, arrays = step._compiled._program((x, y, None), {})
    (graph,) = step._compiled.graphs
    return graph, [*arrays, *program._state()], program._carried


def kept(graph):
    _, found = executable.build(Plan(graph, host_target()))
    return found


def compiled_anew(graph):
    return Compilations().get(graph, BACKENDS["cpu"]).executable


def assert_equal(found, expected):
    for x in fields(expected):
        a, b = getattr(found, x.name), getattr(expected, x.name)
        if x.name == "constants":
            assert list(a) == list(b)
            assert all(np.array_equal(a[n], b[n]) and a[n].dtype == b[n].dtype for n in b)
        else:
            assert a == type(a)(b), x.name


def assert_same_bits(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


# ---- as bytes


def test_blueprints_come_back():
    blueprints = []
    for graph in (traced(updates, INPUTS), tiny_step()[0]):
        expected = kept(graph)
        found = from_bytes(to_bytes(expected), graph)
        assert found is not None
        assert_equal(found, expected)
        blueprints.append(expected)
    for x in fields(expected):
        assert any(getattr(blueprint, x.name) for blueprint in blueprints) or x.name == "error"


def changed(content, change):
    """The bytes of a blueprint with a change in its description."""
    size = int.from_bytes(content[:HEAD], "little")
    description = json.loads(content[HEAD : HEAD + size])
    change(description)
    text = json.dumps(description).encode()
    return len(text).to_bytes(HEAD, "little") + text + content[HEAD + size :]


def put(*places):
    """A change that puts the last of ``places`` at the others."""

    def change(description):
        *path, last, value = places
        for place in path:
            description = description[place]
        description[last] = value

    return change


CHANGES = {
    **{f"no {name}": lambda d, name=name: d.pop(name) for name in (
        "code", "pieces", "count", "error", "inputs", "outputs", "arena_bytes", "temporaries",
        "constants", "once", "updates", "last_reads", "writes")},
    "a path as code": put("code", "../../../../etc/passwd"),
    "short code": put("code", "abc"),
    "pieces as text": put("pieces", "1"),
    "negative pieces": put("pieces", -1),
    "true pieces": put("pieces", True),
    "a table that fills memory": put("count", 1 << 40),
    "a table that is too small": put("count", 2),
    "an error outside the table": put("error", 1 << 20),
    "an error where an input is": lambda d: d.update(error=d["inputs"][0]),
    "one input too few": lambda d: d["inputs"].pop(),
    "one input twice": lambda d: put("inputs", 1, d["inputs"][0])(d),
    "an output where an input is": lambda d: put("outputs", 0, d["inputs"][0])(d),
    "half a number": put("outputs", 0, 1.0),
    "an arena that fills memory": put("arena_bytes", 1 << 50),
    "an arena that is too small": lambda d: d.update(arena_bytes=d["arena_bytes"] - 1),
    "a temporary outside the arena": put("temporaries", 0, 1, 1 << 30),
    "a temporary before the arena": put("temporaries", 0, 1, -64),
    "a temporary that is not aligned": lambda d: d["temporaries"][0].__setitem__(1, 4),
    "a temporary without a size": lambda d: d["temporaries"][0].pop(),
    "a constant of objects": put("constants", 0, 1, "object"),
    "a larger constant": put("constants", 0, 2, [1 << 40]),
    "a constant of negative size": put("constants", 0, 2, [-1, -1]),
    "a smaller constant": lambda d: [x.__setitem__(2, [0]) for x in d["constants"]],
    "an update of no input": put("updates", [[1 << 20, 0]]),
    "an update of no output": lambda d: d.update(updates=[[d["inputs"][0], d["inputs"][0]]]),
    "a write of no output": lambda d: d.update(writes=[[d["inputs"][0], 0]]),
    "a read of no input": lambda d: d.update(last_reads=[[d["outputs"][0], 0]]),
    "a flag outside the table": put("once", [[1 << 20, []]]),
    "nothing that rests": put("once", [None]),
    "a list for the whole": lambda d: d.update(inputs={}),
}  # fmt: skip


@pytest.mark.parametrize("change", list(CHANGES.values()), ids=list(CHANGES))
def test_a_wrong_description_is_refused(change):
    graph = traced(updates, INPUTS)
    content = to_bytes(kept(graph))
    assert from_bytes(changed(content, lambda d: None), graph) is not None
    assert from_bytes(changed(content, change), graph) is None


def test_other_bytes_are_refused():
    graph = traced(updates, INPUTS)
    content = to_bytes(kept(graph))
    for length in range(len(content)):
        assert from_bytes(content[:length], graph) is None
    assert from_bytes(content + b"0", graph) is None
    for text in (b"[]", b"{}", b"1", b"{" * 100_000, b"[" * 100_000, b"\xff", b'{"count": 1e999}'):
        assert from_bytes(len(text).to_bytes(HEAD, "little") + text, graph) is None
    assert from_bytes(b"\xff" * 100, graph) is None


def test_a_graph_of_other_types_is_refused():
    content = to_bytes(kept(traced(updates, INPUTS)))
    fewer = traced(lambda w, x: updates(w, cr.tensor(1), x), [INPUTS[0], INPUTS[2]])
    assert from_bytes(content, fewer) is None


# ---- used again


def test_an_equal_graph_is_neither_optimised_nor_planned_again(folder, monkeypatch):
    graph, inputs, carried = tiny_step()
    first = compiled_anew(graph)
    steps = Repetition(5, (), carried)
    expected, repeated = first.run(inputs), first.repeat(inputs, steps)
    assert len(list(folder.iterdir())) == 2  # the code, and what else is needed

    def refuse(*_):
        raise AssertionError("planned again")

    monkeypatch.setattr(executable, "Plan", refuse)
    monkeypatch.setattr(sys.modules["chainrule.backends.compiled"], "optimize", refuse)
    for _ in range(2):
        again = compiled_anew(graph)
        assert again.memory_bytes == first.memory_bytes
        assert_same_bits(again.run(inputs), expected)
        assert_same_bits(again.repeat(inputs, steps), repeated)
        cache._objects.clear()
    monkeypatch.undo()
    assert again.explain() == first.explain()


@pytest.mark.parametrize("which", ["description", "code", "both"])
@pytest.mark.parametrize("damage", ["gone", "damaged", "replaced"])
def test_what_is_lost_is_made_again(folder, which, damage):
    graph = traced(updates, INPUTS)
    expected = compiled_anew(graph).run(INPUTS)
    files = sorted(folder.iterdir(), key=lambda file: file.stat().st_size)
    whole = [file.read_bytes() for file in files]
    chosen = {"description": files[:1], "code": files[1:], "both": files}[which]
    for file in chosen:
        content = file.read_bytes()
        if damage == "gone":
            file.unlink()
        elif damage == "damaged":
            file.write_bytes(content[:-3] + b"abc")
        else:  # rightly signed, but something else
            cache._cache().write(file.stem, b"something else")
    cache._objects.clear()
    cache._loaded.clear()
    assert_same_bits(compiled_anew(graph).run(INPUTS), expected)
    assert [file.read_bytes() for file in files] == whole


def test_names_of_descriptions_depend_on_graph_processor_and_compiler(monkeypatch):
    names = {cache.description_name(key, kind) for key in (b"a", b"b") for kind in ("sse", "avx2")}
    monkeypatch.setattr(cache, "_compiler_digest", lambda: "another")
    names.add(cache.description_name(b"a", "sse"))
    assert len(names) == 5


def test_debugging_compiles_anew(folder, monkeypatch):
    graph = traced(updates, INPUTS)
    compiled_anew(graph)
    monkeypatch.setattr(executable, "read_description", lambda name: pytest.fail("read"))
    with cr.settings(check="debug"):
        compiled_anew(graph)
