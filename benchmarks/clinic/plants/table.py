"""All planted faults."""

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
