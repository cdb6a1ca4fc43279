"""Impossible values are named before anything runs."""

from __future__ import annotations

from operator import attrgetter

import pytest

from zfnet.core import options
from zfnet.core.errors import UserError
from zfnet.experiments import table as schema
from zfnet.experiments.localization.options import GridOptions

NEEDED = ["ablations.seeds", "top_activations.n_maps", "transfer.c_grid", "voc.c_grid"]
GRID = [f"localization.grid.{key}" for key in options.keys(GridOptions)]


@pytest.mark.parametrize("key", NEEDED + GRID)
def test_a_list_that_needs_values_may_not_be_empty(key: str) -> None:
    config = schema.Config()
    section, _, name = key.rpartition(".")
    setattr(attrgetter(section)(config), name, [])
    with pytest.raises(UserError, match=f"^{key}: .* at least one value$"):
        options.check(config)


def test_a_list_whose_emptiness_means_something_may_be_empty() -> None:
    config = schema.Config()
    config.train.snapshots = config.transfer.per_class = config.ensemble.seeds = []
    config.localization.compare = []
    options.check(config)
