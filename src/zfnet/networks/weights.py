"""Weights from a file, as people have them, for a module that expects them under its own names.

A state dict, alone or in a checkpoint under `state_dict`, `model`, `model_state_dict` or `net`; its keys may carry the
prefixes that `DataParallel`, Lightning and `torch.compile` leave. Half precision becomes float32. A file is only ever
read with `weights_only=True`: a pickled module runs code when it is loaded, and is refused.
"""

import argparse
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zfnet.core.errors import UserError

KEY = "network.weights"
NESTED = ("state_dict", "model", "model_state_dict", "net")  # where checkpoints keep the state dict
PREFIXES = ("module.", "model.", "_orig_mod.")
WRAPPERS = ("module", "_orig_mod")  # of DataParallel and torch.compile, also around a part of the network
# Heads of googlenet and inception_v3 that only training uses.
AUXILIARY = re.compile(r"^(aux[12]|AuxLogits)\.")
# Names of densenet's layers in torchvision's files.
OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")
COUNTERS = "num_batches_tracked"  # of batch norm; files older than PyTorch 0.4.1 have none
SHOWN = 3  # keys that an error lists

State = dict[str, Tensor]


def read_weights(file: str, mapped: bool = False) -> State:
    """Parameter -> tensor, of a file. mapped: the values are read only when they are used.

    Raises UserError for a file that cannot be loaded, or holds something else.
    """
    path = Path(file).expanduser()
    saved = _load(path, mapped)
    for name in NESTED:
        if isinstance(saved, Mapping) and isinstance(saved.get(name), Mapping):
            saved = saved[name]
    holds_tensors = isinstance(saved, Mapping) and all(isinstance(value, Tensor) for value in saved.values())
    if not holds_tensors or not saved:
        raise UserError(
            f"{KEY}: {path} holds no state dict, alone or under {', '.join(NESTED)}; write one with "
            f"torch.save(model.state_dict(), 'weights.pth')"
        )
    return saved


def fit_names(saved: State, expected: Mapping[str, Tensor]) -> State:
    """The tensors under the names that are expected: without prefixes, without auxiliary heads."""
    fitted: State = {}
    for key, value in saved.items():
        name = _fit_name(key, expected)
        if name in expected or not AUXILIARY.match(name):
            fitted[name] = value
    for name, value in expected.items():
        if name.endswith(COUNTERS) and name not in fitted:
            fitted[name] = torch.zeros((), dtype=value.dtype)
    return fitted


def check_fit(fitted: State, expected: Mapping[str, Tensor], file: str, name: str) -> None:
    """Raise UserError listing the first keys that are missing, unexpected or of another shape."""
    faults = [f"{key} is missing" for key in expected if key not in fitted]
    faults += [f"{key} is unexpected" for key in fitted if key not in expected]
    for key, value in fitted.items():
        if key in expected and value.shape != expected[key].shape:
            faults.append(f"{key} is {_shape(value)}, not {_shape(expected[key])}")
    if faults:
        more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise UserError(
            f"{KEY}: {file} does not hold the weights of {name} ({'; '.join(faults[:SHOWN])}{more}); "
            f"give the network of these weights as network.name"
        )


def assign_weights(module: nn.Module, fitted: State) -> None:
    """Put the tensors in the module, floats in float32. The module may lie on the meta device."""
    values = module.state_dict()  # with the versions of its parts, which some of torchvision's ask for
    for key, value in fitted.items():
        values[key] = value.float() if value.is_floating_point() else value
    module.load_state_dict(values, assign=True)


def _load(path: Path, mapped: bool) -> Any:
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    mmap = mapped and zipfile.is_zipfile(path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # scripts save their arguments beside the weights
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # torch.load raises whatever the damage leads to
        pickled = re.search(r"GLOBAL (\S+)", str(error))
        if pickled or "TorchScript" in str(error):
            what = f"a pickled object ({pickled[1]})" if pickled else "a TorchScript program"
            raise UserError(
                f"{KEY}: {path} holds {what}, which can run code when it is loaded; load it where you trust it "
                f"and write its weights with torch.save(model.state_dict(), 'weights.pth')"
            ) from error
        reason = str(error).split(". ")[0].strip().splitlines() or [type(error).__name__]
        raise UserError(f"{KEY}: {path} is not a file that torch can load ({reason[0]})") from error


def _load_safetensors(path: Path) -> Any:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise UserError(f"{KEY}: {path} needs the package safetensors; install it with pip") from error
    try:
        return load_file(path)
    except Exception as error:  # its own error type, from Rust
        raise UserError(f"{KEY}: {path} is not a file that safetensors can load ({error})") from error


def _fit_name(key: str, expected: Mapping[str, Tensor]) -> str:
    """The key as it is expected: without prefixes, or without wrappers of parts, as in features.module.0.weight."""
    unwrapped = ".".join(part for part in key.split(".") if part not in WRAPPERS)
    if key not in expected and unwrapped in expected:
        return unwrapped
    while key not in expected:
        prefix = next((prefix for prefix in PREFIXES if key.startswith(prefix)), None)
        if prefix is None:
            return OLD_DENSENET.sub(r"\1\2", key)
        key = key.removeprefix(prefix)
    return key


def _shape(value: Tensor) -> str:
    return "x".join(str(size) for size in value.shape) or "a number"
