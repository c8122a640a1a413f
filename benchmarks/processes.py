"""The processes that are measured: sides that answer commands, and whole programs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.serving import Measured
from benchmarks.workloads import ROOT

LIMIT_SECONDS = 600.0


class SideError(Exception):
    """A side that could not do its work; the message says why."""


def environment(cache: Path | None) -> dict[str, str]:
    """The variables of a measured process: this one's, and where compiled programs are kept.

    It may keep its modules as bytecode, as the peers' modules are kept since they were installed.
    """
    variables = dict(os.environ)
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    if cache is not None:
        variables["CHAINRULE_CACHE_DIR"] = str(cache)
    return variables


class Side:
    """A process that serves one workload; see ``benchmarks.serving``.

    Args:
        python: the interpreter.
        module: the module to run.
        workload: which work.
        cache: the folder of compiled programs.
        options: further arguments of the module.
    """

    def __init__(
        self,
        python: str,
        module: str,
        workload: str,
        cache: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="chainrule-benchmark-")
        self._errors = Path(self._folder.name, "errors")
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [python, "-m", module, workload, *options],
                cwd=ROOT,
                env=environment(cache),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
            )
        try:
            self.versions: dict[str, str] = self._answer()["versions"]
        except SideError:
            self.close()
            raise

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prepare(self, variant: str) -> None:
        """Build, compile and warm up."""
        self._ask(f"prepare {variant}")

    def sample(self, variant: str) -> Measured:
        """Do the work once."""
        return Measured(**self._ask(f"sample {variant}"))

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._folder.cleanup()

    def _ask(self, command: str) -> dict[str, Any]:
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise SideError(self._last_words()) from error
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        timer = threading.Timer(LIMIT_SECONDS, self._process.kill)
        timer.start()
        try:
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            raise SideError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise SideError(answer["error"])
        return answer

    def _last_words(self) -> str:
        self._process.wait()
        lines = self._errors.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"ended with status {self._process.returncode}"


class ProgramRun(NamedTuple):
    """A whole process: seconds from start to exit, and its peak memory in MiB if known."""

    seconds: float
    memory: float | None


def run_program(command: Sequence[str], python: str, cache: Path | None = None) -> ProgramRun:
    """Run a program to its end.

    Args:
        command: the program and its arguments.
        python: an interpreter for the launcher, which measures.
        cache: the folder of compiled programs.

    Raises:
        SideError: the program failed.
    """
    launcher = str(ROOT / "benchmarks" / "launcher.py")
    result = subprocess.run(
        [python, "-I", "-S", launcher, *command],
        cwd=ROOT,
        env=environment(cache),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    if result.returncode == 0:
        answer: Mapping[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
        if answer["status"] == 0:
            return ProgramRun(answer["seconds"], answer["memory"])
    lines = result.stderr.strip().splitlines()
    raise SideError(lines[-1] if lines else "the program failed without a word")


@contextlib.contextmanager
def new_folder() -> Iterator[Path]:
    """A new folder that goes away afterwards."""
    with tempfile.TemporaryDirectory(prefix="chainrule-benchmark-") as folder:
        yield Path(folder)
