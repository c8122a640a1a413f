"""Model files put together by hand, to test what the writer would never write."""

import json
from collections.abc import Mapping
from typing import Any

from chainrule.formats.header import UNSET_CHECKSUM, checksum

Table = dict[str, Any]


def entry(shape: list[Any], begin: int, end: int, dtype: str = "F32") -> Table:
    """One tensor's row of the header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def about(rows: Mapping[str, Any], data: bytes, model: object = None, **changes: object) -> Table:
    """The metadata that suits the rows; ``changes`` replace its values."""

    def part(row: Any) -> bytes:
        try:
            begin, end = row["data_offsets"]
            return data[begin:end]
        except (KeyError, TypeError, ValueError):
            return b""

    return {
        "format_version": 1,
        "header_sha256": UNSET_CHECKSUM,
        "tensor_sha256": {name: checksum(part(row)) for name, row in rows.items()},
        "model": {"class": "Sequential"} if model is None else model,
    } | changes


def assemble(header: str, data: bytes = b"") -> bytes:
    """The file of a header text and the tensors' bytes; the header's checksum is set right."""
    raw = header.encode("utf-8", "surrogatepass")
    raw = len(raw).to_bytes(8, "little") + raw
    unset = UNSET_CHECKSUM.encode()
    return raw.replace(unset, checksum(raw).encode(), 1) + data


def model_file(
    rows: Mapping[str, Any], data: bytes, model: object = None, **changes: object
) -> bytes:
    """A file with these tensor rows, right in all that is not given."""
    text = json.dumps(about(rows, data, model, **changes))
    return assemble(json.dumps({"__metadata__": {"chainrule": text}, **rows}), data)
