"""How far the memory of this process grows while it works. Only the standard library."""

from __future__ import annotations

from pathlib import Path

from benchmarks.serving import Builder, Measured, Options, Sample

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def growth(build: Builder) -> Builder:
    """Work whose sample is the peak of resident memory in MiB over what was there before it.

    What was there: the libraries as imported. The peak is that of building, compiling and doing
    the work; the operating system keeps it, and begins anew where it is told to (Linux).
    """

    def build_growth(options: Options) -> Sample:
        def sample() -> Measured:
            _RESET.write_text("5\n", "ascii")
            before = _peak()
            build(options)()
            return Measured(_peak() - before)

        return sample

    return build_growth


def _peak() -> float:
    """The peak of resident memory in MiB."""
    for line in _STATUS.read_text("ascii").splitlines():
        name, _, rest = line.partition(":")
        if name == "VmHWM":
            return int(rest.split()[0]) / 1024
    raise OSError("the system does not tell how much memory is in use")
