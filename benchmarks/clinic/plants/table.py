"""All planted faults."""

import itertools
from collections.abc import Callable, Sequence

from benchmarks.clinic.plants import (
    Plant,
    activations,
    data,
    efficiency,
    generalisation,
    labels,
    numerical,
    optimisation,
    recurrent,
    structure,
    task,
)

FAMILIES = (
    data, labels, task, structure, activations, optimisation, numerical, recurrent, generalisation,
    efficiency,
)  # fmt: skip

#: How many faults the catalogue has in each group.
COUNTS = {"D": 10, "T": 6, "S": 4, "V": 6, "O": 6, "N": 2, "R": 3, "G": 2, "E": 2}
CODES = tuple(f"{group}{i}" for group, count in COUNTS.items() for i in range(1, count + 1))

#: Between the names of two faults in one run.
PLUS = " + "
SEVERITIES = 2


def all() -> tuple[Plant, ...]:
    """The rows of every family, in the order of the catalogue.

    Raises:
        ValueError: two rows of one name, or an unknown code.
    """
    rows = [plant for family in FAMILIES for plant in family.PLANTS]
    names = [row.name for row in rows]
    doubled = sorted({name for name in names if names.count(name) > 1})
    unknown = sorted({row.code for row in rows} - set(CODES))
    if doubled or unknown:
        raise ValueError(f"plants: two rows named {doubled}, unknown codes {unknown}")
    return tuple(sorted(rows, key=lambda row: (CODES.index(row.code), row.variant)))


def named(name: str) -> Plant:
    """The row of this name, or two in one for ``"O1 + V5"``.

    Raises:
        KeyError: there is no such row.
    """
    first, plus, second = name.partition(PLUS)
    rows = {row.name: row for row in all()}
    return _both(rows[first], rows[second]) if plus else rows[first]


def doubles(
    subject: str, count: int, order: Callable[[str], str], codes: Sequence[str] = CODES
) -> list[str]:
    """Names of so many pairs of faults of different groups that one subject can have together.

    Args:
        subject: its name.
        count: how many, at most.
        order: gives a text for each name, by which they are sorted: a hash, so that nobody chose.
        codes: only of these faults.
    """
    rows = [
        row for row in all()
        if row.code in codes and subject in row.subjects and row.severities == SEVERITIES
        and row.judged == "score" and row.test is None
    ]  # fmt: skip
    names = [
        first.name + PLUS + second.name
        for first, second in itertools.combinations(rows, 2)
        if first.code[0] != second.code[0]
    ]
    return sorted(names, key=order)[:count]


def _both(first: Plant, second: Plant) -> Plant:
    return Plant(
        first.code + PLUS + second.code,
        tuple(name for name in first.subjects if name in second.subjects),
        lambda recipe, severity, random: second.edit(
            first.edit(recipe, severity, random), severity, random
        ),
    )
