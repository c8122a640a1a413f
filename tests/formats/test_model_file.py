"""Model files: what is written comes back, equal content gives equal bytes, others can read it."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from safetensors.numpy import load_file

from chainrule.errors import ArgumentError, DTypeError
from chainrule.formats import read_model_file, write_model_file
from chainrule.formats.strict_json import text_of

DTYPES = ["bool", "uint8", "int32", "int64", "uint32", "float32", "float64"]


def same(left: np.ndarray, right: np.ndarray) -> bool:
    """Equal to the bit, NaN included."""
    return (left.dtype, left.shape, left.tobytes()) == (right.dtype, right.shape, right.tobytes())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (3, 4), (0,), (2, 0, 3), (1,) * 8])
def test_every_dtype_and_rank_comes_back(
    tmp_path: Path, dtype: str, shape: tuple[int, ...]
) -> None:
    array = np.array(np.random.default_rng(0).integers(0, 2, shape), dtype)
    write_model_file(tmp_path / "m", {}, {"a/b": array, "empty": np.zeros(0, dtype)})
    metadata, arrays = read_model_file(tmp_path / "m")
    assert metadata == {}
    assert same(arrays["a/b"], array)
    assert same(arrays["empty"], np.zeros(0, dtype))
    assert arrays["a/b"].flags.writeable


arrays_of_any_kind = st.sampled_from(DTYPES).flatmap(
    lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, max_dims=4, min_side=0))
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text(max_size=9)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(
    arrays=st.dictionaries(
        st.text("abc/é 层", min_size=1, max_size=6), arrays_of_any_kind, max_size=4
    ),
    metadata=st.dictionaries(st.text(max_size=6), json_values, max_size=4),
)
def test_any_content_comes_back(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, Any], metadata: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("any") / "m.safetensors"
    write_model_file(path, metadata, arrays)
    read, loaded = read_model_file(path)
    assert read == metadata
    assert loaded.keys() == arrays.keys()
    assert all(same(loaded[name], array) for name, array in arrays.items())


def test_nan_infinity_and_the_signs_of_zero_are_kept(tmp_path: Path) -> None:
    array = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 5e-324])
    write_model_file(tmp_path / "m", {}, {"w": array, "v": array.astype("float32")})
    _, arrays = read_model_file(tmp_path / "m")
    assert same(arrays["w"], array)
    assert same(arrays["v"], array.astype("float32"))


def test_strided_and_big_endian_arrays_are_straightened(tmp_path: Path) -> None:
    array = np.arange(12, dtype="float64").reshape(3, 4)
    write_model_file(tmp_path / "m", {}, {"t": array.T[::2], "big": array.astype(">f8")})
    _, arrays = read_model_file(tmp_path / "m")
    assert same(arrays["t"], np.ascontiguousarray(array.T[::2]))
    assert same(arrays["big"], array)


def test_numpy_scalars_and_tuples_in_the_metadata(tmp_path: Path) -> None:
    metadata = {"rate": np.float32(0.5), "n": np.int64(3), "on": np.bool_(True), "pair": (1, 2)}
    write_model_file(tmp_path / "m", metadata, {})
    read, _ = read_model_file(tmp_path / "m")
    assert read == {"rate": 0.5, "n": 3, "on": True, "pair": [1, 2]}
    assert read["on"] is True


def test_wide_metadata_is_not_deep(tmp_path: Path) -> None:
    metadata = {"wide": [[{"a": []}]] * 500}
    write_model_file(tmp_path / "m", metadata, {})
    assert read_model_file(tmp_path / "m")[0] == metadata


def test_the_safetensors_library_reads_the_tensors(tmp_path: Path) -> None:
    array = np.random.default_rng(1).normal(size=(5, 3)).astype("float32")
    write_model_file(tmp_path / "m.safetensors", {"note": "x"}, {"dense/kernel": array})
    assert same(load_file(tmp_path / "m.safetensors")["dense/kernel"], array)


def test_equal_content_gives_equal_bytes_in_another_process(tmp_path: Path) -> None:
    program = (
        "import sys, numpy as np\n"
        "from chainrule.formats import write_model_file\n"
        "arrays = {name: np.arange(6.0).reshape(2, 3) for name in sys.argv[2]}\n"
        "write_model_file(sys.argv[1], {'k': [1, 2.5, 'é'], 'a': {}}, arrays)\n"
    )
    digests = set()
    for seed, order in ("1", "abcd"), ("2", "dcba"):
        path = tmp_path / seed
        environment = os.environ | {"PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", program, path, order], check=True, env=environment)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [1, float("nan")]}, "at a[1]"),
        ({"a": {"b": float("inf")}}, "at a.b"),
        ({"a": {1: 2}}, "at a: got the key 1"),
        ({"a": np.zeros(3)}, "at a"),
        ({"a": {1, 2}}, "type set"),
        ({"a": b"x"}, "type bytes"),
        ({"a": "\ud800"}, "at a"),
        ({"\ud800": 1}, "the key"),
        ({"a": 10**30}, "at a"),
        ({"a": len}, "builtin_function"),
    ],
)
def test_metadata_that_json_cannot_carry_is_refused(tmp_path: Path, value: Any, place: str) -> None:
    with pytest.raises(ArgumentError, match="cannot store metadata") as caught:
        write_model_file(tmp_path / "m", value, {})
    assert place in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_metadata_that_holds_itself_is_refused(tmp_path: Path) -> None:
    loop: dict[str, Any] = {}
    loop["loop"] = [loop]
    with pytest.raises(ArgumentError, match="inside itself"):
        write_model_file(tmp_path / "m", loop, {})


@pytest.mark.parametrize(
    ("name", "array", "error", "words"),
    [
        ("", np.zeros(1), ArgumentError, "printable"),
        ("a\nb", np.zeros(1), ArgumentError, "printable"),
        ("x" * 257, np.zeros(1), ArgumentError, "256"),
        ("__metadata__", np.zeros(1), ArgumentError, "name"),
        (3, np.zeros(1), ArgumentError, "name"),
        ("a", np.zeros(1, "float16"), DTypeError, "float16"),
        ("a", np.zeros(1, "complex128"), DTypeError, "complex128"),
        ("a", np.array(["text"]), DTypeError, "dtype"),
        ("a", np.array([None]), DTypeError, "object"),
        ("a", np.zeros((1,) * 9), ArgumentError, "got 9"),
    ],
)
def test_arrays_that_the_format_lacks_are_refused(
    tmp_path: Path, name: Any, array: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        write_model_file(tmp_path / "m", {}, {name: array})
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_header_beyond_the_limit_is_refused_before_writing(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="too much metadata"):
        write_model_file(tmp_path / "m", {"text": "x" * (8 * 2**20)}, {})
    assert list(tmp_path.iterdir()) == []


@given(json_values)
@settings(max_examples=100, deadline=None)
def test_json_text_is_what_the_json_module_reads(value: Any) -> None:
    assert json.loads(text_of(value, where="x")) == value
