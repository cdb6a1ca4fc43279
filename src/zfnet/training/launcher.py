"""torch's elastic launcher in a process of its own: `python -m zfnet.training.launcher` with the words of torchrun.

An exit code stands in place of its traceback for a signal. A second Ctrl-C, or the end of the command after a first
one, ends it at once, and its workers with it.
"""

import signal
import sys

from zfnet.core.interrupt import end_process, end_with_parent, uninterrupted, watch_interrupts


def main(words: list[str]) -> None:
    """Run the words and end the process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # without the traceback of an import
    watch_interrupts()
    end_with_parent()
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.run import main as run

    code = 0
    try:
        with uninterrupted:  # the workers have a limit of their own
            run(words)
    except SignalException as error:
        code = 128 + error.sigval
    end_process(code)


if __name__ == "__main__":
    main(sys.argv[1:])
