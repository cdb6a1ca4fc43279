"""The folder conf/: at the top of the repository, or in a wheel inside the package, as zfnet/conf."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
IN_WHEEL = (PACKAGE / "conf").is_dir()
REPOSITORY = PACKAGE.parents[1]  # meaningful only where IN_WHEEL is false
CONF = (PACKAGE if IN_WHEEL else REPOSITORY) / "conf"


def profiles() -> list[str]:
    """The values of the key `profile`, sorted."""
    return sorted(file.stem for file in (CONF / "profile").glob("*.yaml"))
