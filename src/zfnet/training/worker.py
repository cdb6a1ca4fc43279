"""One training process under torch's elastic launcher: `python -m zfnet.training.worker job.json`.

A UserError, the same at every restart, is left in a file for `launch` to raise, and the process exits with 0.
"""

import sys
from pathlib import Path

from zfnet.core.errors import UserError
from zfnet.training.distributed import end_with_parent, refuse
from zfnet.training.fit import Job
from zfnet.training.run import run_job


def main(path: str) -> int:
    end_with_parent()
    try:
        run_job(Job.read(Path(path)))
    except UserError as error:
        refuse(Path(path), error)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
