"""Every primitive has a row in every table."""

from chainrule.backends.reference import KERNELS
from chainrule.backprop import DERIVATIVES, JOINT_DERIVATIVES
from chainrule.graph import PRIMITIVES
from chainrule.tensor import functions
from chainrule.testing import function_samples, primitive_samples

# Thin wrappers of one primitive (the primitive's sample covers them), or without derivative.
_ONE_PRIMITIVE = set(PRIMITIVES) | {
    "all", "any", "arange", "argsort", "astype", "bitwise_not", "concatenate", "cumsum", "eye",
    "expand_dims", "flip", "full", "full_like", "greater", "greater_equal", "is_nan", "left_shift",
    "linspace", "logical_and", "logical_or", "logical_xor", "max", "min", "one_hot", "ones",
    "ones_like", "prod", "right_shift", "sequence_mask", "sum", "zeros", "zeros_like",
}  # fmt: skip


def missing_rows() -> dict[str, set[str]]:
    names = set(PRIMITIVES)
    differentiable = {name for name, p in PRIMITIVES.items() if p.differentiable}
    return {
        "reference kernels": names ^ set(KERNELS),
        "derivatives": differentiable ^ {*DERIVATIVES, *JOINT_DERIVATIVES},
        "primitive samples": names ^ set(primitive_samples()),
        "function samples": set(functions.__all__) - _ONE_PRIMITIVE - set(function_samples()),
    }


def test_no_rows_are_missing(capsys):
    missing = missing_rows()
    with capsys.disabled():
        for table, names in missing.items():
            print(f"\nrows missing in {table}: {', '.join(sorted(names)) or 'none'}", end="")
    assert not any(missing.values())


def test_a_missing_row_is_found(monkeypatch):
    monkeypatch.delitem(KERNELS, "tanh")
    monkeypatch.delitem(DERIVATIVES, "exp")
    missing = missing_rows()
    assert missing["reference kernels"] == {"tanh"}
    assert missing["derivatives"] == {"exp"}


def test_at_most_seventy_primitives():
    assert len(PRIMITIVES) <= 70
