"""What a run of the program leaves behind."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What one run of the program left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON object of the last line."""
        return json.loads(self.out.splitlines()[-1])


Run = Callable[..., Outcome]
