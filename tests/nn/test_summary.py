"""The summary table: before and after building, nested, frozen, wide."""

import numpy as np

import chainrule as cr


class Inner(cr.Layer):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.wide = cr.layers.Dense(width)
        self.back = cr.layers.Dense(3)

    def call(self, inputs: cr.Tensor) -> cr.Tensor:
        return self.back(self.wide(inputs))


class Outer(cr.Layer):
    def __init__(self, width: int = 5) -> None:
        super().__init__()
        self.inner = Inner(width)
        self.normal = cr.layers.BatchNormalization()
        self.blocks = [cr.layers.Dense(2), cr.layers.Dense(2)]

    def call(self, inputs: cr.Tensor) -> cr.Tensor:
        hidden = self.normal(self.inner(inputs))
        return self.blocks[1](self.blocks[0](hidden))


EXPECTED = """\
outer (Outer)
========================================================================================
Layer                         Class                   Output shape            Parameters
----------------------------------------------------------------------------------------
inner                         Inner                   (N, 3)                          38
  wide                        Dense                   (N, 5)                          20
  back                        Dense                   (N, 3)                          18
normal                        BatchNormalization      (N, 3)                          12
blocks/0                      Dense                   (N, 2)                           8
blocks/1 (frozen)             Dense                   (N, 2)                           6
========================================================================================
Parameters: 64 (256 bytes), 52 trainable, 12 not trainable"""


def test_after_building() -> None:
    model = Outer()
    model(np.ones((4, 3)))
    model.blocks[1].trainable = False
    summary = model.summary()
    assert str(summary) == EXPECTED
    assert repr(summary) == EXPECTED
    assert (summary.parameters, summary.trainable, summary.non_trainable) == (64, 52, 12)
    assert [row.path for row in summary.rows][:2] == ["inner", "inner/wide"]
    assert summary.complete


def test_before_building() -> None:
    summary = Outer().summary()
    text = str(summary)
    assert not summary.complete
    assert "Not built yet" in text
    assert "blocks/0" in text
    assert text.count("?") == 2 * len(summary.rows)
    assert max(map(len, text.splitlines())) <= 100


def test_with_an_input_shape() -> None:
    assert str(Outer().summary((None, 3))).splitlines()[4:8] == EXPECTED.splitlines()[4:8]


def test_one_layer_and_long_names_stay_inside_the_table() -> None:
    layer = cr.layers.Dense(1_000_000, name="a" * 90)
    text = str(layer.summary((None, 12)))
    assert max(map(len, text.splitlines())) <= 100
    assert "13,000,000" in text
    assert "49.6 MiB" in text
    several = cr.layers.Concatenate()
    several([np.ones((2, 3)), np.ones((2, 4))])
    assert "(N, 7)" in str(several.summary())
