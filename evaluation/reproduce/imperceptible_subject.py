"""What is attacked with what people cannot see: a network and its pictures, found in what the user gave."""

import dataclasses
from pathlib import Path
from typing import Any

import keras

from bioattack.classifier import Classifier, load_classifier
from bioattack.errors import InputError
from bioattack.evaluation.reproduce.imperceptible_sizes import Sizes, sizes_of
from bioattack.evaluation.reproduce.listed_pictures import NUM_CLASSES, build_listed
from bioattack.evaluation.reproduce.opening import draw_records
from bioattack.evaluation.reproduce.workplace import CLASSIFIERS, PICTURES, RUNS, Workplace
from bioattack.files import replacing
from bioattack.models.mobilenet_v2 import mobilenet_v2
from bioattack.models.weights import load_published_weights
from bioattack.tfrecords_builder.reading import Records, open_records
from bioattack.training.config import TrainConfig
from bioattack.training.run import train
from bioattack.training.run_folder import read_finished_card

MOBILENET_WEIGHTS = "mobilenet_v2_imagenet.npz"
# What keras.applications takes from pixels in [0, 255], blue, green, red.
_CAFFE_MEANS = (103.939, 116.779, 123.68)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network and its pictures.

    Args:
        classifier: The network.
        path: Where it is saved.
        records: The pictures, in the split ``test``.
        words: What they are, for the reader.
    """

    classifier: Classifier
    path: Path
    records: Records
    words: str


def open_subject(workplace: Workplace) -> Subject:
    """Finds, builds or trains what is attacked, once for all experiments.

    Pictures of the 1,000 ImageNet classes are shown to MobileNetV2 with published weights where these are
    given, and else to ResNet-50 of ``keras.applications``; for others a small network is trained on the same
    records.

    Raises:
        InputError: If there are no pictures, no network for them, or no way to get it.
        RecordsError: If the pictures cannot be read.
    """
    subject: Subject = workplace.keep("subject", lambda: _open_subject(workplace))
    return subject


def _open_subject(workplace: Workplace) -> Subject:
    sizes, records = sizes_of(workplace.config), _open_pictures(workplace)
    if "test" not in records.splits:
        raise InputError(f"--data: the records in {records.directory} have no split 'test'")
    if records.num_classes == NUM_CLASSES:
        path, network = _published_network(workplace, records)
    else:
        path = train_network(
            workplace, "imperceptible", model="resnet18", records=records, options={"width": 8}, sizes=sizes
        )
        network = "a ResNet-18 of width 8 trained on pictures of the same kind"
    shape = " x ".join(map(str, records.image_shape))
    words = f"Attacked: {network}; {records.manifest.kind} pictures of {shape}."
    return Subject(load_classifier(path, name=path.stem), path, records, words)


def _open_pictures(workplace: Workplace) -> Records:
    config, sizes = workplace.config, sizes_of(workplace.config)
    folder = workplace.output / PICTURES
    if config.data is None:
        if config.preset != "demo":
            raise InputError(
                f"--data: the preset {config.preset} needs real pictures; give a .zip of ImageNet pictures "
                "with its list beside it, or a folder made by bioattack-build-records"
            )
        return draw_records(
            folder,
            num_train=sizes.num_train,
            num_test=sizes.num_test,
            size=sizes.image_size,
            quiet=config.quiet,
        )
    if config.data.suffix == ".zip":
        size = sizes.image_size
        return build_listed(config.data, folder, size=size, weights=config.weights, quiet=config.quiet)
    return open_records(config.data)


def train_network(
    workplace: Workplace,
    label: str,
    *,
    model: str,
    records: Records,
    options: dict[str, Any],
    sizes: Sizes,
    epochs: int | None = None,
) -> Path:
    """Trains a network, or goes on with its training, unless it is trained; returns its run folder.

    Raises:
        InputError: If there is nothing to train it on.
    """
    run = workplace.output / RUNS / f"{label}-seed{workplace.config.seed}"
    if "train" not in records.splits:
        raise InputError(
            f"--data: the pictures in {records.directory} are of {records.num_classes} classes and have no "
            "split 'train'; give such records, or pictures of the 1,000 ImageNet classes"
        )
    if not read_finished_card(run):
        workplace.say(f"training {model}")
        keras.utils.clear_session(free_memory=True)
        train(
            TrainConfig(
                model=model,
                data=records.directory,
                output=run,
                preset="small",
                model_options=options,
                epochs=epochs or sizes.epochs,
                batch_size=32,
                seed=workplace.config.seed,
                limit=workplace.scale.train_limit,
                quiet=workplace.config.quiet,
            )
        )
    return run


def _published_network(workplace: Workplace, records: Records) -> tuple[Path, str]:
    weights = workplace.config.weights
    if weights and (weights / MOBILENET_WEIGHTS).is_file():
        path = workplace.output / CLASSIFIERS / "mobilenet_v2.keras"
        if not path.is_file():
            model = mobilenet_v2(records.image_shape, NUM_CLASSES)
            try:
                load_published_weights(model, weights / MOBILENET_WEIGHTS)
            except (ValueError, OSError) as error:
                raise InputError(f"--weights: {error}") from error
            _save(model, path)
        return path, f"MobileNetV2 with the weights of {MOBILENET_WEIGHTS}"
    path = workplace.output / CLASSIFIERS / "resnet50.keras"
    if not path.is_file():
        _save(_keras_resnet50(records.image_shape), path)
    return path, "ResNet-50 of keras.applications, with its ImageNet weights"


def _save(model: keras.Model, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    # Keras goes by the ending, which a temporary name has not.
    with replacing(path) as partial:
        under_its_ending = partial.with_name(f"partial-{path.name}")
        model.save(under_its_ending)
        under_its_ending.replace(partial)


def _keras_resnet50(image_shape: tuple[int, int, int]) -> keras.Model:
    """ResNet-50 from RGB pictures in [0, 1] to logits."""
    try:
        network = keras.applications.ResNet50(
            include_top=True, weights="imagenet", classifier_activation=None, input_shape=(224, 224, 3)
        )
    except Exception as error:
        raise InputError(
            "there is no network for pictures of the 1,000 ImageNet classes: --weights names no folder with "
            f"{MOBILENET_WEIGHTS}, and the weights of ResNet-50 could not be downloaded"
        ) from error
    # Its weights fit any size of picture, but Keras builds the top for 224 pixels only.
    whole = keras.applications.ResNet50(
        include_top=True, weights=None, classifier_activation=None, input_shape=image_shape
    )
    whole.set_weights(network.get_weights())
    images = keras.Input(image_shape, name="images")
    offset = [-mean for mean in _CAFFE_MEANS]
    blue_first = keras.layers.Rescaling(255.0, offset)(keras.ops.flip(images, axis=-1))
    return keras.Model(images, whole(blue_first), name="resnet50")
