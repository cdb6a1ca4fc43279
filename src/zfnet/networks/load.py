"""Networks to analyze, by name: trained here, of torchvision, of timm, or anybody's own module.

    outputs/menagerie/train            a folder (or model.pt) of ours
    alexnet, vgg16, resnet50, ...      any classifier of torchvision
    timm:resnet18                      any convnet of timm, where it is installed
    my_package.my_module:make          a function that returns an nn.Module, or the module itself

Their layers are numbered by zfnet.networks.layers. Classes have ImageNet's ids where there are 1000 of them.
"""

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor, nn

from zfnet.core.errors import UserError
from zfnet.data.tables import read_lines
from zfnet.networks import borrowed
from zfnet.networks.borrowed import RANDOM, TIMM, weights_title
from zfnet.networks.checkpoint import load_trained
from zfnet.networks.inputs import IMAGENET_MEAN, IMAGENET_STD, Inputs
from zfnet.networks.layers import KNOWN, Layers, Output, find_layers, run_once
from zfnet.networks.network import Classes, Network, unwrap
from zfnet.networks.options import TRAINED, NetworkOptions
from zfnet.networks.weights import assign_weights, check_fit, fit_names, read_weights

MODEL = "model.pt"  # in the folder of a training
WNIDS = Path(__file__).with_name("imagenet_wnids.txt")
OWN_INPUTS = Inputs.of_colors(256, 224, IMAGENET_MEAN, IMAGENET_STD)  # of anybody's module, unless given


class Preprocessing(TypedDict, total=False):
    """The further fields of NetworkOptions."""

    frame: int
    crop: int
    mean: Sequence[float]
    std: Sequence[float]
    classes: str


def load_network(
    name: str, weights: str = "", device: torch.device | str = "cpu", **more: Unpack[Preprocessing]
) -> Network:
    """The network called `name`, in evaluation mode.

    weights: "" for its own (torchvision and timm download theirs), a file with a state dict, or "random" for a trial.
    more: frame and crop in px, mean and std of R, G, B in 0..1, a file of classes; see NetworkOptions.

    Raises UserError naming network.name, network.weights or the other key that is wrong.
    """
    check_network(name, weights, **more)
    return _load(_options(name, weights, more), empty=False, device=device)


def check_network(name: str, weights: str = "", **more: Unpack[Preprocessing]) -> None:
    """Raise UserError for what can be known to fail without building or downloading anything."""
    options = _options(name, weights, more)
    if name == TRAINED or _is_ours(name):
        _check_ours(options)
    elif name.startswith(TIMM):
        borrowed.check_timm(name.removeprefix(TIMM))
    elif ":" in name:
        _own(options)
    else:
        borrowed.check_torchvision(name)
    if weights not in ("", RANDOM) and not Path(weights).expanduser().is_file():
        raise UserError(f"network.weights: {weights} is not a file; give a state dict of {name} (.pth) or `{RANDOM}`")
    if weights == RANDOM and _is_own(name):
        raise UserError(f"network.weights: `{RANDOM}` is for torchvision and timm; {name} makes its own weights")
    if options.classes:
        _read_classes(options.classes)
    _change_inputs(OWN_INPUTS, options)


def describe(name: str, weights: str = "", **more: Unpack[Preprocessing]) -> tuple[Inputs, Mapping[int, str]]:
    """(inputs, layers) of the network that `load_network` gives, without the values of its weights.

    The keys and shapes of a file of weights are compared with the network's; nothing is downloaded.
    """
    check_network(name, weights, **more)
    network = _load(_options(name, weights, more), empty=True, device="cpu")
    return network.inputs, network.layers


def as_network(module: nn.Module, title: str = "", **more: Unpack[Preprocessing]) -> Network:
    """Anybody's own module, from inputs (b, 3, crop, crop) to class scores (b, classes), as a Network."""
    title = title or type(unwrap(module)).__name__
    return _network(module, OWN_INPUTS, _options(title, "", more), title)


# -------------------------------------------------------------------- by kind of name
def _options(name: str, weights: str, more: Preprocessing) -> NetworkOptions:
    values: dict[str, Any] = dict(more)
    for key in ("mean", "std"):
        values[key] = list(values.get(key, ()))
    return NetworkOptions(name, weights, **values)


def _is_ours(name: str) -> bool:
    looks_like_path = os.sep in name or "/" in name or name.endswith(".pt")
    return looks_like_path and not name.startswith(TIMM) or Path(name).is_dir()


def _is_own(name: str) -> bool:
    return ":" in name and not name.startswith(TIMM) and not _is_ours(name)


def _load(options: NetworkOptions, empty: bool, device: torch.device | str) -> Network:
    name, weights = options.name, options.weights
    if name == TRAINED:
        raise UserError(
            f"network.name: `{TRAINED}` is known to stages only; give the folder, e.g. outputs/PROFILE/train"
        )
    if _is_ours(name):
        return load_trained(_model_file(name), device)
    layers = None
    if name.startswith(TIMM):
        short = name.removeprefix(TIMM)
        module, inputs, own = borrowed.timm_module(short, weights, empty), borrowed.timm_inputs(short), "timm's weights"
    elif ":" in name:
        module, inputs, own = _own_module(options), OWN_INPUTS, "its own weights"
    else:
        module, inputs = borrowed.torchvision_module(name, weights, empty), borrowed.torchvision_inputs(name)
        layers, own = KNOWN.get(name), "torchvision's weights"
    if not any(value.is_meta for value in module.parameters()):
        module.to(device).to(memory_format=torch.channels_last)  # convolutions are faster in it on CPUs and GPUs
    return _network(module, inputs, options, f"{name}, {weights_title(weights, own)}", layers)


def _network(
    module: nn.Module, inputs: Inputs, options: NetworkOptions, title: str, layers: Layers | None = None
) -> Network:
    module = unwrap(module).eval()
    inputs = _change_inputs(inputs, options)
    outputs, scores = _try(module, inputs, options.name)
    layers = layers or find_layers(outputs)
    classes = _classes(options.classes, scores.shape[1])
    return Network(module, inputs, classes, layers.numbered, layers.feature_maps, title, options.name)


def _try(module: nn.Module, inputs: Inputs, name: str) -> tuple[list[Output], Tensor]:
    """Run the module once, on zeros. Raises UserError where it takes or gives something else than is needed."""
    values = next(iter(module.parameters()), torch.zeros(0))
    size = (1, 3, inputs.crop, inputs.crop)
    try:
        outputs, scores = run_once(module, torch.zeros(size, device=values.device))
    except Exception as error:  # anybody's module, anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"network.name: {name} does not run on inputs of {size} ({reason}); its input size is network.crop"
        ) from error
    if not isinstance(scores, Tensor) or scores.dim() != 2:
        given = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise UserError(f"network.name: {name} gives {given} for one image, not class scores (1, classes)")
    return outputs, scores


# -------------------------------------------------------------------- ours
def _model_file(name: str) -> Path:
    path = Path(name).expanduser()
    return path / MODEL if path.is_dir() else path


def _check_ours(options: NetworkOptions) -> None:
    name = options.name
    if name != TRAINED and not _model_file(name).is_file():
        raise UserError(f"network.name: no file {_model_file(name)}; give the folder of a training that has ended")
    changed = [key for key, value in vars(options).items() if value and key != "name"]
    if changed:
        raise UserError(f"network.{changed[0]}: is for borrowed networks; {name} has its own")


# -------------------------------------------------------------------- anybody's module
def _own(options: NetworkOptions) -> Any:
    """What `module:function` names."""
    place, _, attribute = options.name.partition(":")
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(place), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"network.name: {options.name} cannot be imported ({error}); it is looked for as package.module:function "
            f"in the current folder and where Python's packages lie"
        ) from error


def _own_module(options: NetworkOptions) -> nn.Module:
    made = _own(options)
    module = made if isinstance(made, nn.Module) else made()
    if not isinstance(module, nn.Module):
        raise UserError(f"network.name: {options.name} gives {type(module).__name__}, not a torch.nn.Module")
    module = unwrap(module)
    if options.weights:
        fitted = fit_names(read_weights(options.weights), module.state_dict())
        check_fit(fitted, module.state_dict(), options.weights, options.name)
        assign_weights(module, fitted)
    return module


# -------------------------------------------------------------------- inputs and classes
def _change_inputs(inputs: Inputs, options: NetworkOptions) -> Inputs:
    """The preprocessing with what the options give; frame and crop keep their ratio where one of them is given."""
    ratio = inputs.frame / inputs.crop
    crop = options.crop or (round(options.frame / ratio) if options.frame else inputs.crop)
    frame = options.frame or (round(options.crop * ratio) if options.crop else inputs.frame)
    if crop > frame:
        raise UserError(f"network.crop: {crop} px do not fit into a frame of {frame} px, see network.frame")
    mean = _colors("mean", options.mean, (inputs.mean.reshape(-1) / 255).tolist())
    std = _colors("std", options.std, (inputs.std / 255).tolist())
    if min(std) == 0:
        raise UserError("network.std: 0 divides nothing; give the standard deviation of each color in 0..1")
    return Inputs.of_colors(frame, crop, mean, std)


def _colors(key: str, given: Sequence[float], default: Sequence[float]) -> Sequence[float]:
    if not given:
        return default
    if len(given) != 3 or not all(0 <= value <= 1 for value in given):
        raise UserError(f"network.{key}: {list(given)} are not three values in 0..1, of red, green and blue")
    return given


def _classes(file: str, count: int) -> Classes:
    """The classes of the file; without one, ImageNet's where there are as many, otherwise numbered."""
    if file:
        classes = _read_classes(file)
        if len(classes) != count:
            raise UserError(f"network.classes: {file} has {len(classes)} lines, the network {count} outputs")
        return classes
    imagenet = imagenet_classes()
    if count == len(imagenet):
        return imagenet
    names = tuple(f"class {output}" for output in range(count))
    return Classes(names, names)


def _read_classes(file: str) -> Classes:
    """One class a line: `id`, or `id name`."""
    lines = read_lines(Path(file).expanduser(), "network.classes", "give a file with a class a line")
    rows = [line.split(maxsplit=1) for line in lines]
    ids = tuple(row[0] for row in rows)
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise UserError(f"network.classes: {file} has the id {twice!r} twice")
    return Classes(ids, tuple(row[-1].strip() for row in rows))


@cache
def imagenet_classes() -> Classes:
    """The 1000 classes of ILSVRC-2012 in the order of their wnids, which is that of everybody's networks."""
    from torchvision.models import AlexNet_Weights

    return Classes(tuple(WNIDS.read_text().split()), tuple(AlexNet_Weights.DEFAULT.meta["categories"]))
