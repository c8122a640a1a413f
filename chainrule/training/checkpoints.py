"""Checkpoints: a folder with all that a run of training needs to go on to the same bits.

A checkpoint is a model file (`formats.model_file`: checksums, written atomically) that holds every
variable a step changes, the history, the place in the data, the state of callbacks and the seed.
The newest few are kept; a damaged one is named, and the one before it is used.
"""

import hashlib
import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import tree
from chainrule.errors import ArgumentError, FileAccessError, FileFormatError, StateError
from chainrule.formats import read_model_file, write_model_file
from chainrule.formats.atomic import access_error, place
from chainrule.nn.validate import number, whole_number
from chainrule.tensor import Tensor, Variable
from chainrule.training.batches import Data
from chainrule.training.callbacks import Callback
from chainrule.training.history import History

WHERE = "fit: checkpoint"
_VERSION = 1
_CHOOSE = "choose another folder"
_NAME = re.compile(r"checkpoint-([0-9]{12,18})\.safetensors")
_UNFINISHED = re.compile(r"\.chainrule-[0-9a-f]{16}\.tmp")
# Of each array of the data so many bytes at both ends tell whether it is the same data.
_SAMPLE_BYTES = 1 << 16

Arrays = dict[str, NDArray[Any]]


class Checkpoint:
    """Where and how often ``fit`` writes checkpoints; ``checkpoint=FOLDER`` takes the defaults.

    Args:
        folder: of this one run; it is made if need be.
        every_seconds: the time between two checkpoints, at least; default 60. There is one at the
            end of the run besides, and after Ctrl-C.
        keep: how many of the newest stay; default 2.

    Raises:
        ArgumentError: an argument outside what is possible.

    Example:
        >>> import chainrule as cr
        >>> cr.Checkpoint("run", every_seconds=30).keep
        2
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, every_seconds: float = 60.0, keep: int = 2
    ) -> None:
        place(folder)
        self.folder = Path(folder)
        self.every_seconds = number("Checkpoint", "every_seconds", every_seconds, minimum=0.0)
        self.keep = whole_number("Checkpoint", "keep", keep)


@dataclass
class Place:
    """How far a run has come.

    Attributes:
        epoch: the epoch that is under way, from 0.
        rows: how many rows of it are done, in its order.
        batches: how many steps of it are done.
        losses: the loss of each of these steps.
        totals: the weight of each in the mean over the epoch.
    """

    epoch: int = 0
    rows: int = 0
    batches: int = 0
    losses: list[NDArray[Any]] = field(default_factory=list)
    totals: list[NDArray[Any]] = field(default_factory=list)

    def note(self, losses: NDArray[Any], totals: NDArray[Any], rows: int) -> None:
        """Some more steps are done, ``rows`` rows of the epoch in all."""
        self.losses.append(losses)
        self.totals.append(totals)
        self.rows = rows
        self.batches += len(losses)

    def mean(self) -> float:
        """The mean loss of the epoch so far, the same however the steps came in."""
        totals = np.concatenate(self.totals)
        return float((np.concatenate(self.losses) * totals).sum() / totals.sum())


@dataclass
class Saved:
    """A checkpoint that was read."""

    name: str
    about: Mapping[str, Any]
    arrays: Arrays

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.about["seed"])

    @property
    def ended(self) -> tuple[str, str] | None:
        """Why the run had ended, as a word and a sentence; None if it was cut off."""
        by, reason = self.about["ended"]
        return (by, reason) if by else None


class CheckpointFolder:
    """Reads and writes the checkpoints of one run.

    Args:
        settings: the folder, or a `Checkpoint`.
    """

    def __init__(self, settings: Any) -> None:
        self.settings = settings if isinstance(settings, Checkpoint) else Checkpoint(settings)
        self.folder = self.settings.folder
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise access_error(self.folder, "write", error, _CHOOSE) from error
        self.saved: Saved | None = None
        self._damaged: set[Path] = set()
        self.identity: dict[str, Any] = {}
        self.seed = 0
        self._next = time.monotonic() + self.settings.every_seconds
        self._failed = False

    # ---- reading

    def _names(self) -> list[tuple[int, Path, bool]]:
        """What is named like a checkpoint, by number, the newest first, and whether it is a file,
        nothing that a link leads to.
        """
        found = []
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    match = _NAME.fullmatch(entry.name)
                    if match:
                        is_file = entry.is_file(follow_symlinks=False)
                        found.append((int(match[1]), Path(entry.path), is_file))
        except OSError as error:
            raise access_error(self.folder, "read", error, _CHOOSE) from error
        return sorted(found, reverse=True)

    def _newest(self) -> Saved | None:
        files = [path for _, path, is_file in self._names() if is_file]
        for path in files:
            try:
                about, arrays = read_model_file(path)
                return _checked(path.name, about, arrays)
            except (FileFormatError, FileAccessError) as error:
                self._damaged.add(path)
                warnings.warn(f"{error}; the checkpoint before it is used", stacklevel=6)
        if files:
            raise FileFormatError(
                place(self.folder),
                "no checkpoint can be read",
                got=f"{len(files)} files, all damaged",
                fix="delete the folder to begin anew, or restore a file from a copy",
            )
        return None

    def check_identity(self, identity: dict[str, Any]) -> None:
        """Take note what belongs to the run, and complain if the checkpoint is of another one.

        Raises:
            ArgumentError: another model, other data or other settings.
        """
        self.identity = identity
        if self.saved is None:
            return
        before = self.saved.about["identity"]
        differing = [key for key in identity if identity[key] != before.get(key)]
        if differing:
            key = differing[0]
            raise ArgumentError(
                WHERE,
                f"the checkpoints in {place(self.folder)} are of another run: {key} differs",
                got=str(identity[key])[:120],
                expected=str(before.get(key))[:120],
                fix="choose another folder, or delete this one to begin anew",
            )

    def restore(
        self, variables: Sequence[tuple[Variable, Tensor]], history: History,
        callbacks: Sequence[Callback],
    ) -> Place:  # fmt: skip
        """Put everything back; returns how far the run had come.

        Raises:
            FileFormatError: parts are missing or of another run; no variable has changed.
        """
        if self.saved is None:
            return Place()
        about, arrays = self.saved.about, self.saved.arrays
        try:
            values = [arrays[f"variable/{i}"] for i in range(len(variables))]
            for value, (variable, _) in zip(values, variables):
                if (value.shape, value.dtype) != (variable.shape, variable.dtype):
                    raise ValueError(f"{variable.path} {value.dtype}{list(value.shape)}")
            if about["rows"] > self.identity["rows"] or len(about["callbacks"]) != len(callbacks):
                raise ValueError(f"{about['rows']} rows, {len(about['callbacks'])} callbacks")
            parts = [
                _unpacked(part, arrays, f"callback/{i}")
                for i, part in enumerate(about["callbacks"])
            ]
            for callback, part in zip(callbacks, parts):
                callback.restore(part)
        except Exception as error:  # a callback may fail in any way
            raise FileFormatError(
                self.saved.name, "parts of the checkpoint are missing or of another kind",
                got=f"{type(error).__name__} {error}"[:80],
                fix="delete the file: the checkpoint before it is used then",
            ) from error  # fmt: skip
        for value, (variable, _) in zip(values, variables):
            variable.assign(value)
        for i, name in enumerate(about["history"]):
            logged = arrays[f"history/{i}"]
            history.history[name] = logged.tolist() if logged.ndim == 1 else list(logged)
        history.epochs = about["epochs"]
        progress = Place(about["epoch"], about["rows"])
        if len(arrays["losses"]):
            progress.note(arrays["losses"], arrays["totals"], about["rows"])
        return progress

    # ---- writing

    @property
    def ended(self) -> tuple[str, str] | None:
        """Why the run had ended, as a word and a sentence; None for one that was cut off."""
        return None if self.saved is None else self.saved.ended

    @property
    def is_due(self) -> bool:
        """Whether enough time has passed since the last checkpoint, or the clock was set back."""
        left = self._next - time.monotonic()
        return not 0 < left <= self.settings.every_seconds

    def save(
        self,
        variables: Sequence[tuple[Variable, Tensor]],
        history: History,
        callbacks: Sequence[Callback],
        progress: Place,
        ended: tuple[str, str] | None = None,
    ) -> None:
        """Write a checkpoint, and remove those that are too old. A disk that is full or gone, or a
        logged value that no file can hold, is said in a warning; training goes on.
        """
        self._next = time.monotonic() + self.settings.every_seconds
        try:
            self._write(*self._content(variables, history, callbacks, progress, ended))
        except (OSError, ValueError, TypeError) as error:
            if not self._failed:
                self._failed = True
                warnings.warn(
                    f"[{WHERE}] a checkpoint could not be written: {error}. Training goes on; "
                    "the last whole checkpoint stays",
                    RuntimeWarning,
                    stacklevel=2,
                )

    def _content(
        self,
        variables: Sequence[tuple[Variable, Tensor]],
        history: History,
        callbacks: Sequence[Callback],
        progress: Place,
        ended: tuple[str, str] | None,
    ) -> tuple[dict[str, Any], Arrays]:
        """Metadata and arrays of a checkpoint."""
        arrays: Arrays = {f"variable/{i}": x.numpy() for i, (_, x) in enumerate(variables)}
        names = list(history.history)
        arrays |= {f"history/{i}": np.asarray(history.history[n]) for i, n in enumerate(names)}
        empty = [np.zeros(0)]
        arrays["losses"] = np.concatenate(progress.losses or empty)
        arrays["totals"] = np.concatenate(progress.totals or empty)
        kept = [
            _packed(callback.state(), arrays, f"callback/{i}")
            for i, callback in enumerate(callbacks)
        ]
        about = {
            "checkpoint": _VERSION,
            "identity": self.identity,
            "seed": self.seed,
            "epoch": progress.epoch,
            "rows": progress.rows,
            "epochs": history.epochs,
            "history": names,
            "callbacks": kept,
            "ended": list(ended or ("", "")),
        }
        return about, arrays

    def _write(self, about: dict[str, Any], arrays: Arrays) -> None:
        known = self._names()
        last = known[0][0] if known else 0
        write_model_file(self.folder / f"checkpoint-{last + 1:012d}.safetensors", about, arrays)
        whole = [path for _, path, is_file in known if is_file and path not in self._damaged]
        for path in (*self._damaged, *whole[self.settings.keep - 1 :]):
            path.unlink(missing_ok=True)
        self._damaged.clear()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The newest checkpoint is read, and no other run may write here meanwhile; the lock ends
        with the process.

        Raises:
            StateError: another run has the folder.
            FileAccessError: the folder cannot be written to, or no checkpoint can be read.
            FileFormatError: there are checkpoints, but each of them is damaged.
        """
        # No waiting for the other end of a pipe, nothing that a link leads to.
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
        try:
            descriptor = os.open(self.folder / "lock", flags, 0o666)
        except OSError as error:
            raise access_error(self.folder, "write", error, _CHOOSE) from error
        try:
            self._lock(descriptor)
            self._remove_unfinished()
            self.saved = self._newest()
            yield
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        try:
            import fcntl
        except ImportError:  # pragma: no cover - Windows has no such locks
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(
                WHERE,
                "another run is writing to this folder",
                got=place(self.folder),
                fix="give each run a folder of its own, or end the other one",
            ) from None
        except OSError as error:
            warnings.warn(
                f"[{WHERE}] {place(self.folder)} cannot be locked ({error.strerror}): no other run "
                "may write there meanwhile",
                RuntimeWarning,
                stacklevel=5,
            )

    def _remove_unfinished(self) -> None:
        """What runs that were killed while they wrote have left behind."""
        with os.scandir(self.folder) as entries:
            left = [e.path for e in entries if _UNFINISHED.fullmatch(e.name) and not e.is_dir()]
        for path in left:
            with suppress(OSError):
                os.unlink(path)


def identity_of(
    variables: Sequence[tuple[Variable, Tensor]], data: Data, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What must be the same for a run to be continued."""
    types = [f"{v.path} {v.dtype.name}{list(v.shape)}" for v, _ in variables]
    leaves = tree.flatten((data.x, data.y, data.weights))[0]
    described = [_describe(x) for x in leaves if x is not None]
    return {**settings, "model": types, "rows": data.rows, "data": described}


def _describe(array: NDArray[Any]) -> str:
    """Shape, dtype and a hash of both ends."""
    digest = hashlib.sha256()
    rows = max(1, _SAMPLE_BYTES // max(1, array[:1].nbytes))
    for part in (array[:rows], array[-rows:]):
        digest.update(np.ascontiguousarray(part).tobytes())
    return f"{array.dtype.name}{list(array.shape)} {digest.hexdigest()[:32]}"


def _packed(state: Mapping[str, Any], arrays: Arrays, prefix: str) -> dict[str, Any]:
    """JSON for whole numbers, words and None; arrays, lists of arrays and floats beside it."""
    packed: dict[str, Any] = {}
    for key, value in state.items():
        if value is None or isinstance(value, bool | int | str):
            packed[key] = value
            continue
        parts = value if isinstance(value, list) else [value]
        packed[key] = [len(parts), "list" if isinstance(value, list) else type(value).__name__]
        for i, part in enumerate(parts):
            arrays[f"{prefix}/{key}/{i}"] = np.asarray(part)
    return packed


def _unpacked(packed: Mapping[str, Any], arrays: Arrays, prefix: str) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for key, value in packed.items():
        if not isinstance(value, list):
            state[key] = value
            continue
        parts = [arrays[f"{prefix}/{key}/{i}"] for i in range(value[0])]
        state[key] = parts if value[1] == "list" else parts[0]
        if value[1] == "float":
            state[key] = float(parts[0])
    return state


_KEYS = {
    "checkpoint": int, "identity": dict, "seed": int, "epoch": int, "rows": int, "epochs": int,
    "history": list, "callbacks": list, "ended": list,
}  # fmt: skip


def _checked(name: str, about: Mapping[str, Any], arrays: Arrays) -> Saved:
    """A checkpoint whose parts are all there.

    Raises:
        FileFormatError: a file that is something else.
    """
    whole = about.keys() == _KEYS.keys() and all(type(about[k]) is t for k, t in _KEYS.items())
    if not whole or about["checkpoint"] != _VERSION or not _fits(about, arrays):
        raise FileFormatError(name, "this is no checkpoint of this version", fix="delete the file")
    return Saved(name, about, arrays)


def _fits(about: Mapping[str, Any], arrays: Arrays) -> bool:
    """Whether numbers and arrays can be those of a run."""
    words = [*about["history"], *about["ended"]]
    logged = [arrays.get(f"history/{i}") for i in range(len(about["history"]))]
    losses, totals = arrays.get("losses"), arrays.get("totals")
    return (
        all(0 <= about[key] < 1 << 63 for key in ("seed", "epoch", "rows", "epochs"))
        and all(isinstance(word, str) for word in words)
        and len(about["ended"]) == 2
        and all(isinstance(part, dict) for part in about["callbacks"])
        and all(x is not None and x.ndim and len(x) == about["epochs"] for x in logged)
        and losses is not None
        and totals is not None
        and losses.ndim == 1
        and losses.shape == totals.shape
        and bool(len(losses)) == bool(about["rows"])  # rows are done in steps
        and bool((totals > 0).all())
    )
