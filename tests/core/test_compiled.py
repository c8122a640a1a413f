"""Compiled graphs are used again: by what they compute, not by who asks."""

import gc
import threading
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule.backends import BACKENDS, Backend, reference
from chainrule.backends.compiled import Compilations
from chainrule.graph import GraphBuilder
from chainrule.graph import operations as ops
from chainrule.graph.fingerprint import fingerprint

FLOAT = np.dtype("float32")


@pytest.fixture
def compiled_graphs(monkeypatch):
    """The graphs that the back end is asked to compile, none of which was compiled before."""
    graphs = []
    original = BACKENDS["cpu"]

    def compile_graph(graph):
        graphs.append(graph)
        return original(graph)

    monkeypatch.setitem(BACKENDS, "cpu", Backend(compile_graph))
    return graphs


def network(slope=0.1, l2=None, units=3):
    hidden = cr.layers.Dense(units, activation=lambda x: cr.where(x > 0, x, x * slope), l2=l2)
    return cr.Sequential([hidden, cr.layers.Dropout(0.5), cr.layers.Dense(1)])


def train(model, rows=32, seed=0, dtype="float32", batch_size=8, **options):
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(rows, 4)).astype(dtype), random.normal(size=(rows, 1)).astype(dtype)
    history = model.fit(x, y, loss="mse", epochs=2, batch_size=batch_size, seed=seed, **options)
    return model.predict(x), history["loss"]


def test_a_model_of_the_same_structure_runs_the_same_program(compiled_graphs):
    first = train(network())
    count = len(compiled_graphs)
    assert count > 0
    other = train(network(), seed=1)
    assert len(compiled_graphs) == count
    assert not np.array_equal(first[0], other[0])
    again = train(network())
    assert len(compiled_graphs) == count
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] == again[1]


def test_the_program_outlives_the_model_that_it_was_made_for(compiled_graphs):
    model = network()
    train(model)
    count, gone = len(compiled_graphs), weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    train(network(), seed=1)
    assert len(compiled_graphs) == count


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (lambda: network(slope=0.2), {}),
        (lambda: network(l2=0.1), {}),
        (lambda: network(units=4), {}),
        (network, {"batch_size": 16}),
        (network, {"rows": 40, "batch_size": None}),
        (network, {"optimizer": "sgd"}),
        (network, {"metrics": ["mae"]}),
        (lambda: cr.Sequential([*network().layers], dtype="float64"), {"dtype": "float64"}),
    ],
)
def test_what_computes_something_else_is_another_program(compiled_graphs, model, options):
    train(network())
    count = len(compiled_graphs)
    train(model(), **options)
    assert len(compiled_graphs) > count


def test_constants_are_told_apart_by_content(compiled_graphs):
    def added(values):
        jitted = cr.jit(lambda x: x + cr.tensor(values))
        return jitted(np.zeros(values.shape, values.dtype)).numpy()

    small, large = np.zeros(3, "float32"), np.zeros(10_000, "float32")
    for values in (small, large):
        before = len(compiled_graphs)
        added(values)
        added(values.copy())
        assert len(compiled_graphs) == before + 1
        changed = values.copy()
        changed[-1] = 1
        np.testing.assert_array_equal(added(changed), changed)
        assert len(compiled_graphs) == before + 2


def test_each_back_end_and_each_check_compiles_for_itself(compiled_graphs):
    def run():
        return cr.jit(lambda x: x * 3 - 1)(np.ones(2, "float32")).tolist()

    assert run() == [2.0, 2.0]
    with cr.settings(backend="reference"):
        assert run() == [2.0, 2.0]
    assert len(compiled_graphs) == 1
    with cr.settings(check="debug"):
        run()
    assert len(compiled_graphs) == 2


def graph_of(apply, shape=(2,), dtype=FLOAT, scope="", name="graph"):
    builder = GraphBuilder(name)
    x = builder.input(shape, np.dtype(dtype), f"{scope}/x")
    with builder.scoped(scope):
        return builder.finish([apply(x)])


def test_fingerprint_sees_every_bit_and_no_name():
    graphs = [
        graph_of(lambda x: x * 0.0),
        graph_of(lambda x: x * -0.0),
        graph_of(lambda x: 0.0 * x),
        graph_of(lambda x: x + 0.0),
        graph_of(lambda x: x * 0.0, dtype="float64"),
        graph_of(lambda x: x * 0.0, shape=(2, 1)),
        graph_of(ops.exp),
        graph_of(ops.exp, dtype="float64"),
        graph_of(lambda x: ops.pad(x, (1,), (0,), (0,), 0.0)),
        graph_of(lambda x: ops.pad(x, (1,), (0,), (0,), -0.0)),
        graph_of(lambda x: ops.pad(x, (0,), (1,), (0,), 0.0)),
        graph_of(lambda x: ops.convert(x, np.dtype("float64"))),
        graph_of(lambda x: ops.convert(x, np.dtype("int32"))),
        graph_of(lambda x: ops.concatenate([x, ops.exp(x)], 0)),
        graph_of(lambda x: ops.concatenate([ops.exp(x), x], 0)),
    ]
    assert len({fingerprint(graph) for graph in graphs}) == len(graphs)
    named = graph_of(lambda x: x * 0.0, scope="encoder/dense")
    assert fingerprint(named) == fingerprint(graphs[0])


def test_a_shared_program_is_explained_with_the_names_of_the_model_that_asks(compiled_graphs):
    class Net(cr.Model):
        def __init__(self, name):
            super().__init__()
            setattr(self, name, cr.layers.Activation("tanh"))

        def call(self, inputs):
            return self.layers[0](inputs)

    x = np.ones((2, 4), "float32")
    functions = {}
    for name in ("encoder", "decoder"):
        model = Net(name)
        model(x)
        functions[name] = cr.jit(model)
        functions[name](x)
    assert len(compiled_graphs) == 1
    for name, other in (("encoder", "decoder"), ("decoder", "encoder")):
        shown = functions[name].explain()
        assert name in shown
        assert other not in shown
        text = str(functions[name].graphs[0])
        assert f"# {name}" in text
        assert other not in text
    a, b = (f._programs[next(iter(f._programs))].executable for f in functions.values())
    assert a is b


class FakeExecutable:
    def __init__(self, graph, memory_bytes=0):
        self.graph = graph
        self.memory_bytes = memory_bytes

    def explain(self):
        return ""


def test_few_programs_are_kept():
    cache = Compilations(most=3)
    made = []

    def compile_graph(graph):
        made.append(graph.inputs[0].shape)
        return FakeExecutable(graph)

    def get(n):
        return cache.get(graph_of(ops.exp, (n,)), Backend(compile_graph))

    for n in (1, 2, 3, 1, 4):
        get(n)
    assert made == [(1,), (2,), (3,), (4,)]
    assert len(cache) == 3
    gc.collect()
    get(1)
    assert len(made) == 4, "what was used last is kept"
    get(2)
    assert made[4:] == [(2,)], "what was not used for longest has gone"


def test_what_programs_hold_is_bounded_and_those_in_use_are_found():
    cache = Compilations(most_bytes=1000_000)
    gone = []

    def compile_graph(graph):
        executable = FakeExecutable(graph, 400_000 * graph.inputs[0].shape[0])
        gone.append(weakref.ref(executable))
        return executable

    def get(n):
        return cache.get(graph_of(ops.exp, (n,)), Backend(compile_graph))

    def alive():
        gc.collect()
        return [executable() is not None for executable in gone]

    get(1)
    get(2)
    assert alive() == [False, True]
    large = get(3)
    assert alive() == [False, False, True]
    assert len(cache) == 0
    assert get(3).executable is large.executable
    assert len(gone) == 3
    del large
    assert alive() == [False, False, False]


def test_constants_count_as_memory():
    cache = Compilations(most_bytes=1000_000)
    for value in range(5):
        array = np.full(100_000, value, "float32")
        graph = graph_of(lambda x, array=array: x + x.owner.constant(array), (100_000,))
        cache.get(graph, BACKENDS["reference"])
    assert len(cache) == 2


def test_threads_that_race_get_one_executable():
    cache, barrier, found = Compilations(), threading.Barrier(4), []

    def compile_graph(graph):
        barrier.wait()  # nobody is done before all have begun
        return reference.compile(graph)

    def get():
        found.append(cache.get(graph_of(ops.exp), Backend(compile_graph)).executable)

    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(map(id, found))) == 1
    assert len(cache) == 1


def test_two_models_train_in_two_threads_on_one_program():
    expected = [train(network(), seed=seed, rows=400) for seed in range(4)]
    found = [None] * 4

    def run(seed):
        found[seed] = train(network(), seed=seed, rows=400, verbose=0)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1] == other[1]
