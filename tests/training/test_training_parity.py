"""Training from the same weights gives PyTorch's numbers."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import chainrule as cr

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "simple_nn.py"


def load_example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simple_nn", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def twin(model: cr.Model, activation: Any, dtype: Any) -> Any:
    """A torch network with the weights of a chainrule one."""
    layers: list[Any] = []
    weights = model.get_weights()
    for kernel, bias in zip(weights[::2], weights[1::2]):
        layer = torch.nn.Linear(*kernel.shape, dtype=dtype)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(kernel.T.copy()))
            layer.bias.copy_(torch.from_numpy(bias))
        layers += [layer, activation()]
    return torch.nn.Sequential(*layers[:-1])


OPTIMIZERS: dict[str, tuple[Any, Any]] = {
    "sgd": (lambda: cr.optimizers.SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "nesterov": (
        lambda: cr.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True),
    ),
    "adam": (
        lambda: cr.optimizers.Adam(0.01, epsilon=1e-8),
        lambda p: torch.optim.Adam(p, 0.01, eps=1e-8),
    ),
    "adamw": (
        lambda: cr.optimizers.AdamW(0.01, epsilon=1e-8, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, 0.01, eps=1e-8, weight_decay=0.1),
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("task", ["regression", "classes", "weighted classes"])
def test_twenty_steps_of_fit(name: str, task: str) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(40, 5))
    classes = task != "regression"
    y = rng.integers(0, 3, 40) if classes else rng.normal(size=(40, 1))
    model = cr.Sequential([
        cr.layers.Dense(7, activation="tanh", dtype="float64"),
        cr.layers.Dense(3 if classes else 1, dtype="float64"),
    ])  # fmt: skip
    model(x)
    other = twin(model, torch.nn.Tanh, torch.float64)
    table = [1.0, 3.0, 0.5]
    weights = dict(enumerate(table)) if task == "weighted classes" else None
    make, make_torch = OPTIMIZERS[name]
    history = model.fit(
        x, y, loss="cross_entropy" if classes else "mse", optimizer=make(), epochs=5, batch_size=10,
        shuffle=False, class_weight=weights,
    )  # fmt: skip
    class_weight = None if weights is None else torch.tensor(table, dtype=torch.float64)
    loss_function = torch.nn.CrossEntropyLoss(class_weight) if classes else torch.nn.MSELoss()
    optimizer = make_torch(other.parameters())
    last = []
    for _ in range(5):
        for start in range(0, 40, 10):
            optimizer.zero_grad()
            rows = slice(start, start + 10)
            loss = loss_function(other(torch.from_numpy(x[rows])), torch.from_numpy(y[rows]))
            loss.backward()
            optimizer.step()
            last.append(loss.item())
    if weights is None:
        assert history["loss"][-1] == pytest.approx(np.mean(last[-4:]), rel=1e-10)
    theirs = [p.detach().numpy() for p in other.parameters()]
    for index, ours in enumerate(model.get_weights()):
        wanted = theirs[index].T if ours.ndim == 2 else theirs[index]
        np.testing.assert_allclose(ours, wanted, rtol=1e-10, atol=1e-12)


def test_the_example_reaches_the_loss_of_torch_at_equal_epochs() -> None:
    example = load_example()
    x, y = example.make_data()
    by_hand, by_fit = example.SimpleNN(), example.SimpleNN()
    by_hand.tree_seed = by_fit.tree_seed = 0
    by_hand(x), by_fit(x)
    other = twin(by_hand, torch.nn.ReLU, torch.float32)
    optimizer = torch.optim.Adam(other.parameters(), 0.01, eps=1e-7)
    xt, yt = torch.from_numpy(x.numpy()), torch.from_numpy(y.numpy())
    theirs = []
    for _ in range(1000):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(other(xt), yt)
        loss.backward()
        optimizer.step()
        theirs.append(loss.item())
    ours = example.train_with_tape(by_hand, x, y)
    fitted = example.train_with_fit(by_fit, x, y)
    assert len(ours) == len(fitted) == 1000
    assert abs(ours[-1] - theirs[-1]) < 1e-4
    assert abs(fitted[-1] - theirs[-1]) < 1e-4
    np.testing.assert_allclose(ours[:200], theirs[:200], rtol=1e-3)
