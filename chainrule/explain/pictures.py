"""Where in a picture a network finds its answer: gradients of the answer, back to the pixels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ArgumentError, ShapeError
from chainrule.explain.layers import find_layer, floating_batch, last_output
from chainrule.nn import Layer
from chainrule.nn.watching import Output, watched
from chainrule.tensor import GradientTape, Tensor, functions


def _scores(outputs: Any, where: str) -> Tensor:
    """The scores of the classes, (N, K): the values before a final softmax or sigmoid."""
    if not isinstance(outputs, Tensor) or outputs.ndim != 2:
        raise ShapeError(
            where, "the model does not end in classes",
            got=outputs.shape if isinstance(outputs, Tensor) else type(outputs).__name__,
            expected="outputs (N, classes)",
        )  # fmt: skip
    return outputs if outputs.origin is None else outputs.origin[1]


def _score(outputs: Any, class_index: Any, where: str) -> Tensor:
    """The sum over the examples of the score of one class each."""
    scores = _scores(outputs, where)
    count, width = scores.shape
    given = scores.numpy().argmax(1) if class_index is None else np.asarray(class_index)
    fits = given.dtype.kind in "iu" and given.shape in ((), (count,))
    if not fits or (given.size and not 0 <= given.min() <= given.max() < width):
        raise ArgumentError(
            where, "bad class_index", got=repr(class_index)[:80],
            expected=f"a class number from 0 to {width - 1}, or one for each picture",
        )  # fmt: skip
    picked = np.arange(width) == np.broadcast_to(given, (count,))[:, None]
    return functions.sum(scores * picked.astype(scores.dtype))


def best_classes(model: Layer, x: Any) -> NDArray[Any]:
    """The class with the highest score for each input.

    Shapes: x (N, ...) -> (N,).

    Raises:
        ShapeError: the model does not end in classes.

    Example:
        >>> import chainrule as cr
        >>> model = cr.Sequential([cr.layers.Activation("softmax")])
        >>> cr.explain.best_classes(model, np.array([[0.5, 2.0, 1.0]], "float32")).tolist()
        [1]
    """
    outputs = model(floating_batch(model, x), training=False)
    return np.asarray(_scores(outputs, "explain.best_classes").numpy().argmax(1))


def input_gradient(model: Layer, x: Any, class_index: Any = None) -> NDArray[Any]:
    """How the score of a class changes with each number of the input.

    d score_c / d x, the score being the value before a final softmax or sigmoid

    Shapes: x (N, ...) -> (N, ...).

    Args:
        model: a model with outputs (N, classes).
        x: a batch of inputs.
        class_index: a class number, or one for each example. Default the class with the highest
            score.

    Raises:
        ShapeError: the model has other outputs.
        ArgumentError: no such class.

    Example:
        >>> import chainrule as cr
        >>> model = cr.Sequential([cr.layers.Dense(2, kernel_initializer="ones")])
        >>> cr.explain.input_gradient(model, np.ones((1, 3), "float32"), 1).tolist()
        [[1.0, 1.0, 1.0]]
    """
    x = floating_batch(model, x)
    with GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        score = _score(model(x, training=False), class_index, "explain.input_gradient")
    gradient = tape.gradient(score, x)
    return np.zeros(x.shape, x.dtype) if gradient is None else np.asarray(gradient.numpy())


def saliency(model: Layer, x: Any, class_index: Any = None) -> NDArray[Any]:
    """How much each pixel matters for the score of a class.

    max over channels of |d score_c / d x|

    Shapes: x (N, H, W, C) -> (N, H, W).

    Args:
        model: a model with outputs (N, classes).
        x: a batch of pictures.
        class_index: a class number, or one for each picture. Default the class with the highest
            score.

    Raises:
        ShapeError: the model has other outputs, or x is no batch of pictures.
        ArgumentError: no such class.

    Example:
        >>> import chainrule as cr
        >>> model = cr.Sequential([cr.layers.Flatten(), cr.layers.Dense(2)])
        >>> cr.explain.saliency(model, np.ones((3, 4, 5, 1), "float32")).shape
        (3, 4, 5)

    Reference: Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks", 2013.
    """
    _check_pictures(np.shape(x), "explain.saliency")
    return np.asarray(np.abs(input_gradient(model, x, class_index)).max(-1))


def grad_cam(
    model: Layer, x: Any, layer: str | Layer | None = None, class_index: Any = None
) -> NDArray[Any]:
    """Which regions of a picture speak for a class, seen from a convolutional layer.

    relu(sum over k of w_k A_k), w_k = mean over places of d score_c / d A_k, A the layer's output;
    then resized to the picture, bilinear, and divided by its maximum

    Shapes: x (N, H, W, C) -> (N, H, W), from 0 to 1; all 0 where no region speaks for the class.

    Args:
        model: a model with outputs (N, classes).
        x: a batch of pictures.
        layer: a layer with outputs (N, h, w, channels), or its path. Default the last such layer
            with more than one place.
        class_index: a class number, or one for each picture. Default the class with the highest
            score.

    Raises:
        ShapeError: the model has other outputs, x is no batch of pictures, or the layer returns
            no pictures.
        ArgumentError: no such class, or no layer that returns pictures.
        UnknownNameError: the model has no layer of this path.

    Example:
        >>> import chainrule as cr
        >>> model = cr.Sequential(
        ...     [
        ...         cr.layers.Conv2D(4, 3, activation="relu"),
        ...         cr.layers.GlobalAveragePooling2D(),
        ...         cr.layers.Dense(2),
        ...     ]
        ... )
        >>> cr.explain.grad_cam(model, np.ones((3, 8, 8, 1), "float32")).shape
        (3, 8, 8)

    Reference: Selvaraju et al., "Grad-CAM: visual explanations from deep networks", 2017.
    """
    where = "explain.grad_cam"
    _check_pictures(np.shape(x), where)
    x = floating_batch(model, x)
    if not model.built:
        model(x)
    found = None if layer is None else find_layer(model, layer, where)
    with GradientTape(watch_accessed_variables=False) as tape, watched(model, tape) as outputs:
        score = _score(model(x, training=False), class_index, where)
    seen = _last_pictures(outputs, where) if found is None else last_output(outputs, found, where)
    if seen.ndim != 4:
        raise ShapeError(
            where, "the layer returns no pictures", got=seen.shape,
            expected="outputs (N, h, w, channels)",
            fix="choose a convolutional layer, or leave layer out",
        )  # fmt: skip
    gradient = tape.gradient(score, seen)
    if gradient is None:
        return np.zeros(x.shape[:3], x.dtype)
    weights = functions.mean(gradient, (1, 2), keepdims=True)
    regions = functions.relu((weights * seen).sum(-1, keepdims=True))
    maps = functions.resize(regions, x.shape[1:3], method="bilinear").numpy()[..., 0]
    most = maps.max((1, 2), keepdims=True)
    return np.asarray(maps / np.where(most > 0, most, 1))


def _last_pictures(outputs: list[Output], where: str) -> Tensor:
    for _, value in reversed(outputs):
        if value.ndim == 4 and value.shape[1] * value.shape[2] > 1:
            return value
    raise ArgumentError(
        where, "no layer of the model returns pictures",
        expected="a layer with outputs (N, h, w, channels), more than one place each",
        fix="use cr.explain.saliency, which needs no such layer",
    )  # fmt: skip


def _check_pictures(shape: tuple[int, ...], where: str) -> None:
    if len(shape) != 4:
        raise ShapeError(
            where, "not a batch of pictures", got=shape, expected="(N, height, width, channels)",
            fix="for a single picture pass x[None]",
        )  # fmt: skip
