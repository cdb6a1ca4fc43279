"""Options of the report."""

from dataclasses import dataclass


@dataclass
class ReportOptions:
    """What stands above the report."""

    title: str = "Inside a convnet"
