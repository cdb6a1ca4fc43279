"""A network trained here, on disk: plain tensors, numbers and strings, loadable with `weights_only=True`.

{"network": {"name", "width", "classes", "crop"}, "weights": state dict,
 "inputs": {"frame", "crop", "mean", "std"}, "class_ids": [...], "class_names": [...], ...}
"""

import struct
import zipfile
from pathlib import Path
from typing import Any

import torch

from zfnet.core.errors import UserError
from zfnet.core.files import atomic_write
from zfnet.core.resume import Part, checksum
from zfnet.networks.convnet import ConvNet, build
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Classes, Network

_NO_COMMENT = b"\0\0"  # the end of a zip archive without a comment


class DamagedFile(Exception):
    """A damaged file of tensors. The message says where."""


def save_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values atomically; the same content gives the same bytes.

    The file is torch's zip archive with a comment, the CRC-32 of all that precedes it.
    """
    with atomic_write(path) as temporary:
        with temporary.open("wb") as file:  # given a path, torch writes its name into the archive
            torch.save(content, file)
        whole = checksum(temporary, 0, temporary.stat().st_size - len(_NO_COMMENT))
        with temporary.open("r+b") as file:
            file.seek(whole["length"])
            file.write(_comment(whole))


def load_tensors(path: Path) -> dict[str, Any]:
    """What `save_tensors` wrote, on the CPU; runs no code from the file.

    Raises FileNotFoundError, and DamagedFile where a checksum or the layout is wrong.
    """
    try:
        _check(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict):
            raise DamagedFile("it holds no table of tensors")
        return content
    except (FileNotFoundError, MemoryError, DamagedFile):
        raise
    except Exception as error:  # torch and zipfile raise anything on damaged input
        reason = str(error).split(". ")[0].partition("\n")[0]  # torch adds advice that does not apply
        raise DamagedFile(reason or type(error).__name__) from error


def _comment(part: Part) -> bytes:
    """The end of a zip archive: the length of its comment, then the comment."""
    return struct.pack("<H8s", 8, f"{part['crc']:08x}".encode())


def _check(path: Path) -> None:
    """Compare the checksum of a file, or, where it has none, those of its members."""
    size = len(_NO_COMMENT) + 8
    whole = checksum(path, 0, max(0, path.stat().st_size - size))
    with path.open("rb") as file:
        file.seek(whole["length"])
        comment = file.read()
    if comment[:2] == _comment(whole)[:2]:
        if comment != _comment(whole):
            raise DamagedFile("its bytes are not as they were written")
        return
    with zipfile.ZipFile(path) as archive:
        if name := archive.testzip():
            raise DamagedFile(f"{name} is not as it was written")


def trained_network(module: ConvNet, inputs: Inputs, classes: Classes, title: str = "") -> Network:
    """A network of the table as a `Network`; its training or evaluation mode stays."""
    return Network(module, inputs, classes, module.layers, module.feature_maps, title)


def save_network(path: Path, network: Network, name: str, width: float, **facts: Any) -> None:
    """Write a network of the table, with all that is needed to build it, and `facts` (plain values) beside it."""
    module, inputs = network.module, network.inputs
    assert isinstance(module, ConvNet)
    content = {
        "network": {"name": name, "width": width, "classes": module.n_classes, "crop": module.input_size},
        "weights": module.state_dict(),
        "inputs": {
            "frame": inputs.frame,
            "crop": inputs.crop,
            "mean": torch.from_numpy(inputs.mean),
            "std": torch.from_numpy(inputs.std),
        },
        "class_ids": list(network.classes.ids),
        "class_names": list(network.classes.names),
        **facts,
    }
    save_tensors(path, content)


def load_trained(path: Path, device: torch.device | str = "cpu") -> Network:
    """The network of a checkpoint, in evaluation mode. Raises UserError for a missing or damaged file."""
    try:
        saved = load_tensors(path)
        if "network" not in saved:
            raise UserError(f"{path}: not a network of zfnet; give other weights as network.weights={path}")
        described = saved["network"]
        module = build(described["name"], described["classes"], described["crop"], described["width"])
        module.load_state_dict(saved["weights"])
        inputs = saved["inputs"]
        preprocessing = Inputs(inputs["frame"], inputs["crop"], inputs["mean"].numpy(), inputs["std"].numpy())
        classes = Classes(tuple(saved["class_ids"]), tuple(saved["class_names"]))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such checkpoint; run stage=train first") from error
    except (DamagedFile, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path}: not a complete zfnet checkpoint ({reason}); delete it and run the same command again"
        ) from error
    title = f"{described['name']}, {described['classes']} classes"
    return trained_network(module.eval().to(device), preprocessing, classes, title)
