"""Runs one program and prints a JSON line: seconds from start to exit, peak memory in MiB, status.

A process inherits the peak of the process that starts it, so this starter stays small; run it as
``python -I -S benchmarks/launcher.py COMMAND ...``. Only the standard library.
"""

import json
import os
import subprocess
import sys
import time


def main() -> None:
    """Run the command that the arguments are."""
    start = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    memory = None
    if hasattr(os, "wait4"):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        memory = usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    else:
        process.wait()
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "memory": memory, "status": process.returncode}))


if __name__ == "__main__":
    main()
