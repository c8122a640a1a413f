"""Fuzzing model files: damaged and hostile ones, made from good ones.

``python tests/formats/model_file_fuzz.py 2000 0`` loads 2,000 of them and prints a JSON report.
Each must load, or be refused with a ``ChainruleError``, within 10 seconds; all together must stay
under 1 GiB of memory.
"""

import copy
import json
import math
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from model_file_parts import assemble, checksum

import chainrule as cr
from chainrule.errors import ChainruleError
from chainrule.formats import write_model_file
from chainrule.formats.header import UNSET_CHECKSUM
from chainrule.training.saving import save_model

SECONDS_PER_FILE = 10
KEPT = Path(tempfile.gettempdir()) / "chainrule-fuzz-failure.safetensors"
MEMORY_LIMIT = 2**30

Random = np.random.Generator
Load = Callable[[Path], object]

HOSTILE: list[Any] = [
    None, True, False, 0, 1, -1, 2, 7, 2**31, 2**40, 2**53, 2**63, 2**64, 10**30, -(2**63),
    0.5, 1e308, -0.0, "", "x", "relu", "os.system", "../../etc/passwd", "http://localhost/",
    "\u0000", "\u202e", "n" * 300, "__class__", "__init__", "Dense", "Sequential", "Lambda",
    "float64", "float16", "O", [], [1], [-1], [2**40], [[]], [None] * 9, {}, {"class": "Dense"},
    {"kind": "layer", "class": "Dense", "config": {}}, {"a": {"a": {"a": 1}}},
    {"kind": "function", "class": "eval", "config": {}},
    {"kind": "layer", "class": "Sequential", "config": {"layers": []}},
]  # fmt: skip
RAW_VALUES = [
    "NaN",
    "-Infinity",
    "1e999",
    "9" * 5000,
    "[" * 5000,
    '{"a":1,"a":1}',
    "tru",
    '"\\ud800"',
    "1.",
    "\x00",
]


class TookTooLong(BaseException):
    """Not an ``Exception``, so that no handler of the library swallows it."""


def nodes(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values inside a JSON value."""
    keys: Any = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    return [path] * bool(path) + [deep for key in keys for deep in nodes(value[key], (*path, key))]


def pick(random: Random, choices: Any) -> Any:
    return choices[int(random.integers(len(choices)))]


def change_table(random: Random, table: Any) -> Any:
    """The JSON value with one to three places replaced, removed, copied or renamed."""
    table = copy.deepcopy(table)
    for _ in range(random.integers(1, 4)):
        places = nodes(table)
        if not places:
            return table
        *way, last = pick(random, places)
        parent = table
        for key in way:
            parent = parent[key]
        value, action = parent[last], random.integers(6)
        if action == 0 and isinstance(parent, dict):
            parent[
                pick(random, ["x", "dtype", "class", "config", "name", "", "a" * 400, "é\n"])
            ] = parent.pop(last)
        elif action == 1:
            del parent[last]
        elif action == 2 and isinstance(parent, list):
            parent.append(copy.deepcopy(value))
        elif action == 3 and isinstance(value, int):
            parent[last] = value + int(random.integers(-3, 4))
        elif action == 4:
            parent[last] = copy.deepcopy(value_at(table, pick(random, places)))
        else:
            parent[last] = copy.deepcopy(pick(random, HOSTILE))
    return table


def value_at(table: Any, path: tuple[Any, ...]) -> Any:
    """The value at this path inside a JSON value."""
    for key in path:
        table = table[key]
    return table


def change_text(random: Random, text: str) -> str:
    """The JSON text with a value replaced by something that is not JSON, or not good."""
    place = int(random.integers(len(text)))
    found = text.find(":", place)
    start = found + 1 if found >= 0 else place
    end = start + int(random.integers(0, 8))
    return text[:start] + pick(random, RAW_VALUES) + text[end:]


def change_bytes(random: Random, content: bytes) -> bytes:
    """The bytes with some changed, cut, put in, doubled or blanked."""
    data = bytearray(content)
    place, length = int(random.integers(len(data))), int(random.integers(1, 40))
    action = random.integers(7)
    if action <= 1:
        for _ in range(int(random.integers(1, 9))):
            data[int(random.integers(len(data)))] = int(random.integers(256))
    elif action == 2:
        del data[place:]
    elif action == 3:
        del data[place : place + length]
    elif action == 4:
        data[place:place] = random.bytes(length)
    elif action == 5:
        data[place:place] = data[place : place + length]
    else:
        data[place : place + length] = bytes(length)
    return bytes(data)


def change_file(random: Random, content: bytes) -> bytes:
    """A bad file from a good one; where only words are changed, the checksums are set right."""
    action = random.integers(10)
    if action <= 1:
        return change_bytes(random, content)
    if action == 2:
        return random.bytes(int(random.integers(0, 3000)))
    length = int.from_bytes(content[:8], "little")
    table, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    about = json.loads(table.pop("__metadata__")["chainrule"])
    about["header_sha256"] = UNSET_CHECKSUM
    if action == 3:
        data = change_bytes(random, data) if data else random.bytes(9)
        for name, row in table.items():
            begin, end = row["data_offsets"]
            about["tensor_sha256"][name] = checksum(data[begin:end])
    elif action == 4:
        table = change_table(random, table)
    elif action == 5:
        about = change_table(random, about)
    elif action <= 8:
        about["model"] = change_table(random, about["model"])
    text = json.dumps(about)
    if action == 9:
        text = change_text(random, text)
    if random.integers(4) == 0 and isinstance(about.get("tensor_sha256"), dict):
        # Names that left the table must leave the list of checksums, else all stops there.
        known = about["tensor_sha256"]
        about["tensor_sha256"] = {str(name): known.get(name, checksum(b"")) for name in table}
        text = json.dumps(about)
    header = json.dumps({"__metadata__": {"chainrule": text}, **table})
    return assemble(change_text(random, header) if random.integers(20) == 0 else header, data)


def fuzz_model_files(count: int, seed: int, load: Load, good: list[bytes]) -> dict[str, Any]:
    """Load ``count`` bad files.

    Args:
        count: how many.
        seed: the same seed makes the same files.
        load: what reads a file.
        good: the files to start from.

    Returns:
        How many loaded, how many were refused with which message, the slowest one's seconds.

    Raises:
        Any exception of ``load`` that is no ``ChainruleError``; ``TookTooLong``.
    """
    random = np.random.default_rng(seed)
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        for number in range(count):
            path.write_bytes(change_file(random, pick(random, good)))
            begin = time.perf_counter()
            signal.alarm(SECONDS_PER_FILE)
            try:
                load(path)
                outcomes["loaded"] += 1
            except ChainruleError as error:
                outcomes[error.what] += 1
            except BaseException as error:
                error.add_note(f"file {number} of seed {seed}, kept as {KEPT}")
                KEPT.write_bytes(path.read_bytes())
                raise
            finally:
                signal.alarm(0)
            slowest = max(slowest, time.perf_counter() - begin)
    return {
        "files": count,
        "loaded": outcomes.pop("loaded", 0),
        "slowest": slowest,
        "refused": dict(outcomes),
    }


def good_files() -> list[bytes]:
    """Models of all kinds of layers as files, and one file that holds no model."""
    layers, x = cr.layers, np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    inner = cr.Sequential([layers.GaussianNoise(0.1), layers.LayerNormalization()], name="inner")
    dense = layers.Dense(3, "relu", kernel_initializer="orthogonal", l2=0.1, name="é")
    last = layers.Dense(2, activation="softmax", kernel_constraint="max_norm", dtype="float64")
    models = [
        (cr.Sequential([layers.Dense(5)]), x),
        (cr.Sequential([dense, layers.BatchNormalization(), layers.Dropout(0.5), inner, last]), x),
        (cr.Sequential([layers.Embedding(7, 2), layers.Reshape((-1,)), layers.Dense(1)]), [[1, 2]]),
        (cr.Sequential([layers.Input((2, 2)), layers.Flatten()]), x.reshape(3, 2, 2)),
        (cr.Sequential([layers.Activation("gelu"), layers.Dense(2)]), None),
    ]
    files = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m"
        for model, inputs in models:
            if inputs is not None:
                model(np.array(inputs))
            save_model(model, path, extra={"classes": ["a", "b"], "mean": [0.5, None]})
            files.append(path.read_bytes())
        write_model_file(path, {"a": 1}, {"e": np.zeros((0, 5), "int64"), "s": np.array(True)})
        return [*files, path.read_bytes()]


def load_and_use(path: Path) -> None:
    """Load a model, show it, and call it as it was called before it was saved."""
    model = cr.load_model(path)
    str(model.summary())
    shape = model.input_shape
    if isinstance(shape, tuple) and shape and None not in shape[1:] and math.prod(shape[1:]) < 1e6:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # large numbers may overflow
            model(np.zeros((2, *shape[1:]), "float32"))


def bound_memory() -> None:
    """From here on the system refuses to give much more memory, also such as nobody writes to."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmSize:"))
        most = int(line.split()[1]) * 1024 + MEMORY_LIMIT
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def peak_bytes() -> int:
    """The most memory that this program has held."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage on Linux also counts what the parent held when it started this process.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Run as a program: ``model_file_fuzz.py COUNT [SEED]``."""

    def stop(*_: object) -> None:
        raise TookTooLong

    signal.signal(signal.SIGALRM, stop)
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    good = good_files()
    bound_memory()
    report = fuzz_model_files(int(sys.argv[1]), seed, load_and_use, good)
    report["peak_bytes"] = peak_bytes()
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
