from __future__ import annotations

import numpy as np
import pytest
import torch

from zfnet.data.store import ImageStore
from zfnet.models.net import build
from zfnet.transfer import features
from zfnet.transfer.features import extract

CROP = 56


@pytest.fixture
def model():
    model = build("zfnet", 4, CROP, 0.05)
    model.initialise("he", 0)
    return model.train()


@pytest.fixture
def store(make_store):
    return make_store(2, 5, size=64)


def test_centre_features_are_the_layers_outputs_without_dropout(model, store, tmp_path):
    names = [model.layer(n) for n in (1, 5, 7)]
    found = extract(model, store, names, "center", tmp_path, batch=4)
    assert model.training  # as it was
    model.eval()
    with torch.inference_mode():
        for name in names:
            expected = model.upto(store.center(range(10)), name).flatten(1)
            np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5)
            assert found[name].dtype == np.float32


def test_ten_crop_features_are_means_over_the_crops(model, store, tmp_path):
    found = extract(model, store, ["pool5"], "ten", tmp_path, batch=3)["pool5"]
    model.eval()
    with torch.inference_mode():
        expected = [model.upto(store.ten_crops([row])[0], "pool5").flatten(1).mean(0).numpy() for row in range(10)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def count_rows(monkeypatch, limit: int = 10**6) -> list[int]:
    """Rows for which inputs are made from now on; fails after `limit` of them."""
    rows: list[int] = []
    original = ImageStore.center

    def center(self: ImageStore, some: np.ndarray) -> torch.Tensor:
        if len(rows) >= limit:
            raise KeyboardInterrupt
        rows.extend(some.tolist())
        return original(self, some)

    monkeypatch.setattr(ImageStore, "center", center)
    return rows


def test_features_on_disk_are_not_computed_again(model, store, tmp_path, monkeypatch):
    first = extract(model, store, ["pool5"], "center", tmp_path)["pool5"]
    rows = count_rows(monkeypatch)
    again = extract(model, store, ["pool5"], "center", tmp_path)["pool5"]
    assert rows == [] and np.array_equal(first, again)


def test_other_weights_make_other_features(model, store, tmp_path):
    first = np.array(extract(model, store, ["pool5"], "center", tmp_path)["pool5"])
    model.initialise("he", 1)
    assert not np.array_equal(first, extract(model, store, ["pool5"], "center", tmp_path)["pool5"])


def test_an_interrupted_run_goes_on_at_its_last_shard(model, store, tmp_path, monkeypatch):
    whole = np.array(extract(model, store, ["pool5"], "center", tmp_path / "whole", batch=2)["pool5"])
    monkeypatch.setattr(features, "SHARD", 4)
    with monkeypatch.context() as patch:
        count_rows(patch, limit=7)  # one for the widths, then the first shard and half of the second
        with pytest.raises(KeyboardInterrupt):
            extract(model, store, ["pool5"], "center", tmp_path / "parts", batch=2)
    rows = count_rows(monkeypatch)
    parts = extract(model, store, ["pool5"], "center", tmp_path / "parts", batch=2)["pool5"]
    assert set(rows[1:]) == set(range(4, 10))
    np.testing.assert_array_equal(parts, whole)


def test_an_unknown_module_is_named(model, store, tmp_path):
    with pytest.raises(ValueError, match="pool9"):
        extract(model, store, ["pool9"], "center", tmp_path)
