"""The table on the terminal, the JSON file and the pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.results import Result, Row, figure
from benchmarks.sweeps import Line

_COLOURS = {"met": "green", "missed": "red", "failed": "red"}


def goal_text(row: Row) -> str:
    """A goal as it stands in the table: a share, a figure, or an accuracy."""
    if row.goal is None:
        return "-"
    if row.accuracy is not None:
        return f"≥ {row.goal:.3f}"
    return f"≤ {figure(row.goal, row.unit)}" if row.absolute else f"≤ {row.goal:.2f}"


def cells(row: Row) -> list[str]:
    """One line of the table, as text."""
    return [
        row.title,
        row.variant,
        figure(row.ours, row.unit),
        row.peer or "-",
        figure(row.best, row.unit),
        _share(row.share),
        _share(row.share_of_smallest),
        goal_text(row),
        row.verdict,
        row.note,
    ]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


HEADINGS = (
    "workload", "form", "chainrule", "best peer", "its figure", "share", "of smallest", "goal", "",
    "notes",
)  # fmt: skip


def print_rows(rows: Sequence[Row], console: Console) -> None:
    """Print the table of ratios."""
    table = Table(*HEADINGS, title="chainrule beside the best peer: medians", title_justify="left")
    for column in (2, 4, 5, 6, 7):
        table.columns[column].justify = "right"
    for row in rows:
        *texts, verdict, note = cells(row)
        colour = _COLOURS.get(row.verdict, "dim")
        table.add_row(*texts, f"[{colour}]{verdict}[/{colour}]", note.replace("[", r"\["))
    console.print(table)


def print_series(results: Sequence[Result], console: Console) -> None:
    """Print the median and the range of every series, the peers' slower ones too."""
    table = Table("workload", "side", "form", "median", "smallest", "largest", "notes")
    for column in (3, 4, 5):
        table.columns[column].justify = "right"
    for result in results:
        unit = "MiB" if result.workload.measure == "memory" else "s"
        for series in result.series:
            values = [sample.value for sample in series.samples]
            ends = (min(values, default=None), max(values, default=None))
            texts = [figure(value, unit) for value in (series.median, *ends)]
            note = series.note.replace("[", r"\[")
            table.add_row(result.workload.name, series.side, series.variant, *texts, note)
    console.print(table)


def print_lines(lines: Sequence[Line], console: Console) -> None:
    """Print the sweeps."""
    for line in lines:
        table = Table(line.name, "step", "limit of the arithmetic", "share of the limit reached")
        for column in table.columns:
            column.justify = "right"
        for point in line.points:
            texts = (figure(point.seconds, "s"), figure(point.limit, "s"))
            table.add_row(str(point.value), *texts, f"{point.limit / point.seconds:.1%}")
        console.print(table)


def as_markdown(rows: Sequence[Row]) -> str:
    """The table of ratios for a README."""
    headings = [heading or "verdict" for heading in HEADINGS]
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    lines += [
        "| " + " | ".join(text.replace("|", "/") for text in cells(row)) + " |" for row in rows
    ]
    return "\n".join(lines) + "\n"


def save(
    folder: Path,
    facts: Mapping[str, Any],
    results: Sequence[Result],
    rows: Sequence[Row],
    lines: Sequence[Line],
) -> list[Path]:
    """Write ``benchmarks.json``, ``benchmarks.md`` and, with matplotlib, the pictures.

    Returns:
        What was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        **facts,
        "rows": [asdict(row) for row in rows],
        "series": [
            {"workload": result.workload.name, **asdict(series), "median": series.median}
            for result in results
            for series in result.series
        ],
        "sweeps": [asdict(line) for line in lines],
    }
    written = [folder / "benchmarks.json", folder / "benchmarks.md"]
    written[0].write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    written[1].write_text(as_markdown(rows), "utf-8")
    try:
        import matplotlib as mpl
    except ImportError:
        return written
    mpl.use("Agg")
    drawn = [row for row in rows if row.share is not None]
    if drawn:
        written.append(folder / "benchmarks.png")
        _draw_rows(drawn, written[-1])
    if lines:
        written.append(folder / "sweeps.png")
        _draw_lines(lines, written[-1])
    return written


def _draw_rows(rows: Sequence[Row], path: Path) -> None:
    from matplotlib import pyplot as plt

    figure_, axes = plt.subplots(figsize=(9, 1.2 + 0.42 * len(rows)), layout="constrained")
    places = range(len(rows))
    shares = [row.share or 0.0 for row in rows]
    colours = ["tab:green" if row.verdict == "met" else "tab:red" for row in rows]
    axes.barh(places, shares, color=colours, height=0.6)
    for place, row in zip(places, rows):
        if row.goal is not None and not row.absolute and row.accuracy is None:
            axes.plot([row.goal] * 2, [place - 0.42, place + 0.42], color="black", linewidth=2)
        axes.annotate(
            f"{row.share:.2f}", (row.share or 0.0, place), (4, 0), textcoords="offset points",
            va="center",
        )  # fmt: skip
    axes.set_yticks(places, [f"{row.title}, {row.variant}" for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1.0, color="grey", linestyle=":")
    axes.set_xlabel("share of the best peer's figure (black line: goal)")
    figure_.savefig(path, dpi=120)
    plt.close(figure_)


def _draw_lines(lines: Sequence[Line], path: Path) -> None:
    from matplotlib import pyplot as plt

    figure_, axes = plt.subplots(
        1, len(lines), figsize=(4 * len(lines), 3.6), layout="constrained", squeeze=False
    )
    for place, line in zip(axes[0], lines):
        values = [point.value for point in line.points]
        place.plot(values, [point.seconds * 1e3 for point in line.points], "o-", label="step")
        place.plot(values, [point.limit * 1e3 for point in line.points], "k--", label="limit")
        place.set_xscale("log", base=2)
        place.set_yscale("log")
        place.set_xlabel(line.name)
        place.set_ylabel("ms")
        place.legend()
    figure_.savefig(path, dpi=120)
    plt.close(figure_)
