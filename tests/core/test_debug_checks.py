"""config.check = "debug": planted faults are named, and healthy programs give the same bits."""

import ctypes

import numpy as np
import pytest

import chainrule as cr
from chainrule.backends import BACKENDS, Backend
from chainrule.backends.reference import KERNELS
from chainrule.config import settings
from chainrule.errors import ArgumentError, GraphError, NotFiniteError
from chainrule.losses import cross_entropy, ctc
from chainrule.tensor import scope

X = np.arange(1.0, 9.0, dtype=np.float32).reshape(4, 2)


@pytest.fixture(autouse=True)
def debug():
    with settings(check="debug"):
        yield


def both_ways(function):
    """A function that computes at once, and the same compiled."""
    return {"eager": function, "compiled": cr.jit(function)}


EAGER_AND_COMPILED = pytest.mark.parametrize("way", ["eager", "compiled"])


# ---- numbers that are not finite


@EAGER_AND_COMPILED
def test_a_number_that_is_not_finite_is_named(way):
    def function(x):
        with scope("net/dense_1"):
            return cr.exp(x * 2.0) - 1.0

    call = both_ways(function)[way]
    call(X)
    x = X.copy()
    x[3, 1] = 60.0
    with pytest.raises(NotFiniteError, match=r"\[net/dense_1: exp\].*inf at \(3, 1\) from 120"):
        call(x)
    assert issubclass(NotFiniteError, FloatingPointError)


@EAGER_AND_COMPILED
def test_one_that_is_masked_later_is_named_too(way):
    call = both_ways(lambda x: cr.where(x > 0, cr.log(x), 0.0))[way]
    with pytest.raises(NotFiniteError, match=r"\[log\].*-inf at \(1,\) from 0"):
        call(np.array([1.0, 0.0], "float32"))


@EAGER_AND_COMPILED
def test_what_was_not_finite_from_the_start_may_pass(way):
    def masked(x):
        return cr.softmax(cr.where(x > 2, x, -np.inf))

    call = both_ways(masked)[way]
    np.testing.assert_array_equal(call(X[1:]).numpy().shape, (3, 2))
    with pytest.raises(NotFiniteError, match=r"subtract.*nan at"):  # -inf - -inf
        call(X)
    doubled = both_ways(lambda x: x * 2.0 + 1.0)[way]
    assert np.isnan(doubled(cr.tensor([np.nan])).numpy()).all()


@EAGER_AND_COMPILED
@pytest.mark.parametrize("reverse", [False, True])
def test_the_step_of_a_loop_is_named(way, reverse):
    def function(x):
        with scope("loop"):
            return cr.scan(lambda s, e: (s + cr.sqrt(e), s), cr.zeros((2,)), x, reverse=reverse)[0]

    call = both_ways(function)[way]
    x = X.copy()
    x[2, 1] = -4.0
    with pytest.raises(
        NotFiniteError, match=r"\[loop: sqrt, step 2 of the loop\].*nan at \(1,\) from -4"
    ):
        call(x)


def test_fit_names_the_layer_and_keeps_finite_weights():
    model = cr.Sequential([cr.layers.Dense(3, "relu"), cr.layers.Dense(1, name="last")])
    optimizer = cr.optimizers.SGD(learning_rate=1e18)
    with pytest.raises(NotFiniteError, match="finite numbers made one that is not"):
        model.fit(X, X[:, :1], loss="mse", optimizer=optimizer, epochs=50, seed=0, verbose=0)
    assert all(np.isfinite(v.numpy()).all() for v in model.variables)


# ---- kernels and programs that break the declared types


def broken(monkeypatch, name, change):
    right = KERNELS[name]
    monkeypatch.setitem(KERNELS, name, lambda *x, **attributes: change(right(*x, **attributes)))


@EAGER_AND_COMPILED
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x[:-1], r"got float32\[3, 2\], expected float32\[4, 2\]"),
        (lambda x: x.astype("float64"), r"got float64\[4, 2\], expected float32\[4, 2\]"),
        (lambda x: (x, x), "wrong number of results: got 2, expected 1"),
        (lambda x: x.nothing, "the kernel failed"),
    ],
)
def test_a_kernel_of_another_type_is_named(way, change, words, monkeypatch):
    def function(x):
        with scope("net/dense_1"):
            return cr.tanh(x)

    call = both_ways(function)[way]
    call(X)
    broken(monkeypatch, "tanh", change)
    with pytest.raises(GraphError, match=r"\[net/dense_1: tanh\].*" + words):
        call(X)


class Wrong:
    """A program of a back end that gives wrong results."""

    memory_bytes = 0

    def __init__(self, graph, change):
        self.inner = BACKENDS["reference"](graph)
        self.change = change

    def run(self, inputs):
        return self.change(inputs, self.inner.run(inputs))


def write(inputs, results):
    inputs[0].flags.writeable = True
    inputs[0][0] = 7
    return results


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda _, r: [r[0][:1]], GraphError, r"output 0 \(tanh in layer\)\] wrong type"),
        (lambda _, r: [r[0] / 0], NotFiniteError, "as the reference interpreter gives"),
        (write, GraphError, "wrote to its input 0"),
    ],
)
def test_a_program_that_gives_something_else_is_named(change, error, words, monkeypatch):
    def function(x):
        with scope("layer"):
            return cr.tanh(x)

    monkeypatch.setitem(BACKENDS, "cpu", Backend(lambda graph: Wrong(graph, change)))
    with np.errstate(all="ignore"), pytest.raises(error, match=words):
        cr.jit(function)(X.copy())


# ---- indices


@EAGER_AND_COMPILED
@pytest.mark.parametrize("wrong", [4, -5])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_an_index_out_of_range_is_named(way, wrong, dtype):
    def taken(x, i):
        with scope("net/table"):
            return cr.take(x, i)

    def added(x, i):
        with scope("net/table"):
            return cr.scatter_add(x, i, cr.ones((2, 3, 2)))

    indices = np.array([[0, 1, -4], [3, wrong, 2]], dtype)
    for name, function in {"take": taken, "scatter_add": added}.items():
        call = both_ways(function)[way]
        call(X, np.array([[0, 1, -4], [3, 3, 2]], dtype))
        words = (
            rf"\[net/table: {name}\] index out of range: got {wrong} at \(1, 1\), expected -4 to 3"
        )
        with pytest.raises(ArgumentError, match=words):
            call(X, indices)


# name: function of indices that go from 0 to 2, and the lowest one that is right
NAMED = {
    "take_along_axis": (lambda i: cr.take_along_axis(cr.ones((4, 3)), i[:, None], 1), -3),
    "index": (lambda i: cr.ones((4, 3))[np.arange(4), i], -3),
    "one_hot": (lambda i: cr.one_hot(i, 3), None),
    "embedding": (cr.layers.Embedding(3, 2, name="words"), 0),
    "class numbers": (lambda i: cross_entropy(i, cr.ones((4, 3)), from_logits=True), 0),
    "ctc": (
        lambda i: ctc(
            i[:, None], cr.ones((4, 5, 4)), label_lengths=np.ones(4, "int32"), blank=3,
            from_logits=True,
        ), 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_wrong_indices_of_composites_are_named(name):
    """Compiled, where nothing is known beforehand."""
    function, lowest = NAMED[name]
    right = np.array([0, 2, 1, 0], "int32")
    function(cr.tensor(right))  # builds layers
    call = cr.jit(lambda i: function(i))
    call(right)
    for wrong in (3, 2**31 - 1, *(() if lowest is None else (lowest - 1,))):
        indices = np.array([0, wrong, 1, 0], "int32")
        indices += (name == "ctc") * (indices == 3)  # 3 is the blank
        signed = int(indices[1]) % 2**32 if lowest == 0 else wrong
        with pytest.raises(ArgumentError, match=rf"take\] index out of range: got {signed} at"):
            call(indices)


@EAGER_AND_COMPILED
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["take_along_axis", "index"])
def test_without_debugging_no_other_row_is_read(way, backend, name):
    function = NAMED[name][0]
    with settings(check="normal", backend=backend):
        call = both_ways(function)[way]
        call(cr.tensor([0, 2, -3, 1]))
        for wrong in (3, -4, 2**31 - 1):
            with pytest.raises(ArgumentError, match="out of range"):
                call(cr.tensor([0, wrong, 1, 0]))


# ---- what native code is given


def native(graph_function, *arrays):
    jitted = cr.jit(graph_function)
    jitted(*arrays)
    (program,) = jitted._programs.values()
    return program.executable._executable


def before_output(blueprint, table):
    return table[blueprint.outputs[0].buffer] - 1


def behind_output(blueprint, table):
    return table[blueprint.outputs[0].buffer] + 4


def behind_arena(blueprint, table):
    number, _, size = max(blueprint.temporaries, key=lambda entry: entry[1])
    return table[number] + size


def in_input(blueprint, table):
    return table[blueprint.inputs[0].buffer]


def in_constant(blueprint, table):
    return table[next(iter(blueprint.constants))]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (before_output, "outside of its buffers"),
        (behind_output, "outside of its buffers"),
        (behind_arena, "outside of its buffers"),
        (in_input, "to its input 0"),
        (in_constant, "to its constant"),
    ],
)
def test_a_write_astray_is_found(place, words, monkeypatch):
    weights = np.arange(140.0, dtype=np.float32).reshape(2, 70)
    executable = native(lambda x: (cr.tanh(x @ weights) @ weights.T).sum(), X)
    run = executable._program.run

    def astray(address):
        run(address)
        table = ctypes.cast(address, ctypes.POINTER(ctypes.c_void_p))
        ctypes.memset(place(executable._blueprint, table), 0x3F, 1)

    monkeypatch.setattr(executable._program, "run", astray)
    with pytest.raises(GraphError, match=f"native code wrote {words}"):
        executable.run([X.copy()])


@pytest.mark.parametrize(
    "x", [X[:2], X.astype("float64"), X.T, X.astype(">f4"), X.tolist()],
    ids=["shape", "dtype", "order", "byte order", "list"],
)  # fmt: skip
def test_a_buffer_of_another_kind_is_refused(x):
    executable = native(lambda x: x * 2.0, X)
    with pytest.raises(GraphError, match="wrong type of input 0"):
        executable.run([x])


def test_inputs_that_are_views_are_copied():
    executable = native(lambda x: x * 2.0, X)
    odd = np.frombuffer(b"?" + X.tobytes(), np.uint8)[1:].view(np.float32).reshape(4, 2)
    for x in (np.asfortranarray(X), odd, np.repeat(X, 2, axis=0)[::2]):
        np.testing.assert_array_equal(executable.run([x])[0], X * 2)


# ---- healthy programs


def networks():
    layers = cr.layers
    random = np.random.default_rng(0)
    rows = random.normal(size=(40, 6)).astype("float32")
    yield "dense", [layers.Dense(8, "relu"), layers.Dropout(0.3), layers.BatchNormalization()], rows
    pictures = rows.reshape(40, 2, 3, 1).repeat(3, 1)
    yield "convolution", [layers.Conv2D(4, 3, padding="same"), layers.MaxPooling2D(2),
                          layers.Flatten()], pictures  # fmt: skip
    yield "gru", [layers.GRU(5)], rows.reshape(40, 3, 2)
    words = random.integers(0, 9, (40, 4)).astype("int32")
    yield "embedding", [layers.Embedding(9, 3), layers.Flatten()], words


NETWORKS = {name: (hidden, x) for name, hidden, x in networks()}


def trained(name, check):
    hidden, x = NETWORKS[name]
    y = np.arange(len(x)) % 3
    with settings(check=check):
        model = cr.Sequential(
            [*(type(layer).from_config(layer.get_config()) for layer in hidden), cr.layers.Dense(3)]
        )
        history = model.fit(
            x, y, loss="cross_entropy", metrics=["accuracy"], epochs=3, batch_size=16,
            validation_split=0.2, seed=3, verbose=0,
        )  # fmt: skip
        arrays = [v.numpy() for v in model.variables]
        return [*arrays, model.predict(x), *(np.array(history[name]) for name in history)]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_healthy_fit_gives_the_same_bits(name):
    normal, debug = trained(name, "normal"), trained(name, "debug")
    assert [x.tobytes() for x in normal] == [x.tobytes() for x in debug]
