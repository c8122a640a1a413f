"""Reading the values of options, and the options that several commands share."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import click

from chainrule.data.image_decoding import MAX_SIDE


def examples(*lines: str) -> str:
    """The end of a help page: commands to copy, each on a line of its own."""
    # click keeps the line breaks of a paragraph that begins with this character.
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def hidden_sizes(
    context: click.Context | None, option: click.Parameter | None, value: str | None
) -> tuple[int, ...] | None:
    """Widths of the hidden layers: ``64,64`` becomes ``(64, 64)``."""
    if value is None:
        return None
    try:
        sizes = tuple(int(part) for part in value.split(","))
    except ValueError:
        sizes = (0,)
    if min(sizes) < 1:
        raise click.BadParameter(
            f"got {value!r}, expected whole numbers of at least 1 with commas between them, "
            "such as 64,64",
            context,
            option,
        )
    return sizes


def thresholds(
    context: click.Context | None, option: click.Parameter | None, values: Sequence[str]
) -> dict[str, float] | None:
    """Numbers to stop at: ``loss=0.05`` becomes ``{"loss": 0.05}``."""
    goals = {}
    for value in values:
        name, _, number = value.partition("=")
        try:
            goals[name.strip()] = float(number)
        except ValueError:
            name = ""
        if not name.strip() or math.isnan(goals[name.strip()]):
            raise click.BadParameter(
                f"got {value!r}, expected a name and a number, such as loss=0.05", context, option
            )
    return goals or None


def picture_size(
    context: click.Context | None, option: click.Parameter | None, value: str | None
) -> tuple[int, int] | None:
    """Height and width of pictures: ``64`` becomes ``(64, 64)``, ``48x64`` becomes ``(48, 64)``."""
    if value is None:
        return None
    parts = value.lower().split("x")
    try:
        sides = [int(part) for part in parts]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or not all(1 <= side <= MAX_SIDE for side in sides):
        raise click.BadParameter(
            f"got {value!r}, expected pixels up to {MAX_SIDE}, such as 64, or 48x64 for height and "
            "width",
            context,
            option,
        )
    return sides[0], sides[-1]


def data_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """The argument DATA: the table to read."""
    return click.argument("data", type=click.Path())(function)


def model_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """The argument MODEL: the file that ``chainrule train`` wrote."""
    return click.argument("model", type=click.Path())(function)


def encoding_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """The option --encoding, for tables from older programs."""
    return click.option(
        "--encoding",
        default="utf-8",
        show_default=True,
        metavar="NAME",
        help="How DATA spells letters, such as windows-1252.",
    )(function)


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """The option --json: one JSON object as the last line, for programs."""
    help_text = "End with one JSON object on the last line."
    return click.option("--json", "as_json", is_flag=True, help=help_text)(function)
