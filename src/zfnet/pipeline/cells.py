"""Cells of a table that are kept on disk as they are made: an interrupted stage goes on where it stopped.

<file>.json holds {"key": what they were made from, "cells": name -> cell}; other origins, other cells.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zfnet.core.files import write_json


class Cells:
    """The cells in the file `path` that were made from `key`, both plain JSON; a damaged file holds none."""

    def __init__(self, path: Path, key: Any) -> None:
        self.path, self.key = path, json.loads(json.dumps(key))
        self.made: dict[str, Any] = {}
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["key"] == self.key:
                self.made = dict(kept["cells"])
        except (OSError, ValueError, LookupError, TypeError):
            pass

    def get(self, name: str, make: Callable[..., Any], *arguments: Any) -> Any:
        """The cell `name`, which is make(*arguments) unless it is there already."""
        if name not in self.made:
            self.made[name] = make(*arguments)
            write_json(self.path, {"key": self.key, "cells": self.made})
        return self.made[name]
