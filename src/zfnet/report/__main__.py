"""`python -m zfnet.report outputs/<profile>`: the report of the stages that have been run so far."""

from __future__ import annotations

import sys
from pathlib import Path

from zfnet.errors import UserError
from zfnet.report.build import build


def main(words: list[str]) -> int:
    if len(words) != 1:
        print("zfnet: name one folder: python -m zfnet.report outputs/menagerie", file=sys.stderr)
        return 2
    try:
        print(build(Path(words[0]), Path(words[0]) / "report").headline)
    except UserError as error:
        print(f"zfnet: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
