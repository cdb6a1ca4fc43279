"""Hooks of mkdocs: pages and pictures of the repository outside docs/, and the reference of the Python interface."""

import re
from pathlib import Path

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = ["CONTRIBUTING.md", "data/README.md", "conf/sweep.yaml", "conf/dashboard.yaml"]
LINK = re.compile(r"\]\((?:\.\./)+([^)#]*)([^)]*)\)")
MODULES = ("zfnet.api", "zfnet.networks.network", "zfnet.networks.inputs", "zfnet.attribution.rules")
REFERENCE = """# Python

`import zfnet` offers the functions of `zfnet.api`; the other modules hold what they take and return.

"""


def on_files(files: Files, config: object) -> Files:
    """Add the files of OUTSIDE, the pictures of the recorded runs, and the reference."""
    pictures = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("outputs/reference/*/*/*.jpg")]
    for uri in (*OUTSIDE, *pictures):
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / uri)))
    modules = "".join(f"::: {module}\n\n" for module in MODULES)
    files.append(File.generated(config, "reference.md", content=REFERENCE + modules))
    return files


def on_page_markdown(markdown: str, page: object, **_: object) -> str:
    """Links that lead out of docs/: to the same place in the site, or, to what is not in it, plain text."""

    def link(match: re.Match[str]) -> str:
        path, place = match.groups()
        is_page = path in OUTSIDE or (path.startswith("outputs/") and path.endswith(".jpg"))
        depth = "../" * page.file.src_uri.count("/")
        return f"]({depth}{path}{place})" if is_page else f"](# '{path} of the repository')"

    return LINK.sub(link, markdown.replace("](docs/", "]("))
