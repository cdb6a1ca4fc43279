"""Many images in many processes, image by image, so that an interrupted run resumes.

Every finished image is a record of a resume store, whose key says what the work was (the caller hashes configuration,
images and classes into it). Nothing depends on the order of completion: the result of an image depends on its task
alone.

Processes are spawned (the parent may hold a GPU), OpenCV keeps to one thread in each, chunks are single images and
at most four tasks a process wait, so the maps of 50,000 images are never in memory together.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import cv2

from zfnet.core.errors import UserError
from zfnet.core.progress import track
from zfnet.core.resume import Store
from zfnet.experiments.localization.locate import ImageBoxes, Methods, Task, locate

WAITING = 4  # tasks a process


def locate_all(
    rows: Sequence[int],
    make_task: Callable[[int], Task],
    methods: Methods,
    processes: int,
    partial: Path,
    key: str,
) -> list[ImageBoxes]:
    """The boxes of each of `rows`, in their order; work starts in their order too, so put the largest first.

    make_task(row) is called in the parent, when a process is about to be free. `partial` is left behind complete: the
    same work asked for again is only read.
    """
    done = open_partial(partial, key)
    todo = [row for row in rows if str(row) not in done]
    tasks = (make_task(row) for row in todo)
    for located in track(locate_each(tasks, methods, min(processes, len(todo))), "images localized", len(todo)):
        done.put(str(located.row), asdict(located))
    return [_from_record(done.get(str(row))) for row in rows]


def open_partial(path: Path, key: str) -> Store:
    """Row -> boxes of the image, for the work of this key."""
    return Store(path, {"work": key, "fields": [field.name for field in fields(ImageBoxes)]})


def _from_record(values: dict[str, Any]) -> ImageBoxes:
    height, width = values.pop("shape")
    return ImageBoxes(shape=(height, width), **values)


def locate_each(tasks: Iterator[Task], methods: Methods, processes: int) -> Iterator[ImageBoxes]:
    """The result of every task as it is done, in any order; tasks are drawn when a process is about to be free."""
    if processes <= 1:
        yield from (locate(task, methods) for task in tasks)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start_process)
    running: set[Future[ImageBoxes]] = set()
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
        raise UserError(f"localization: a process died ({error}); run again, finished images are kept") from error
    except BaseException:  # Ctrl-C as well: tasks that run are not waited for
        for process in multiprocessing.active_children():
            process.kill()
        raise
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
