"""Run every part, or the named ones: `zfnet bench [--quick] [part ...]`; see the package.

Each part is a module with `rows(quick) -> [{name, ours, peer, unit, ratio, target, holds, note}]`. result.json is
written after every part, rows of parts that did not run now stay in it, and each says of which part and commit it is.
A part that fails costs the others nothing: its traceback is printed, `failed` names it, and the exit code is 1.
The part `gpu` is left out where torch sees no GPU, and its earlier rows are kept.
--quick asks whether everything runs: tiny inputs, one round, numbers that mean nothing, in quick.json.
"""

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from zfnet.bench import feed, gpu, localization, occlusion, own_scale, projection, training, transfer
from zfnet.core.files import write_json
from zfnet.core.machine import device_name
from zfnet.pipeline import record

PARTS: dict[str, Callable[[bool], list[dict[str, Any]]]] = {
    "training": training.rows,
    "feed": feed.rows,
    "projection": projection.rows,
    "occlusion": occlusion.rows,
    "transfer": transfer.rows,
    "localization": localization.rows,
    "own-scale": own_scale.rows,
    "gpu": gpu.rows,
}
OUT = Path("outputs/bench")
HEAD = f"{'':52}{'ours':>10}{'peer':>10}  {'unit':10}{'ratio':>8}{'target':>8}"


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("zfnet bench", description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; none: all")
    parser.add_argument("--quick", action="store_true", help="only see whether everything runs")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of result.json (default: %(default)s)")
    chosen = parser.parse_args(words)
    unknown = sorted(set(chosen.parts) - set(PARTS))
    if unknown:
        print(f"zfnet.bench: no part {unknown[0]!r}; known: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    parts = chosen.parts or list(PARTS)
    if "gpu" in parts and not torch.cuda.is_available():
        print("zfnet.bench: gpu needs a GPU, and torch sees none; left out", file=sys.stderr)
        parts = [part for part in parts if part != "gpu"]
        if not parts:
            return 1
    return run(parts, chosen.out / ("quick.json" if chosen.quick else "result.json"), chosen.quick)


def run(parts: Sequence[str], path: Path, quick: bool) -> int:
    """Measure the parts and write `path`; 1 when one of them failed, else 0."""
    rows = [row for row in _read(path) if row.get("part") not in parts]
    failed: dict[str, str] = {}
    print(HEAD)
    for part in parts:
        try:
            rows += _measure(part, quick)
        except Exception as error:  # whatever goes wrong in one part, the others' rows are kept
            traceback.print_exc()
            failed[part] = f"{type(error).__name__}: {error}"
        machine = {"device": device_name("cpu"), "threads": torch.get_num_threads()}
        write_json(path, {"rows": rows, "failed": failed, **machine, "versions": record.versions()})
    print(f"written: {path}")
    for part, message in failed.items():
        print(f"zfnet.bench: {part} failed ({message})", file=sys.stderr)
    return 1 if failed else 0


def _measure(part: str, quick: bool) -> list[dict[str, Any]]:
    head, dirty = record.commit()
    rows = PARTS[part](quick)
    for row in rows:
        mark = "" if row["holds"] else "   short"
        numbers = f"{row['ours']:>10,.1f}{row['peer']:>10,.1f}  {row['unit']:10}{row['ratio']:>7.1f}x"
        print(f"{row['name']:52}{numbers}{row['target']:>7.3g}x{mark}", flush=True)
    return [{**row, "part": part, "commit": head, "dirty": dirty} for row in rows]


def _read(path: Path) -> list[dict[str, Any]]:
    """The rows of an earlier run; none when there is no whole file."""
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["rows"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
