"""What a file that is not a model file looks like, for the message that refuses it.

Nothing is opened or unpacked: the first bytes decide.
"""

import re

HEAD_SIZE = 512
"""Bytes from the beginning of the file that ``looks_like`` wants to see."""

_PICKLE = "a pickle file (joblib, .pkl, old .pt), which can run any program when it is opened"

_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (rb"\x80[\x00-\x05]", _PICKLE),
    (rb"\(?[ld]p\d*\n|[\]}]q\x00|\(?c[A-Za-z_][\w.]*\n[A-Za-z_]", _PICKLE),
    (rb"PK(\x03\x04|\x05\x06|\x07\x08)", "a zip archive (.keras, .pt, .npz)"),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file (.h5)"),
    (rb"\x93NUMPY", "a NumPy array (.npy)"),
    (rb"\x1f\x8b", "a gzip file"),
    (rb".{257}ustar", "a tar archive"),
    (rb"GGUF", "a GGUF file"),
    (rb"PAR1", "a Parquet table"),
    (rb"version https://git-lfs", "a Git LFS pointer, not the file it stands for"),
    (rb"\s*(<!doctype html|<html)", "a web page"),
    (rb"\x00+$", "nothing but zero bytes"),
    (rb"[\t\r\n -~]+$", "a text file"),
)


def looks_like(head: bytes) -> str | None:
    r"""The kind of a foreign file in words, from its first ``HEAD_SIZE`` bytes; None when unknown.

    >>> looks_like(b"PK\x03\x04rest")
    'a zip archive (.keras, .pt, .npz)'
    >>> looks_like(b"\xfa\xfb\xfc") is None
    True
    """
    for pattern, kind in _BEGINNINGS:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            return kind
    return None
