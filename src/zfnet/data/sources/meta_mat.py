"""The classes of the ILSVRC-2012 devkit from its meta.mat, read in a process of its own.

scipy's reader of MATLAB files crashes on some damaged ones, and takes this process alone with it.
"""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

PATIENCE = 60  # seconds; it takes one


def read_meta_mat(path: Path) -> dict[int, tuple[str, str]]:
    """ILSVRC id -> (wnid, first name) of the leaf synsets. Raises ValueError with the reason for any other file."""
    state = path.stat()
    return _read(path, state.st_size, state.st_mtime_ns)


@cache
def _read(path: Path, size: int, time_ns: int) -> dict[int, tuple[str, str]]:
    command = [sys.executable, "-P", __file__, str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise ValueError(f"reading it took more than {PATIENCE} s") from None
    if done.returncode:
        last_line = done.stderr.strip().rpartition("\n")[2]
        raise ValueError(last_line if done.returncode > 0 and last_line else "its reader crashed")
    return {int(number): (wnid, name) for number, wnid, name in json.loads(done.stdout)}


def _leaves(path: str) -> list[tuple[int, str, str]]:
    import numpy as np
    from scipy.io import loadmat

    rows = np.atleast_1d(loadmat(path, squeeze_me=True)["synsets"])
    leaves = [row for row in rows if int(row["num_children"]) == 0]
    names = [str(row["words"]).split(",")[0].strip() for row in leaves]
    return [(int(row["ILSVRC2012_ID"]), str(row["WNID"]), name) for row, name in zip(leaves, names, strict=True)]


if __name__ == "__main__":
    print(json.dumps(_leaves(sys.argv[1])))
