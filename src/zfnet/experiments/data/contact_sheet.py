"""A picture of random training images by class, as cached frames."""

from pathlib import Path

import numpy as np

from zfnet.data.cache.images import Images
from zfnet.plots.grid import mosaic, write

CLASSES, PER_CLASS = 24, 12  # at most


def contact_sheet(images: Images, out: Path, seed: int) -> dict[str, str]:
    """Write classes.jpg, a row of random images for each of some random classes; returns its alternative text."""
    rng = np.random.default_rng([seed, 5])
    classes = np.sort(rng.permutation(len(images.index.classes))[:CLASSES])
    tiles: list[list[np.ndarray | None]] = []
    for k in classes:
        rows = rng.permutation(np.flatnonzero(images.index.labels == k))[:PER_CLASS]
        tiles.append([images.pixels[row] for row in rows])
    names = [images.index.names[k] for k in classes]
    write(out / "classes.jpg", mosaic(tiles, gap=3, row_labels=[name[:22] for name in names]))
    return {"classes.jpg": f"Training images of {len(names)} classes: {', '.join(names)}."}
