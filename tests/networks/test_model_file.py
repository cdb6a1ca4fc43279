"""A trained network on disk."""

import struct

import numpy as np
import pytest
import torch

from zfnet.core.errors import UserError
from zfnet.networks.checkpoint import DamagedFile, load_model, load_tensors, save_model, save_tensors
from zfnet.networks.convnet import build


def test_a_saved_network_comes_back_bit_for_bit_and_in_evaluation_mode(tmp_path):
    model = build("zfnet", 4, 56, width=0.25)
    save_model(tmp_path / "model.pt", model, "zfnet", 0.25, divisor=64.0)
    back = load_model(tmp_path / "model.pt")
    assert not back.training
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), back.state_dict().values(), strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]  # no temporary file is left


def test_a_missing_or_damaged_file_is_named(tmp_path):
    with pytest.raises(UserError, match="stage=train"):
        load_model(tmp_path / "none.pt")
    (tmp_path / "bad.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"bad\.pt.*delete it"):
        load_model(tmp_path / "bad.pt")


@pytest.fixture
def model_file(tmp_path):
    model = build("zfnet", 3, 32, width=0.05)
    model.initialise("he", 0)
    save_model(tmp_path / "model.pt", model, "zfnet", 0.05, divisor=64.0)
    return tmp_path / "model.pt"


def test_equal_networks_are_equal_files_whatever_their_names(model_file, tmp_path):
    save_model(tmp_path / "elsewhere" / "a.pt", load_model(model_file), "zfnet", 0.05, divisor=64.0)
    assert (tmp_path / "elsewhere" / "a.pt").read_bytes() == model_file.read_bytes()


def test_other_programs_read_the_file(model_file):
    assert torch.load(model_file, weights_only=True)["network"]["name"] == "zfnet"


@pytest.mark.parametrize("from_end", [0, 6000])
def test_a_flipped_bit_or_a_cut_is_refused_by_name(model_file, from_end):
    good, random = model_file.read_bytes(), np.random.default_rng(0)
    for i in range(60):  # in the weights, and in the archive's directory behind them
        data = bytearray(good)
        place = int(random.integers(len(good) - from_end if from_end else 0, len(good)))
        if i % 3:
            data[place] ^= 1 << int(random.integers(8))
        else:
            del data[place:]
        model_file.write_bytes(data)
        with pytest.raises(UserError, match=r"model\.pt: not a whole zfnet checkpoint \(.+\); delete it"):
            load_model(model_file)


def test_a_file_that_torch_wrote_is_checked_by_the_checksums_of_its_members(model_file, tmp_path):
    values = {"a": torch.arange(100.0)}
    torch.save(values, tmp_path / "plain.pt")
    assert torch.equal(load_tensors(tmp_path / "plain.pt")["a"], values["a"])
    data = bytearray((tmp_path / "plain.pt").read_bytes())
    data[data.index(struct.pack("<2f", 50, 51)) + 1] ^= 0x10
    (tmp_path / "plain.pt").write_bytes(data)
    with pytest.raises(DamagedFile, match="not as it was written"):
        load_tensors(tmp_path / "plain.pt")


def test_a_file_of_something_else_is_refused(tmp_path):
    save_tensors(tmp_path / "other.pt", {"a": torch.zeros(1)})
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "empty.pt").write_bytes(b"")
    for name in ("other.pt", "list.pt", "empty.pt"):
        with pytest.raises(UserError, match=f"{name}: not a whole zfnet checkpoint"):
            load_model(tmp_path / name)
