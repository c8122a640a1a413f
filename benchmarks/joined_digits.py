"""How well the default SpeechRecognizer writes down three spoken digits in a row.

The recordings are those of the Free Spoken Digit Dataset, named ``{digit}_{speaker}_{index}.wav``.
Clips of three digits of one speaker, with short pauses, are made of them; the recordings of one
speaker are left out of the training, and every tenth recording of the others. Told are the shares
of letters that are wrong in clips of the left-out recordings of the known speakers, and in clips of
the unknown one.

``python benchmarks/joined_digits.py RECORDINGS [--leave-out theo] [--clips 3000] [--seeds 1]``
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from chainrule.data import AudioData, AudioPreparation
from chainrule.data.audio_decoding import trimmed
from chainrule.estimators import SpeechRecognizer

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RATE = 8_000
LONGEST_PAUSE = RATE // 10


def joined(paths: Sequence[Path], count: int, seed: int) -> AudioData:
    """Clips of three recordings of one speaker each, with what is said."""
    random = np.random.default_rng(seed)
    sounds = {path: trimmed(soundfile.read(path, dtype="float32")[0], RATE, 40) for path in paths}
    by_speaker: dict[str, list[Path]] = {}
    for path in paths:
        by_speaker.setdefault(path.name.split("_")[1], []).append(path)
    speakers, clips, texts = sorted(by_speaker), [], []
    for _ in range(count):
        of_one = by_speaker[speakers[int(random.integers(len(speakers)))]]
        chosen = [of_one[int(i)] for i in random.integers(len(of_one), size=3)]
        pieces: list[NDArray[np.float32]] = []
        for path in chosen:
            pause = np.zeros(int(random.integers(LONGEST_PAUSE)), np.float32)
            pieces += [sounds[path], pause]
        clips.append(np.concatenate(pieces[:-1]))
        texts.append(" ".join(WORDS[int(path.name[0])] for path in chosen))
    starts = np.concatenate([[0], np.cumsum([len(clip) for clip in clips])]).astype(np.int64)
    return AudioData(
        np.concatenate(clips), starts, np.full(count, -1, np.int32), [], texts,
        [f"{i}.wav" for i in range(count)], {RATE: count}, [], AudioPreparation(RATE),
    )  # fmt: skip


def main() -> int:
    """Train and test once for each seed; print the error rates and their medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--leave-out", default="theo", help="the unknown speaker (default theo)")
    parser.add_argument("--clips", type=int, default=3_000, help="clips to learn (default 3000)")
    parser.add_argument("--seeds", type=int, default=1, help="trainings (default 1)")
    options = parser.parse_args()
    paths = sorted(options.recordings.glob("*_*_*.wav"))
    unknown = [path for path in paths if path.name.split("_")[1] == options.leave_out]
    known = [path for path in paths if path.name.split("_")[1] != options.leave_out]
    tested = [path for path in known if int(path.stem.split("_")[2]) % 10 == 0]
    learnt = sorted(set(known) - set(tested))
    data = joined(learnt, options.clips, 1)
    tests = {"known": joined(tested, 300, 2), "unknown": joined(unknown, 300, 3)}
    rates: dict[str, list[float]] = {name: [] for name in tests}
    for seed in range(options.seeds):
        start = time.perf_counter()
        recognizer = SpeechRecognizer(random_state=seed).fit(data)
        seconds = time.perf_counter() - start
        for name, test in tests.items():
            rates[name].append(recognizer.error_rates(test)["letter_error_rate"])
        told = ", ".join(f"{name} {found[-1]:.4f}" for name, found in rates.items())
        print(f"seed {seed}: letters wrong: {told}; {seconds:.0f} s of training", flush=True)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    print(", ".join(f"{name} speakers: {median:.4f}" for name, median in medians.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
