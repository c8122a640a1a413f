"""The scores as text: Markdown that reads well in a terminal too."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.clinic.scores import (
    FaultScore,
    Line,
    Scores,
    alarms,
    baselines,
    confusions,
    reliability,
    stated,
)

MOST_CONFUSIONS = 30


def as_markdown(found: Scores, lines: Iterable[Line], half: str = "all") -> str:
    """All tables of a set of runs."""
    lines = list(lines)
    parts = [
        _summary(found), _compared(found), _faults(found.faults),
        _table(("planted", "named first", "runs"), confusions(lines, half)[:MOST_CONFUSIONS]),
        _table(("healthy case", "subject", "cause", "runs"), alarms(lines, half)),
    ]  # fmt: skip
    said = stated(line for line in lines if half in ("all", line.get("half")))
    parts.append(
        _table(
            ("probability", "causes", "right"),
            [
                (f"{low:.1f} to {high:.1f}", count, _number(right))
                for low, high, count, right in reliability(said)
            ],
        )
    )
    missing = f"Faults without a run: {', '.join(found.missing) or 'none'}."
    return "\n\n".join([*parts[:3], missing, *parts[3:]]) + "\n"


def compared(sets: Mapping[str, Scores]) -> str:
    """The summaries of several sets of runs side by side."""
    columns = [dict(_measures(found)) for found in sets.values()]
    rows = [(name, *(column[name] for column in columns)) for name in columns[0]]
    return _table(("measure", *sets), rows) + "\n"


def _summary(found: Scores) -> str:
    return _table(("measure", "value"), _measures(found))


def _measures(found: Scores) -> list[tuple[str, str]]:
    limit = f"at most {_percent(found.false_alarm_limit)} (95 %)"
    return [
        ("faults with runs", f"{len(found.faults)} of {len(found.faults) + len(found.missing)}"),
        ("planted runs", str(found.runs)),
        ("healthy runs", str(found.healthy)),
        ("cells rejected: the fault does not hurt", str(found.rejected)),
        ("a cause named", _number(found.detected)),
        ("top1 strict", _number(found.top1)),
        ("top1 tolerant", _number(found.tolerant)),
        ("top3", _number(found.top3)),
        ("located", _number(found.located)),
        ("repaired to 95 % of healthy", _number(found.repaired)),
        ("false alarms", f"{_percent(found.false_alarms)}, {limit}"),
        ("harm on healthy", _percent(found.harm)),
        ("'no signal' on unpredictable targets", _number(found.no_signal)),
        ("calibration error", _number(found.calibration)),
        ("silence", _percent(found.silence)),
        ("seconds of a diagnosis, median", f"{found.took:.2f}"),
        ("the same over training time", f"{found.cost:.1f}"),
        ("errors", str(found.errors)),
        ("runs with two faults", str(found.doubles)),
        ("one of the two first", _number(found.double_top1)),
        ("both among three", _number(found.double_top3)),
    ]  # fmt: skip


def _compared(found: Scores) -> str:
    rows = [("diagnose", _number(found.top1), _number(found.top3), _number(found.repaired))]
    repaired = {"always the learning rate": _number(found.rate_search)}
    for name, (top1, top3) in baselines(found).items():
        rows.append((name, _number(top1), _number(top3), repaired.get(name, "-")))
    return _table(("who", "top1", "top3", "repaired"), rows)


def _faults(faults: Sequence[FaultScore]) -> str:
    head = ("fault", "runs", "a cause", "top1", "tolerant", "top3", "located", "repaired")
    rows = [
        (
            f.code, str(f.runs), _number(f.detected), _number(f.top1), _number(f.tolerant),
            _number(f.top3), _number(f.located), _number(f.repaired),
        )
        for f in faults
    ]  # fmt: skip
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    texts = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in texts) for i in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths)) + " |"
             for row in texts]  # fmt: skip
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
