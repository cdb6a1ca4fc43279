"""Is memory flat? The process's resident memory over many steps of the same work, sampled after each.

    growth = peak over steps WARM .. n  -  peak over the first WARM steps

The first steps fill the allocator's caches; what is kept by mistake grows with every step after them.
"""

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zfnet.bench.row import rate_row

STEPS, WARM = 200, 50
ALLOWED = 16.0  # MB of growth that an allocator's mood explains
_PAGES = Path("/proc/self/statm")


def memory_row(name: str, work: Callable[[], object], note: str, steps: int = STEPS) -> dict[str, Any]:
    """A row of the benchmark in MB: ours is the peak after `steps`, the peer the peak of the first steps."""
    first, last = peaks(work, steps, max(1, steps * WARM // STEPS))
    growth = f"grows by {last - first:+.1f} MB over {steps} steps ({ALLOWED:g} allowed); {note}"
    row = rate_row(name, last, first, "MB", 1.0, growth)
    return row | {"ratio": first / last, "target": first / (first + ALLOWED), "holds": last - first <= ALLOWED}


def peaks(work: Callable[[], object], steps: int, warm: int) -> tuple[float, float]:
    """The highest resident memory, MB, in the first `warm` steps and in those after them."""
    gc.collect()
    seen = []
    for _ in range(steps):
        work()
        seen.append(resident())
    return max(seen[:warm]), max(seen[warm:], default=seen[-1])


def resident() -> float:
    """Resident memory of this process, MB; where the system does not tell (no /proc), its peak so far."""
    if _PAGES.exists():
        return int(_PAGES.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    import resource
    import sys

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
