"""Many images in many processes, image by image, so that an interrupted run resumes.

Every finished image is a record of a resume store, whose key says what the work was (the caller hashes configuration,
images and classes into it). The result of an image depends on its task alone. At most four tasks a process wait, so
the maps of 50,000 images are never in memory together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from zfnet.core.progress import track
from zfnet.core.resume import Store
from zfnet.core.workers import Workers
from zfnet.experiments.localization.locate import ImageBoxes, Methods, Task, locate


def locate_all(
    rows: Sequence[int],
    make_tasks: Callable[[Sequence[int]], Iterator[Task]],
    methods: Methods,
    processes: int,
    partial: Path,
    key: str,
) -> list[ImageBoxes]:
    """The boxes of each of `rows`, in their order; work starts in their order too, so put the largest first.

    make_tasks(rows) gives the tasks of rows that are not done; each is drawn when a process is about to be free.
    `partial` is left behind complete: the same work asked for again is only read.
    """
    done = open_partial(partial, key)
    todo = [row for row in rows if str(row) not in done]
    located_each = locate_each(make_tasks(todo), methods, min(processes, len(todo)))
    for located in track(located_each, "images localized", len(todo)):
        done.put(str(located.row), asdict(located))
    return [_from_record(done.get(str(row))) for row in rows]


def open_partial(path: Path, key: str) -> Store:
    """Row -> boxes of the image, for the work of this key."""
    return Store(path, {"work": key, "fields": [field.name for field in fields(ImageBoxes)]})


def _from_record(values: dict[str, Any]) -> ImageBoxes:
    height, width = values.pop("shape")
    return ImageBoxes(shape=(height, width), **values)


def locate_each(tasks: Iterator[Task], methods: Methods, processes: int) -> Iterator[ImageBoxes]:
    """The result of every task, in their order; tasks are drawn when a process is about to be free."""
    with Workers(max(processes, 1)) as workers:
        yield from workers.map(locate, tasks, methods)
