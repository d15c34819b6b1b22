import keras
import numpy as np
import pytest

from bioattack.classifier import Classifier, load_classifier
from bioattack.classifier.classifier import Endpoint
from bioattack.evaluation.report import write_report
from bioattack.evaluation.robustness import Pictures
from bioattack.evaluation.vision_report import looks_content, write_vision_figures
from bioattack.models.registry import build_model
from bioattack.testing.made_up_evaluation import MadeUpEvaluation, MadeUpModel, write_evaluation
from bioattack.testing.tiny_models import save_tint_model

SIDE = 32
NAMES = ("red", "green", "blue")


def batches():
    random = np.random.default_rng(0)
    for _ in range(2):
        images = random.random((6, SIDE, SIDE, 3), dtype="float32")
        yield {"image": images, "label": np.arange(6) % 3, "image_id": np.array(list("abcdef"))}


PICTURES = Pictures(batches, num_images=12, num_batches=2)


def run_folder(folder, name, **options):
    """A run folder with a Keras model, and the classifier that an evaluation makes of its SavedModel."""
    source = folder / name
    source.mkdir()
    small = {"width": 2} | ({} if name == "resnet20" else {"backbone": "resnet20"})
    model = build_model(
        name, image_shape=(SIDE, SIDE, 3), num_classes=3, options={**small, **options}, seed=0
    )
    model.save(source / "model.keras")
    return Classifier(Endpoint(lambda images: images, object()), name=f"my {name}", source=source)


def write(output, *classifiers):
    output.mkdir()
    return [path.name for path in write_vision_figures(output, classifiers, PICTURES, class_names=NAMES)]


@pytest.mark.slow
def test_each_model_has_the_picture_that_tells_most(tmp_path):
    names = ("stn", "multi_gaze", "retinal", "resnet20")
    classifiers = [run_folder(tmp_path, name) for name in names]
    written = write(tmp_path / "out", *classifiers)
    # The plain network sees pictures as they are.
    assert written == ["windows-my-stn.png", "gazes-my-multi_gaze.png", "fixations-my-retinal.png"]
    assert sorted(path.name for path in (tmp_path / "out" / "figures").iterdir()) == sorted(written)
    content = looks_content(tmp_path / "out", [classifier.name for classifier in classifiers])
    assert [(look["place"], look["name"]) for look in content] == [
        *((0, "my stn"), (1, "my multi_gaze"), (2, "my retinal"))
    ]


def test_a_keras_file_is_its_own_model(tmp_path):
    run_folder(tmp_path, "coarse")
    classifier = load_classifier(tmp_path / "coarse" / "model.keras", name="c")
    assert write(tmp_path / "out", classifier) == ["fixations-c.png"]


def test_nothing_is_drawn_where_there_is_nothing_to_open(tmp_path):
    saved = load_classifier(save_tint_model(tmp_path / "saved_model", size=SIDE))
    damaged = run_folder(tmp_path, "retinal")
    (damaged.source / "model.keras").write_bytes(b"no archive")
    unknown = Classifier(Endpoint(lambda images: images, object()), name="unknown")
    assert write(tmp_path / "out", saved, damaged, unknown) == []
    assert list((tmp_path / "out").iterdir()) == []


def test_nothing_is_drawn_for_pixels_of_another_range(tmp_path):
    other = run_folder(tmp_path, "retinal")
    other.input_range = (0.0, 255.0)
    assert write(tmp_path / "out", other) == []


def test_views_that_are_not_as_many_for_each_picture_are_left_out(tmp_path):
    images = keras.Input((SIDE, SIDE, 3))
    # One view less than there are pictures.
    rest = keras.layers.Lambda(lambda x: x[1:], output_shape=(SIDE, SIDE, 3), name="views")(images)
    model = keras.Model(images, keras.layers.GlobalAveragePooling2D()(rest))
    strange = Classifier(Endpoint(model, model), name="strange")
    assert write(tmp_path / "out", strange) == []


@pytest.mark.parametrize("num_models", [1, 2])
def test_report_shows_the_pictures_that_are_there(tmp_path, num_models):
    models = (MadeUpModel("one & only"), MadeUpModel("other"))[:num_models]
    write_evaluation(tmp_path / "out", MadeUpEvaluation(models=models, num_images=20, num_examples=1))
    assert "What the model" not in write_report(tmp_path / "out").read_text()
    (tmp_path / "out" / "figures").mkdir()
    (tmp_path / "out" / "figures" / "gazes-one---only.png").write_bytes(b"a picture")
    page = write_report(tmp_path / "out").read_text()
    assert ("What the model sees" if num_models == 1 else "What the models see") in page
    # The bytes in base 64.
    assert page.count('src="data:image/png;base64,YSBwaWN0dXJl"') == 1
    assert "points that one &amp; only looks at" in page
    assert "a gaze that a network chose" in page
    assert "window through which" not in page
