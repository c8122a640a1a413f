"""What training leaves behind: nothing that waits for the garbage collector."""

import gc
import weakref

import numpy as np
import pytest

import chainrule as cr


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("batch_size", [None, 8])
@pytest.mark.parametrize(
    "options", [{}, {"metrics": ["mae"], "validation_split": 0.25, "early_stopping": True}]
)
def test_a_trained_model_goes_with_its_last_reference(no_collector, batch_size, options):
    model = cr.Sequential([cr.layers.Dense(5, activation="relu", l2=0.1), cr.layers.Dense(1)])
    x, y = np.ones((32, 3), "float32"), np.ones((32, 1), "float32")
    model.fit(x, y, loss="mse", epochs=2, batch_size=batch_size, **options)
    model.predict(x)
    model.evaluate(x, y)
    parts = [model, model.layers[0], model._setup.step, model.layers[0].kernel._tensor._payload]
    gone = [weakref.ref(part) for part in parts]
    del model, parts
    assert all(part() is None for part in gone)


def test_slots_take_no_memory_before_the_first_update():
    variable = cr.Variable(np.zeros((1000, 1000), "float32"), name="kernel")
    for name in ("adam", "nadam", "adamax", "rmsprop", "adadelta"):
        optimizer = cr.optimizers.get(name)
        optimizer.build([variable])
        slots = [v for v in optimizer.variables if v.shape == variable.shape]
        assert slots
        for slot in slots:
            assert slot.value.concrete("test").strides == (0, 0)
            assert slot.dtype == np.float32
        optimizer.apply_gradients([(np.ones(variable.shape, "float32"), variable)])
        assert all(slot.value.concrete("test").flags.c_contiguous for slot in slots)


def test_slots_of_an_own_optimizer_are_copies():
    first = np.ones(3, "float32")

    class Own(cr.optimizers.Optimizer):
        def initial_slots(self, variable):
            return {"slot": first}

        def update(self, gradient, variable, slots, step):
            return gradient, slots

    optimizer = Own()
    optimizer.build([cr.Variable(np.zeros(3, "float32"), name="kernel")])
    first[:] = 7
    assert [v.tolist() for v in optimizer.variables if v.shape == (3,)] == [[1.0, 1.0, 1.0]]
