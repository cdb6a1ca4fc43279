"""Feeding images to a network at 224 px, against the usual way: an ImageFolder of the photographs as they are, Pillow,
RandomResizedCrop, a mirror and ToTensor, in a DataLoader with a worker a core, four at most.

Ours: frames of 256 px as JPEGs in one file (zfnet.data.cache.frames), decoded and cut by threads of this process into
batches of uint8. Flip and mean are the device's work (`Inputs.crops`); one row shows them done on the host.
Photographs: imagenet-photos in the folder that ZFNET_REAL_DATA names, else drawn pictures enlarged to 500 x 375.
"""

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from zfnet.bench.row import medians, rate_row, size_row, timed
from zfnet.core.machine import n_cores
from zfnet.data.cache.frames import n_threads
from zfnet.data.cache.images import Images, build_cache
from zfnet.data.crops import crop_size
from zfnet.data.decode import read_rgb
from zfnet.data.index import Index, make_index
from zfnet.data.listing import image_files
from zfnet.networks.inputs import Inputs

BATCH, SIZE, QUALITY = 64, 256, 90
WORKERS = min(4, n_cores())  # torch warns of more than there are cores


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """Rows {name, ours, peer, unit, ratio, target, holds, note} of the image feed."""
    n, rounds = (2 * BATCH, 1) if quick else (512, 3)
    with tempfile.TemporaryDirectory() as name:
        photos = _photographs(Path(name) / "photographs")
        index = photo_index(photos)
        images = build_cache(index, Path(name) / "jpeg", SIZE, cache="jpeg", quality=QUALITY, mean=True)
        kilobytes = np.mean([index.file(row).stat().st_size for row in range(len(index))]) / 1000
        what = f"{len(index)} photographs of {kilobytes:.0f} kB, {n} drawn a round"
        return [*_rate_rows(images, photos, n, rounds, what), _size_row(images, what)]


def _rate_rows(images: Images, photos: Path, n: int, rounds: int, what: str) -> list[dict[str, Any]]:
    assert images.mean is not None
    side, preprocessing = crop_size(SIZE), Inputs.of_mean_image(images.mean, 1.0)
    drawn = np.random.default_rng(0).integers(0, len(images), n)
    top, left = np.random.default_rng(1).integers(0, SIZE - side + 1, (2, n))
    flip = top % 2 == 1
    parts = [slice(start, start + BATCH) for start in range(0, n, BATCH)]
    usual = _image_folder(photos)
    loader = _loader(usual, drawn)

    def alone() -> None:
        out = np.empty((BATCH, side, side, 3), np.uint8)
        for i, (row, y, x) in enumerate(zip(drawn, top, left, strict=True)):
            out[i % BATCH] = images.pixels[row][y : y + side, x : x + side]

    def batches() -> Iterable[Any]:
        return (images.cut(drawn[part], top[part], left[part], side) for part in parts)

    def inputs() -> Iterable[Any]:
        for part, pixels in zip(parts, batches(), strict=True):
            yield preprocessing.crops(pixels, top[part], left[part], flip[part])

    n_few = min(n, 256)
    ours, whole, normalized, peer, peer_loader = medians(
        lambda: _rate(n, alone),
        lambda: _rate(n, lambda: list(map(len, batches()))),
        lambda: _rate(n, lambda: list(map(len, inputs()))),
        lambda: _rate(n_few, lambda: [usual[row] for row in drawn[:n_few]]),
        lambda: _rate(n, lambda: list(map(len, loader))),
        rounds=rounds,
    )
    threads = f"{n_threads()} threads; peer a DataLoader of {WORKERS} workers"
    return [
        _row("image feed, 224 px, one thread", ours, peer, 9.0, f"{what}; decoded and cut, uint8; peer a float tensor"),
        _row("image feed, 224 px, end to end", whole, peer_loader, 10.0, f"{what}; uint8 batches; {threads}"),
        _row("the same, flip and mean on the host", normalized, peer_loader, 4.0, f"{what}; float32; {threads}"),
    ]


def _row(name: str, ours: float, peer: float, target: float, note: str) -> dict[str, Any]:
    return rate_row(name, ours, peer, "images/s", target, note)


def _size_row(images: Images, what: str) -> dict[str, Any]:
    raw, limit = SIZE * SIZE * 3 / 1000, 24
    kilobytes = float(np.mean(images.pixels.lengths)) / 1000  # type: ignore[union-attr]
    note = f"{what}; JPEG of quality {QUALITY} against raw pixels; the target is {limit} kB an image"
    return size_row("a cached image, 256 px", kilobytes, raw, raw / limit, note)


def _rate(n: int, run: Callable[[], object]) -> float:
    return n / timed(run)[1]


def _image_folder(photos: Path) -> Any:
    from torchvision import datasets, transforms

    steps = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    return datasets.ImageFolder(str(photos), transforms.Compose(steps))


def _loader(photographs: Any, drawn: np.ndarray) -> Any:
    """Its workers are started once, in the warm-up."""
    from torch.utils.data import DataLoader, Subset

    return DataLoader(
        Subset(photographs, drawn.tolist()), BATCH, num_workers=WORKERS, persistent_workers=True, prefetch_factor=2
    )


def _photographs(folder: Path) -> Path:
    """A folder of photographs in the ImageFolder layout: real ones where they are, else drawn into `folder`."""
    real = Path(os.environ.get("ZFNET_REAL_DATA", "nowhere")) / "imagenet-photos"
    return real if real.is_dir() else draw_photographs(folder, 2)


def draw_photographs(folder: Path, per_class: int) -> Path:
    """Drawn pictures of 24 classes, enlarged to 500 x 375, in `folder` in the ImageFolder layout."""
    from menagerie import draw_menagerie

    counts = {"train_per_class": per_class, "val_per_class": 1, "caltech_per_class": 2, "voc_images": 1}
    draw_menagerie(folder.with_name("menagerie"), seed=0, processes=n_cores(), **counts)
    for path in sorted((folder.with_name("menagerie") / "ilsvrc" / "train").rglob("*.JPEG")):
        large = cv2.resize(read_rgb(path)[..., ::-1], (500, 375), interpolation=cv2.INTER_CUBIC)
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / path.parent.name / path.name), large, [cv2.IMWRITE_JPEG_QUALITY, 96])
    return folder


def photo_index(photos: Path) -> Index:
    """The photographs of a folder in the ImageFolder layout, labelled."""
    classes = sorted(path.name for path in photos.iterdir() if path.is_dir())
    rows = [(f"{name}/{file.name}", k) for k, name in enumerate(classes) for file in image_files(photos / name)]
    return make_index(photos, rows, classes)
