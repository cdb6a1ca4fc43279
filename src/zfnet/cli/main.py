"""The command line `zfnet`: one table of commands; each imports what it needs when it runs.

A first word that is a setting (key=value) or an option of Hydra (--cfg, --multirun) stands for `zfnet run`.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zfnet import __version__
from zfnet.core.errors import UserError, exit_code
from zfnet.core.interrupt import INTERRUPTED, end_process, watch_interrupts
from zfnet.core.resources import profiles

EXPLAIN_STAGE = "explain"

HEAD = "zfnet: looking inside convnets ([ZF13], [SVZ13], [K17])"
FOOT = """
  zfnet run stage=occlusion profile=tiny_imagenet data.root=/path/to/tiny-imagenet-200
  zfnet explain photo.jpg
  zfnet report outputs/menagerie

Profiles: {profiles}
`zfnet COMMAND --help` describes a command; `zfnet --version` prints the version.
"""


@dataclass(frozen=True)
class Command:
    """One row of the table: how it is called, what it does, and the function that takes the words after its name."""

    usage: str
    summary: str
    function: Callable[[list[str]], int | None]


def run(words: list[str]) -> int:
    from zfnet.cli.run import main

    return main(words)


def explain(words: list[str]) -> int:
    photo, *settings = words or ["--help"]
    if photo in ("-h", "--help"):
        print(f"zfnet explain {COMMANDS['explain'].usage}: {COMMANDS['explain'].summary}")
        return 0
    if "=" in photo and not Path(photo).exists():
        raise UserError(f"{photo}: the photograph comes first: zfnet explain photo.jpg {photo}")
    return run([f"stage={EXPLAIN_STAGE}", f"image={photo}", *settings])


def stages(words: list[str]) -> None:
    from zfnet.cli.run import print_stages

    print_stages()


def data(words: list[str]) -> int:
    from zfnet.data.__main__ import main

    return main(words)


def report(words: list[str]) -> int:
    from zfnet.report.__main__ import main

    return main(words)


def table(words: list[str]) -> int:
    from zfnet.report.export import main

    return main(words)


def compare(words: list[str]) -> int:
    from zfnet.report.compare import main

    return main(words)


def reference(words: list[str]) -> None:
    from zfnet.report.reference import main

    main(words)


def score(words: list[str]) -> int:
    from zfnet.experiments.localization.__main__ import main

    return main(words)


def sweep(words: list[str]) -> int:
    from zfnet.cli.sweep import main

    return main(words)


def dashboard(words: list[str]) -> None:
    from zfnet.cli.dashboard import main

    main(words)


def bench(words: list[str]) -> int:
    from zfnet.bench.__main__ import main

    return main(words)


COMMANDS = {
    "run": Command("[key=value ...]", "stages and what they need; without stage=, everything up to the report", run),
    "explain": Command("PHOTO [key=value ...]", "every method on a photograph, or on those of a folder", explain),
    "stages": Command("", "the stages and what each makes", stages),
    "data": Command("fetch|check|unpack ...", "download, check or unpack the datasets; zfnet data --help", data),
    "report": Command("FOLDER [--single-file]", "the report of the stages that have been run", report),
    "table": Command("NAME [FOLDER]", "one table of the papers as Markdown, LaTeX or CSV, e.g. zfnet table 3", table),
    "compare": Command("RUN ... [out=FOLDER]", "two or more runs side by side on one page", compare),
    "reference": Command("[FOLDER ...]", "publish a run in this repository and write its tables", reference),
    "score": Command("PREDICTIONS TRUTH", "the localization error of a prediction file", score),
    "sweep": Command("[key=value ...]", "every point of conf/sweep.yaml", sweep),
    "dashboard": Command("[check]", "publish conf/dashboard.yaml as a workspace of Weights & Biases", dashboard),
    "bench": Command("[--quick] [PART ...]", "our code and other packages' code timed in turn", bench),
}


def main(words: Sequence[str] | None = None) -> int:
    """Run the command that the words name; returns the exit code. Without words, those of the process."""
    if words is not None:
        return exit_code(lambda: dispatch(list(words)))
    watch_interrupts()
    code = exit_code(lambda: dispatch(sys.argv[1:]))
    if code == INTERRUPTED:
        end_process(code)
    return code


def dispatch(words: list[str]) -> int | None:
    """Hand the words to their command; none at all ask for help. Raises UserError for an unknown command."""
    first, *rest = words or ["--help"]
    if first in ("-h", "--help"):
        return print(help_text())
    if first == "--version":
        return print(f"zfnet {__version__}")
    if first in COMMANDS:
        return COMMANDS[first].function(rest)
    if "=" in first or first.startswith("-"):
        return run(words)
    raise UserError(f"{first}: not a command ({', '.join(COMMANDS)}), nor a setting (key=value, e.g. stage=train)")


def help_text() -> str:
    """The table of commands as text."""
    rows = [f"  zfnet {name:10}{command.usage:23}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join([HEAD, "", *rows, FOOT.format(profiles=", ".join(profiles()))])
