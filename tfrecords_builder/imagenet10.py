"""ImageNet10: ten classes of ILSVRC-2012, in the papers' order and with their crop."""

import dataclasses
from collections import Counter
from typing import ClassVar

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.images import Crop, read_picture
from bioattack.tfrecords_builder.pictures import PictureOptions, PictureSource
from bioattack.tfrecords_builder.source import BuildOptions, Item, Picture

# Burhanpurkar 2021, section 2.1.
CLASSES = {
    "n01742172": "boa constrictor",
    "n02099712": "Labrador retriever",
    "n02123045": "tabby cat",
    "n01644373": "tree frog",
    "n01665541": "leatherback turtle",
    "n01855672": "goose",
    "n02510455": "giant panda",
    "n01484850": "great white shark",
    "n01981276": "king crab",
    "n02206856": "bee",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageNet10Options(PictureOptions):
    """Options of the kind ``imagenet10``.

    Args:
        source: Folder, .zip or .tar with one folder per WordNet id, also below train/ and val/.
        labels: csv file of WordNet ids, for pictures that lie in no such folder, as those of ILSVRC's val.
        size: Side in pixels; 320 in the papers.
    """

    size: int = 320


class ImageNet10(PictureSource):
    """The ten ImageNet classes of the papers; pictures of other classes are left out.

    A picture with a side below ``size`` is scaled up until both reach it, larger ones are not scaled down,
    and the central square is cut out (``images.center_crop_geometry``). Where a source has both ``val`` and
    ``test``, ``val`` is the test split: ILSVRC publishes no labels for the other. One departure from the
    reference: an EXIF orientation is applied.

    Args:
        options: See ``ImageNet10Options``.
    """

    Options: ClassVar[type[BuildOptions]] = ImageNet10Options
    options: ImageNet10Options
    example = "--source ILSVRC2012 --output imagenet10"
    test_folders = ("val", "valid", "validation", "test", "testing")
    trusts_folders = True
    class_names = tuple(CLASSES.values())
    class_ids = tuple(CLASSES)

    def __init__(self, options: ImageNet10Options) -> None:
        super().__init__(options)
        self._crop = Crop(options.size, "center")

    def wants(self, label: str) -> bool:
        """See ``PictureSource.wants``."""
        return label in CLASSES

    def order_classes(self, counts: Counter[str]) -> list[str]:
        """See ``PictureSource.order_classes``."""
        missing = [f"{wnid} ({name})" for wnid, name in CLASSES.items() if not counts[wnid]]
        if missing:
            raise RecordsError(
                f"{self.options.source} lacks {len(missing)} of the ten ImageNet10 classes: "
                f"{', '.join(missing)}; for other classes use the kind folder"
            )
        return list(CLASSES)

    def load(self, item: Item) -> Picture:
        """See ``Source.load``."""
        return read_picture(self._files.read(item.reference), item.key, crop=self._crop)
