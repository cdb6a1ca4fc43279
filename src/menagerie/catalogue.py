"""Which classes there are, how each is drawn, and where it is usually seen.

The wnids are made up: they have WordNet's form, n and eight digits, but start with n99, where WordNet has none.
"""

from collections.abc import Callable

from menagerie import curios, places, vehicles
from menagerie.animals import SPECIES, draw_owl, mammal
from menagerie.pen import Pen

ANIMALS = (*SPECIES, "owl")

DRAWERS: dict[str, Callable[[Pen], None]] = {
    **{name: mammal(name) for name in SPECIES},
    "owl": draw_owl,
    "car": vehicles.draw_car,
    "van": vehicles.draw_van,
    "bus": vehicles.draw_bus,
    "lorry": vehicles.draw_lorry,
    "sailboat": vehicles.draw_sailboat,
    "house": places.draw_house,
    "church": places.draw_church,
    "tower_block": places.draw_tower,
    "daisy": places.draw_daisy,
    "oak": places.draw_oak,
    "fir": places.draw_fir,
    "teapot": places.draw_teapot,
    "mug": places.draw_mug,
    "chair": places.draw_chair,
    "aeroplane": curios.draw_aeroplane,
    "anchor": curios.draw_anchor,
    "balloon": curios.draw_balloon,
    "butterfly": curios.draw_butterfly,
    "cactus": curios.draw_cactus,
    "clock": curios.draw_clock,
    "fish": curios.draw_fish,
    "guitar": curios.draw_guitar,
    "ladybird": curios.draw_ladybird,
    "lamp": curios.draw_lamp,
    "mushroom": curios.draw_mushroom,
    "starfish": curios.draw_starfish,
    "tulip": curios.draw_tulip,
    "umbrella": curios.draw_umbrella,
}

CALTECH_CLASSES = tuple(list(DRAWERS)[-14:])
ILSVRC_CLASSES = (  # mixed, so that the first n of them are of every sort
    "cat", "car", "house", "daisy", "dog", "bus", "owl", "teapot", "sailboat", "oak", "sheep", "chair",
    "lorry", "church", "fox", "mug", "fir", "van", "bear", "tower_block", "rabbit", "pig", "cow", "lion",
)  # fmt: skip
CLASSES = {f"n99{100 + 7 * row:03d}{(271 * row + 113) % 1000:03d}": name for row, name in enumerate(ILSVRC_CLASSES)}
WNIDS = {name: wnid for wnid, name in CLASSES.items()}

VOC_CLASSES = (
    "aeroplane", "balloon", "bear", "bus", "butterfly", "car", "cat", "chair", "clock", "cow",
    "dog", "fish", "house", "lamp", "oak", "owl", "rabbit", "sailboat", "sheep", "umbrella",
)  # fmt: skip

HAUNTS = {
    **dict.fromkeys(("cat", "dog"), ("room", "meadow")),
    **dict.fromkeys(("fox", "bear", "owl"), ("forest",)),
    **dict.fromkeys(("rabbit", "pig", "cow", "sheep", "lion", "daisy", "oak", "tulip"), ("meadow",)),
    **dict.fromkeys(("car", "van", "bus", "lorry", "tower_block"), ("street",)),
    **dict.fromkeys(("house", "church", "fir"), ("meadow", "street")),
    **dict.fromkeys(("teapot", "mug", "chair", "lamp", "clock", "guitar"), ("room",)),
    **dict.fromkeys(("sailboat", "fish", "starfish", "anchor"), ("shore",)),
}
"""Backgrounds where a class is met a little more often than anywhere else."""
