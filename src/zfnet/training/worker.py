"""One training process under torch's elastic launcher: `python -m zfnet.training.worker job.json`.

A UserError would be the same at every restart: it is left in a file for `launch` to raise, and the process ends well.
"""

from __future__ import annotations

import sys
from pathlib import Path

from zfnet.core.errors import UserError
from zfnet.data.cache.images import open_store
from zfnet.training.distributed import join_world, refuse
from zfnet.training.fit import Job, fit


def main(path: str) -> int:
    job = Job.read(Path(path))
    try:
        with join_world(job.device) as world:
            train, val = (open_store(Path(folder), job.divisor) for folder in (job.train_store, job.val_store))
            fit(job, world, train, val)
    except UserError as error:
        refuse(Path(path), error)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
