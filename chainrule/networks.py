"""Networks for pictures and sounds, each a short function to read, call, or copy and change.

Every one takes ``input_shape`` ((height, width, channels) of pictures, (frames, bands) of sounds),
the number of ``classes`` and a ``seed`` of the initial values (default: as ``set_seed`` says), and
returns a ``Sequential`` that is built and gives probabilities (N, classes); ``speech_gru`` logits.

    >>> model = lenet5((28, 28, 1), 10, seed=0)
    >>> model.count_params()
    61706
"""

from collections.abc import Sequence
from typing import Any

from chainrule.errors import ArgumentError
from chainrule.nn.layers import (
    GRU,
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv1D,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    Input,
    Layer,
    MaxPooling2D,
    Reshape,
    ResidualBlock,
)
from chainrule.training.sequential import Sequential

_PICTURE = ("height", "width", "channels")

__all__ = ["lenet5", "mobilenet_tiny", "resnet20", "small_cnn", "sound_cnn", "speech_gru"]


def lenet5(input_shape: Sequence[int], classes: int, seed: int | None = None) -> Sequential:
    """The first widely used convolutional network: two convolutions, three dense layers, tanh.

    61,706 parameters for 28x28x1 and 10 classes. The first convolution pads ("same"), which gives
    pictures of 28x28 the places that the paper has for 32x32.

    Args:
        input_shape: (height, width, channels), at least 12x12.
        classes: number of classes.
        seed: of the initial values. Default None.

    Example:
        >>> import chainrule as cr
        >>> cr.networks.lenet5((28, 28, 1), 10)(cr.ones((2, 28, 28, 1))).shape
        (2, 10)

    Reference: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
    recognition", 1998.
    """
    layers = [
        Conv2D(6, 5, padding="same", activation="tanh"),
        AveragePooling2D(2),
        Conv2D(16, 5, activation="tanh"),
        AveragePooling2D(2),
        Flatten(),
        Dense(120, "tanh"),
        Dense(84, "tanh"),
    ]
    return _network("lenet5", layers, _shape("lenet5", input_shape, _PICTURE), classes, seed)


def small_cnn(input_shape: Sequence[int], classes: int, seed: int | None = None) -> Sequential:
    """Three 3x3 convolutions, the first two pooled, and two dense layers: quick, and good on small
    pictures.

    458,570 parameters for 28x28x1 and 10 classes. On 8,000 pictures of MNIST, 5 epochs of Adam with
    batches of 64 reach 0.978 of 2,000 others (median of 8 seeds).

    Args:
        input_shape: (height, width, channels), at least 4x4.
        classes: number of classes.
        seed: of the initial values and of dropout. Default None.

    Example:
        >>> import chainrule as cr
        >>> cr.networks.small_cnn((28, 28, 1), 10)(cr.ones((2, 28, 28, 1))).shape
        (2, 10)
    """
    convolution: dict[str, Any] = {
        "kernel_size": 3,
        "padding": "same",
        "activation": "relu",
        "kernel_initializer": "he_normal",
    }
    layers = [
        Conv2D(32, **convolution),
        MaxPooling2D(2),
        Conv2D(64, **convolution),
        MaxPooling2D(2),
        Conv2D(64, **convolution),
        Flatten(),
        Dense(128, "relu", kernel_initializer="he_normal"),
        Dropout(0.25),
    ]
    return _network("small_cnn", layers, _shape("small_cnn", input_shape, _PICTURE), classes, seed)


def resnet20(
    input_shape: Sequence[int],
    classes: int,
    seed: int | None = None,
    *,
    shortcut: str = "projection",
) -> Sequential:
    """Nine residual blocks of two convolutions, three each with 16, 32 and 64 channels.

    272,474 trainable parameters for 32x32x3 and 10 classes with projections (the paper's option B);
    269,722 with ``shortcut="zeros"`` (its option A). The running statistics are 1,568 and 1,376
    further numbers.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes.
        seed: of the initial values. Default None.
        shortcut: as in ``ResidualBlock``, where the number of channels changes. Default
            "projection".

    Example:
        >>> import chainrule as cr
        >>> model = cr.networks.resnet20((32, 32, 3), 10)
        >>> sum(variable.size for variable in model.trainable_variables)
        272474

    Reference: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2015.
    """
    layers: list[Layer] = _convolution(16)
    for filters in (16, 32, 64):
        for block in range(3):
            strides = 2 if filters > 16 and block == 0 else 1
            layers.append(ResidualBlock(filters, strides, shortcut=shortcut))
    layers.append(GlobalAveragePooling2D())
    return _network("resnet20", layers, _shape("resnet20", input_shape, _PICTURE), classes, seed)


def mobilenet_tiny(input_shape: Sequence[int], classes: int, seed: int | None = None) -> Sequential:
    """A small MobileNet: each block a depthwise 3x3 and a pointwise 1x1 convolution.

    Far less work than the same network of whole 3x3 convolutions. 37,162 trainable parameters for
    32x32x3 and 10 classes.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes.
        seed: of the initial values. Default None.

    Example:
        >>> import chainrule as cr
        >>> cr.networks.mobilenet_tiny((32, 32, 3), 10)(cr.ones((2, 32, 32, 3))).shape
        (2, 10)

    Reference: Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision
    applications", 2017.
    """
    layers: list[Layer] = _convolution(16)
    for filters, strides in [(32, 1), (64, 2), (64, 1), (128, 2), (128, 1)]:
        depthwise = DepthwiseConv2D(
            3, strides, "same", use_bias=False, depthwise_initializer="he_normal"
        )
        layers += [depthwise, BatchNormalization(), Activation("relu")]
        layers += _convolution(filters, window=1)
    layers.append(GlobalAveragePooling2D())
    return _network(
        "mobilenet_tiny", layers, _shape("mobilenet_tiny", input_shape, _PICTURE), classes, seed
    )


def sound_cnn(input_shape: Sequence[int], classes: int, seed: int | None = None) -> Sequential:
    """Two convolutions over time and frequency, pooled, then two over time alone, and their mean.

    100,894 trainable parameters for 58 frames of 40 bands and 10 classes; the running statistics
    are 456 further numbers.

    Args:
        input_shape: (frames, bands), at least 4x4.
        classes: number of classes.
        seed: of the initial values and of dropout. Default None.

    Example:
        >>> import chainrule as cr
        >>> cr.networks.sound_cnn((58, 40), 10)(cr.ones((2, 58, 40))).shape
        (2, 10)
    """
    frames, bands = _shape("sound_cnn", input_shape, ("frames", "bands"))
    options: dict[str, Any] = {"use_bias": False, "kernel_initializer": "he_normal"}
    layers: list[Layer] = [Reshape((frames, bands, 1))]
    for filters in (12, 24):
        layers += [*_convolution(filters), MaxPooling2D(2)]
    layers.append(Reshape((frames // 4, bands // 4 * 24)))
    for _ in range(2):
        layers += [Conv1D(96, 3, padding="same", **options), BatchNormalization()]
        layers += [Activation("relu"), Dropout(0.3)]
    layers.insert(-1, GlobalAveragePooling1D())
    return _network("sound_cnn", layers, (frames, bands), classes, seed)


def speech_gru(input_shape: Sequence[int], outputs: int, seed: int | None = None) -> Sequential:
    """The letters of speech for `cr.losses.ctc`: a convolution over time, a GRU in both directions,
    and logits for every second frame.

    110,164 trainable parameters for 40 bands and 20 outputs; the running statistics are 128 further
    numbers.

    Args:
        input_shape: (frames, bands).
        outputs: number of letters and the blank.
        seed: of the initial values and of dropout. Default None.

    Example:
        >>> import chainrule as cr
        >>> cr.networks.speech_gru((100, 40), 20)(cr.ones((2, 100, 40))).shape
        (2, 50, 20)
    """
    frames, bands = _shape("speech_gru", input_shape, ("frames", "bands"))
    layers: list[Layer] = [
        Conv1D(64, 5, strides=2, padding="same", activation="relu"),
        BatchNormalization(),
        Dropout(0.3),
        GRU(96, bidirectional=True, return_sequences=True),
        Dropout(0.3),
        Dense(outputs),
    ]
    return _built("speech_gru", layers, (frames, bands), seed)


def _convolution(filters: int, window: int = 3) -> list[Layer]:
    """A convolution that keeps the size of the picture, normalised, then relu."""
    options: dict[str, Any] = {"use_bias": False, "kernel_initializer": "he_normal"}
    convolution = Conv2D(filters, window, padding="same", **options)
    return [convolution, BatchNormalization(), Activation("relu")]


def _network(
    name: str, layers: list[Layer], input_shape: Sequence[int], classes: int, seed: int | None
) -> Sequential:
    """The layers between the declared input and one probability a class."""
    return _built(name, [*layers, Dense(classes, "softmax")], input_shape, seed)


def _built(
    name: str, layers: list[Layer], input_shape: Sequence[int], seed: int | None
) -> Sequential:
    """The layers behind the declared input, built."""
    shape = tuple(input_shape)
    model = Sequential([Input(shape), *layers], name=name)
    if seed is not None:
        model.tree_seed = seed
    model.ensure_built((None, *shape))
    return model


def _shape(name: str, input_shape: object, axes: tuple[str, ...]) -> tuple[int, ...]:
    """``input_shape`` as a tuple with these axes."""
    shape = tuple(input_shape) if isinstance(input_shape, list | tuple) else ()
    if len(shape) != len(axes):
        raise ArgumentError(
            name, "bad input_shape", got=repr(input_shape)[:80], expected=f"({', '.join(axes)})"
        )
    return shape
