"""Many images in many processes, image by image, so that an interrupted run goes on where it was.

Every finished image is a line of an append-only file; its first line is a key that says what the work was (the
caller hashes configuration, images and classes into it), so that a file of other work is thrown away. A line that was
cut off or damaged is forgotten. Nothing depends on the order of completion: the result of an image depends on its
task alone.

Processes are spawned (the parent may hold a GPU), OpenCV keeps to one thread in each, chunks are single images and
at most four tasks a process wait, so the maps of 50,000 images are never in memory together.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path

import cv2

from zfnet.core.errors import UserError
from zfnet.core.files import atomic_write
from zfnet.core.progress import track
from zfnet.experiments.localization.locate import Found, Methods, Task, locate

WAITING = 4  # tasks a process


def locate_all(
    rows: Sequence[int],
    make_task: Callable[[int], Task],
    methods: Methods,
    processes: int,
    partial: Path,
    key: str,
) -> list[Found]:
    """What was found in each of `rows`, in their order; work starts in their order too, so put the largest first.

    make_task(row) is called in the parent, when a process is about to be free. `partial` is left behind complete: the
    same work asked for again is only read.
    """
    done = read_partial(partial, key)
    todo = [row for row in rows if row not in done]
    tasks = (make_task(row) for row in todo)
    with partial.open("a", encoding="utf-8") as lines:
        for found in track(locate_each(tasks, methods, min(processes, len(todo))), "images localised", len(todo)):
            lines.write(json.dumps(asdict(found)) + "\n")
            lines.flush()
            done[found.row] = found
    return [done[row] for row in rows]


def read_partial(path: Path, key: str) -> dict[int, Found]:
    """The whole lines of an interrupted run with this key; the file is started anew when there is none."""
    done: dict[int, Found] = {}
    if path.exists():
        first, *lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1] or [""]
        for line in lines if first == key else []:
            with contextlib.suppress(ValueError, TypeError):
                one = Found(**json.loads(line))
                done[one.row] = one
    kept = [key, *(json.dumps(asdict(found)) for found in done.values())]
    with atomic_write(path) as temporary:  # without what was cut off
        temporary.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return done


def locate_each(tasks: Iterator[Task], methods: Methods, processes: int) -> Iterator[Found]:
    """The result of every task as it is done, in any order; tasks are drawn when a process is about to be free."""
    if processes <= 1:
        yield from (locate(task, methods) for task in tasks)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start_process)
    running: set[Future[Found]] = set()
    try:
        for task in tasks:
            running.add(pool.submit(locate, task, methods))
            if len(running) >= WAITING * processes:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)
    except BrokenProcessPool as error:
        raise UserError(f"localization: a process died ({error}); run again with fewer, it goes on") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)


def _end_with_parent() -> None:
    """End this process when its parent has ended, which has no time to see to it when it is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
