"""Which box file belongs to which image.

Tools name the file of cat_0.jpg cat_0.xml or cat_0.jpg.xml, with names and suffixes in any case, and put it below
Annotations/ or beside the photograph.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from zfnet.core.errors import UserError
from zfnet.data.listing import count_and_first, list_annotations
from zfnet.data.sources.boxes_xml import Annotation, read_annotation


class BoxFiles:
    """The box files of a dataset by the names of their images, and which of them were read.

    beside: those among the photographs, which come after those below Annotations/.
    """

    def __init__(self, root: Path, beside: Iterable[Path]) -> None:
        annotations = list_annotations(root)
        self.root, self._has_annotations = root, bool(annotations)
        self.files = list(dict.fromkeys([*annotations, *beside]))
        self._by_name: dict[str, list[Path]] = {}
        self._by_folded_name: dict[str, list[Path]] = {}
        self._read: set[Path] = set()
        for file in self.files:
            self._by_name.setdefault(file.stem, []).append(file)
            self._by_folded_name.setdefault(file.stem.casefold(), []).append(file)

    def named_like(self, image: str) -> list[Path]:
        """The files that the name of an image fits: that of the very name before those of another case."""
        path = PurePosixPath(image)
        for name in (path.name, path.stem):
            if files := self._by_name.get(name):
                return files
        for name in (path.name.casefold(), path.stem.casefold()):
            if files := self._by_folded_name.get(name):
                return files
        return []

    def annotation(self, image: str) -> Annotation:
        """That of the first file which the name of an image fits; an empty one without any."""
        files = self.named_like(image)
        return self.read(files[0] if files else None)

    def read(self, file: Path | None) -> Annotation:
        """The annotation in `file`, with a fault where it cannot be read; an empty one for None."""
        if file is None:
            return Annotation()
        self._read.add(file)
        try:
            return read_annotation(file)
        except UserError as error:
            return Annotation(fault=str(error))

    def notes(self) -> list[str]:
        """A sentence about the files of no image. Raises UserError where there is an Annotations/ and none has one."""
        unread = [file for file in self.files if file not in self._read]
        if not unread:
            return []
        if self._has_annotations and not self._read:
            raise UserError(
                f"data.root: none of {count_and_first(unread, 'box files')} has the name of an image; name them like "
                "their images, or remove them"
            )
        names = [file.relative_to(self.root) for file in unread]
        return [f"box files that belong to no image: {count_and_first(names, 'files')}"]
