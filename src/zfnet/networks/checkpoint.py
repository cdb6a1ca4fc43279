"""A trained network on disk: plain tensors, numbers and strings, loadable with `weights_only=True`."""

from __future__ import annotations

import hashlib
import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from zfnet.core.errors import UserError
from zfnet.core.files import atomic_write
from zfnet.core.resume import Part, checksum
from zfnet.networks.convnet import ConvNet, build

if TYPE_CHECKING:
    from hashlib import _Hash


_NO_COMMENT = b"\0\0"  # how a zip archive without a comment ends


class DamagedFile(Exception):
    """A file of tensors whose bytes are not those that were written. The message says where."""


def save_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values, whole or not at all; the same content gives the same bytes.

    The file is a zip archive, as torch writes it, whose comment is the CRC-32 of all that precedes the comment.
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
    except Exception as error:  # the readers of both libraries raise anything on damaged input
        reason = str(error).split(". ")[0].partition("\n")[0]  # torch adds advice that does not apply
        raise DamagedFile(reason or type(error).__name__) from error


def _comment(part: Part) -> bytes:
    """The end of a zip archive: the length of its comment, then the comment."""
    return struct.pack("<H8s", 8, f"{part['crc']:08x}".encode())


def _check(path: Path) -> None:
    """Compare the checksum of a file, or, where it has none of ours, those of its members."""
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


def save_model(path: Path, model: ConvNet, name: str, width: float, **facts: Any) -> None:
    """Write weights and what is needed to build the network again; `facts` (plain values) are kept beside them."""
    description = {"name": name, "width": width, "classes": model.n_classes, "crop": model.input_size}
    save_tensors(path, {"network": description, "weights": model.state_dict(), **facts})


def load_model(path: Path, device: torch.device | str = "cpu") -> ConvNet:
    """The network of a checkpoint, in evaluation mode. Raises UserError for a missing or damaged file."""
    try:
        saved = load_tensors(path)
        network = saved["network"]
        model = build(network["name"], network["classes"], network["crop"], network["width"])
        model.load_state_dict(saved["weights"])
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such checkpoint; run stage=train first") from error
    except (DamagedFile, RuntimeError, KeyError, ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{path}: not a whole zfnet checkpoint ({reason}); delete it and run the same command again"
        ) from error
    return model.eval().to(device)


def hash_network(model: nn.Module) -> _Hash:
    """SHA-256 of a network's modules and weights, to which more can be added."""
    found = hashlib.sha256(repr(model).encode())
    for name, value in model.state_dict().items():
        found.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return found
