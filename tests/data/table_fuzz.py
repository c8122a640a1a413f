"""Fuzzing tables: damaged CSV, TSV and Parquet files, made from good ones.

``python tests/data/table_fuzz.py 2000 0`` reads 2,000 of them and prints a JSON report. Each must
give a table that can be prepared for training, or be refused with a ``ChainruleError``, within 10
seconds; all together must take less than 1 GiB more memory than before.
"""

import io
import json
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data import (
    ClassEncoder,
    RegressionScaler,
    Table,
    TablePreprocessor,
    infer_task,
    read_table,
    split_indices,
)
from chainrule.errors import ChainruleError

SECONDS_PER_FILE = 10
MEMORY_LIMIT = 2**30
KEPT = Path(tempfile.gettempdir()) / "chainrule-fuzz-failure.table"
Random = np.random.Generator

SPECIAL = [
    b"\x00", b'"', b'""', b'"""', b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\n\n", b"\xff\xfe",
    b"\xef\xbb\xbf", b"\x80\x04", b"\xff", b"\xc3", b"\xe2\x80\xae", b"NaN", b"inf", b"-inf",
    b"1e999", b"-1e400", b"9" * 400, b"0x10", b"1_000", b"1,000", b"2020-02-30",
    b"2020-01-01 25:61", b"true", b"None", b"=1+1", b"PAR1", b"PK\x03\x04", b"," * 300,
    b"x" * 5000, b'"' + b"\n" * 50, b"\x1a", b"\xf0\x9f\x90\xa7", b"-9223372036854775809",
]  # fmt: skip


class TookTooLong(BaseException):
    """Not an ``Exception``, so that no handler of the library swallows it."""


def good_files() -> list[tuple[str, bytes]]:
    """Return good tables of all formats as (suffix, bytes)."""
    import polars as pl

    random = np.random.default_rng(7)
    n = 40
    frame = pl.DataFrame(
        {
            "name": [f"row {k}" for k in range(n)],
            "city": random.choice(["Lyon", "北京", 'He said "no"', "a, b", "x\ny"], n),
            "size": random.normal(size=n).round(3),
            "count": random.integers(0, 9, n),
            "late": [f"20{k % 30:02d}-0{1 + k % 9}-1{k % 10}" for k in range(n)],
            "flag": random.choice(["true", "false"], n),
            "gap": [None if k % 7 == 0 else k * 1.5 for k in range(n)],
            "kind": random.choice(["a", "b", "c"], n),
        }
    )
    files = [
        (".csv", frame.write_csv().encode()),
        (".csv", frame.write_csv(separator=";").encode()),
        (".tsv", frame.write_csv(separator="\t").encode()),
        (".csv", frame.write_csv(quote_style="always", line_terminator="\r\n").encode()),
        (".txt", b"a,b\n" + b"1,2\n3,4\n" * 20),
    ]
    typed = frame.with_columns(
        pl.col("late").str.to_date("%Y-%m-%d"),
        pl.col("flag") == "true",
        pl.col("kind").cast(pl.Categorical),
        pl.col("count").cast(pl.Int8),
        pl.concat_list("size", "gap").alias("pair"),
    )
    for compression in ("zstd", "snappy", "gzip", "uncompressed"):
        stream = io.BytesIO()
        typed.write_parquet(stream, compression=compression)
        files.append((".parquet", stream.getvalue()))
    return files


def damage(data: bytes, random: Random, others: list[bytes]) -> bytes:
    """Return the bytes with one to eight random changes."""
    changed = bytearray(data)
    for _ in range(int(random.choice([1, 1, 1, 2, 3, 8]))):
        size = len(changed)
        if size == 0:
            break
        near_end = random.random() < 0.3
        low = max(0, size - 800) if near_end else 0
        place = int(random.integers(low, size))
        length = int(random.choice([1, 4, 30, 300]))
        match int(random.integers(9)):
            case 0 | 1:
                changed[place] = int(random.integers(256))
            case 2:
                changed[place] ^= 1 << int(random.integers(8))
            case 3:
                del changed[place : place + length]
            case 4:
                changed[place:place] = SPECIAL[int(random.integers(len(SPECIAL)))]
            case 5:
                changed[place : place + 1] = SPECIAL[int(random.integers(len(SPECIAL)))]
            case 6:
                changed[place:place] = changed[max(0, place - length) : place] * 3
            case 7:
                del changed[place:]
            case _:
                other = others[int(random.integers(len(others)))]
                start = int(random.integers(len(other)))
                changed[place : place + length] = other[start : start + length]
    return bytes(changed)


def prepare(path: Path, random: Random) -> Table:
    """Read a table and do with it what training would."""
    table = read_table(path)
    target = table.names[int(random.integers(table.n_columns))]
    rest, column = table.split_target(target)
    decision = infer_task(column)
    encoder = ClassEncoder() if decision.task == "classification" else RegressionScaler()
    encoder.fit(column)
    labels = column.values.astype(str) if decision.task == "classification" else None
    train, test = split_indices(table.n_rows, 0.3, seed=1, stratify=labels)
    features = TablePreprocessor().fit(rest.take(train)).transform(rest.take(test))
    if not np.isfinite(features).all():
        raise AssertionError("a feature is not finite")
    return table


def _alarm(number: int, frame: Any) -> None:
    raise TookTooLong


def fuzz_tables(count: int, seed: int) -> dict[str, Any]:
    """Read `count` damaged tables; return how they ended.

    Raises:
        AssertionError: anything but success or a ChainruleError, a hang, or too much memory; the
            file is kept for a look.
    """
    random = np.random.default_rng(seed)
    files = good_files()
    contents = [data for _, data in files]
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    previous = signal.signal(signal.SIGALRM, _alarm)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(count):
                suffix, data = files[int(random.integers(len(files)))]
                path = Path(folder) / f"t{suffix}"
                path.write_bytes(damage(data, random, contents))
                started = time.perf_counter()
                signal.alarm(SECONDS_PER_FILE)
                try:
                    prepare(path, random)
                    outcomes["read"] += 1
                except ChainruleError as error:
                    outcomes[type(error).__name__] += 1
                    if "[" not in str(error) or len(str(error)) > 3000:
                        raise AssertionError(f"a poor message: {error}") from error
                except BaseException as error:
                    KEPT.with_suffix(suffix).write_bytes(path.read_bytes())
                    raise AssertionError(
                        f"table {number} of seed {seed}: {error!r}, kept as "
                        f"{KEPT.with_suffix(suffix)}"
                    ) from error
                finally:
                    signal.alarm(0)
                slowest = max(slowest, time.perf_counter() - started)
    finally:
        signal.signal(signal.SIGALRM, previous)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    if grown > MEMORY_LIMIT:
        raise AssertionError(f"memory grew by {grown / 2**20:.0f} MiB")
    return {
        "files": count,
        "seed": seed,
        "outcomes": dict(outcomes),
        "slowest_seconds": round(slowest, 3),
        "memory_growth_mib": round(grown / 2**20),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(fuzz_tables(int(sys.argv[1]), int(sys.argv[2]))) + "\n")
