"""Options of the report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class ReportOptions:
    """What stands above the report."""

    title: str = "Inside a convnet"
