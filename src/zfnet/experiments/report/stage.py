"""Stage report: every table and figure beside the papers', and the claims with their verdicts."""

from zfnet.experiments.context import Context
from zfnet.experiments.report.options import ReportOptions
from zfnet.experiments.stage import Stage
from zfnet.pipeline.record import Outcome


def run(context: Context) -> Outcome:
    from zfnet.report.build import build

    return build(context.out.parent, context.out, context.options.title)


REPORT = Stage(
    "report",
    "every table and figure beside the papers'",
    run,
    options=ReportOptions,
    reads=("report",),
    leaves=("index.html",),
    package="zfnet.report",
)
