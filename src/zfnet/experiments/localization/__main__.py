"""Score a prediction file of the challenge by itself, without a network or images.

    zfnet score predictions.txt truth.txt [--blacklist blacklist.txt]

Both files have one line an image, `label xmin ymin xmax ymax` once a guess or an instance (see predictions.py); the
stage `localization` writes such files. Prints every error in percent with its 95 % interval. Exit code 2: bad input.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from zfnet.core.errors import exit_code
from zfnet.experiments.localization.predictions import score_file


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("zfnet score", description=__doc__.partition("\n")[0])
    parser.add_argument("predictions", type=Path, help="up to five `label xmin ymin xmax ymax` a line, best first")
    parser.add_argument("truth", type=Path, help="one `label xmin ymin xmax ymax` for each instance")
    parser.add_argument("--blacklist", type=Path, help="line numbers that are not scored, one a line")
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args(words)
    return exit_code(lambda: _score(chosen))


def _score(chosen: argparse.Namespace) -> None:
    errors = score_file(chosen.predictions, chosen.truth, chosen.blacklist)
    if chosen.json:
        print(json.dumps(errors, indent=1))
        return
    for name, rate in errors.items():
        print(f"{name:18}{rate['value']:6.2f} %   95 % interval {rate['low']:.2f} to {rate['high']:.2f}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
