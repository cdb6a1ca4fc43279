"""The networks of torchvision and timm: modules with weights, and how pictures become their inputs.

Frame, crop, mean and standard deviation are those of the library's best weights. Their frames are resized by area
averaging, ours, and not by the library's interpolation. Weights: the library's own, those of a file with as many
classes as it has, or random ones.

googlenet and inception_v3 were trained on (pixel / 255 - 0.5) / 0.5, which torchvision computes from ImageNet's colors
inside `forward`: here it is done outside, and `transform_input` is off.
"""

import difflib
import importlib.util
import logging
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zfnet.core.errors import UserError
from zfnet.networks.inputs import Inputs
from zfnet.networks.options import TRAINED
from zfnet.networks.weights import State, assign_weights, check_fit, fit_names, read_weights

RANDOM = "random"  # weights that are nobody's
TIMM = "timm:"
HALVES = (0.5, 0.5, 0.5)
AUXILIARY_HEADS = ("googlenet", "inception_v3")


# -------------------------------------------------------------------- torchvision
def torchvision_names() -> list[str]:
    """The classifiers of torchvision whose weights name their transforms."""
    from torchvision import models

    return models.list_models(module=models)


def check_torchvision(name: str) -> None:
    """Raise UserError for an unknown name, with those that are close."""
    names = torchvision_names()
    if name not in names:
        close = difflib.get_close_matches(name, [TRAINED, *names], 3, 0.5)
        meant = f"did you mean {', '.join(close)}?" if close else f"there is {TRAINED}, and of torchvision {names[0]}"
        raise UserError(
            f"network.name: no network {name!r}; {meant}; or give a folder of ours, timm:NAME, or module:function"
        )


def torchvision_inputs(name: str) -> Inputs:
    """The preprocessing of torchvision's default weights."""
    from torchvision import models

    known = models.get_model_weights(name).DEFAULT.transforms()
    mean, std = (HALVES, HALVES) if name in AUXILIARY_HEADS else (known.mean, known.std)
    return Inputs.of_colors(known.resize_size[0], known.crop_size[0], mean, std)


def torchvision_module(name: str, weights: str, empty: bool) -> nn.Module:
    """torchvision's network. empty: on the meta device, its weights compared with a file's but not loaded.

    Raises UserError naming network.weights where they cannot be had or do not fit.
    """
    if weights == RANDOM or empty and not weights:
        return _torchvision_empty(name) if empty else _torchvision_random(name)
    saved = read_weights(weights, mapped=empty) if weights else _torchvision_weights(name)
    module = _torchvision_empty(name)
    fitted = fit_names(saved, module.state_dict())
    classes = _n_classes(module, _torchvision_empty(name, num_classes=2), fitted)
    if classes:
        module = _torchvision_empty(name, num_classes=classes)
    check_fit(fitted, module.state_dict(), weights or "torchvision's file", name)
    if not empty:
        assign_weights(module, fitted)
    return module


def _torchvision_random(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _torchvision_model(name, init_weights=True)


def _torchvision_empty(name: str, **kwargs: Any) -> nn.Module:
    """On the meta device, or on the CPU where building it needs the values of tensors."""
    try:
        with torch.device("meta"):
            return _torchvision_model(name, **kwargs)
    except (NotImplementedError, RuntimeError):
        return _torchvision_model(name, **kwargs)


def _torchvision_model(name: str, init_weights: bool = False, **kwargs: Any) -> nn.Module:
    from torchvision import models

    if name in AUXILIARY_HEADS:
        kwargs |= {"aux_logits": False, "init_weights": init_weights, "transform_input": False}
    return models.get_model(name, weights=None, **kwargs)


def _torchvision_weights(name: str) -> State:
    from torchvision import models

    known = models.get_model_weights(name).DEFAULT
    try:
        return known.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"network.weights: no weights of {name} on this machine and none could be downloaded ({error}); fetch "
            f"{known.url} and give it as network.weights=FILE"
        ) from error


# -------------------------------------------------------------------- timm
def check_timm(name: str) -> None:
    """Raise UserError where timm is not installed or has no such network; `name` is without "timm:"."""
    if importlib.util.find_spec("timm") is None:
        raise UserError(f"network.name: {TIMM}{name} needs the package timm; install it with `pip install timm`")
    import timm

    if not timm.is_model(name.split(".")[0]):
        close = difflib.get_close_matches(name, timm.list_models(), 3, 0.5)
        meant = f"; did you mean {', '.join(close)}?" if close else ""
        raise UserError(f"network.name: timm has no network {name!r}{meant}")


def timm_inputs(name: str) -> Inputs:
    """The preprocessing of timm's weights; its frame is the crop divided by crop_pct, rounded down."""
    from timm.data import resolve_data_config
    from timm.models import get_pretrained_cfg

    known = resolve_data_config(pretrained_cfg=get_pretrained_cfg(name).to_dict())
    crop = known["input_size"][-1]
    return Inputs.of_colors(math.floor(crop / known["crop_pct"]), crop, known["mean"], known["std"])


def timm_module(name: str, weights: str, empty: bool) -> nn.Module:
    """timm's network. empty: without its own weights. Raises UserError as `torchvision_module`."""
    import timm

    if weights in ("", RANDOM):
        return _timm_model(name, pretrained=not weights and not empty)
    saved = read_weights(weights, mapped=empty)
    with torch.device("meta"):
        module = timm.create_model(name)
        fitted = fit_names(saved, module.state_dict())
        classes = _n_classes(module, timm.create_model(name, num_classes=2), fitted)
    module = timm.create_model(name, num_classes=classes) if classes else timm.create_model(name)
    check_fit(fitted, module.state_dict(), weights, f"{TIMM}{name}")
    if not empty:
        assign_weights(module, fitted)
    return module


def _timm_model(name: str, pretrained: bool) -> nn.Module:
    import timm

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it warns at each of its attempts
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return timm.create_model(name, pretrained=pretrained)
    except Exception as error:  # of whichever library downloads
        if not pretrained:
            raise
        known = timm.models.get_pretrained_cfg(name)
        place = f"https://huggingface.co/{known.hf_hub_id}" if known.hf_hub_id else known.url
        raise UserError(
            f"network.weights: no weights of {TIMM}{name} on this machine and none could be downloaded "
            f"({type(error).__name__}); fetch them from {place} and give them as network.weights=FILE"
        ) from error


# -------------------------------------------------------------------- both
def _n_classes(module: nn.Module, resized: nn.Module, fitted: State) -> int:
    """Classes of the weights: rows of the tensors whose shape depends on their number; 0 where those are missing."""
    others = resized.state_dict()
    for key, value in module.state_dict().items():
        if value.shape != others[key].shape and key in fitted and fitted[key].dim() > 0:
            return len(fitted[key])
    return 0


def weights_title(weights: str, own: str) -> str:
    """What the weights are, for pictures: `own` where none are named."""
    if weights == RANDOM:
        return "random weights: a trial, its answers mean nothing"
    return f"weights of {Path(weights).name}" if weights else own
