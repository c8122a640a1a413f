"""Drawing with matplotlib, which is imported here alone and only when something is drawn.

Figures are made without ``pyplot``: no window opens and none stays in memory. Labels may be in any
script: where the usual font lacks characters, an installed one that has them is used.
"""

import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ArgumentError, StateError, missing_dependency, unknown_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Figure  # noqa: PLC0414  # annotations elsewhere name it

Path = str | PathLike[str] | None

# Fonts that many systems have, by what they cover; others are searched where these do not do.
FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Microsoft YaHei", "PingFang SC",
    "Hiragino Sans GB", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "SimHei", "SimSun",
    "Arial Unicode MS",
)  # fmt: skip
# Its glyphs are boxes that name the block of a character: nobody can read them.
UNREADABLE = ("Last Resort", "LastResort")


def new_figure(where: str, width: float, height: float, figure: Any = None) -> Any:
    """``figure`` if one was given, else a new one of this size in inches.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    if figure is not None:
        return figure
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_dependency(where, "matplotlib", "plot") from None
    return Figure(figsize=(width, height), layout="constrained")


def finish(figure: Any, path: Path = None) -> "Figure":
    """Give every text a font that has its characters, and save the figure if a path is given."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        families = tuple(text.get_fontfamily())
        if not text.get_text().isascii():
            text.set_fontfamily([*families, *_fonts_for(frozenset(text.get_text()), families)[0]])
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure  # type: ignore[no-any-return]  # matplotlib has no types


def readable(label: Any) -> str:
    """The label as text; a character that no installed font has as its code, ``U+732B``, so that
    different labels look different.
    """
    text = str(label)
    if text.isascii():
        return text
    from matplotlib.font_manager import FontProperties

    missing = _fonts_for(frozenset(text), tuple(FontProperties().get_family()))[1]
    return " ".join("".join(f" U+{ord(c):04X} " if c in missing else c for c in text).split())


@functools.lru_cache(maxsize=256)
def _fonts_for(
    characters: frozenset[str], families: tuple[str, ...]
) -> tuple[tuple[str, ...], frozenset[str]]:
    """Further fonts that together have all characters, and the characters that none has."""
    from matplotlib.font_manager import FontProperties, findfont

    usual = findfont(FontProperties(family=list(families)))
    missing = _lacking(usual, frozenset(c for c in characters if not c.isspace()))
    chosen: list[str] = []
    installed = _regular_fonts() if missing else {}
    first = [name for name in FONTS if name in installed]
    for name in (*first, *sorted(installed.keys() - set(first))):
        still = _lacking(installed[name], missing)
        if still != missing:
            chosen.append(name)
            missing = still
        if not missing:
            break
    _accepted.update(chosen)
    logger = logging.getLogger("matplotlib.font_manager")
    if _says_something_new not in logger.filters:
        logger.addFilter(_says_something_new)
    return tuple(chosen), missing


# The fonts that were chosen for their characters, whatever weights they come in.
_accepted: set[str] = set()


def _says_something_new(record: logging.LogRecord) -> bool:
    """False for the remark that one of these fonts has not the weight of the usual one."""
    message = record.getMessage()
    return "font weight" not in message or not any(name in message for name in _accepted)


def _regular_fonts() -> dict[str, str]:
    """The file of each installed font, of those with one name that nearest to upright and normal
    weight.
    """
    from matplotlib.font_manager import fontManager, weight_dict

    def distance(font: Any) -> tuple[bool, int]:
        return font.style != "normal", abs(weight_dict.get(font.weight, font.weight) - 400)

    usable = [font for font in fontManager.ttflist if not font.name.startswith(UNREADABLE)]
    return {font.name: font.fname for font in sorted(usable, key=distance, reverse=True)}


def _lacking(path: str, characters: frozenset[str]) -> frozenset[str]:
    """The characters that a font has no glyph for."""
    from matplotlib.font_manager import get_font

    font = get_font(path)
    return frozenset(c for c in characters if not font.get_char_index(ord(c)))


def panels(figure: Any, count: int, columns: int) -> Iterator[Any]:
    """Axes for so many panels, in rows; what is left over in the last row stays empty."""
    columns = min(count, columns)
    axes = figure.subplots(-(-count // columns), columns, squeeze=False)
    for index, axis in enumerate(axes.flat):
        if index < count:
            yield axis
        else:
            axis.set_visible(False)


def show_picture(axis: Any, picture: NDArray[Any], title: str = "", **options: Any) -> None:
    """Draw a picture (H, W) or (H, W, channels) without ticks."""
    axis.imshow(picture, interpolation="nearest", **options)
    axis.set_xticks([])
    axis.set_yticks([])
    if title:
        axis.set_title(title, fontsize=9)


def as_picture(x: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
    """A picture (H, W, C) as matplotlib draws it, and how: grey where it has one channel.

    Values from 0 to 1 and from 0 to 255 are shown as such; others are spread over the range.
    """
    values = np.asarray(x, np.float64)
    low, high = (values.min(), values.max()) if values.size else (0.0, 1.0)
    if np.asarray(x).dtype.kind in "iu" or (low >= 0 and 1 < high <= 255):
        values = values / 255
    elif low < 0 or high > 1:
        values = (values - low) / (high - low)
    if values.shape[-1] in (3, 4):
        return np.clip(values[..., :3], 0, 1), {}
    return values[..., 0], {"cmap": "gray", "vmin": 0, "vmax": 1}


def learning_curves(
    numbers: Mapping[str, Sequence[Any]],
    where: str,
    path: Path = None,
    names: Sequence[str] | None = None,
    log: bool | None = None,
    figure: Any = None,
) -> "Figure":
    """Draw numbers over the epochs, each with its ``val_`` twin in the same panel.

    Raises:
        StateError: there are none.
        UnknownNameError: a name that is not among them.
        MissingDependencyError: matplotlib is not installed.
    """
    drawn = _drawn_names(numbers, names, where)
    columns = min(len(drawn), 3)
    figure = new_figure(where, 4.6 * columns, 3.4 * -(-len(drawn) // columns), figure)
    for name, axis in zip(drawn, panels(figure, len(drawn), columns)):
        _draw_curves(axis, numbers, name, log)
    return finish(figure, path)


def gradient_flow(
    norms: Mapping[str, NDArray[Any]], where: str, path: Path = None, figure: Any = None
) -> "Figure":
    """Draw norms of gradients over the steps of time, a line for each layer.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    figure = new_figure(where, 5.6, 3.6, figure)
    axis = figure.subplots()
    for name, values in norms.items():
        drawn = np.where(values > 0, values, np.nan)  # zero has no place on a logarithmic axis
        axis.plot(range(len(values)), drawn, label=readable(name), linewidth=1.6)
    axis.set_yscale("log")
    axis.set_xlabel("step of time")
    axis.set_ylabel("norm of the gradient")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    return finish(figure, path)


def _drawn_names(
    numbers: Mapping[str, Sequence[Any]], names: Sequence[str] | None, where: str
) -> list[str]:
    if not any(len(values) for values in numbers.values()):
        raise StateError(where, "no epoch was finished", fix="train for at least one epoch")
    drawable = [
        name
        for name, values in numbers.items()
        if not name.startswith("val_") and all(isinstance(value, int | float) for value in values)
    ]
    if names is None:
        return drawable
    for name in names:
        if name not in drawable:
            raise unknown_name(where, "logged number", name, drawable)
    if not names:
        raise ArgumentError(where, "no names to draw", fix="leave names out to draw all")
    return list(names)


def _draw_curves(
    axis: Any, numbers: Mapping[str, Sequence[Any]], name: str, log: bool | None
) -> None:
    drawn: list[float] = []
    for key, label, colour in (
        (name, "training", "#1f77b4"),
        ("val_" + name, "validation", "#d95f02"),
    ):
        if key in numbers:
            values = numbers[key]
            marker = "o" if len(values) == 1 else None
            epochs = range(1, len(values) + 1)
            axis.plot(epochs, values, label=label, color=colour, linewidth=1.6, marker=marker)
            drawn += [value for value in values if value == value]
    positive = bool(drawn) and min(drawn) > 0
    falls = positive and name == "loss" and drawn[0] > 50 * min(drawn)
    if positive and (falls if log is None else log):
        axis.set_yscale("log")
    axis.set_title(name.replace("_", " "))
    axis.set_xlabel("epoch")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)
    if "val_" + name in numbers:
        axis.legend(frameon=False)
