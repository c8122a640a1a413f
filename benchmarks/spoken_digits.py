"""How well the default SoundClassifier tells spoken digits of a voice that it has never heard.

The recordings are those of the Free Spoken Digit Dataset, named ``{digit}_{speaker}_{index}.wav``.
One speaker is left out of the training; the accuracy is that on the speaker's recordings, for each
seed of the training.

``python benchmarks/spoken_digits.py RECORDINGS [--leave-out theo] [--seeds 3] [--json]``
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from chainrule.data import AudioData, audio
from chainrule.estimators import SoundClassifier


def read(folder: Path) -> AudioData:
    """The recordings, with the digits as classes."""
    with tempfile.TemporaryDirectory() as made:
        # Paths of a table count from its own folder.
        rows = [f"{path.name},{path.name[0]}" for path in sorted(folder.glob("*_*_*.wav"))]
        table = Path(made) / "digits.csv"
        table.write_text("\n".join(["path,label", *rows]))
        for path in folder.glob("*_*_*.wav"):
            (Path(made) / path.name).write_bytes(path.read_bytes())
        return audio(table, cache=False)


def main() -> int:
    """Train and test once for each seed; print the accuracies and their median."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--leave-out", default="theo", help="the speaker to test (default theo)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings (default 3)")
    parser.add_argument("--json", action="store_true", help="end with a JSON line")
    options = parser.parse_args()
    data = read(options.recordings)
    theirs = np.array([path.split("_")[1] == options.leave_out for path in data.paths])
    learnt, test = data.take(np.flatnonzero(~theirs)), data.take(np.flatnonzero(theirs))
    labels = np.array(test.classes)[test.y]
    accuracies, seconds = [], []
    for seed in range(options.seeds):
        start = time.perf_counter()
        classifier = SoundClassifier(random_state=seed).fit(learnt)
        seconds.append(time.perf_counter() - start)
        accuracies.append(classifier.score(test, labels))
        print(
            f"seed {seed}: accuracy {accuracies[-1]:.4f}, {seconds[-1]:.1f} s of training",
            flush=True,
        )
    median = statistics.median(accuracies)
    print(f"{len(learnt):,} learnt, {len(test):,} of {options.leave_out} tested: {median:.4f}")
    if options.json:
        print(json.dumps({"accuracies": accuracies, "median": median, "seconds": seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
