"""Something like speech: every letter is a tone of its own."""

import numpy as np

from chainrule.data import AudioData, AudioPreparation

RATE = 4_000
PITCHES = {"a": 400, "b": 700, "c": 1_100, "d": 1_600}


def spoken(text: str, random: np.random.Generator) -> np.ndarray:
    """The samples of a text; a space is a pause."""
    pieces = []
    for letter in text:
        length = int(random.integers(280, 400))
        pitch = PITCHES.get(letter, 0) * random.uniform(0.97, 1.03)
        wave = np.sin(2 * np.pi * pitch * np.arange(length) / RATE) * (letter != " ")
        pieces += [wave * np.hanning(length), np.zeros(60)]
    sound = np.concatenate(pieces)
    return np.float32(0.3 * (sound + random.normal(0, 0.01, len(sound))))


def texts_of_tones(count: int, seed: int = 0) -> list[str]:
    """Random texts of three to six letters."""
    random = np.random.default_rng(seed)
    return ["".join(random.choice(list("abcd"), int(random.integers(3, 7)))) for _ in range(count)]


def tones(count: int, seed: int = 0) -> AudioData:
    """Sounds with transcripts."""
    texts, random = texts_of_tones(count, seed), np.random.default_rng(seed + 100)
    sounds = [spoken(text, random) for text in texts]
    starts = np.concatenate([[0], np.cumsum([len(sound) for sound in sounds])]).astype(np.int64)
    return AudioData(
        np.concatenate(sounds), starts, np.full(count, -1, np.int32), [], texts,
        [f"{i}.wav" for i in range(count)], {RATE: count}, [], AudioPreparation(RATE),
    )  # fmt: skip
