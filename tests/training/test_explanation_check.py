"""Every gradient that an explanation shows against float64 differences, for every kind of layer."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.nn.contents import walk
from chainrule.nn.registry import LAYERS

L = cr.layers


def rows(*shape):
    return np.random.default_rng(3).normal(size=(4, *shape)).astype("float32")


def tokens(length):
    return np.random.default_rng(3).integers(1, 9, size=(4, length)).astype("int32")


class Branches(cr.Model):
    """Layers that take several inputs."""

    def __init__(self):
        super().__init__()
        self.first, self.second = L.Dense(4, "tanh"), L.Dense(4)
        self.add, self.concatenate = L.Add(), L.Concatenate()
        self.last = L.Dense(2)

    def call(self, inputs):
        a, b = self.first(inputs), self.second(inputs)
        return self.last(self.concatenate([self.add([a, b]), b]))


# net -> its layers, its inputs
NETS = {
    "dense": lambda: ([L.Input((3,)), L.Imputation(-9, 0.5), L.Rescaling(0.5),
                       L.Normalization(0.1, 2.0),
                       L.Dense(8, "sigmoid"), L.Dropout(0.3), L.GaussianNoise(0.1),
                       L.BatchNormalization(),
                       L.Activation("gelu"), L.Reshape((2, 4)), L.LayerNormalization(),
                       L.Flatten(), L.Dense(2)], rows(3)),
    "branches": lambda: ([Branches()], rows(3)),
    "pictures": lambda: ([L.RandomShift(0.2), L.RandomRotation(0.1), L.RandomZoom(0.2),
                          L.RandomFlip(), L.RandomBrightness(0.2), L.RandomContrast(0.2),
                          L.RandomCrop(8, 8), L.Cutout(2), L.Conv2D(4, 3, activation="tanh"),
                          L.SpatialDropout2D(0.2), L.MaxPooling2D(2), L.GlobalAveragePooling2D(),
                          L.Dense(2)], rows(9, 9, 2)),
    "convolutions": lambda: ([L.ZeroPadding2D(1), L.DepthwiseConv2D(3), L.SeparableConv2D(4, 3),
                              L.GroupNormalization(2), L.AveragePooling2D(2), L.UpSampling2D(2),
                              L.Conv2DTranspose(4, 3, 2, activation="softplus"), L.Cropping2D(1),
                              L.Flatten(), L.Dense(2)], rows(6, 6, 2)),
    "residual": lambda: ([L.ResidualBlock(4), L.ResidualBlock(6, 2), L.GlobalMaxPooling2D(),
                          L.Dense(2)], rows(8, 8, 2)),
    "volumes": lambda: ([L.Conv3D(2, 2, activation="elu"), L.AveragePooling3D(2),
                         L.Conv3D(2, 2, padding="same"), L.MaxPooling3D(2),
                         L.GlobalMaxPooling3D(), L.Dense(2)], rows(6, 6, 6, 1)),
    "time": lambda: ([L.Conv1D(4, 3, activation="silu"), L.AveragePooling1D(2),
                      L.Conv1D(4, 2, padding="same"), L.MaxPooling1D(2),
                      L.GlobalMaxPooling1D(), L.Dense(2)], rows(14, 2)),
    "recurrent": lambda: ([L.Masking(), L.LSTM(4, return_sequences=True),
                           L.SimpleRNN(3, return_sequences=True),
                           L.RNN([L.LSTMCell(3), L.SimpleRNNCell(3), L.GRUCell(3)],
                                 return_sequences=True),
                           L.TimeDistributed(L.Dense(3, "tanh")),
                           L.GRU(3, bidirectional=True), L.Dense(2)], rows(5, 3)),
    "attention": lambda: ([L.Embedding(9, 4), L.PositionalEmbedding(6), L.PositionalEncoding(),
                           L.MultiHeadAttention(2, 2), L.TransformerBlock(2, 2, 8),
                           L.GlobalAveragePooling1D(), L.Dense(2)], tokens(6)),
    "tokens": lambda: ([L.TokenDropout(0.2), L.EmbeddingBag(9, 5), L.Dense(2)], tokens(7)),
    "sounds": lambda: ([L.RandomNoise(), L.RandomTimeShift(0.1), L.LogMel(8000, bands=12),
                        L.RandomWarp(), L.SpecAugment(1, 3, 1, 3), L.Conv1D(3, 3), L.Flatten(),
                        L.Dense(2)], rows(800)),
    "cepstra": lambda: ([L.MFCC(8000, 6, 12), L.Flatten(), L.Dense(2)], rows(800)),
    "volume mean": lambda: ([L.Conv3D(2, 2, strides=2), L.GlobalAveragePooling3D(), L.Dense(2)],
                            rows(4, 4, 4, 1)),
}  # fmt: skip


def built(net):
    layers, x = NETS[net]()
    return cr.Sequential(layers), x


@pytest.mark.parametrize("net", NETS)
def test_every_shown_gradient_agrees_with_differences(net):
    model, x = built(net)
    y = rows(2)
    model.fit(x, y, loss="mse", epochs=2, batch_size=2, seed=1, verbose=0)
    explanation = model.explain(x, y, row=1)
    assert explanation.check() < 1e-5


def test_every_kind_of_layer_is_in_a_net():
    kinds = {name for name, kind in LAYERS.items() if kind.__module__.startswith("chainrule.")}
    found = {type(place.layer).__name__ for net in NETS for place in walk(built(net)[0])}
    assert kinds - found == set()


def bend(gradient):
    """Make the largest number of a gradient wrong by a hundredth."""
    gradient.reshape(-1)[np.argmax(np.abs(gradient))] *= 1.01


def planted(change):
    """The check of a net whose record is changed."""
    layers = [L.Dense(4, "tanh", name="first"), L.Dense(3, "softmax", name="last")]
    model, x, y = cr.Sequential(layers), rows(3), np.array([0, 2, 1, 1])
    explanation = model.explain(x, y, loss="cross_entropy")
    assert explanation.check() < 1e-5
    change(explanation)
    return explanation.check()


@pytest.mark.parametrize("part", ["da", "dz"])
@pytest.mark.parametrize("step", ["one", "batch"])
def test_a_wrong_gradient_inside_is_found(part, step):
    def change(explanation):
        bend(getattr(getattr(explanation, step).layers[0], part))

    assert planted(change) > 1e-3


def test_a_wrong_gradient_of_a_weight_is_found():
    def change(explanation):
        bend(explanation.one.weights[0].gradient)

    assert planted(change) > 1e-3


def test_what_is_derived_together_has_no_gradient_between():
    layers = [L.Dense(4, "tanh"), L.Dense(3, "softmax")]
    explanation = cr.Sequential(layers).explain(
        rows(3), np.array([0, 2, 1, 1]), loss="cross_entropy"
    )
    last = explanation.one.layers[1]
    assert last.da is None
    np.testing.assert_allclose(last.dz[0], last.a[0] - np.eye(3)[0], atol=1e-6)
    assert "softmax and loss are differentiated together" in str(explanation)


def test_at_a_corner_every_slope_between_the_sides_is_right():
    model = cr.Sequential([L.Activation("relu"), L.Dense(1, kernel_initializer="ones")])
    x = np.array([[0.0, 1.0], [2.0, 0.0]], "float32")
    explanation = model.explain(x, np.array([5.0, 1.0]), loss="mse")
    z, dz = explanation.one.layers[0].z, explanation.one.layers[0].dz
    assert (z[0, 0], dz[0, 0]) == (0.0, 0.0)
    assert explanation.check() < 1e-5
    dz[0, 0] = 1.0
    assert explanation.check() > 1e-2


def test_the_step_is_that_of_the_weights_at_the_time():
    model, x, y = cr.Sequential([L.Dense(3, "tanh"), L.Dense(1)]), rows(2), rows(1)
    explanation = model.explain(x, y, loss="mse")
    text, page = str(explanation), explanation.to_html()
    model.fit(x, y, loss="mse", optimizer="sgd", epochs=3, verbose=0)
    weights = [v.numpy() for v in model.variables]
    assert (str(explanation), explanation.to_html()) == (text, page)
    assert explanation.check() < 1e-5
    for before, variable in zip(weights, model.variables, strict=True):
        assert (before == variable.numpy()).all()
