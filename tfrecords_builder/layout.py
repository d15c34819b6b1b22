"""Finding split folders and class folders in the paths of pictures."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

PICTURE_SUFFIXES = frozenset(
    f".{ending}"
    for ending in (
        "jpg",
        "jpeg",
        "jpe",
        "jfif",
        "png",
        "bmp",
        "gif",
        "webp",
        "tif",
        "tiff",
        "ppm",
        "pgm",
        "pbm",
    )
)
TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("test", "testing", "val", "valid", "validation")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a picture or a folder stands.

    Args:
        split: ``"train"``, ``"test"``, or None where the source has no split folders.
        class_folder: The folder that names the class, or None for a picture that lies flat.
        is_outside: Whether it lies beside the split folders, in neither of them.
    """

    split: str | None
    class_folder: str | None
    is_outside: bool = False


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a source's folders are arranged.

    Args:
        prefix: Folders around everything, which say nothing: ``("photos", "v2")``.
        split_folders: Top-level folder name -> ``"train"`` or ``"test"``; empty without split folders.
    """

    prefix: tuple[str, ...]
    split_folders: dict[str, str]

    def place(self, path: str, *, is_folder: bool = False) -> Place:
        """Reads split and class off a path."""
        parts = PurePosixPath(path).parts
        if parts[: len(self.prefix)] != self.prefix or len(parts) == len(self.prefix):
            return Place(None, None, is_outside=True)
        parts = parts[len(self.prefix) :]
        split = None
        if self.split_folders:
            if parts[0] not in self.split_folders:
                return Place(None, None, is_outside=True)
            split = self.split_folders[parts[0]]
            parts = parts[1:]
        folders = parts if is_folder else parts[:-1]
        return Place(split, folders[0] if folders else None)

    def without_prefix(self, path: str) -> str:
        """The path as it reads from inside the outer folders."""
        return "/".join(PurePosixPath(path).parts[len(self.prefix) :])


def is_picture_name(path: str) -> bool:
    """Tells whether a file's name ends as a picture's does; what it is, its content decides later."""
    return PurePosixPath(path).suffix.lower() in PICTURE_SUFFIXES


def find_layout(paths: Iterable[str], *, test_folders: Sequence[str] = TEST_FOLDERS) -> Layout:
    """Finds outer folders and split folders.

    Args:
        paths: Of all pictures.
        test_folders: Which name means the test split, the preferred one first: where a source has both
            ``test`` and ``val``, only one becomes the test split.

    >>> layout = find_layout(["data/train/bee/1.png", "data/val/bee/2.png", "data/train/ant/3.png"])
    >>> layout.prefix, layout.split_folders
    (('data',), {'train': 'train', 'val': 'test'})
    """
    remaining = [PurePosixPath(path).parts for path in paths]
    prefix: tuple[str, ...] = ()
    while True:
        tops = {parts[0] for parts in remaining}
        if len(tops) != 1 or min(len(parts) for parts in remaining) < 3:
            break
        prefix = (*prefix, *tops)
        remaining = [parts[1:] for parts in remaining]
    folders = {parts[0] for parts in remaining if len(parts) > 1}
    train = [name for name in sorted(folders) if name.lower() in TRAIN_FOLDERS]
    test = [name for wanted in test_folders for name in sorted(folders) if name.lower() == wanted]
    if not train or not test:
        return Layout(prefix, {})
    return Layout(prefix, {train[0]: "train", test[0]: "test"})


def split_of(name: str) -> str | None:
    """The split that a word such as ``validation`` means, or None for none."""
    word = name.strip().lower()
    return "train" if word in TRAIN_FOLDERS else "test" if word in TEST_FOLDERS else None
