"""Run every row, or those of the named parts (`python -m zfnet.bench training occlusion`); see the package."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import torch

from zfnet import record

PARTS = ("training", "projection", "occlusion", "transfer", "localization")
OUT = Path("outputs/bench/result.json")


def main(names: list[str]) -> int:
    unknown = set(names) - set(PARTS)
    if unknown:
        print(f"zfnet.bench: no part {min(unknown)!r}; known: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    rows = []
    print(f"{'':44}{'ours':>10}{'peer':>10}  {'unit':10}{'ratio':>8}{'target':>8}")
    for name in names or PARTS:
        for row in importlib.import_module(f"zfnet.bench.{name}").rows():
            rows.append(row)
            mark = "" if row["holds"] else "   short"
            numbers = f"{row['ours']:>10,.1f}{row['peer']:>10,.1f}  {row['unit']:10}{row['ratio']:>7.1f}x"
            print(f"{row['name']:44}{numbers}{row['target']:>7g}x{mark}", flush=True)
    head, dirty = record.commit()
    machine = {"device": record.device_name("cpu"), "threads": torch.get_num_threads(), "versions": record.versions()}
    record.write_json(OUT, {"rows": rows, "commit": head, "dirty": dirty, **machine})
    print(f"written: {OUT}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
