"""`zfnet run key=value ...`: compose the configuration with Hydra and run its stages.

Exit codes: 0 done; 1 a bug (traceback); 2 bad input, one line that names the key or file; 130 interrupted.
"""

from __future__ import annotations

import dataclasses
import difflib
import errno
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfnet.cli.profile import check_profiles, describe_yaml_error
from zfnet.cli.words import prepare, with_sweep_folder
from zfnet.core import options
from zfnet.core.errors import DISK_ERRORS, UserError, exit_code
from zfnet.core.resources import CONF, profiles
from zfnet.core.statistics import finite
from zfnet.data.listing import mark_outputs
from zfnet.experiments.config import Settings
from zfnet.experiments.table import STAGES, Config
from zfnet.pipeline.record import read_result

if TYPE_CHECKING:
    from omegaconf import DictConfig

PLUGINS = {  # group of Hydra's configuration -> the packages that add to it
    "hydra/launcher": "hydra-submitit-launcher (Slurm)",
    "hydra/sweeper": "hydra-optuna-sweeper (optuna, tpe)",
}
HELP = """Run the stages of the papers and all they need; what is done already is not done again.

  zfnet run                                everything at the default profile, up to the report
  zfnet run stage=occlusion                one stage and what it needs ("a,b" for several)
  zfnet run profile=tiny_imagenet data.root=/path/to/tiny-imagenet-200
  zfnet run --cfg job                      print the composed configuration and stop
  zfnet run --multirun train.seed=0,1,2    a sweep: outputs/sweeps/<name>/<number>

Profiles: {profiles}
`zfnet run --cfg job` prints every key that can be given; the word `run` may be left out.
"""


def main(typed: Sequence[str]) -> int:
    """The command `zfnet run` with the words that follow it; returns the exit code."""
    if {"-h", "--help"} & set(typed):
        print(HELP.format(profiles=", ".join(profiles())))
        return 0
    return exit_code(lambda: compose_and_run(typed))


def compose_and_run(typed: Sequence[str]) -> None:
    """Compose the configuration that the words describe, every one of a sweep, and run it.

    Raises UserError; the points of a sweep that fail are named on stderr, and the others run.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1":
        raise UserError("torchrun: zfnet starts its processes itself; run it once, with gpus=N or workers=N")
    import hydra
    from hydra.core.config_store import ConfigStore
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    failures: list[Exception] = []  # kept instead of raised, so that Hydra prints nothing and a sweep goes on
    main_process = os.getpid()

    def job(composed: DictConfig) -> float | None:
        try:
            return run_point(_validated(composed), typed)
        except (UserError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in {*DISK_ERRORS, errno.EPIPE}:
                raise
            point = HydraConfig.get()
            if point.mode is not RunMode.MULTIRUN:
                failures.append(error)
                return None
            name = f"point {point.job.num} ({point.job.override_dirname})"
            if os.getpid() != main_process:  # a launcher's job
                raise UserError(f"{name}: {error}") from error
            failures.append(error)
            print(f"zfnet: {name}: {error}", file=sys.stderr, flush=True)
            return None

    words = prepare(typed)
    check_profiles(words)
    sys.argv[1:] = with_sweep_folder(words)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # so that errors reach us instead of Hydra's own printing
    _complete_after_run()
    ConfigStore.instance().store(name="schema", node=Config)
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(describe_error(error)) from error
    except YAMLError as error:
        raise UserError(f"profile: {describe_yaml_error(error)}") from error
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        place = f"{error.filename}: {error.strerror}"
        raise UserError(f"paths.outputs: {place}; give another folder, or one that can be written") from error
    except ValueError:  # of a sweeper none of whose points succeeded
        if not failures:
            raise
    if len(failures) > 1:
        raise UserError(f"{len(failures)} points of the sweep failed, see above")
    if failures:
        raise failures[0]


def run_point(config: Settings, typed: Sequence[str]) -> float | None:
    """Run the configuration as a job of Hydra and return what a sweeper minimizes or maximizes, `config.objective`.

    None where the last stage has no such number. Raises UserError then for a sweeper that needs one.
    """
    from hydra.core.hydra_config import HydraConfig

    folder = run_config(config, typed)
    numbers = (read_result(folder) or {}).get("numbers", {}) if folder else {}
    values = dict(options.flatten(numbers))
    value = finite(values.get(f"{config.objective}.value", values.get(config.objective)))
    if value is None and not HydraConfig.get().sweeper["_target_"].endswith("BasicSweeper"):
        known = ", ".join(key for key, value in values.items() if finite(value) is not None)
        raise UserError(f"objective: the last stage has no number {config.objective}; it has {known}")
    return value


def run_config(config: Settings, typed: Sequence[str] = ()) -> Path | None:
    """Check the configuration, run its stages and print where the report is; returns the folder of the last stage.

    None for a list of stages, and for a shard, which has no results. typed: the words of the command.
    """
    from zfnet.report.gallery import write_gallery
    from zfnet.running import runner
    from zfnet.running.shard import run_shard

    options.check(config)
    expand_home(config)
    if config.stage == "list":
        print_stages()
        return None
    command = shlex.join(["zfnet", "run", *typed])
    if config.shard:
        run_shard(config, command)
        return None
    folders = runner.run(config, command)
    write_gallery(folders[-1])
    index = folders[-1] / "index.html"
    print(f"report: {index}" if index.exists() else f"results: {folders[-1]}")
    return folders[-1]


def print_stages() -> None:
    """One line a stage: its name and the artefact of the papers that it makes."""
    for stage in STAGES.values():
        print(f"{stage.name:16} {stage.artefact}")


def expand_home(config: Any) -> None:
    """Replace a leading ~ by the home folder; the shell leaves it alone after key=."""
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            expand_home(value)
        elif isinstance(value, str) and value.startswith("~"):
            setattr(config, item.name, os.path.expanduser(value))


def describe_error(error: BaseException) -> str:
    """Hydra's or OmegaConf's error as one line that names the key and what is allowed."""
    from hydra.errors import MissingConfigException

    first_line = str(error).splitlines()[0]
    if isinstance(error, MissingConfigException):
        for group, packages in PLUGINS.items():
            if group in str(error):
                return f"{group}: {first_line.rstrip('.')}; install its plugin first: {packages}"
        return f"profile: {first_line} Known profiles: {', '.join(profiles())}"
    text = "\n".join(str(link) for link in _causes(error))
    full_key = re.search(r"full_key: (\S+)", text)
    unknown = re.search(r"Key '([^']+)' (?:is )?not", text)
    if unknown:
        return _unknown_key(full_key[1] if full_key else unknown[1])
    if several := re.search(r"Ambiguous value for argument '([^=']+)=([^=']*)'", text):
        key, values = several.groups()
        return f"{key}: several values; a sweep over them needs --multirun, a list brackets: '{key}=[{values}]'"
    reasons = [line for line in text.splitlines() if "could not be converted" in line or "Invalid" in line]
    key = full_key[1] if full_key else "configuration"
    allowed = options.takes(Config, re.sub(r"\[\d+\]$", "", key))
    return f"{key}: {reasons[0] if reasons else first_line}" + (f"; it takes {allowed}" if allowed else "")


def _validated(composed: DictConfig) -> Settings:
    """The composed configuration as the schema's dataclass, each point of a sweep with an output folder of its own."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    content: Any = OmegaConf.to_container(composed)
    if unknown := set(dict(options.flatten(content))) - set(options.keys(Config)):
        raise UserError(_unknown_key(min(unknown)))
    config: Settings = OmegaConf.to_object(composed)  # type: ignore[assignment]
    point = HydraConfig.get()
    overrides = str(OmegaConf.to_container(point.overrides.task, resolve=False))
    names_folders = re.search(r"paths\.outputs=[^,]*\$\{", overrides)
    shares_folder = bool(config.shard)  # of one profile
    if point.mode is RunMode.MULTIRUN and not names_folders and not shares_folder:
        mark_outputs(Path(config.paths.outputs))
        config.paths.outputs = point.runtime.output_dir
        config.paths.cache = config.paths.cache or f"{point.sweep.dir}/images"
    return config


def _complete_after_run() -> None:
    """Shell completion after `zfnet run`: Hydra removes the program's name from the line, not the command's."""
    if line := os.environ.get("COMP_LINE"):
        os.environ["COMP_LINE"] = re.sub(r"^(\s*\S+)\s+run(?=\s)", r"\1", line)


def _causes(error: BaseException | None) -> list[BaseException]:
    """The error and those that led to it, each once."""
    links: list[BaseException] = []
    while error is not None and error not in links:
        links.append(error)
        error = error.__cause__ or error.__context__
    return links


def _unknown_key(key: str) -> str:
    close = difflib.get_close_matches(key, options.keys(Config), n=1, cutoff=0.5)
    guess = f", did you mean {close[0]}?" if close else ""
    return f"{key}: no such key{guess}; `zfnet run --cfg job` prints all keys"
