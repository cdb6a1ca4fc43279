"""One training process under torch's elastic launcher: `python -m zfnet.training.worker job.json`.

A UserError, the same at every restart, is left in a file for `launch` to raise, and the process exits with 0.
"""

import signal
import sys
from pathlib import Path

from zfnet.core.errors import UserError
from zfnet.core.interrupt import (
    INTERRUPTED,
    TERMINATIONS,
    end_process,
    end_with_parent,
    treat_terminations_as_interrupts,
    watch_interrupts,
)


def main(path: str) -> int:
    """Train the job in the file; returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # without the traceback of an import
    end_with_parent()
    from zfnet.training.distributed import refuse
    from zfnet.training.fit import Job
    from zfnet.training.run import run_job

    signal.signal(signal.SIGINT, signal.default_int_handler)
    watch_interrupts()
    treat_terminations_as_interrupts(TERMINATIONS[-1:])  # SIGTERM: of a restart, at once
    try:
        run_job(Job.read(Path(path)))
    except UserError as error:
        refuse(Path(path), error)
    except KeyboardInterrupt:
        end_process(INTERRUPTED)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
