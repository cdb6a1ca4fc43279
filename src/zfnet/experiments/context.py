"""The context of a stage: its configuration, the network, the cached images, and the folders of other stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfnet.core.errors import LacksData, LacksLayer
from zfnet.core.machine import pick_device
from zfnet.core.workers import Workers
from zfnet.experiments import sources
from zfnet.experiments.config import Settings
from zfnet.networks.options import TRAINED

if TYPE_CHECKING:
    import torch

    from zfnet.data.cache.images import Images
    from zfnet.data.index import Index
    from zfnet.networks.network import Network


# What a stage reads that has an image cache of its own.
CACHING = ("data.menagerie", "data.bad_limit", "data.cache", "data.quality")


def is_borrowed(config: Settings) -> bool:
    """Whether the network that the configuration names was trained elsewhere."""
    return config.network.name != TRAINED


def device_of(config: Settings) -> str:
    """The device of trainings and analyses, as the key `device` has it."""
    if config.gpus:
        return "cuda"
    return "cpu" if config.workers * config.nodes > 1 else config.device


def folder_of(config: Settings, stage: str, shared: bool = False) -> Path:
    """The folder of a stage's results, with the network in its name where it is a borrowed one.

    shared: the stage does not use the network, so that all networks share its results.
    """
    profile = config.profile
    if is_borrowed(config) and not shared:
        profile = f"{profile}-{as_file_name(config.network.name)}"
    return Path(config.paths.outputs) / profile / stage


def as_file_name(text: str) -> str:
    """A text as one component of a path: letters, digits, - _ and inner dots."""
    kept = [character if character.isalnum() or character in "-_. " else "-" for character in text]
    return "".join(kept).strip(". ") or "unnamed"


@dataclass(frozen=True)
class Context:
    """A run of one stage.

    out: the stage's folder. image_cache: the folder of the data stage's caches train/ and val/.
    result_of: the result of another stage where it is current, else None.
    initial: the network has its initial weights, for the null control of the stage whose folder is `kept`.
    workers: the processes that compute independent items.
    """

    config: Settings
    stage: str
    out: Path
    image_cache: Path
    result_of: Callable[[str], dict[str, Any] | None]
    initial: bool = False
    kept: Path | None = None
    workers: Workers = field(default_factory=Workers)

    @property
    def options(self) -> Any:
        """The stage's section of the configuration."""
        return getattr(self.config, self.stage)

    @property
    def seed(self) -> int:
        return self.config.seed

    @cached_property
    def device(self) -> torch.device:
        return pick_device(device_of(self.config))

    def folder(self, stage: str) -> Path:
        """The folder of another stage that all networks share: data, train, ensemble, ablations, evolution."""
        return folder_of(self.config, stage, shared=True)

    # ---------------------------------------------------------------- images
    @cached_property
    def images(self) -> tuple[Images, Images]:
        """(train, val) of stage data."""
        from zfnet.data.cache.images import open_cache

        return open_cache(self.image_cache / "train"), open_cache(self.image_cache / "val")

    @property
    def train(self) -> Images:
        return self.images[0]

    @property
    def val(self) -> Images:
        return self.images[1]

    def cache(self, section: str, index: Index, folder: Path, mean: bool = False, size: int = 0) -> Images:
        """The image cache of `index` in `folder`, built unless it is complete.

        section: of the configuration that names the folder of the images. mean: with a mean image.
        size: of the frames in px; 0: data.size.
        """
        from zfnet.data.cache.images import build_cache

        data, files = self.config.data, raw_files(self.config, section)
        return build_cache(index, folder, size or data.size, data.bad_limit, data.cache, data.quality, files, mean)

    # ---------------------------------------------------------------- the network
    @cached_property
    def network(self) -> Network:
        """The network that the configuration names, on the device: the profile's own, or a borrowed one."""
        return self.as_initial(self._trained)

    def as_initial(self, network: Network, seed: int | None = None) -> Network:
        """The network, with its initial weights where this is a null control; seed: of its training, if not the own."""
        from zfnet.networks.untrained import untrained

        seed = self.config.train.seed if seed is None else seed
        return untrained(network, self.config.model.init, seed) if self.initial else network

    @cached_property
    def _trained(self) -> Network:
        from zfnet.networks.checkpoint import load_trained
        from zfnet.networks.load import load_network

        if not is_borrowed(self.config):
            return load_trained(self.folder("train") / "model.pt", self.device)
        return load_network(device=self.device, **asdict(self.config.network))

    @cached_property
    def expected(self) -> tuple[int, int, tuple[int, ...]]:
        """(frame in px, crop in px, numbers of the layers) of the network, before it is trained or loaded."""
        if is_borrowed(self.config):
            from zfnet.networks.load import describe

            inputs, layers = describe(**asdict(self.config.network))
            return inputs.frame, inputs.crop, tuple(layers)
        from zfnet.data.crops import crop_size
        from zfnet.networks.table import architecture

        crop = crop_size(self.config.data.size)
        network = architecture(self.config.model.name, crop, self.config.model.width)
        return self.config.data.size, crop, (*network.convs, *network.fulls)

    def need_folder(self, key: str) -> None:
        """Raise UserError where an option of the stage names a folder that does not exist."""
        from zfnet.data.index import require_folder

        folder = getattr(self.options, key)
        if folder:
            require_folder(Path(folder), f"{self.stage}.{key}", "see data/README.md")

    def need_data(self) -> None:
        """Raise LacksData where the dataset that the stage reads by itself is not there."""
        folder = sources.missing_folder(self.config, self.stage)
        if folder:
            raise LacksData(f"{self.stage}: {sources.why_absent(self.config, self.stage)}")

    def need_layers(self, *numbers: int) -> None:
        """Raise LacksLayer where the network will lack one of the papers' layers."""
        _, _, available = self.expected
        missing = [number for number in numbers if number not in available]
        if missing:
            name = self.config.network.name if is_borrowed(self.config) else self.config.model.name
            known = f"layers {', '.join(map(str, available))}" if available else "no hidden layer"
            raise LacksLayer(f"{self.stage}: needs layer {missing[0]}, and {name} has {known}; choose another network")


def raw_files(config: Settings, section: str) -> str:
    """Digest of the raw files that a section of the configuration reads; the recorded one if the folder was removed."""
    from zfnet.pipeline.record import read_result

    digest = sources.raw_files(config, section)
    if digest is not None:
        return digest
    recorded = read_result(folder_of(config, section, shared=section == "data")) or {}
    return str(recorded.get("files", ""))
