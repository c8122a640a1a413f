"""Fuzzing checkpoint folders: runs that go on from damaged and hostile files, made from good ones.

``python tests/formats/checkpoint_fuzz.py 2000 0`` tries 2,000 folders and prints a JSON report.
Where the checksums tell of the damage, the run must end in the bits of one that was never broken
off, after a warning that names the file, or be refused with a ``ChainruleError``. Files whose
checksums were made right again must be refused or give a run, within 10 seconds; all together must
stay in bounded memory.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from model_file_fuzz import (
    SECONDS_PER_FILE,
    Random,
    TookTooLong,
    bound_memory,
    change_bytes,
    change_file,
    peak_bytes,
    pick,
)

import chainrule as cr
from chainrule.errors import ChainruleError

OLDER = "checkpoint-000000000001.safetensors"
LENGTHS = [0, 1, 2, 2**20, 8 * 2**20, 2**31, 2**40, 2**63 - 1, 2**63, 2**64 - 1]
SIZES = [0, 1, 7, 8, 9, 4096, 2**31, 2**40]


class RunOfFit:
    """The same small run again and again, with one compiled step."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self.x = random.normal(size=(20, 3)).astype("float32")
        self.y = self.x[:, :1] * 2
        layers = cr.layers
        self.model = cr.Sequential([layers.Dense(3, "relu"), layers.Dropout(0.2), layers.Dense(1)])
        self.optimizer = cr.optimizers.Adam(learning_rate=0.01)

    def __call__(self, folder: Path, every_seconds: float = 60.0) -> bytes:
        """Train, from a checkpoint if there is one; all that must be the same to the bit."""
        checkpoint = cr.Checkpoint(folder, every_seconds=every_seconds, keep=100)
        history = self.model.fit(
            self.x, self.y, loss="mse", optimizer=self.optimizer, epochs=4, batch_size=8,
            seed=1, validation_split=0.2, callbacks=[cr.callbacks.ReduceOnPlateau(patience=1)],
            checkpoint=checkpoint, verbose=0,
        )  # fmt: skip
        variables = [*self.model.variables, *self.optimizer.variables]
        logged = [np.asarray(value) for name in history for value in history[name]]
        return b"".join(array.tobytes() for array in (*(v.numpy() for v in variables), *logged))


def good_checkpoints(run: RunOfFit) -> tuple[bytes, list[bytes]]:
    """How the run ends, and its checkpoints: within and between epochs, the last one left out."""
    with tempfile.TemporaryDirectory() as folder:
        end = run(Path(folder), every_seconds=0.0)
        files = sorted(Path(folder).glob("checkpoint-*"))
        return end, [path.read_bytes() for path in files[:-1]]


def damaged(random: Random, content: bytes, other: bytes) -> bytes:
    """Content whose checksums tell that it was changed (or it was not)."""
    action = random.integers(8)
    if action <= 2:
        return change_bytes(random, content)
    place = int(random.integers(len(content)))
    if action == 3:
        flipped = content[place] ^ (1 << int(random.integers(8)))
        return content[:place] + bytes([flipped]) + content[place + 1 :]
    if action == 4:
        return content[:place] + other[int(random.integers(len(other))) :]
    if action == 5:
        return content[:place] + other[place:]
    if action == 6:
        return pick(random, LENGTHS).to_bytes(8, "little") + content[8:]
    return random.bytes(int(random.integers(0, 300)))


def put_damaged(random: Random, folder: Path, good: list[bytes]) -> tuple[bool, set[str]]:
    """Two checkpoints, one of them or both changed.

    Returns:
        Whether checksums tell of it, and the names of the files that were changed.
    """
    place = int(random.integers(1, len(good)))
    older, newer = folder / OLDER, _name(random, folder)
    contents = {older: good[place - 1], newer: good[place]}
    for path, content in contents.items():
        path.write_bytes(content)
    forged = random.integers(3) == 0
    changed = [newer] if random.integers(5) else [older, newer]
    for path in changed:
        content = contents[path]
        if forged:
            path.write_bytes(change_file(random, content))
        elif random.integers(10) == 0:
            _change_file_itself(random, path, folder)
        else:
            path.write_bytes(damaged(random, content, pick(random, good)))
    return not forged, {path.name for path in changed if not _is_good(path, good)}


def _name(random: Random, folder: Path) -> Path:
    number = pick(random, [2, 3, 10**6, 10**12 - 1, 10**12, 10**18 - 2])
    return folder / f"checkpoint-{number:012d}.safetensors"


def _change_file_itself(random: Random, path: Path, folder: Path) -> None:
    """Another size, with holes where it is large, or no file at all."""
    action = random.integers(4)
    if action <= 1:
        os.truncate(path, pick(random, SIZES))
        return
    path.unlink()
    if action == 2:
        path.mkdir()
    else:
        path.symlink_to(pick(random, ["/dev/zero", "lock", ".", "nothing", path.name]))


def _is_good(path: Path, good: list[bytes]) -> bool:
    """Whether nothing is to be named: a checkpoint of the run, whichever, or no file at all."""
    if path.is_symlink() or not path.is_file():
        return True
    return path.stat().st_size < 2**20 and path.read_bytes() in good


def fuzz_checkpoints(count: int, seed: int) -> dict[str, Any]:
    """Go on from ``count`` folders.

    Args:
        count: how many.
        seed: the same seed makes the same folders.

    Returns:
        How many runs went on from the newest checkpoint and from the one before it, how many were
        refused with which message, and the slowest one's seconds.

    Raises:
        Any exception that is no ``ChainruleError``; ``TookTooLong``; AssertionError for a run that
        ended otherwise than it should.
    """
    random = np.random.default_rng(seed)
    run = RunOfFit()
    end, good = good_checkpoints(run)
    bound_memory()
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as root:
        for number in range(count):
            folder = Path(root) / "run"
            folder.mkdir()
            is_told, changed = put_damaged(random, folder, good)
            begin = time.perf_counter()
            signal.alarm(SECONDS_PER_FILE)
            try:
                outcomes[_outcome(run, folder, end, is_told, changed)] += 1
            except BaseException as error:
                error.add_note(f"folder {number} of seed {seed}")
                raise
            finally:
                signal.alarm(0)
            slowest = max(slowest, time.perf_counter() - begin)
            shutil.rmtree(folder)
    went_on = {name: outcomes.pop(name, 0) for name in ("newest", "before", "forged", "anew")}
    return {"folders": count, "slowest": slowest, **went_on, "refused": dict(outcomes)}


def _outcome(run: RunOfFit, folder: Path, end: bytes, is_told: bool, changed: set[str]) -> str:
    """What became of one run, in a word or by the message that refused it."""
    is_new = not any(path.is_file() and not path.is_symlink() for path in folder.iterdir())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = run(folder)
        except ChainruleError as error:
            return error.what.replace(str(folder), "the folder")
    if is_new:
        return "anew"
    named = {name for name in changed if any(name in str(w.message) for w in caught)}
    if not is_told:
        return "before" if named else "forged"
    assert found == end, "the run ended in other bits"
    # The older one is not looked at where the newer one is whole.
    assert named >= changed - {OLDER}, f"{changed} changed, {named} named"
    return "before" if named else "newest"


def main() -> None:
    """Run as a program: ``checkpoint_fuzz.py COUNT [SEED]``."""

    def stop(*_: object) -> None:
        raise TookTooLong

    signal.signal(signal.SIGALRM, stop)
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    report = fuzz_checkpoints(int(sys.argv[1]), seed)
    report["peak_bytes"] = peak_bytes()
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
