"""Options of every run."""

from dataclasses import dataclass

from zfnet.core.options import choice


@dataclass
class PathsOptions:
    data: str = "data"  # raw datasets: <data>/<source>
    outputs: str = "outputs"  # <outputs>/<profile>/<stage>
    cache: str = ""  # image caches that several runs share: <cache>/<hash>; empty: in <outputs>/<profile>/data


@dataclass
class WandbOptions:
    mode: str = choice("offline", "offline", "online", "disabled")
    project: str = "zfnet"
    group: str = ""  # the experiment; empty: the profile
    artifacts: bool = False  # also upload the networks of a stage
