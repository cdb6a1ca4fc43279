"""The picture of occlusion, as [ZF13] Fig. 7: a row an image, its maps over the places of the square.

(a) the image with its box and the gray square where it hurts most; (c) the strongest layer-5 map projected to pixels,
where a projection is given, and the same map in other images; (b) that map's activity and (d) the true class's
probability, dark for low, with their range written below; (e) the most probable class, in colors named beside it. The
box is drawn on the maps too, in the coordinates of the square's center.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from zfnet.plots import grid
from zfnet.plots.font import shorten

SIDE, CAPTION = 180, 20  # px of a tile and of the line below it
COLORS = (  # Okabe and Ito's palette for color-blind readers; the first is the true class
    (0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (213, 94, 0), (86, 180, 233), (240, 228, 66),
)  # fmt: skip
OTHER = (150, 150, 150)
BOX = (255, 255, 255)


@dataclass(frozen=True)
class Card:
    """All that one row shows."""

    picture: np.ndarray  # (crop, crop, 3) uint8, with the square where the probability is lowest
    boxes: np.ndarray  # (k, 4) in the crop
    centers: tuple[np.ndarray, np.ndarray]  # rows and columns of the square's center
    channel: int
    projection: np.ndarray | None  # (crop, crop, 3) signed
    others: np.ndarray  # (k, crop, crop, 3) signed, of other images
    activity: np.ndarray  # (r, c), like the next two
    probability: np.ndarray
    label: np.ndarray
    truth: int
    names: Sequence[str]


def draw(cards: Sequence[Card], path: Path) -> None:
    """Write the figure."""
    columns = ["most harmful square", "strongest map", "in other images"]
    columns += ["its activity", "p(true class)", "likeliest class", ""]
    rows = [_tiles(card) for card in cards]
    if all(row[1] is None for row in rows):
        rows, columns = [[row[0], *row[3:]] for row in rows], [columns[0], *columns[3:]]
    grid.write(path, grid.mosaic(rows, gap=8, column_labels=columns))


def _tiles(card: Card) -> list[np.ndarray | None]:
    colors = _colors(card)
    labels = np.array([colors.get(k, OTHER) for k in card.label.flat], dtype=np.uint8).reshape(*card.label.shape, 3)
    projection = None if card.projection is None else grid.fit(grid.contrast(card.projection, grid.CUT), SIDE)
    return [
        _captioned(_image(card), card.names[card.truth]),
        None if projection is None else _captioned(projection, f"map {card.channel} projected"),
        None if projection is None else _captioned(_others(card), _responding(card)),
        _captioned(_boxed(grid.heatmap(card.activity), card), _range(card.activity)),
        _captioned(_boxed(grid.heatmap(card.probability), card), _range(card.probability)),
        _captioned(_boxed(labels, card), _count(card.label)),
        _legend(card, colors),
    ]


def _others(card: Card) -> np.ndarray:
    """The projections of up to four other images, two by two; gray where the map is silent."""
    silent = np.zeros_like(card.picture, dtype=np.float32)
    shown = [*card.others, *[silent] * 4][:4]
    halves = [grid.fit(grid.contrast(projection, grid.CUT), SIDE // 2) for projection in shown]
    return grid.mosaic([halves[:2], halves[2:]], gap=0)


def _responding(card: Card) -> str:
    return f"map {card.channel}, most active" if len(card.others) else "silent in other images"


def _image(card: Card) -> np.ndarray:
    """The image, enlarged, with the boxes outlined."""
    factor, image = SIDE / len(card.picture), grid.fit(card.picture, SIDE)
    for x0, y0, x1, y1 in card.boxes:
        image = _outline(image, np.array([x0, y0, x1 + 1, y1 + 1]) * factor)
    return image


def _boxed(cells: np.ndarray, card: Card) -> np.ndarray:
    """A map (r, c, 3) enlarged without smoothing, the boxes outlined in the coordinates of the square's center."""
    image = cv2.resize(np.ascontiguousarray(cells), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    y, x = card.centers
    for box in card.boxes:
        edges = box + np.array([0, 0, 1, 1]) - 0.5
        image = _outline(
            image, SIDE * np.array([_cell(x, edges[0]), _cell(y, edges[1]), _cell(x, edges[2]), _cell(y, edges[3])])
        )
    return image


def _cell(centers: np.ndarray, place: float) -> float:
    """A pixel coordinate as a share of the map's side, whose cells are as wide as the stride."""
    step = centers[1] - centers[0] if len(centers) > 1 else 1.0
    return float((place - centers[0]) / step + 0.5) / len(centers)


def _outline(image: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """White inside a dark line, legible on any ground; what lies outside the tile is left at its border."""
    x0, y0, x1, y1 = np.clip(edges, 1, SIDE - 2)
    return grid.draw_box(grid.draw_box(image, (x0, y0, x1, y1), (0, 0, 0), 3), (x0, y0, x1, y1), BOX, 1)


def _colors(card: Card) -> dict[int, tuple[int, int, int]]:
    """A color for the true class and for those most often likeliest; the rest are `OTHER`."""
    labels, counts = np.unique(card.label, return_counts=True)
    by_count = [int(k) for k in labels[np.argsort(-counts, kind="stable")] if k != card.truth]
    return dict(zip([card.truth, *by_count], COLORS, strict=False))


def _legend(card: Card, colors: dict[int, tuple[int, int, int]]) -> np.ndarray:
    """Class names beside their colors, with the share of places."""
    tile = np.full((SIDE + CAPTION, SIDE, 3), grid.PAPER, dtype=np.uint8)
    entries = [(card.names[k], color, float((card.label == k).mean())) for k, color in colors.items()]
    rest = 1 - sum(share for _, _, share in entries)
    entries += [("other", OTHER, rest)] if rest > 1e-9 else []
    for i, (name, color, share) in enumerate(entries):
        y = 4 + 22 * i
        cv2.rectangle(tile, (0, y), (12, y + 12), color, cv2.FILLED)
        grid.write_text(tile, f"{shorten(name, 11, SIDE - 60)}  {share:.0%}", (18, y + 11), 11)
    return tile


def _captioned(tile: np.ndarray, text: str) -> np.ndarray:
    strip = np.full((CAPTION, SIDE, 3), grid.PAPER, dtype=np.uint8)
    grid.write_text(strip, shorten(text, 12, SIDE), (0, 14))
    return np.concatenate([tile, strip])


def _range(values: np.ndarray) -> str:
    return f"{values.min():.3g} to {values.max():.3g}"


def _count(labels: np.ndarray) -> str:
    n = len(np.unique(labels))
    return "1 class" if n == 1 else f"{n} classes"
