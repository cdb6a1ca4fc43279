"""`zfnet data`: download, check and unpack the datasets.

    zfnet data fetch NAME ... [--to FOLDER] [--remove]
    zfnet data check FOLDER [--md5]
    zfnet data unpack FOLDER [--to FOLDER]

Exit codes: 0 done; 1 something is damaged; 2 bad input, one line that names the file; 130 interrupted.
"""

import argparse
import sys
from pathlib import Path

from zfnet.core.errors import UserError, exit_code


def main(words: list[str]) -> int:
    arguments = _parser().parse_args(words)
    if arguments.action == "fetch":
        return exit_code(lambda: _fetch(arguments.names, arguments.to, arguments.remove))
    if arguments.action == "check":
        return exit_code(lambda: _check(arguments.folder, arguments.md5))
    return exit_code(lambda: _unpack(arguments.folder, arguments.to))


def _parser() -> argparse.ArgumentParser:
    from zfnet.data.archives.archives import ARCHIVES

    known = ", ".join(dict.fromkeys(row.name for row in ARCHIVES if row.urls))
    parser = argparse.ArgumentParser(prog="zfnet data", description="The datasets as they are obtained.")
    actions = parser.add_subparsers(dest="action", required=True)
    fetch = actions.add_parser("fetch", help="download and unpack; an interrupted download is resumed")
    fetch.add_argument("names", nargs="+", metavar="NAME", help=known)
    fetch.add_argument("--to", type=_folder, default=Path("data"), help="the folder of datasets, paths.data (data)")
    fetch.add_argument("--remove", action="store_true", help="delete each archive once it is unpacked")
    check = actions.add_parser("check", help="list what is there, missing or damaged")
    check.add_argument("--md5", action="store_true", help="also compare the MD5 of the archives (minutes)")
    unpack = actions.add_parser("unpack", help="unpack the archives; an interrupted run is resumed")
    unpack.add_argument("--to", type=_folder, help="where the datasets go, for archives in a read-only folder")
    for action in (check, unpack):
        action.add_argument("folder", type=_folder, help="holds the archives or datasets, or folders that hold them")
    return parser


def _folder(word: str) -> Path:
    return Path(word).expanduser()


def _fetch(names: list[str], to: Path, remove: bool) -> int:
    from zfnet.data.archives.fetch import fetch

    for folder in fetch(names, to, remove):
        print(f"dataset: {folder}")
    return 0


def _check(folder: Path, with_md5: bool) -> int:
    from zfnet.data.archives.check import as_table, check_all

    findings = check_all(folder, with_md5)
    print(as_table(findings))
    damaged = [finding.what for finding in findings if finding.is_damage]
    if damaged:
        print(f"zfnet: damaged: {', '.join(damaged)}", file=sys.stderr)
    return 1 if damaged else 0


def _unpack(folder: Path, to: Path | None) -> int:
    from zfnet.data.archives.archives import ARCHIVES, find_archives
    from zfnet.data.archives.unpack import unpack_all

    if not find_archives(folder):
        names = ", ".join(row.file for row in ARCHIVES)
        raise UserError(f"{folder}: holds none of the archives {names}")
    unpack_all(folder, to)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
