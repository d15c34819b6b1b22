import keras
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Polygon
from PIL import Image

from bioattack.errors import InputError
from bioattack.evaluation import figure_style as style
from bioattack.evaluation.vision_figures import (
    draw_checkerboard,
    draw_fixations,
    draw_gazes,
    draw_samples,
    draw_transformer_boxes,
)
from bioattack.evaluation.vision_sheets import MAX_CLASSES, checkerboards, sharpest_difference
from bioattack.evaluation.vision_views import chosen_gazes, has_looks, look_through
from bioattack.models.layers.affine_sampling import source_positions
from bioattack.models.registry import build_model
from bioattack.testing.small_records import write_small_records
from bioattack.tfrecords_builder.reading import open_records

SIDE, MIDDLE = 32, 15.5
# (row, column) from the centre of the five points, as published: centre, then -+, +-, --, ++.
SIGNS = np.array([[0, 0], [-1, 1], [1, -1], [-1, -1], [1, 1]])
IMAGES = np.random.default_rng(0).random((4, SIDE, SIDE, 3), dtype="float32")


@pytest.fixture(scope="module")
def build():
    """Builds small networks, each once."""
    built = {}

    def make(name, *, side=SIDE, **options):
        key = (name, side, *sorted(options.items()))
        if key not in built:
            small = {"width": 2} | ({} if name == "resnet20" else {"backbone": "resnet20"})
            built[key] = build_model(
                name, image_shape=(side, side, 3), num_classes=3, options={**small, **options}, seed=0
            )
        return built[key]

    return make


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Calls a drawing function with a path in front, and gives the figure it saved."""
    figures = []
    save = style.save_png
    monkeypatch.setattr(
        style, "save_png", lambda figure, path, **how: (figures.append(figure), save(figure, path, **how))[1]
    )

    def call(draw, *arguments, **how):
        path = draw(tmp_path / "figure.png", *arguments, **how)
        assert path == tmp_path / "figure.png"
        assert path.stat().st_size <= 150_000
        assert [entry.name for entry in tmp_path.iterdir()] == ["figure.png"]
        with Image.open(path) as image:
            assert image.width >= 400
        return figures[-1]

    return call


def marks(axes):
    """The marked points of axes, (column, row), and their colours."""
    lines = [line for line in axes.lines if line.get_marker() not in ("None", "", None)]
    places = np.concatenate([line.get_xydata() for line in lines]) if lines else np.zeros((0, 2))
    return places, [to_hex(line.get_color()) for line in lines]


def shown(axes):
    return np.asarray(axes.images[0].get_array())


def corners(axes):
    return [patch.get_xy()[:4] for patch in axes.patches if isinstance(patch, Polygon)]


def texts(figure):
    return " ".join(text.get_text() for text in figure.texts)


def set_outputs(model, bias, *, deviation=0.0):
    """Makes a localisation network say the same of every image, or nearly."""
    layer = model.get_layer("localisation").get_layer("localisation_outputs")
    kernel = np.random.default_rng(1).normal(size=layer.kernel.shape) * deviation
    layer.kernel.assign(kernel)
    layer.bias.assign(bias)


def test_fixations_of_coarse_are_its_crops(build, drawn):
    figure = drawn(draw_fixations, build("coarse"), IMAGES[0])
    picture, *views = figure.axes
    assert np.allclose(shown(picture), IMAGES[0])
    points, colours = marks(picture)
    # 24 of 32 pixels: the outer crops touch the corners at 4 pixels from the centre.
    assert np.allclose(points, (MIDDLE + 4 * SIGNS)[:, ::-1])
    assert colours == list(style.SERIES[:5])
    assert len(views) == 5
    for view, (row, column), outline in zip(views, 4 + 4 * SIGNS, corners(picture), strict=True):
        assert np.allclose(shown(view), IMAGES[0, row : row + 24, column : column + 24], atol=1e-6)
        left, top = column - 0.5, row - 0.5
        assert np.allclose(outline, [(left, top), (left + 24, top), (left + 24, top + 24), (left, top + 24)])
    assert [marks(view)[1] for view in views] == [[colour] for colour in style.SERIES[:5]]


def test_fixations_of_retinal_show_the_warp(build, drawn):
    model = build("retinal")
    picture, *views = drawn(draw_fixations, model, IMAGES[0]).axes
    assert np.allclose(marks(picture)[0], (MIDDLE + 8 * SIGNS)[:, ::-1])
    assert corners(picture) == []
    layer = model.get_layer("views")
    expected = layer(np.repeat(IMAGES[:1], 5, axis=0), (8.0 * SIGNS).astype("float32"))
    assert np.allclose([shown(view) for view in views], expected, atol=1e-5)


@pytest.mark.parametrize(("side", "num_scales"), [(32, 2), (48, 4)])
def test_fixations_of_cortical_have_a_row_for_each_scale(build, drawn, side, num_scales):
    model = build("cortical", side=side)
    image = np.random.default_rng(3).random((side, side, 3), dtype="float32")
    picture, *views = drawn(draw_fixations, model, image).axes
    assert len(views) == 5 * num_scales
    part = keras.Model(model.input, model.get_layer("views").output)
    for number, of_scale in enumerate(part(image[None])):
        row = views[5 * number : 5 * number + 5]
        assert np.allclose([shown(view) for view in row], of_scale, atol=1e-6)
        assert len({round(view.get_position().y0, 6) for view in row}) == 1
    # Squares of the first look alone, from the smallest crop on.
    sides = [outline[1, 0] - outline[0, 0] for outline in corners(picture)]
    assert sides == model.get_layer("views").crops


def test_what_an_eye_saw_first_is_not_outlined(build, drawn):
    picture, *views = drawn(draw_fixations, build("cortical", retinal=True), IMAGES[0]).axes
    assert corners(picture) == []
    assert len(views) == 10


def test_a_model_without_gazes_shows_its_one_view(build, drawn):
    figure = drawn(draw_fixations, build("blur"), IMAGES[0])
    picture, view = figure.axes
    assert len(marks(picture)[0]) == 0
    assert "looks once" in texts(figure)
    assert 0 < np.std(shown(view)) < np.std(IMAGES[0])


def test_random_gazes_are_those_of_the_views(build):
    looks = look_through(build("coarse", when_tested="random"), IMAGES)
    assert looks.choice == "random"
    assert len(np.unique(looks.gazes.reshape(-1, 2), axis=0)) > 5
    for image, gazes, views in zip(IMAGES, looks.gazes.astype(int) + 4, looks.views[0], strict=True):
        for (row, column), view in zip(gazes, views, strict=True):
            assert np.allclose(view, image[row : row + 24, column : column + 24], atol=1e-6)


def test_gazes_are_marked_on_each_picture_and_in_the_last_panel(build, drawn):
    model = build("multi_gaze")
    set_outputs(model, np.arctanh(0.5 * SIGNS).ravel(), deviation=0.2)
    figure = drawn(draw_gazes, model, IMAGES, num_shown=3)
    gazes = keras.ops.convert_to_numpy(keras.Model(model.input, model.get_layer("gazes").output)(IMAGES))
    assert np.std(gazes, axis=0).min() > 0
    assert len(figure.axes) == 3 * (1 + 5) + 1
    for number in range(3):
        picture, *views = figure.axes[6 * number : 6 * number + 6]
        assert np.allclose(marks(picture)[0], (MIDDLE + gazes[number])[:, ::-1], atol=1e-4)
        expected = model.get_layer("views")(np.repeat(IMAGES[number : number + 1], 5, axis=0), gazes[number])
        assert np.allclose([shown(view) for view in views], expected, atol=1e-4)
    points, colours = marks(figure.axes[-1])
    assert np.allclose(points, np.concatenate((MIDDLE + gazes).swapaxes(0, 1))[:, ::-1], atol=1e-4)
    assert colours == list(style.SERIES[:5])
    assert "4 pictures" in texts(figure)


@pytest.mark.parametrize(("number", "share"), [(0.0, "0 %"), (9.0, "80 %")])
def test_gazes_that_drift_to_the_corners_are_counted(build, drawn, number, share):
    model = build("multi_gaze")
    set_outputs(model, (number * SIGNS).ravel())
    figure = drawn(draw_gazes, model, IMAGES)
    # The first gaze stays in the centre.
    assert f"in a corner of that: {share}" in texts(figure)
    # The dashed square is a fourth of the side away from the centre.
    (square,) = [line.get_xydata() for line in figure.axes[-1].lines if line.get_linestyle() == "--"]
    assert np.allclose(np.abs(square - MIDDLE), 8)


def test_gazes_of_the_cortical_eye_have_all_scales(build, drawn):
    figure = drawn(draw_gazes, build("multi_gaze", eye="cortical", num_gazes=3), IMAGES, num_shown=1)
    assert len(figure.axes) == 1 + 2 * 3 + 1


def test_many_pictures_are_read_batch_by_batch(build):
    model = build("multi_gaze")
    set_outputs(model, np.zeros(10), deviation=0.2)
    images = np.random.default_rng(5).random((70, SIDE, SIDE, 3), dtype="float32")
    gazes = chosen_gazes(model, images)
    assert gazes.shape == (70, 5, 2)
    assert np.allclose(gazes[66:68], chosen_gazes(model, images[66:68]), atol=1e-4)


# x and y of the window's centre, its axes: one upright, one turned and sheared.
MATRICES = np.array([[[0.5, 0.0, 0.25], [0.0, 0.6, -0.3]], [[0.4, -0.3, 0.1], [0.2, 0.5, 0.2]]], "float32")


@pytest.mark.parametrize("align_corners", [True, False])
def test_boxes_are_what_the_sampler_reads(build, drawn, align_corners):
    model = build("stn", transform="affine", num_branches=3, align_corners=align_corners)
    matrices = MATRICES[[0, 1, 0]]
    set_outputs(model, matrices.ravel())
    figure = drawn(draw_transformer_boxes, model, IMAGES[:2], ["first", 7])
    assert len(figure.axes) == 2 + 3
    rows, columns = source_positions(matrices, height=SIDE, width=SIDE, align_corners=align_corners)
    read = np.stack([columns, rows], -1)[:, [0, 0, -1, -1], [0, -1, -1, 0]]
    if not align_corners:
        # The corners are half a pixel of the output outside the outermost pixels' centres.
        read += (read - read.mean(1, keepdims=True)) / (SIDE - 1)
    for picture in figure.axes[:2]:
        assert np.allclose(corners(picture), read, atol=1e-3)
        assert np.allclose(marks(picture)[0], read[:, 0], atol=1e-3)
        edges = [to_hex(patch.get_edgecolor()) for patch in picture.patches]
        assert edges == list(style.SERIES[:3])
    expected = model.get_layer("views")(np.repeat(IMAGES[:1], 3, axis=0), matrices)
    assert np.allclose([shown(view) for view in figure.axes[2:]], expected, atol=1e-5)
    assert "first" in texts(figure)
    assert "7" in texts(figure)


def test_boxes_of_a_retinal_eye_show_what_its_classifiers_see(build, drawn):
    model = build("stn", eye="retinal")
    figure = drawn(draw_transformer_boxes, model, IMAGES, ["a"] * 4)
    part = keras.Model(model.input, model.get_layer("retinal_views").output)
    views = np.clip(part(IMAGES[:1]), 0, 1)
    assert np.allclose([shown(view) for view in figure.axes[4:]], views, atol=1e-5)
    assert [len(corners(picture)) for picture in figure.axes[:4]] == [5] * 4


def test_at_most_six_pictures_have_boxes(build, drawn):
    figure = drawn(draw_transformer_boxes, build("stn"), np.repeat(IMAGES, 2, axis=0), ["a"] * 8)
    assert len(figure.axes) == 6 + 5


def test_gray_pictures_can_be_drawn(drawn):
    model = build_model(
        "retinal", image_shape=(SIDE, SIDE, 1), num_classes=2, options={"width": 2, "num_fixations": 9}
    )
    assert len(drawn(draw_fixations, model, IMAGES[0, ..., :1]).axes) == 1 + 9


def test_models_that_see_pictures_as_they_are_are_refused(build, tmp_path):
    plain = build("resnet20")
    assert not has_looks(plain)
    with pytest.raises(InputError, match="model resnet20 has no layer 'views'"):
        draw_fixations(tmp_path / "a.png", plain, IMAGES[0])
    with pytest.raises(InputError, match="model resnet20 has no layer 'gazes'"):
        draw_gazes(tmp_path / "a.png", plain, IMAGES)
    with pytest.raises(InputError, match="model retinal has no layer 'transforms'"):
        draw_transformer_boxes(tmp_path / "a.png", build("retinal"), IMAGES, [0] * 4)
    with pytest.raises(InputError, match="one or more"):
        draw_gazes(tmp_path / "a.png", build("multi_gaze"), IMAGES[:0])
    assert list(tmp_path.iterdir()) == []


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.views = keras.layers.Dense(3, name="views")

    def call(self, images):
        return self.views(images)


def test_layers_that_merely_have_the_name_are_not_taken_for_it():
    images = keras.Input((8, 8, 3))
    dense = keras.layers.Dense(2, name="views")(keras.layers.Flatten()(images))
    assert not has_looks(keras.Model(images, dense))
    views = keras.layers.Conv2D(3, 1, name="views")(images)
    gazes = keras.layers.Dense(5, name="gazes")(keras.layers.Flatten()(images))
    assert not has_looks(keras.Model(images, [views, gazes]))
    assert has_looks(keras.Model(images, views))
    assert not has_looks(Subclassed())


def test_the_same_input_gives_the_same_bytes(build, tmp_path):
    model = build("retinal")
    first, second = (draw_fixations(tmp_path / name, model, IMAGES[0]) for name in ("a.png", "b.png"))
    assert first.read_bytes() == second.read_bytes()


def test_checkerboard_is_sampled_discretely_and_bilinearly(drawn):
    flat, discrete, bilinear = checkerboards(SIDE, gaze=(0.0, 0.0))
    rows, columns = np.mgrid[:SIDE, :SIDE] // 2
    assert np.array_equal(flat[..., 0], (rows + columns) % 2)
    assert set(np.unique(discrete)) == {0.0, 1.0}
    assert 0.1 < ((bilinear > 0) & (bilinear < 1)).mean() < 0.9
    figure = drawn(draw_checkerboard, SIDE)
    # Three boards, each with its part below.
    assert len(figure.axes) == 6
    part = sharpest_difference(discrete, bilinear, side=8)
    for place, board in enumerate((flat, discrete, bilinear)):
        assert np.array_equal(shown(figure.axes[2 * place]), board[..., 0])
        assert np.array_equal(shown(figure.axes[2 * place + 1]), board[part][..., 0])
        points = marks(figure.axes[2 * place])[0]
        assert points.tolist() == ([] if place == 0 else [[MIDDLE, MIDDLE]])
    with pytest.raises(ValueError, match=r"size must be 16 or more\. Received: size=15"):
        draw_checkerboard("a.png", 15)


def test_checkerboard_is_magnified_where_it_is_looked_at():
    _, discrete, _ = checkerboards(128, gaze=(-32.0, 32.0))
    near, far = discrete[16:48, 80:112, 0], discrete[80:112, 16:48, 0]

    def changes(part):
        return np.abs(np.diff(part, axis=0)).sum() + np.abs(np.diff(part, axis=1)).sum()

    assert changes(near) < 0.6 * changes(far)


def test_part_that_differs_most_is_found():
    first, second = np.zeros((20, 30, 1)), np.zeros((20, 30, 1))
    second[5:8, 21:24] = 1.0
    rows, columns = sharpest_difference(first, second, side=3)
    assert (rows, columns) == (slice(5, 8), slice(21, 24))


@pytest.mark.parametrize("num_test", [11, 0])
def test_samples_have_a_row_for_each_class(drawn, tmp_path_factory, num_test):
    folder = tmp_path_factory.mktemp("records") / "small"
    records = open_records(write_small_records(folder, num_train=11, num_test=num_test))
    figure = drawn(draw_samples, records)
    # Of 11 pictures, the classes 0 and 1 have four, the last one three.
    rows = {}
    for axes in figure.axes:
        rows.setdefault(round(axes.get_position().y0, 6), []).append(shown(axes))
    assert [len(rows[place]) for place in sorted(rows, reverse=True)] == [4, 4, 3]
    for label, place in enumerate(sorted(rows, reverse=True)):
        # The tint of these pictures is their class.
        assert all(image.mean((0, 1)).argmax() == label for image in rows[place])
    assert ("“test”" if num_test else "“train”") in texts(figure)
    assert all(name in texts(figure) for name in ("red", "green", "blue"))


def test_samples_of_many_classes_are_cut_and_say_so(drawn, tmp_path_factory, monkeypatch):
    assert MAX_CLASSES == 20
    monkeypatch.setattr("bioattack.evaluation.vision_sheets.MAX_CLASSES", 2)
    records = open_records(write_small_records(tmp_path_factory.mktemp("records") / "small"))
    figure = drawn(draw_samples, records, num_columns=3)
    assert len(figure.axes) == 6
    assert "the first 2 classes of 3" in texts(figure)
