"""Options of every run."""

from dataclasses import dataclass

from zfnet.core.options import choice


@dataclass
class PathsOptions:
    data: str = "data"  # raw datasets: <data>/<source>
    outputs: str = "outputs"  # <outputs>/<profile>/<stage>
    cache: str = ""  # image caches that several runs share: <cache>/<hash>; empty: in <outputs>/<profile>/data


MODES = ("offline", "online", "disabled")


@dataclass
class WandbOptions:
    mode: str = choice("offline", *MODES)
    project: str = "zfnet"
    group: str = ""  # the experiment; empty: the profile
    artifacts: bool = False  # also upload the networks of a stage
