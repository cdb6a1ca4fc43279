"""Images that pre-training leaves out: named in a file, as the search for near-duplicates writes it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from zfnet.core.errors import UserError
from zfnet.data.cache.images import build_cache
from zfnet.data.options import DataOptions
from zfnet.data.sources.caltech import read_caltech
from zfnet.experiments.sources import forget_listings, read_source
from zfnet.experiments.table import Config
from zfnet.experiments.transfer import compute as stage
from zfnet.experiments.transfer.options import TransferOptions
from zfnet.networks.convnet import build
from zfnet.running.runner import STAGES, fingerprint


def scene(seed):
    cells = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return cv2.resize(cells, (90, 70), interpolation=cv2.INTER_CUBIC)


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


@pytest.fixture
def sets(tmp_path):
    """Ten training images, and a transfer set of which two are training images written again as JPEG."""
    for i in range(10):
        write(tmp_path / "photos" / "train" / ("cat", "dog")[i % 2] / f"{i}.png", scene(i))
    for i in range(2):
        write(tmp_path / "photos" / "val" / ("cat", "dog")[i] / f"{i}.png", scene(50 + i))
    for i in range(8):
        image = {2: scene(6), 5: scene(3)}.get(i, scene(100 + i))
        write(tmp_path / "101_ObjectCategories" / ("ant", "bee")[i % 2] / f"image_{i:04d}.jpg", image)
    return Config(data=DataOptions(source="folder", root=str(tmp_path / "photos"), size=64))


def test_planted_duplicates_are_found_written_and_left_out_when_asked(sets, wrap, tmp_path):
    train, _ = read_source(sets)
    others = build_cache(train, tmp_path / "others", 64, mean=True)
    images = build_cache(read_caltech(tmp_path), tmp_path / "images", 64)
    model = build("zfnet", 2, 56, 0.05)
    model.initialize("he", 0)
    config = TransferOptions(layers=[1], softmax_layers=[1], per_class=[2], folds=1, few_shot=[1], c_grid=[1.0])
    outcome = stage.run(config, wrap(model, others), images, tmp_path / "out", 0, others)
    found = outcome.numbers["duplicates"]
    assert (found["images"], found["leave_out"], found["most_in_class"]) == (2, 2, 1)
    listed = tmp_path / "out" / "leave_out.txt"
    assert listed.read_text().splitlines() == [str(path) for path in train.paths if path[-5] in "36"]
    rest, _ = read_source(replace(sets, data=replace(sets.data, leave_out=str(listed))))
    assert len(rest) == 8 and rest.classes == train.classes
    assert set(train.paths) - set(rest.paths) == set(listed.read_text().splitlines())


def test_comments_and_empty_lines_are_passed_over(sets, tmp_path):
    train, _ = read_source(sets)
    (tmp_path / "list.txt").write_text(f"# near-duplicates\n\n{train.paths[3]}\n")
    rest, _ = read_source(replace(sets, data=replace(sets.data, leave_out=str(tmp_path / "list.txt"))))
    assert len(rest) == 9 and train.paths[3] not in rest.paths


def test_a_missing_list_is_named(sets, tmp_path):
    config = replace(sets, data=replace(sets.data, leave_out=str(tmp_path / "none.txt")))
    with pytest.raises(UserError, match=r"data\.leave_out: .*none\.txt cannot be read"):
        read_source(config)


def test_a_listed_image_that_is_not_there_is_named(sets, tmp_path):
    (tmp_path / "list.txt").write_text("cat/nine.png\ndog/ten.png\n")
    config = replace(sets, data=replace(sets.data, leave_out=str(tmp_path / "list.txt")))
    with pytest.raises(UserError, match=r"names 'cat/nine\.png', which is no training image.*2 such names"):
        read_source(config)


def test_a_changed_list_changes_what_depends_on_the_data(sets, tmp_path):
    file = tmp_path / "list.txt"
    config = replace(sets, data=replace(sets.data, leave_out=str(file)))
    prints = []
    for text in ("a\n", "a\nb\n"):
        file.write_text(text)
        forget_listings()
        prints.append([fingerprint(STAGES[name], config) for name in ("data", "train", "transfer")])
    assert not set(prints[0]) & set(prints[1])
