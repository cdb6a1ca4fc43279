"""`zfnet report FOLDER`: the report of the stages that have been run so far, e.g. those of outputs/menagerie."""

import sys

from zfnet.core.errors import UserError, exit_code
from zfnet.report.build import build
from zfnet.report.results import named_folder


def main(words: list[str]) -> int:
    return exit_code(lambda: _build(words))


def _build(words: list[str]) -> None:
    if {"-h", "--help"} & set(words):
        return print(__doc__)
    if len(words) != 1:
        raise UserError("name one folder: zfnet report outputs/menagerie")
    outputs = named_folder(words[0])
    print(build(outputs, outputs / "report").headline)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
