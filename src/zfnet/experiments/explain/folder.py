"""Every photograph of a folder through every method: a picture each, resumed photograph by photograph.

    <out>/pictures/<name of the photograph>.png
    <out>/photographs.jsonl    what is done, with the checksum of the photograph that it is of

Photographs that cannot be read are passed over by name.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zfnet.core.errors import UserError
from zfnet.core.progress import track
from zfnet.core.resume import Part, Store, checksum, is_whole
from zfnet.experiments.explain.compute import Estimated, explain
from zfnet.experiments.explain.options import ExplainOptions
from zfnet.experiments.explain.photo import read_photo
from zfnet.networks.network import Network
from zfnet.pipeline.record import Outcome
from zfnet.plots.grid import write

DONE = "photographs.jsonl"
PICTURES = "pictures"


def run(
    options: ExplainOptions,
    network: Network,
    photos: Mapping[str, Path],
    passed_over: str,
    out: Path,
    estimated: Estimated | None,
) -> Outcome:
    """The pictures of the photographs (name -> file), and the numbers of each.

    passed_over: what else the folder holds, in words. Photographs that cannot be read are named; raises UserError where
    none can.
    """
    origin = estimated.origin if estimated else ""
    done = Store(out / DONE, [network.fingerprint(), asdict(options), origin])
    numbers, unreadable = {}, {}
    for name, file in track(photos.items(), "photographs explained", len(photos)):
        try:
            photo = read_photo(str(file))
        except UserError as error:
            unreadable[name] = str(error)
            continue
        identity, record = checksum(file), done.get(name)
        if record is None or not _is_done(record, identity, out / _picture(name)):
            explained = explain(options, network, photo, name, estimated)
            write(out / _picture(name), explained.picture)
            parts = {"photograph": identity, "picture": checksum(out / _picture(name))}
            done.put(name, parts | {"numbers": explained.numbers})
        numbers[name] = done.get(name)["numbers"]
    for reason in unreadable.values():
        print(f"  passed over: {reason}", flush=True)
    if not numbers:
        raise UserError(f"image: none of the {len(photos)} photographs can be read; save them as JPEG or PNG")
    if passed_over:
        print(f"  passed over, not photographs that can be read: {passed_over}", flush=True)
    figures = {_picture(name): _alt(name, values) for name, values in numbers.items()}
    content = {"photographs": numbers, "unreadable": unreadable, "passed_over": passed_over, "network": network.title}
    return Outcome(content, figures, f"{len(numbers)} photographs, {len(unreadable)} unreadable")


def _is_done(record: Mapping[str, Any], photograph: Part, picture: Path) -> bool:
    """Whether the record is of this photograph, and the picture is as it was written."""
    return bool(record["photograph"] == photograph) and is_whole(picture, record["picture"])


def _picture(name: str) -> str:
    return f"{PICTURES}/{name}.png"


def _alt(name: str, numbers: Mapping[str, Any]) -> str:
    return f"{name} through every method; explained class: {numbers['explained']}."
