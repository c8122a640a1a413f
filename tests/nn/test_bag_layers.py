"""EmbeddingBag and TokenDropout: by their formulas, and against PyTorch."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, DTypeError

IDS = np.array([[3, 1, 0, 0], [0, 2, 5, 2], [0, 0, 0, 0]], np.int32)


@pytest.mark.parametrize("combiner", ["mean", "sqrt_n", "sum"])
def test_bag_is_its_formula(combiner: str) -> None:
    bag = cr.layers.EmbeddingBag(6, 3, combiner)
    found = bag(IDS).numpy()
    table = bag.embeddings.numpy()
    for row, ids in zip(found, IDS, strict=True):
        there = ids[ids > 0]
        n = max(1, len(there))
        divisor = {"mean": n, "sqrt_n": np.sqrt(n), "sum": 1}[combiner]
        np.testing.assert_allclose(row, table[there].sum(axis=0) / divisor, rtol=1e-6)


@pytest.mark.parity
@pytest.mark.parametrize("combiner", ["mean", "sum"])
def test_bag_and_its_gradient_are_those_of_pytorch(combiner: str) -> None:
    torch = pytest.importorskip("torch")
    bag = cr.layers.EmbeddingBag(6, 3, combiner, dtype="float64")
    with cr.GradientTape() as tape:
        loss = cr.sum(bag(IDS) ** 2)
    gradient = tape.gradient(loss, bag.embeddings).numpy()
    table = torch.tensor(bag.embeddings.numpy(), requires_grad=True)
    other = torch.nn.functional.embedding_bag(
        torch.tensor(IDS), table, mode=combiner, padding_idx=0
    )
    (other**2).sum().backward()
    np.testing.assert_allclose(bag(IDS).numpy(), other.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(gradient, table.grad.numpy(), atol=1e-12)


def test_padding_changes_nothing_and_learns_nothing() -> None:
    bag = cr.layers.EmbeddingBag(6, 3)
    longer = np.pad(IDS, ((0, 0), (2, 5)))
    np.testing.assert_allclose(bag(longer).numpy(), bag(IDS).numpy(), atol=1e-7)
    with cr.GradientTape() as tape:
        loss = cr.sum(bag(IDS))
    assert (tape.gradient(loss, bag.embeddings).numpy()[0] == 0).all()


def test_more_axes() -> None:
    bag = cr.layers.EmbeddingBag(6, 3)
    assert bag(IDS[:, None]).shape == (3, 1, 3)
    assert bag.compute_output_shape((5, 2, 7)) == (5, 2, 3)


def test_bag_refuses() -> None:
    with pytest.raises(ArgumentError, match="unknown combiner: got 'max', expected mean or sqrt_n"):
        cr.layers.EmbeddingBag(6, 3, "max")
    with pytest.raises(DTypeError, match="indices are not integers"):
        cr.layers.EmbeddingBag(6, 3)([[1.0]])
    with pytest.raises(ArgumentError, match="index out of range: got 6"):
        cr.layers.EmbeddingBag(6, 3)([[6]])


def test_token_dropout_leaves_out_its_share_in_training_only() -> None:
    layer = cr.layers.TokenDropout(0.25, seed=3)
    x = np.full((400, 50), 7, np.int32)
    assert (layer(x).numpy() == x).all()
    found = layer(x, training=True).numpy()
    assert found.dtype == np.int32
    assert set(np.unique(found)) == {0, 7}
    assert (found == 0).mean() == pytest.approx(0.25, abs=0.01)
    assert (layer(x, training=True).numpy() != found).any()
    assert (cr.layers.TokenDropout(0.0)(x, training=True).numpy() == x).all()
    with pytest.raises(ArgumentError, match="rate"):
        cr.layers.TokenDropout(1.0)
