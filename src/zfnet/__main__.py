"""`python -m zfnet stage=... profile=... key=value ...`: compose the configuration, hand over to the pipeline.

Exit codes: 0 done; 1 a bug (traceback); 2 bad input, one line that names the key or file; 130 interrupted.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from zfnet.core import options
from zfnet.core.errors import PLACES, UserError, exit_code
from zfnet.experiments import config as schema

CONF = Path(__file__).resolve().parents[2] / "conf"

HELP = """zfnet: looking inside convnets ([ZF13], [SVZ13], [K17])

  python -m zfnet                                everything at the default profile, up to the report
  python -m zfnet stage=occlusion                one stage and what it needs ("a,b" for several)
  python -m zfnet profile=tiny_imagenet data.root=/path/to/tiny-imagenet-200
  python -m zfnet stage=look image=photo.jpg     every method on a photograph of yours, as one picture
  python -m zfnet stage=list                     the stages and what each makes
  python -m zfnet --cfg job                      print the composed configuration and stop
  python -m zfnet --multirun train.seed=0,1,2    a sweep: outputs/sweeps/<time>/<number>

Profiles: {profiles}
Every key=value of the configuration can be given; src/zfnet/config.py and conf/ say what each means.
"""


def main() -> int:
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        print(HELP.format(profiles=", ".join(sorted(path.stem for path in (CONF / "profile").glob("*.yaml")))))
        return 0
    keys = set(options.keys(schema.Config))
    if dashed := [word for word in words if word.startswith("--") and word[2:].partition("=")[0] in keys]:
        return exit_code(lambda: _refuse(dashed[0]))
    typed = flags_first(words)
    sys.argv[1:] = quoted(typed)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # so that errors reach us instead of Hydra's own printing
    return exit_code(lambda: _compose_and_run(typed))


def flags_first(words: list[str]) -> list[str]:
    """The words with key=value last: Hydra takes no --multirun or --cfg after or between them."""
    return sorted(words, key=lambda word: "=" in word and not word.startswith("-"))


def quoted(words: list[str]) -> list[str]:
    """The words as Hydra's parser needs them: in quotes what is a list of stages, a path or another free text.

    To Hydra a bare comma would mean several runs, and an apostrophe or a bracket something of its language. Values that
    are in quotes already or name other keys (${...}), and those of a sweep that hold commas, stay as they are.
    """
    several, texts = bool({"-m", "--multirun"} & set(words)), {"stage", *_texts(schema.Config())}

    def one(word: str) -> str:
        key, _, value = word.partition("=")
        plain = not re.search(r"[^\w./:%@+-]", value, re.ASCII) or value[:1] + value[-1:] in ("''", '""')
        if key not in texts or plain or "${" in value or (several and "," in value):
            return word
        return f"{key}='{_escaped(value)}'"

    return [one(word) for word in words]


def _escaped(text: str) -> str:
    """For Hydra's single quotes: a backslash before each apostrophe, and those before it or at the end doubled."""
    return re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), text)


def _texts(config: Any, prefix: str = "") -> Iterator[str]:
    """The keys that take any text: paths, names and titles."""
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            yield from _texts(value, f"{prefix}{item.name}.")
        elif isinstance(value, str) and not item.metadata.get("options") and item.name != "profile":
            yield f"{prefix}{item.name}"


def _at_home(config: Any) -> None:
    """Put the home folder in the place of a leading ~, which the shell leaves alone after key=."""
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            _at_home(value)
        elif isinstance(value, str) and value.startswith("~"):
            setattr(config, item.name, os.path.expanduser(value))


def _compose_and_run(typed: list[str]) -> None:
    import hydra
    from hydra.core.config_store import ConfigStore
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    store = ConfigStore.instance()
    store.store(name="schema", node=schema.Config)
    failed: list[Exception] = []  # kept instead of raised, so that Hydra prints nothing and a sweep goes on

    def job(composed: DictConfig) -> None:
        point = HydraConfig.get()
        try:
            unknown = set(_dotted(OmegaConf.to_container(composed))) - set(options.keys(schema.Config))
            if unknown:
                raise UserError(_unknown(min(unknown)))
            config: schema.Config = OmegaConf.to_object(composed)  # type: ignore[assignment]
            words = str(OmegaConf.to_container(point.overrides.task, resolve=False))
            named = re.search(r"paths\.outputs=[^,]*\$\{", words)
            if point.mode is RunMode.MULTIRUN and not named:  # a folder for each point: <sweep.dir>/<number>
                config.paths.outputs = point.runtime.output_dir
                config.paths.cache = config.paths.cache or f"{point.sweep.dir}/images"
            run(config, typed)
        except (UserError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in {*PLACES, errno.EPIPE}:
                raise
            failed.append(error)
            if point.mode is RunMode.MULTIRUN:
                name = f"point {point.job.num} ({point.job.override_dirname})"
                print(f"zfnet: {name}: {error}", file=sys.stderr, flush=True)

    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error)) from error
    if len(failed) > 1:
        raise UserError(f"{len(failed)} points of the sweep failed, see above")
    if failed:
        raise failed[0]


def run(config: schema.Config, typed: Sequence[str] = ()) -> None:
    """Check the configuration, run its stages and say where the report is; `typed` are the words of the command."""
    from zfnet.running import runner as pipeline

    options.check(config)
    _at_home(config)
    if config.stage == "list":
        for stage in pipeline.STAGES.values():
            print(f"{stage.name:16} {stage.artefact}")
        return
    command = shlex.join(["python", "-m", "zfnet", *typed])
    folders = pipeline.run(config, command)
    index = folders[-1] / "index.html"
    print(f"report: {index}" if index.exists() else f"results: {folders[-1]}")


def explain(error: BaseException) -> str:
    """Hydra's or OmegaConf's error as one line that names the key and what is allowed."""
    from hydra.errors import MissingConfigException

    text = "\n".join(str(link) for link in _chain(error))
    unknown = re.search(r"Key '([^']+)' (?:is )?not in|Key '([^']+)' not", text)
    full = re.search(r"full_key: (\S+)", text)
    key = full.group(1) if full else (unknown.group(1) or unknown.group(2)) if unknown else ""
    if isinstance(error, MissingConfigException) and "hydra/launcher" in str(error):
        return f"hydra/launcher: {str(error).splitlines()[0]} Slurm's is the package hydra-submitit-launcher"
    if isinstance(error, MissingConfigException):
        profiles = ", ".join(sorted(path.stem for path in (CONF / "profile").glob("*.yaml")))
        return f"profile: {str(error).splitlines()[0]} Known profiles: {profiles}"
    if unknown:
        return _unknown(key)
    if several := re.search(r"Ambiguous value for argument '([^=']+)=([^']*)'", text):
        key, values = several[1], several[2]
        return f"{key}: several values; a sweep over them needs --multirun, a list brackets: '{key}=[{values}]'"
    if bare := re.search(r"Error parsing override '([\w./-]+)'", text):
        return f"{bare[1]}: not a setting; settings are given as key=value, e.g. stage=train"
    first = next((line for line in text.splitlines() if "could not be converted" in line or "Invalid" in line), "")
    return f"{key or 'configuration'}: {first or str(error).splitlines()[0]}"


def _refuse(word: str) -> None:
    raise UserError(f"{word}: settings have no dashes, they are given as key=value: {word[2:].partition('=')[0]}=...")


def _chain(error: BaseException | None) -> list[BaseException]:
    links: list[BaseException] = []
    while error is not None and error not in links:
        links.append(error)
        error = error.__cause__ or error.__context__
    return links


def _unknown(key: str) -> str:
    import difflib

    close = difflib.get_close_matches(key, options.keys(schema.Config), n=1, cutoff=0.5)
    guess = f", did you mean {close[0]}?" if close else ""
    return f"{key}: no such key{guess}; `python -m zfnet --cfg job` prints all keys"


def _dotted(content: Any, prefix: str = "") -> Iterator[str]:
    for name, value in content.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{name}.")


if __name__ == "__main__":
    sys.exit(main())
