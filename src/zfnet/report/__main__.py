"""`zfnet report FOLDER [--single-file]`: the report of the stages that have been run so far."""

import argparse
import sys

from zfnet.core.errors import UserError, exit_code
from zfnet.report.build import build
from zfnet.report.results import named_folder


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser("zfnet report", description="The report of the stages that have been run so far.")
    parser.add_argument("folder", nargs="*", help="of a profile's results, e.g. outputs/menagerie")
    parser.add_argument("--single-file", action="store_true", help="also as one HTML file with the pictures inside")
    chosen = parser.parse_args(words)
    return exit_code(lambda: _build(chosen.folder, chosen.single_file))


def _build(folders: list[str], single_file: bool) -> None:
    if len(folders) != 1:
        raise UserError("name one folder: zfnet report outputs/menagerie")
    outputs = named_folder(folders[0])
    print(build(outputs, outputs / "report", as_one_file=single_file).headline)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
