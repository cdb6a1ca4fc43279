"""What can be known to fail before anything is computed: files and folders that a section of the configuration names,
networks that are in no table, squares that do not fit.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from zfnet.core.errors import UserError
from zfnet.data.index import require_folder
from zfnet.experiments.config import Config

FOLDERS = {"transfer": "root", "voc": "root", "localization": "images"}  # keys that name a folder, by stage


def check_inputs(config: Config, stages: Collection[str]) -> None:
    """Raise UserError for the first mistake that one of `stages`, which are about to run, would meet later."""
    for stage in stages:
        key = FOLDERS.get(stage, "")
        folder = getattr(getattr(config, stage), key) if key else ""
        if folder:
            require_folder(Path(folder), f"{stage}.{key}", "see data/README.md")
    if {"train", "ensemble", "ablations"} & set(stages):
        _check_networks(config, stages)
    if "occlusion" in stages:
        _check_square(config)
    if "correspondence" in stages and config.correspondence.parts:
        from zfnet.experiments.correspondence.parts import read_parts

        read_parts(Path(config.correspondence.parts))
    if "localization" in stages:
        _check_localization(config)


def _check_networks(config: Config, stages: Collection[str]) -> None:
    from zfnet.data.crops import crop_size
    from zfnet.experiments.stages import without_suffixes
    from zfnet.networks.table import architecture

    names = [config.model.name]
    if "ensemble" in stages and config.ensemble.wide:
        names.append(f"{config.model.name}-wide345")
    if "ablations" in stages:
        if config.ablations.n_classes == 1:
            raise UserError("ablations.n_classes: one class leaves nothing to tell apart; 0 takes all of them")
        names += [without_suffixes(row) for row in config.ablations.rows]
    for name in names:
        architecture(name, crop_size(config.data.size), config.model.width)


def _check_square(config: Config) -> None:
    from zfnet.data.crops import crop_size
    from zfnet.experiments.occlusion.compute import grid

    grid(crop_size(config.data.size), config.occlusion.square, config.occlusion.stride)


def _check_localization(config: Config) -> None:
    from zfnet.experiments.localization.compute import check_comparison

    file = config.localization.blacklist
    if file and not Path(file).is_file():
        raise UserError(f"localization.blacklist: no file {file}")
    check_comparison(config.localization)
