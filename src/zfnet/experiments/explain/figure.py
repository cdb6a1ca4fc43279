"""The picture of stage explain: photograph and classes on top, a tile a method, a pair of tiles a layer.

All rows have the sheet's width. The font is the one that matplotlib ships, so that the picture is the same everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from zfnet.data.crops import resize
from zfnet.plots.font import load_font, shorten

WIDTH, MARGIN, GAP = 1200, 40, 20  # px: of what is drawn, around it, between tiles
HEADER = 420  # px, largest height of the photograph
HEADING = 74  # px between two rows with a heading
LABEL = 66  # px under a tile, for its label and note
LINE = 20  # px of a note below the tiles
PAPER, INK, QUIET, RULE, ACCENT = (253, 252, 249), (35, 33, 29), (107, 102, 93), (220, 215, 204), (168, 57, 42)
TITLE, TEXT, SMALL = 28, 18, 13  # px of letters


@dataclass(frozen=True)
class Tile:
    """A picture (h, h, 3) uint8, what it is, and how to read it."""

    picture: np.ndarray
    label: str
    note: str


@dataclass(frozen=True)
class Sheet:
    """The content of the picture."""

    name: str  # of the photograph
    network: str
    photo: np.ndarray  # (h, w, 3) uint8
    box: tuple[float, float, float, float]  # edges x0 y0 x1 y1 of what the network sees of it
    top: Sequence[tuple[str, float]]  # classes with probabilities, likeliest first
    explained: str  # the class that the methods are about, one of those
    methods: Sequence[Tile]
    units: Sequence[tuple[Tile, Tile]]  # part of the photograph, and projection of each; none: left out
    units_heading: str
    notes: Sequence[str] = ()  # below the methods: what is left out, and why


def draw(sheet: Sheet) -> np.ndarray:
    """The whole picture, (h, w, 3) uint8."""
    methods, units = _rows(sheet.methods), sheet.units
    side, unit_side = _side(len(methods[0])), _side(max(len(methods[0]), len(units)))
    height = 2 * MARGIN + HEADER + HEADING + len(methods) * (side + LABEL) + len(sheet.notes) * LINE
    if units:
        height += HEADING + 2 * unit_side + 6 + LABEL
    canvas = Image.new("RGB", (WIDTH + 2 * MARGIN, height), PAPER)
    pen = ImageDraw.Draw(canvas)
    _header(canvas, pen, sheet)
    y = _heading(pen, MARGIN + HEADER, f"What speaks for “{sheet.explained}”")
    for row in methods:
        for i, tile in enumerate(row):
            _place(canvas, pen, tile, MARGIN + i * (side + GAP), y, side)
        y += side + LABEL
    for note in sheet.notes:
        _write(pen, (MARGIN, y - LINE // 2), note, SMALL, QUIET, WIDTH)
        y += LINE
    if not units:
        return np.asarray(canvas)
    y = _heading(pen, y - 16, sheet.units_heading)
    for i, (part, projection) in enumerate(units):
        x = MARGIN + i * (unit_side + GAP)
        _place(canvas, pen, part, x, y, unit_side)
        _place(canvas, pen, projection, x, y + unit_side + 6, unit_side)
    return np.asarray(canvas)


def _header(canvas: Image.Image, pen: ImageDraw.ImageDraw, sheet: Sheet) -> None:
    photo, scale = _shown_photo(sheet.photo, (WIDTH // 2 - GAP, HEADER))
    canvas.paste(Image.fromarray(photo), (MARGIN, MARGIN))
    edges = [round(MARGIN + edge * scale) for edge in sheet.box]
    edges[2:] = [edge - 1 for edge in edges[2:]]
    pen.rectangle(edges, outline=PAPER, width=4)
    pen.rectangle([edges[0] + 1, edges[1] + 1, edges[2] - 1, edges[3] - 1], outline=ACCENT, width=2)
    x = MARGIN + photo.shape[1] + 2 * GAP
    room = MARGIN + WIDTH - x
    _write(pen, (x, MARGIN - 6), sheet.name, TITLE, INK, room)
    _write(pen, (x, MARGIN + 36), sheet.network, SMALL + 1, QUIET, room)
    _write(pen, (x, MARGIN + 58), "The frame is what the network sees.", SMALL + 1, QUIET, room)
    for i, (name, probability) in enumerate(sheet.top):
        _bar(pen, x, MARGIN + 112 + i * 60, room, name, probability, ACCENT if name == sheet.explained else QUIET)


def _bar(pen: ImageDraw.ImageDraw, x: int, y: int, room: int, name: str, p: float, color: tuple[int, int, int]) -> None:
    number = f"{100 * p:.1f} %"
    _write(pen, (x, y), name, TEXT, INK, room - 90)
    pen.text((x + room, y), number, INK, load_font(TEXT), anchor="ra")
    pen.rectangle((x, y + 29, x + room - 1, y + 36), fill=RULE)
    if round(room * p):
        pen.rectangle((x, y + 29, x + round(room * p) - 1, y + 36), fill=color)


def _heading(pen: ImageDraw.ImageDraw, y: int, text: str) -> int:
    """Writes a heading below `y`; returns where its tiles begin."""
    pen.line((MARGIN, y + 22, MARGIN + WIDTH - 1, y + 22), fill=RULE, width=1)
    _write(pen, (MARGIN, y + 32), text, TEXT + 2, INK, WIDTH)
    return y + HEADING


def _place(canvas: Image.Image, pen: ImageDraw.ImageDraw, tile: Tile, x: int, y: int, side: int) -> None:
    canvas.paste(Image.fromarray(resize(tile.picture, side, side)), (x, y))
    _write(pen, (x, y + side + 6), tile.label, TEXT - 1, INK, side)
    _write(pen, (x, y + side + 29), tile.note, SMALL, QUIET, side)


def _shown_photo(photo: np.ndarray, room: tuple[int, int]) -> tuple[np.ndarray, float]:
    """The whole photograph, as large as `room` (width, height) allows, and its scale."""
    scale = min(room[0] / photo.shape[1], room[1] / photo.shape[0])
    height = max(1, round(photo.shape[0] * scale))
    width = max(1, round(photo.shape[1] * scale))
    return resize(photo, height, width), scale


def _rows(tiles: Sequence[Tile]) -> list[Sequence[Tile]]:
    """As many to a row as leaves no row short: 8 as 4 and 4, 6 as 3 and 3."""
    columns = next((n for n in (4, 3) if len(tiles) % n == 0), 4)
    return [tiles[i : i + columns] for i in range(0, len(tiles), columns)]


def _side(columns: int) -> int:
    return (WIDTH - (columns - 1) * GAP) // columns


def _write(
    pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, color: tuple[int, int, int], room: int
) -> None:
    """One line, shortened to `room` px."""
    pen.text(at, shorten(text, size, room), color, load_font(size))
