"""A network, its classes and its layers; its activations read by name; its predictions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from zfnet.core.errors import UserError
from zfnet.data.cache.images import Images
from zfnet.data.index import make_index
from zfnet.networks.convnet import build
from zfnet.networks.inputs import IMAGENET_MEAN, IMAGENET_STD, Inputs
from zfnet.networks.network import Classes, Network, class_names
from zfnet.networks.predict import classes_or_guesses, correct_images, predict
from zfnet.networks.walk import outputs


@pytest.fixture
def network(wrap):
    model = build("zfnet", 3, 32, 0.125)
    model.initialize("he", 0)
    return wrap(model)


# ---------------------------------------------------------------- classes
def test_labels_are_matched_by_id_whatever_the_order_and_unknown_classes_are_minus_one(tmp_path):
    index = make_index(tmp_path, [(f"{i}.jpg", label) for i, label in enumerate((0, 1, 2, 0))], ["n3", "n9", "n1"])
    classes = Classes(("n1", "n2", "n3"), ("cat", "dog", "fox"))
    labels = classes.labels(index)
    assert labels.dtype == np.int64 and labels.tolist() == [2, -1, 0, 2]
    assert len(classes) == 3 and class_names(classes, [2, 0]) == ["fox", "cat"]


def test_no_images_have_no_labels(tmp_path):
    index = make_index(tmp_path, [("0.jpg", 0)], ["n1", "n2"]).take([])
    assert Classes(("n1",), ("cat",)).labels(index).shape == (0,)


def test_images_without_a_class_have_the_label_minus_one(tmp_path):
    for known in ((), ("n1",)):
        index = make_index(tmp_path, [("0.jpg", -1)], known)
        assert Classes(("n1",), ("cat",)).labels(index).tolist() == [-1]


# ---------------------------------------------------------------- layers
def test_layers_of_ours_are_numbered_as_the_papers_number_them(network):
    assert list(network.layers) == [1, 2, 3, 4, 5, 6, 7] and network.depth == 7
    assert network.layer(1) == "norm1" and network.layer(5) == "pool5" and network.layer(7) == "relu7"


def test_a_layer_that_is_not_there_is_named_with_those_that_are(network):
    with pytest.raises(UserError, match=r"^layer 8: zfnet has layers 1, 2, 3, 4, 5, 6, 7$"):
        network.layer(8)
    with pytest.raises(UserError, match="layer 2: this network has layers 1, 9"):
        replace(network, layers={9: "pool5", 1: "norm1"}, title="").layer(2)


# ---------------------------------------------------------------- fingerprint
def test_the_fingerprint_is_of_modules_weights_and_preprocessing(network, wrap):
    def changed(change):
        model = build("zfnet", 3, 32, 0.125)
        model.initialize("he", 0)
        with torch.no_grad():
            change(model)
        return wrap(model).fingerprint()

    def add_to_one_weight(model):
        model.fc7.weight[0, 0] += 1e-3

    def remove_normalization(model):
        model.norm1 = nn.Identity()

    assert changed(lambda model: None) == network.fingerprint()
    preprocessed = replace(network, inputs=Inputs.of_colors(36, 32, IMAGENET_MEAN, IMAGENET_STD)).fingerprint()
    prints = {network.fingerprint(), changed(add_to_one_weight), changed(remove_normalization), preprocessed}
    assert len(prints) == 4


def test_a_fingerprint_counts_buffers_and_integers_too(inputs):
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2))
    network = Network(module, inputs, Classes(("a", "b"), ("a", "b")), {1: "1"})
    before = network.fingerprint()
    module[1].running_mean[0] = 1
    assert network.fingerprint() != before


# ---------------------------------------------------------------- activations
class Shared(nn.Module):
    """One ReLU called twice, which works in place."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.Conv2d(4, 2, 3)

    def forward(self, x):
        return self.relu(self.last(self.relu(self.conv(x))) - 1)


def test_outputs_are_those_of_the_first_call_before_what_works_in_place(inputs):
    module, x = Shared(), torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    read = outputs(module, x, ["relu", "conv"])
    assert list(read) == ["relu", "conv"]
    torch.testing.assert_close(read["conv"], module.conv(x))
    torch.testing.assert_close(read["relu"], module.conv(x).relu())
    assert read["conv"].min() < 0


def test_outputs_end_the_run_early_leave_no_hooks_and_can_be_reduced():
    module, x = Shared(), torch.randn(1, 3, 8, 8)
    module.last.register_forward_hook(lambda *_: pytest.fail("the run should have ended"))
    sums = outputs(module, x, ["conv"], torch.sum)
    assert sums["conv"].shape == ()
    assert not module.conv._forward_hooks
    with pytest.raises(ValueError, match="no module 'pool9' in this network"):
        outputs(module, x, ["conv", "pool9"])
    with pytest.raises(RuntimeError):
        outputs(module, torch.randn(1, 5, 8, 8), ["conv"])
    assert not module.conv._forward_hooks


# ---------------------------------------------------------------- predictions
def test_predictions_are_softmax_of_the_center_crop_in_the_order_of_the_rows(network, stores):
    rows = np.array([5, 0, 3])
    batches = list(predict(network, stores[1], rows, "center", batch=2))
    assert [part.tolist() for part, _ in batches] == [[5, 0], [3]]
    with torch.no_grad():
        expected = network.module(network.inputs.center(stores[1].frames(rows))).double().softmax(1)
    torch.testing.assert_close(torch.cat([p for _, p in batches]), expected, rtol=1e-5, atol=1e-6)


def test_an_image_of_a_class_that_the_network_does_not_know_is_never_correct(make_store, wrap):
    images: Images = make_store(2, 4, size=36)
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
    with torch.no_grad():
        module[1].weight.zero_()
        module[1].bias.copy_(torch.tensor([1.0, 0.0]))  # always the first output
    inputs = Inputs.of_colors(36, 32, IMAGENET_MEAN, IMAGENET_STD)
    for ids, expected in ((("c0", "c1"), {0, 1, 2, 3}), (("c1", "c0"), {4, 5, 6, 7}), (("x", "c1"), set())):
        network = Network(module, inputs, Classes(ids, ids), {})
        assert set(correct_images(network, images, 0, 10)) == expected


def test_correct_images_are_the_first_of_an_order_drawn_by_seed(network, stores):
    images = stores[0]
    every = list(correct_images(network, images, 3, len(images)))
    assert list(correct_images(network, images, 3, 2)) == every[:2]
    with torch.no_grad():
        scores = network.module(network.inputs.center(images.frames(np.arange(len(images)))))
    assert set(every) == set(np.flatnonzero(scores.argmax(1).numpy() == images.index.labels)) != set()
    assert set(correct_images(network, images, 4, len(images))) == set(every)


def test_guesses_stand_for_classes_only_where_the_network_knows_the_class_of_no_image(make_store):
    images: Images = make_store(2, 4, size=36)
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3))
    inputs = Inputs.of_colors(36, 32, IMAGENET_MEAN, IMAGENET_STD)
    rows = np.array([6, 1, 3])
    with torch.no_grad():
        guesses = module(inputs.center(images.frames(rows))).argmax(1).tolist()
    unknown = Network(module, inputs, Classes(("x", "y", "z"), ("x", "y", "z")), {})
    assert classes_or_guesses(unknown, images, rows).tolist() == guesses
    assert len(set(correct_images(unknown, images, 0, 5))) == 5
    known = Network(module, inputs, Classes(("x", "c1", "z"), ("x", "c1", "z")), {})
    assert classes_or_guesses(known, images, rows).tolist() == [1, -1, -1]


def test_a_class_is_found_by_its_id_or_by_a_name_that_only_one_class_has():
    classes = Classes(("n01", "n02", "n03", "n04"), ("tabby", "crane", "crane", "Golden Retriever"))
    index = make_index(Path(), [("a", 0)], ["n03", "golden_retriever", "crane", "tabby", "dog"])
    outputs_of = [classes.labels(replace(index, labels=np.array([label])))[0] for label in range(5)]
    assert outputs_of == [2, 3, -1, 0, -1]
