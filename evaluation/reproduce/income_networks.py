"""The networks of the experiments on income: a pretrained one, and two sets that Algorithm 4.2 trains."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from bioattack.errors import InputError
from bioattack.evaluation.ensemble import COUNTRIES, train_ensemble
from bioattack.evaluation.reproduce.imperceptible_subject import MOBILENET_WEIGHTS
from bioattack.evaluation.reproduce.income_countries import open_countries
from bioattack.evaluation.reproduce.income_sizes import Sizes, sizes_of
from bioattack.evaluation.reproduce.listed_pictures import NUM_CLASSES
from bioattack.evaluation.reproduce.workplace import INCOME, Workplace
from bioattack.tfrecords_builder.reading import Records
from bioattack.training.config import TrainConfig, make_plan
from bioattack.training.dro_dataset import dro_dataset, sweep_distance_weight
from bioattack.training.dro_summary import SweepPoint
from bioattack.training.many_config import ManyConfig
from bioattack.training.run import build_classifier, make_repeatable, train
from bioattack.training.run_folder import read_finished_card

PRETRAINED = "pretrained"
# Below this side pieapp-mini has no patch to look at.
_LEAST_PIEAPP_SIDE = 64


@dataclasses.dataclass(frozen=True)
class Method:
    """A set of networks: those that learn from one kind of attack.

    Args:
        label: Its name in folders.
        title: Its name in tables.
        attack: Of Algorithm 4.1, a name of the registry.
    """

    label: str
    title: str
    attack: str


#: The paper's two sets, ours first: its slopes are said to be smaller.
METHODS = (
    Method("perceptual", "perceptual", "lagrangian"),
    Method("pgd", "PGD (L2)", "pgd-unbounded"),
)


def own_folder(workplace: Workplace) -> Path:
    """Returns the folder of all that depends on the seed; it is made."""
    folder = workplace.output / INCOME / f"seed-{workplace.config.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def pretrained_run(workplace: Workplace) -> Path:
    """Trains the network that all others start from, unless it is trained; returns its run folder.

    Pictures of the 1,000 ImageNet classes meet MobileNetV2 with published weights where these are given.

    Raises:
        InputError: If the pictures are none that a regression on income can be made of.
    """
    countries, sizes = open_countries(workplace), sizes_of(workplace.config)
    # Drawn pictures of one bias have one network, whichever experiment asks for it.
    label = f"bias-{sizes.bias:g}" if workplace.config.data is None else PRETRAINED
    return train_standard(workplace, label, countries.records, sizes=sizes)


def train_standard(workplace: Workplace, label: str, records: Records, *, sizes: Sizes) -> Path:
    """Trains a network on pictures as they are, unless it is trained.

    Args:
        workplace: Where it goes.
        label: Name of its run.
        records: The pictures.
        sizes: Of the network and its training.

    Returns:
        Its run folder.
    """
    run = own_folder(workplace) / label
    if not read_finished_card(run):
        workplace.say(f"training {label}")
        keras.utils.clear_session(free_memory=True)
        train(_standard_config(workplace, run, records, sizes=sizes))
    return run


def _standard_config(workplace: Workplace, run: Path, records: Records, *, sizes: Sizes) -> TrainConfig:
    published = _published_weights(workplace, records)
    config = TrainConfig(
        model=sizes.model,
        data=records.directory,
        output=run,
        preset=sizes.model_preset,
        model_options=dict(sizes.model_options),
        epochs=sizes.epochs,
        batch_size=sizes.batch_size,
        learning_rate=sizes.learning_rate,
        seed=workplace.config.seed,
        quiet=workplace.config.quiet,
    )
    if published is None:
        return config
    return dataclasses.replace(
        config, model="mobilenet_v2", model_options={}, epochs=0, initial_weights=published
    )


def _published_weights(workplace: Workplace, records: Records) -> Path | None:
    folder = workplace.config.weights
    is_there = folder is not None and (folder / MOBILENET_WEIGHTS).is_file()
    return folder / MOBILENET_WEIGHTS if folder and is_there and records.num_classes == NUM_CLASSES else None


def network_words(workplace: Workplace) -> str:
    """Says what the pretrained network is."""
    countries, sizes = open_countries(workplace), sizes_of(workplace.config)
    config = _standard_config(workplace, Path(), countries.records, sizes=sizes)
    options = "".join(f", {name} {value}" for name, value in config.model_options.items())
    learned = f"epochs: {config.epochs}" if config.epochs else "published weights"
    return f"{config.model} ({config.preset}{options}; {learned})"


def dataset_words(workplace: Workplace) -> str:
    """Says what Algorithms 4.1 and 4.2 are run with."""
    sizes = sizes_of(workplace.config)
    distance = distance_for(open_countries(workplace).records)
    return (
        f"Algorithm 4.1: T1 = {sizes.rounds}, N = {sizes.samples or 'all'}, at most {sizes.num_steps} steps, "
        f"a = {sizes.confidence:g}, λ = {sizes.distance_weight:g}, distance {distance}. Algorithm 4.2: "
        f"T2 = {sizes.passes}. Adam, learning rate {sizes.learning_rate:g}, batches of {sizes.batch_size}."
    )


def distance_for(records: Records) -> str:
    """Chooses what the perceptual attacks keep small: pieapp-mini, or SSIM where pictures are too small.

    Args:
        records: The pictures.
    """
    return "pieapp-mini" if min(records.image_shape[:2]) >= _LEAST_PIEAPP_SIDE else "ssim"


def adversarial_dataset(workplace: Workplace, method: Method) -> Path:
    """Makes the dataset of Algorithm 4.1 from the pretrained network, unless it is made.

    Args:
        workplace: Where it goes.
        method: With which attack.

    Returns:
        Its folder.

    Raises:
        InputError: If the attack does not fit the pictures.
    """
    folder = own_folder(workplace) / f"{method.label}-dataset"
    config = dro_config(workplace, method, output=folder)
    workplace.say(f"adversarial dataset: {method.title}")
    dro_dataset(
        _initial_model(workplace, config), make_plan(config), records=_records(workplace), folder=folder
    )
    return folder


def sweep_weights(workplace: Workplace, weights: Sequence[float]) -> list[SweepPoint]:
    """Makes a small dataset for each lambda; there is no early stop, so that lambda alone decides the cost.

    Args:
        workplace: Where they go.
        weights: The lambdas.

    Raises:
        InputError: If the attack does not fit the pictures.
    """
    sizes, folder = sizes_of(workplace.config), own_folder(workplace) / "sweep"
    config = dro_config(workplace, METHODS[0], output=folder)
    options = {
        "rounds": 1,
        "samples": sizes.swept_samples,
        "num_steps": sizes.swept_steps,
        "step_length": sizes.swept_step_length,
        "confidence": sizes.swept_confidence,
    }
    config = dataclasses.replace(config, training_options=config.training_options | options)
    return sweep_distance_weight(
        _initial_model(workplace, config),
        make_plan(config),
        weights,
        records=_records(workplace),
        folder=folder,
    )


def _records(workplace: Workplace) -> Records:
    return open_countries(workplace).records


def _initial_model(workplace: Workplace, config: TrainConfig) -> keras.Model:
    keras.utils.clear_session(free_memory=True)
    make_repeatable(config.seed)
    return build_classifier(make_plan(config), _records(workplace))


def dro_config(
    workplace: Workplace, method: Method, *, output: Path, dataset: Path | None = None
) -> TrainConfig:
    """Says how the dataset of a set of networks is made, or, with the dataset, how one of them is trained.

    Args:
        workplace: Where the pretrained network is.
        method: With which attack.
        output: Folder to write.
        dataset: The finished dataset.
    """
    sizes, run = sizes_of(workplace.config), pretrained_run(workplace)
    standard = _standard_config(workplace, run, _records(workplace), sizes=sizes)
    return dataclasses.replace(
        standard,
        output=output,
        training="dro",
        training_options=_dro_options(workplace, method, sizes) | _given(dataset),
        schedule="constant",
        epochs=sizes.passes,
        initial_weights=run,
    )


def _dro_options(workplace: Workplace, method: Method, sizes: Sizes) -> dict[str, Any]:
    return {
        "attack": method.attack,
        "distance": distance_for(_records(workplace)),
        "num_steps": sizes.num_steps,
        "confidence": sizes.confidence,
        "distance_weight": sizes.distance_weight,
        "rounds": sizes.rounds,
        "samples": sizes.samples or 0,
        "weighting": "both",
        "reference": "origin",
    }


def _given(dataset: Path | None) -> dict[str, Any]:
    return {} if dataset is None else {"dataset": str(dataset)}


def trained_models(workplace: Workplace, method: Method) -> Path:
    """Trains a set of networks by Algorithm 4.2 from one dataset, those that are not trained yet.

    Args:
        workplace: Where they go.
        method: With which attack the dataset is made.

    Returns:
        A CSV of ``model, country, accuracy, n``.

    Raises:
        InputError: If the attack does not fit the pictures, or a network cannot be trained.
    """
    sizes, output = sizes_of(workplace.config), own_folder(workplace) / f"{method.label}-models"
    config = dro_config(workplace, method, output=output, dataset=adversarial_dataset(workplace, method))
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    result = train_ensemble(
        ManyConfig(**fields, models=sizes.num_models, jobs=sizes.jobs),
        tell=workplace.say,
    )
    if result.failed:
        first = result.failed[0]
        raise InputError(f"{first.name} could not be trained: {first.sentence}")
    return output / COUNTRIES
