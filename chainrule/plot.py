"""Pictures of training and of networks: learning curves, confusion, kernels, what a network sees.

Each function returns a matplotlib figure, saves it where ``path`` says, and draws into ``figure``
(or ``ax``) if one is given. Needs ``pip install chainrule[plot]``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import explain, figures
from chainrule.errors import ArgumentError, DataError, ShapeError
from chainrule.explain.mistakes import class_numbers, class_probabilities
from chainrule.figures import Path, as_picture, finish, new_figure, panels, readable, show_picture
from chainrule.nn import Layer
from chainrule.nn.contents import walk
from chainrule.training.history import History

__all__ = [
    "activations", "confusion_matrix", "grad_cam", "gradient_flow", "kernels", "learning_curves",
    "mistakes", "saliency",
]  # fmt: skip

# More panels than this are hard to read; the first ones are drawn.
MOST_PANELS = 64
# In a confusion matrix of more classes the counts are not written.
MOST_COUNTED_CLASSES = 20


def learning_curves(
    history: History | Mapping[str, Sequence[Any]],
    path: Path = None,
    *,
    names: Sequence[str] | None = None,
    log: bool | None = None,
    figure: Any = None,
) -> "figures.Figure":
    """Draw every logged number over the epochs, each with its validation twin in the same panel.

    Args:
        history: what ``fit`` returned, or lists of numbers by name.
        path: where to save the picture. Default None: nowhere.
        names: which numbers to draw. Default all.
        log: logarithmic axis. Default only for a loss that falls more than 50-fold.
        figure: a matplotlib figure to draw into. Default a new one.

    Raises:
        StateError: no epoch was finished.
        UnknownNameError: a name that was not logged.
        MissingDependencyError: matplotlib is not installed.
    """
    numbers = history.history if isinstance(history, History) else history
    return figures.learning_curves(numbers, "plot.learning_curves", path, names, log, figure)


def gradient_flow(
    norms: Mapping[str, NDArray[Any]], path: Path = None, *, figure: Any = None
) -> "figures.Figure":
    """Draw the norms of gradients over the steps of time, a line for each name.

    Args:
        norms: what ``Model.gradient_flow`` returned, or norms (steps,) of several models by name.
        path: where to save the picture. Default None: nowhere.
        figure: a matplotlib figure to draw into. Default a new one.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    return figures.gradient_flow(norms, "plot.gradient_flow", path, figure)


def confusion_matrix(
    y_true: Any,
    y_pred: Any,
    classes: Sequence[Any] | None = None,
    path: Path = None,
    *,
    ax: Any = None,
) -> "figures.Figure":
    """Draw how often each class was taken for which; colours show shares of the true class.

    Args:
        y_true: class numbers or one-hot rows; or labels, which ``classes`` holds.
        y_pred: the same of the predictions; or probabilities (N, K).
        classes: the names of the classes, in the order of their numbers. Default the numbers, or
            the sorted labels.
        path: where to save the picture. Default None: nowhere.
        ax: matplotlib axes to draw into. Default those of a new figure.

    Raises:
        DataError: labels that are not among the classes, or different numbers of rows.
        MissingDependencyError: matplotlib is not installed.
    """
    where = "plot.confusion_matrix"
    names, truth, predicted = _numbered(y_true, y_pred, classes, where)
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (truth, predicted), 1)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = None if ax is None else ax.figure
    side = min(2.4 + 0.5 * len(names), 14.0)
    figure = new_figure(where, side + 0.8, side, figure)
    names = [readable(name) for name in names]
    axis = ax if ax is not None else figure.subplots()
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axis, label="share of the true class", shrink=0.8)
    if len(names) <= MOST_COUNTED_CLASSES:
        for (i, j), count in np.ndenumerate(counts):
            colour = "white" if shares[i, j] > 0.5 else "black"
            axis.text(j, i, f"{count}", ha="center", va="center", color=colour, fontsize=8)
    turned = len(names) > 3 and max(map(len, names)) > 2
    slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if turned else {}
    axis.set_xticks(range(len(names)), names, **slanted)
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    right = counts.trace() / max(counts.sum(), 1)
    axis.set_title(f"{right:.1%} of {counts.sum()} right")
    return finish(figure, path)


def _numbered(
    y_true: Any, y_pred: Any, classes: Sequence[Any] | None, where: str
) -> tuple[list[str], NDArray[Any], NDArray[Any]]:
    """Names of the classes, and both sides as class numbers."""
    sides = [np.asarray(y_true), np.asarray(y_pred)]
    if any(side.dtype.kind not in "iufb" for side in sides):
        return _from_labels(sides, classes, where)
    rows = [side.argmax(1) if side.ndim == 2 and side.shape[1] > 1 else side for side in sides]
    most = max([int(side.max()) for side in rows if side.size] + [side.shape[1] - 1 for side in
               sides if side.ndim == 2] + [1])  # fmt: skip
    width = most + 1 if classes is None else len(classes)
    truth, predicted = (class_numbers(side, width, where) for side in rows)
    if len(truth) != len(predicted):
        raise _different_lengths(truth, predicted, where)
    if not len(truth):
        raise DataError(where, "no rows to compare", got="0 rows", expected="at least one")
    names = range(width) if classes is None else classes
    return [str(name) for name in names], truth, predicted


def _from_labels(
    sides: list[NDArray[Any]], classes: Sequence[Any] | None, where: str
) -> tuple[list[str], NDArray[Any], NDArray[Any]]:
    labels = [[str(label) for label in side.ravel()] for side in sides]
    known = sorted({*labels[0], *labels[1]}) if classes is None else [str(c) for c in classes]
    places = {name: place for place, name in enumerate(known)}
    for label in (*labels[0], *labels[1]):
        if label not in places:
            raise DataError(
                where, "a label that is no class", got=repr(label)[:80],
                expected=f"one of {', '.join(known)}"[:200],
                fix="give class numbers, or labels that classes holds, on both sides",
            )  # fmt: skip
    truth, predicted = (np.array([places[label] for label in side], np.int64) for side in labels)
    if len(truth) != len(predicted):
        raise _different_lengths(truth, predicted, where)
    return known, truth, predicted


def _different_lengths(truth: Any, predicted: Any, where: str) -> DataError:
    return DataError(
        where, "different numbers of rows", got=f"{len(truth)} true, {len(predicted)} predicted",
        expected="one prediction for each row",
    )  # fmt: skip


def kernels(layer: Layer, path: Path = None, *, figure: Any = None) -> "figures.Figure":
    """Draw the kernels of a convolutional layer that sees pictures of 1 or 3 channels.

    Grey is 0, lighter is positive; all kernels have one scale.

    Args:
        layer: the layer, or a model, whose first convolution of pictures is drawn.
        path: where to save the picture. Default None: nowhere.
        figure: a matplotlib figure to draw into. Default a new one.

    Raises:
        ArgumentError: there is no such kernel.
        MissingDependencyError: matplotlib is not installed.
    """
    where = "plot.kernels"
    found = next((k for k in _kernels_of(layer) if k.ndim == 4 and k.shape[2] in (1, 3)), None)
    if found is None:
        shapes = [kernel.shape for kernel in _kernels_of(layer)]
        raise ArgumentError(
            where, "no kernel that could be shown as a picture", got=f"kernels of shapes {shapes}",
            expected="a kernel (height, width, 1 or 3, filters)",
            fix="give the first convolutional layer; call the model once before, which builds it",
        )  # fmt: skip
    count = min(found.shape[-1], MOST_PANELS)
    columns = min(8, count)
    figure = new_figure(where, 1.1 * columns, 1.1 * -(-count // columns) + 0.3, figure)
    most = np.abs(found).max() or 1.0
    for index, axis in enumerate(panels(figure, count, columns)):
        picture, how = as_picture(0.5 + found[..., index] / (2 * most))
        show_picture(axis, picture, **how)
    return finish(figure, path)


def _kernels_of(layer: Layer) -> list[NDArray[Any]]:
    held = [getattr(place.layer, "kernel", None) for place in walk(layer)]
    return [kernel.numpy() for kernel in held if kernel is not None]


def activations(
    model: Layer, x: Any, layer: str | Layer, path: Path = None, *, figure: Any = None
) -> "figures.Figure":
    """Draw what a layer makes of one input: a map for each channel, or bars.

    Args:
        model: the model.
        x: one picture (H, W, C), or a batch of one input.
        layer: a layer of the model, or its path, such as ``"conv2d"``.
        path: where to save the picture. Default None: nowhere.
        figure: a matplotlib figure to draw into. Default a new one.

    Raises:
        UnknownNameError: the model has no layer of this path.
        ShapeError: more than one input.
        MissingDependencyError: matplotlib is not installed.
    """
    where = "plot.activations"
    x = np.asarray(x)
    x = x[None] if x.ndim == 3 else x
    if len(x) != 1:
        raise ShapeError(where, "more than one input", got=x.shape, expected="one picture")
    values = explain.activations(model, x, layer)[0]
    if values.ndim != 3:
        figure = new_figure(where, 6.0, 3.0, figure)
        axis = figure.subplots()
        axis.bar(range(values.size), values.ravel())
        axis.set_xlabel("unit")
        return finish(figure, path)
    count = min(values.shape[-1], MOST_PANELS)
    columns = min(8, count)
    figure = new_figure(where, 1.2 * columns, 1.35 * -(-count // columns), figure)
    for index, axis in enumerate(panels(figure, count, columns)):
        show_picture(axis, values[..., index], f"{index}", cmap="viridis")
    return finish(figure, path)


def saliency(
    model: Layer,
    x: Any,
    class_index: Any = None,
    path: Path = None,
    *,
    classes: Sequence[Any] | None = None,
    figure: Any = None,
) -> "figures.Figure":
    """Draw pictures, and beside each how much its pixels matter for a class.

    Args:
        model: a model with outputs (N, classes).
        x: pictures (N, H, W, C), or one (H, W, C).
        class_index: a class number, or one for each picture. Default the class with the highest
            score.
        path: where to save the picture. Default None: nowhere.
        classes: the names of the classes. Default their numbers.
        figure: a matplotlib figure to draw into. Default a new one.

    Raises:
        ShapeError, ArgumentError: as `chainrule.explain.saliency`, which computes it.
        MissingDependencyError: matplotlib is not installed.
    """
    x, chosen = _with_classes(model, x, class_index, "plot.saliency")
    maps = explain.saliency(model, x, chosen)
    figure = new_figure("plot.saliency", 4.4, 2.2 * len(x), figure)
    axes = panels(figure, 2 * len(x), 2)
    for picture, heat, number in zip(x, maps, chosen):
        shown, how = as_picture(picture)
        show_picture(next(axes), shown, **how)
        show_picture(next(axes), heat, f"for {_class_name(classes, number)}", cmap="inferno")
    return finish(figure, path)


def grad_cam(
    model: Layer,
    x: Any,
    layer: str | Layer | None = None,
    class_index: Any = None,
    path: Path = None,
    *,
    classes: Sequence[Any] | None = None,
    figure: Any = None,
) -> "figures.Figure":
    """Draw pictures, and beside each the regions that speak for a class, laid over it.

    Args:
        model: a model with outputs (N, classes).
        x: pictures (N, H, W, C), or one (H, W, C).
        layer: the layer whose view is taken, or its path. Default the last that returns pictures.
        class_index: a class number, or one for each picture. Default the class with the highest
            score.
        path: where to save the picture. Default None: nowhere.
        classes: the names of the classes. Default their numbers.
        figure: a matplotlib figure to draw into. Default a new one.

    Raises:
        ShapeError, ArgumentError, UnknownNameError: as `chainrule.explain.grad_cam`, which
            computes it.
        MissingDependencyError: matplotlib is not installed.
    """
    x, chosen = _with_classes(model, x, class_index, "plot.grad_cam")
    maps = explain.grad_cam(model, x, layer, chosen)
    figure = new_figure("plot.grad_cam", 4.4, 2.2 * len(x), figure)
    axes = panels(figure, 2 * len(x), 2)
    for picture, regions, number in zip(x, maps, chosen):
        shown, how = as_picture(picture)
        show_picture(next(axes), shown, **how)
        axis = next(axes)
        found = "for" if regions.any() else "no region for"
        show_picture(axis, shown, f"{found} {_class_name(classes, number)}", **how)
        axis.imshow(regions, cmap="jet", vmin=0, vmax=1, alpha=0.45)
    return finish(figure, path)


def _with_classes(
    model: Layer, x: Any, class_index: Any, where: str
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The pictures as a batch, and a class for each: that with the highest score by default."""
    x = np.asarray(x)
    x = x[None] if x.ndim == 3 else x
    if x.ndim != 4 or not len(x):
        raise ShapeError(where, "no pictures", got=x.shape, expected="(N, H, W, C) or (H, W, C)")
    if class_index is None:
        class_index = explain.best_classes(model, x)
    return x, np.broadcast_to(np.asarray(class_index), (len(x),))


def _class_name(classes: Sequence[Any] | None, number: Any) -> str:
    return readable(number if classes is None else classes[int(number)])


def mistakes(
    x: Any,
    y_true: Any,
    probabilities: Any,
    classes: Sequence[Any] | None = None,
    path: Path = None,
    *,
    count: int = 16,
    figure: Any = None,
) -> "figures.Figure":
    """Draw the pictures that were classified wrongly with the greatest confidence.

    Args:
        x: pictures (N, H, W, C).
        y_true: class numbers, or one-hot rows (N, K).
        probabilities: of each class, as ``predict`` returns them; (N,) for two classes.
        classes: the names of the classes, in the order of their numbers. Default the numbers.
        path: where to save the picture. Default None: nowhere.
        count: how many to draw at most. Default 16.
        figure: a matplotlib figure to draw into. Default a new one.

    Raises:
        DataError, ShapeError: as `chainrule.explain.confident_mistakes`, which finds them.
        MissingDependencyError: matplotlib is not installed.
    """
    where = "plot.mistakes"
    values = class_probabilities(probabilities, where)
    if np.ndim(x) != 4 or len(x) != len(values):
        raise ShapeError(
            where, "pictures do not fit the probabilities",
            got=f"{np.shape(x)} for {len(values)} rows", expected="(N, H, W, C), one for each row",
        )  # fmt: skip
    wrong = explain.confident_mistakes(y_true, values)
    drawn = wrong[:count]
    columns = min(4, max(len(drawn), 1))
    rows = -(-len(drawn) // columns) or 1
    figure = new_figure(where, max(1.9 * columns, 4.0), 2.2 * rows + 0.4, figure)
    figure.suptitle(f"{len(wrong)} of {len(values)} classified wrongly", fontsize=10)
    truth = class_numbers(y_true, values.shape[1], where)
    for row, axis in zip(drawn, panels(figure, len(drawn), columns) if len(drawn) else ()):
        guess = int(values[row].argmax())
        said = f"{_class_name(classes, guess)} ({values[row, guess]:.0%})"
        picture, how = as_picture(np.asarray(x[row]))
        show_picture(axis, picture, f"said {said}\nis {_class_name(classes, truth[row])}", **how)
    return finish(figure, path)
