"""Impossible values are named before anything runs."""

from __future__ import annotations

from operator import attrgetter

import pytest

from zfnet import config as schema
from zfnet.errors import UserError

NEEDED = ["ablations.seeds", "top_activations.n_maps", "transfer.c_grid", "voc.c_grid"]
GRID = [f"localization.grid.{key}" for key in schema.keys(schema.GridConfig)]


@pytest.mark.parametrize("key", NEEDED + GRID)
def test_a_list_that_needs_values_may_not_be_empty(key: str) -> None:
    config = schema.Config()
    section, _, name = key.rpartition(".")
    setattr(attrgetter(section)(config), name, [])
    with pytest.raises(UserError, match=f"^{key}: .* at least one value$"):
        schema.check(config)


def test_a_list_whose_emptiness_means_something_may_be_empty() -> None:
    config = schema.Config()
    config.train.snapshots = config.transfer.per_class = config.ensemble.seeds = []
    config.localization.compare = []
    schema.check(config)
