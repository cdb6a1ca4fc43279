"""Sweeps on a cluster: the Slurm launcher composes with our configuration, and is asked for by name where it lacks."""

import pytest

from zfnet.cli.run import describe_error
from zfnet.core.resources import CONF
from zfnet.experiments import table as schema


def compose(*overrides):
    import hydra
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="schema", node=schema.Config)
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("config", list(overrides), return_hydra_config=True)


def test_the_slurm_launcher_composes_with_the_configuration():
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the extra slurm")
    composed = compose("hydra/launcher=slurm", "profile=imagenet", "gpus=8", "hydra.launcher.partition=big")
    launcher = composed.hydra.launcher
    assert launcher._target_.endswith("SlurmLauncher") and launcher.partition == "big"
    assert launcher.nodes == launcher.tasks_per_node == 1 and launcher.gpus_per_node == composed.gpus == 8


def test_a_launcher_that_is_not_installed_is_named():
    from hydra.errors import MissingConfigException

    try:
        compose("hydra/launcher=slurm_of_nobody")
    except MissingConfigException as error:
        message = describe_error(error)
        assert message.startswith("hydra/launcher: ") and "hydra-submitit-launcher" in message
    else:
        pytest.fail("composed")
