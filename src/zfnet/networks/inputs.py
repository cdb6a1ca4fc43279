"""How pictures become a network's input, and back.

The frame of a picture is its central square once the short side has `frame` pixels; a network sees a crop of it
([ZF13] section 3: 224 of 256 px). With pixels in 0..255, colors in the order RGB,

    input = (pixel - mean) / std

where the mean is an image (the per-pixel mean of the training set, [ZF13] 3) or a single color (torchvision).
Every function takes frames as the cache holds them, (b, side, side, 3) uint8; where their side is not `frame`, they
are resized to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from zfnet.data.crops import crop_size, resize, shrink, ten_crop_places

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of ImageNet's colors in 0..1, as torchvision's networks take them
IMAGENET_STD = (0.229, 0.224, 0.225)

Places = Sequence[int] | np.ndarray


@dataclass(frozen=True)
class Inputs:
    """The preprocessing of one network.

    frame, crop: sides in px. mean: (frame, frame, 3) or (1, 1, 3) float32, in pixels of 0..255. std: (3,) float32,
    likewise.
    """

    frame: int
    crop: int
    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of_mean_image(cls, mean: np.ndarray, divisor: float) -> Inputs:
        """Frames of the mean image's size, the papers' crop of 7/8 of it, every color divided by `divisor`."""
        size = mean.shape[0]
        return cls(size, crop_size(size), np.asarray(mean, np.float32), np.full(3, divisor, np.float32))

    @classmethod
    def of_colors(cls, frame: int, crop: int, mean: Sequence[float], std: Sequence[float]) -> Inputs:
        """Mean and standard deviation a color, of values in 0..1."""
        pixel_mean = 255 * np.asarray(mean, np.float64)
        pixel_std = 255 * np.asarray(std, np.float64)
        return cls(frame, crop, pixel_mean.astype(np.float32).reshape(1, 1, 3), pixel_std.astype(np.float32))

    @property
    def margin(self) -> int:
        """Pixels of the frame on either side of the center crop."""
        return (self.frame - self.crop) // 2

    @property
    def ten_places(self) -> tuple[tuple[int, int, bool], ...]:
        """(top, left, mirrored) of the ten crops: corners and center, then mirrored."""
        return ten_crop_places(self.frame, self.crop)

    def fingerprint(self) -> str:
        """Hash of the preprocessing."""
        digest = hashlib.sha256(f"{self.frame} {self.crop}".encode())
        digest.update(np.ascontiguousarray(self.mean, np.float32).tobytes())
        digest.update(np.ascontiguousarray(self.std, np.float32).tobytes())
        return digest.hexdigest()[:16]

    # ---------------------------------------------------------------- pixels
    def frames(self, frames: np.ndarray) -> np.ndarray:
        """The frames at this network's size, (b, frame, frame, 3) uint8."""
        frames = np.asarray(frames)
        if frames.shape[1] == self.frame:
            return frames
        resized = np.empty((len(frames), self.frame, self.frame, 3), np.uint8)
        for place, picture in zip(resized, frames, strict=True):
            place[:] = resize(picture, self.frame, self.frame)
        return resized

    def center_pixels(self, frames: np.ndarray) -> np.ndarray:
        """The center crops, (b, crop, crop, 3) uint8."""
        return self.frames(frames)[:, self._middle, self._middle]

    def photo_pixels(self, photo: np.ndarray) -> np.ndarray:
        """The center crop of a photograph of any size (h, w, 3), (crop, crop, 3) uint8."""
        return shrink(photo, self.frame)[self._middle, self._middle]

    # ---------------------------------------------------------------- inputs
    def center(self, frames: np.ndarray) -> Tensor:
        """Inputs of the center crops, (b, 3, crop, crop) float32."""
        return self.prepare(self.center_pixels(frames))

    def ten_crops(self, frames: np.ndarray) -> Tensor:
        """Inputs of the ten crops, (b, 10, 3, crop, crop) float32, in the order of `ten_places`."""
        whole = self._divided(_to_tensor(self.frames(frames)) - self._mean)
        views = []
        for top, left, mirrored in self.ten_places:
            view = whole[:, :, top : top + self.crop, left : left + self.crop]
            views.append(view.flip(3) if mirrored else view)
        return torch.stack(views, dim=1)

    def crops(self, pixels: Tensor, top: Places, left: Places, flip: Places) -> Tensor:
        """Inputs of crops cut at the places (top, left), one an image, on the device of `pixels`.

        pixels: (b, crop, crop, 3) uint8; the result is (b, 3, crop, crop) float32, channels last in memory.
        """
        y = torch.from_numpy(np.asarray(top, np.int64)).to(pixels.device, non_blocking=True)
        x = torch.from_numpy(np.asarray(left, np.int64)).to(pixels.device, non_blocking=True)
        mirrored = torch.from_numpy(np.flatnonzero(np.asarray(flip))).to(pixels.device, non_blocking=True)
        mean, std = self._colors_on(pixels.device)
        if len(mean) > 1:
            windows = mean.unfold(0, self.crop, 1).unfold(1, self.crop, 1)
            mean = windows.permute(0, 1, 3, 4, 2)[y, x]  # (b, crop, crop, 3)
        inputs = pixels.float()
        inputs -= mean
        inputs /= std
        inputs[mirrored] = inputs[mirrored].flip(2)
        return inputs.permute(0, 3, 1, 2)

    def prepare(self, pixels: np.ndarray) -> Tensor:
        """Inputs (b, 3, crop, crop) of pictures at the place of the center crop, (b, crop, crop, 3) in 0..255."""
        return self._divided(_to_tensor(pixels) - self.center_mean())

    def to_pixels(self, inputs: Tensor) -> np.ndarray:
        """The pictures of inputs (b, 3, crop, crop) at the place of the center crop, (b, crop, crop, 3) uint8."""
        pixels = inputs.detach().float().cpu() * self._scale() + self.center_mean()
        return pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()

    def to_units(self, inputs: Tensor) -> Tensor:
        """A difference of inputs in pixel units: (b, 3, h, w) times the standard deviation of each color."""
        return inputs * self._scale().to(inputs)

    def from_units(self, pixels: Tensor) -> Tensor:
        """A difference of pixels (b, 3, h, w) as a difference of inputs."""
        return pixels / self._scale().to(pixels)

    def center_mean(self) -> Tensor:
        """The mean under the center crop, (3, crop, crop) or (3, 1, 1), in pixels."""
        return self._mean if self._mean.shape[1] == 1 else self._mean[:, self._middle, self._middle]

    # ---------------------------------------------------------------- parts
    @property
    def _middle(self) -> slice:
        return slice(self.margin, self.margin + self.crop)

    @cached_property
    def _mean(self) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.mean.transpose(2, 0, 1)))

    def _scale(self) -> Tensor:
        return torch.from_numpy(np.asarray(self.std, np.float32)).view(3, 1, 1)

    def _divided(self, values: Tensor) -> Tensor:
        return values / self._scale().to(values)

    def _colors_on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The mean (frame, frame, 3) or (1, 1, 3) and the standard deviation (3,), copied to a device once."""
        if device not in self._on_devices:
            mean = torch.from_numpy(np.ascontiguousarray(self.mean)).to(device)
            self._on_devices[device] = mean, torch.from_numpy(np.asarray(self.std, np.float32)).to(device)
        return self._on_devices[device]

    @cached_property
    def _on_devices(self) -> dict[torch.device, tuple[Tensor, Tensor]]:
        return {}


def _to_tensor(pixels: np.ndarray) -> Tensor:
    """(b, h, w, 3) -> (b, 3, h, w) float32, channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float()
