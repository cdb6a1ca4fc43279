"""Every network of the papers as a table of layers.

ZF-net ([ZF13] Fig. 3, section 5.1) against Krizhevsky's net, which it corrects: a first layer of 7x7 filters at
stride 2 instead of 11x11 at stride 4, no groups, and contrast normalization after the pool instead of before it.
Padding is [NS] in [ZF13]; ours gives the maps of its Fig. 3, 110 / 55 / 26 / 13 / 6.

*Small images.* A 56-px crop is a quarter of the papers' 224 px. There one early stride of each net becomes 1 (ZF:
conv2, Krizhevsky: pool1) and the padding of the first layer grows by two, so that the last layers still see a 6x6 or
7x7 map; the fully connected layers have 2048 units. [our choice]

*Ablations* ([ZF13] Table 3) are changes to a row of the table: layers taken out, maps or units scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from zfnet.core.errors import UserError

SMALL_BELOW = 112  # px: crops under this use the small-image geometry


@dataclass(frozen=True)
class Conv:
    """One convolutional layer: convolution, ReLU, then optionally contrast normalization and 3x3 max-pool."""

    maps: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    norm: bool = False
    pool: int = 0  # stride of the 3x3 max-pool, 0: none
    bias: float = 0.0  # initial value

    def side(self, side: int) -> int:
        """Side of the layer's output for input maps of `side` px; below 1 where they are too small."""
        side = (side + 2 * self.padding - self.kernel) // self.stride + 1
        if not self.pool:
            return side
        pooled = -((3 - side) // self.pool) + 1  # ceil((side - 3) / stride) + 1
        return pooled - ((pooled - 1) * self.pool >= side)  # the last window begins inside


@dataclass(frozen=True)
class Full:
    """One fully connected hidden layer: linear, ReLU, dropout."""

    units: int
    bias: float = 0.0  # initial value


@dataclass(frozen=True)
class Architecture:
    """Layers by their number in the papers, ascending, without the classifier. Raises UserError for impossible ones."""

    convs: Mapping[int, Conv]
    fulls: Mapping[int, Full]
    norm_before_pool: bool = False  # Krizhevsky: True

    def __post_init__(self) -> None:
        if self.numbers != tuple(sorted(set(self.numbers))) or min(self.numbers, default=1) < 1:
            raise UserError(
                "a network's layers need different numbers from 1 up, in ascending order, convolutions first, not "
                f"{', '.join(str(n) for n in self.numbers)}"
            )
        channels = 3
        for n, row in self.convs.items():
            if channels % row.groups or row.maps % row.groups:
                raise UserError(f"layer {n}: {row.groups} groups do not divide {channels} maps into {row.maps}")
            channels = row.maps

    @property
    def numbers(self) -> tuple[int, ...]:
        """The layer numbers present: 1 to 7 for a whole network of the papers."""
        return (*self.convs, *self.fulls)

    @property
    def classifier(self) -> int:
        """Number of the classifier: the papers' 8, or one above the last layer where there are more."""
        return 1 + max((7, *self.numbers))

    def sides(self, crop: int) -> dict[int, int]:
        """Side of each convolutional layer's output for `crop`-px inputs. Raises UserError where they are too small."""
        side, sides = crop, {}
        for n, row in self.convs.items():
            side = row.side(side)
            if side < 1:
                raise UserError(f"data.size: crops of {crop} px are too small: layer {n} has no output")
            sides[n] = side
        return sides


_FULL = {6: Full(4096), 7: Full(4096)}
_FULL_SMALL = {6: Full(2048), 7: Full(2048)}

ZFNET = Architecture(
    {
        1: Conv(96, 7, stride=2, padding=1, norm=True, pool=2),  # 224 -> 110 -> 55
        2: Conv(256, 5, stride=2, norm=True, pool=2),  # 55 -> 26 -> 13
        3: Conv(384, 3, padding=1),
        4: Conv(384, 3, padding=1),
        5: Conv(256, 3, padding=1, pool=2),  # 13 -> 6
    },
    _FULL,
)

ZFNET_SMALL = replace(
    ZFNET,
    convs={
        **ZFNET.convs,
        1: replace(ZFNET.convs[1], padding=3),  # 56 -> 28 -> 14
        2: replace(ZFNET.convs[2], stride=1, padding=2),  # 14 -> 14 -> 7, then pool5 -> 3
    },
    fulls=_FULL_SMALL,
)

KRIZHEVSKY = Architecture(  # [ZF13] "exact architecture specified in Krizhevsky et al."
    {
        1: Conv(96, 11, stride=4, padding=2, norm=True, pool=2),  # 224 -> 55 -> 27
        2: Conv(256, 5, padding=2, groups=2, norm=True, pool=2, bias=1.0),  # 27 -> 13
        3: Conv(384, 3, padding=1),
        4: Conv(384, 3, padding=1, groups=2, bias=1.0),
        5: Conv(256, 3, padding=1, groups=2, pool=2, bias=1.0),  # 13 -> 6
    },
    {6: Full(4096, bias=1.0), 7: Full(4096, bias=1.0)},
    norm_before_pool=True,
)

KRIZHEVSKY_SMALL = replace(
    KRIZHEVSKY,
    convs={**KRIZHEVSKY.convs, 1: replace(KRIZHEVSKY.convs[1], padding=4, pool=1)},  # 56 -> 14 -> 12, 6, 3
    fulls={6: Full(2048, bias=1.0), 7: Full(2048, bias=1.0)},
)

# [SVZ13] 2 gives the widths only. Kernels, strides and order are those of CNN-F (Chatfield et al. 2014), which has the
# same widths and is by the same group: the most defensible stand-in. Contrast normalization as in the other nets [NS].
SIMONYAN = Architecture(
    {
        1: Conv(64, 11, stride=4, norm=True, pool=2),
        2: Conv(256, 5, padding=2, norm=True, pool=2),
        3: Conv(256, 3, padding=1),
        4: Conv(256, 3, padding=1),
        5: Conv(256, 3, padding=1, pool=2),
    },
    _FULL,
    norm_before_pool=True,
)

SIMONYAN_SMALL = replace(
    SIMONYAN,
    convs={**SIMONYAN.convs, 1: replace(SIMONYAN.convs[1], padding=4, pool=1)},
    fulls=_FULL_SMALL,
)

BASES = {
    "zfnet": (ZFNET, ZFNET_SMALL),
    "krizhevsky": (KRIZHEVSKY, KRIZHEVSKY_SMALL),
    "simonyan": (SIMONYAN, SIMONYAN_SMALL),
}


@dataclass(frozen=True)
class Variant:
    """A change to a base network: layers removed or scaled. Raises UserError for an unknown base or layer."""

    base: str
    remove: tuple[int, ...] = ()
    times: Mapping[int, float] = field(default_factory=dict)  # layer -> factor on its maps or units

    def __post_init__(self) -> None:
        if self.base not in BASES:
            raise UserError(f"no base network {self.base!r}; known: {', '.join(BASES)}")
        known = BASES[self.base][0].numbers
        unknown = [n for n in (*self.remove, *self.times) if n not in known]
        if unknown:
            raise UserError(f"{self.base} has no layer {unknown[0]} to change; it has layers {known}")


_WIDE345 = {3: 512 / 384, 4: 1024 / 384, 5: 512 / 256}
_HALF67, _DOUBLE67 = {6: 0.5, 7: 0.5}, {6: 2.0, 7: 2.0}

VARIANTS: dict[str, Variant] = {  # [ZF13] Table 3, row by row; "fc2048" is named by its units at 224 px
    "krizhevsky": Variant("krizhevsky"),
    "krizhevsky-no34": Variant("krizhevsky", remove=(3, 4)),
    "krizhevsky-no7": Variant("krizhevsky", remove=(7,)),
    "krizhevsky-no67": Variant("krizhevsky", remove=(6, 7)),
    "krizhevsky-no3467": Variant("krizhevsky", remove=(3, 4, 6, 7)),
    "krizhevsky-fc2048": Variant("krizhevsky", times=_HALF67),
    "krizhevsky-fc8192": Variant("krizhevsky", times=_DOUBLE67),
    "zfnet": Variant("zfnet"),
    "zfnet-fc2048": Variant("zfnet", times=_HALF67),
    "zfnet-fc8192": Variant("zfnet", times=_DOUBLE67),
    "zfnet-wide345": Variant("zfnet", times=_WIDE345),
    "zfnet-wide345-fc8192": Variant("zfnet", times={**_WIDE345, **_DOUBLE67}),
    "simonyan": Variant("simonyan"),
}
TABLE3 = tuple(name for name in VARIANTS if name != "simonyan")


def architecture(name: str, crop: int, width: float = 1.0) -> Architecture:
    """The layers of the network `name` for `crop`-px inputs, all maps and units times `width`.

    Raises UserError for a name that is not in `VARIANTS`, and for crops that are too small for it.
    """
    if name not in VARIANTS:
        raise UserError(f"model.name: no network {name!r}; known: {', '.join(VARIANTS)}")
    variant = VARIANTS[name]
    base = BASES[variant.base][crop < SMALL_BELOW]
    factors = {n: width * variant.times.get(n, 1.0) for n in base.numbers if n not in variant.remove}
    convs = {n: replace(row, maps=_scaled(row.maps, factors[n])) for n, row in base.convs.items() if n in factors}
    fulls = {n: replace(row, units=_scaled(row.units, factors[n])) for n, row in base.fulls.items() if n in factors}
    layers = replace(base, convs=convs, fulls=fulls)
    layers.sides(crop)
    return layers


def _scaled(count: int, factor: float) -> int:
    """`count` times `factor`, in multiples of 8 (groups and vector units divide evenly)."""
    return max(8, 8 * round(count * factor / 8))
