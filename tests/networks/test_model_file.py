"""A trained network on disk."""

import pytest
import torch

from zfnet.core.errors import UserError
from zfnet.networks.checkpoint import load_model, save_model
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
