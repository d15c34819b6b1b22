from itertools import combinations, pairwise

import keras
import numpy as np
import pytest
from keras import ops
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from bioattack.errors import InputError
from bioattack.evaluation import figure_style as style
from bioattack.evaluation.architecture_diagram import arrange, draw_architecture
from bioattack.evaluation.architecture_graph import architecture_boxes, with_siblings_joined
from bioattack.models.registry import build_model

NARROW = {"width": 2, "backbone": "resnet20"}
DISTINCT = {**NARROW, "shared_weights": False}
# Every kind of graph that the networks of this project have.
CASES = {
    "resnet18": ("resnet18", {"width": 2}),
    "small_cnn": ("small_cnn", {}),
    "mobilenet_v2": ("mobilenet_v2", {}),
    "coarse": ("coarse", NARROW),
    "retinal": ("retinal", {"width": 2}),
    "cortical": ("cortical", {"width": 2, "stem_stride": None}),
    "cortical, retinal": ("cortical", {**NARROW, "retinal": True, "merge": "max", "dropout": 0.5}),
    "cortical, whole": ("cortical", {**NARROW, "whole": True}),
    "branched": ("branched", {**NARROW, "num_branches": 4}),
    "blur": ("blur", NARROW),
    "stn shared": ("stn", NARROW),
    "stn distinct": ("stn", DISTINCT),
    "stn of nine": ("stn", {**DISTINCT, "num_branches": 9, "merge": "features"}),
    "stn, retinal eye": ("stn", {**NARROW, "eye": "retinal", "gaze_gradient": "stop", "merge": "mean"}),
    "multi_gaze shared": ("multi_gaze", NARROW),
    "multi_gaze distinct": ("multi_gaze", {**DISTINCT, "num_gazes": 3, "merge": "mean"}),
    "multi_gaze, cortical eye": ("multi_gaze", {**DISTINCT, "num_gazes": 3, "eye": "cortical"}),
}


@pytest.fixture(scope="module")
def models():
    """The networks of the cases, each built once."""
    built = {}

    def get(case):
        if case not in built:
            name, options = CASES[case]
            # Four scales from 48 pixels on.
            shape = (48, 48, 3) if case == "cortical" else (32, 32, 3)
            built[case] = build_model(name, image_shape=shape, num_classes=3, options=options, seed=0)
        return built[case]

    return get


@pytest.fixture(scope="module")
def boxes_of(models):
    """The boxes of the cases, each read once."""
    found = {}

    def get(case):
        if case not in found:
            found[case] = architecture_boxes(models(case))
        return found[case]

    return get


def histories(arguments):
    """Names of the layers whose outputs stand in the saved arguments of a call."""
    if isinstance(arguments, dict) and arguments.get("class_name") == "__keras_tensor__":
        return [arguments["config"]["keras_history"][0]]
    if isinstance(arguments, dict):
        arguments = list(arguments.values())
    if isinstance(arguments, list | tuple):
        return [name for argument in arguments for name in histories(argument)]
    return []


def saved_graph(model):
    """The inputs of every layer by name, read from what Keras saves and not from the graph itself."""
    layers = model.get_config()["layers"]
    return {layer["name"]: set(histories(layer["inbound_nodes"])) for layer in layers}


def connections(graph, boxes):
    """Which boxes are connected when layers that are in no box hand on what they are given."""
    box_of = {name: place for place, box in enumerate(boxes) for name in box.layers}

    def sources(name):
        if name in box_of:
            return {box_of[name]}
        return set().union(*(sources(before) for before in graph[name]))

    return {
        (source, place)
        for place, box in enumerate(boxes)
        for name in box.layers
        for before in graph[name]
        for source in sources(before)
        if source != place
    }


@pytest.mark.parametrize("case", CASES)
def test_boxes_have_all_parameters_and_are_connected_as_the_graph_is(models, boxes_of, case):
    model = models(case)
    graph, boxes = saved_graph(model), boxes_of(case)
    assert sum(box.num_parameters for box in boxes) == model.count_params()
    drawn = {(parent, place) for place, box in enumerate(boxes) for parent in box.parents}
    assert drawn == connections(graph, boxes)
    assert all(parent < place for parent, place in drawn)
    in_boxes = [name for box in boxes for name in box.layers]
    assert len(in_boxes) == len(set(in_boxes))
    left_out = set(graph) - set(in_boxes)
    assert not [name for name in left_out if name in {layer.name for layer in model.layers if layer.weights}]
    # Few enough to be read.
    assert len(boxes) <= 20


@pytest.mark.parametrize("case", CASES)
def test_joined_boxes_are_connected_as_the_graph_is(models, boxes_of, case):
    model = models(case)
    boxes = with_siblings_joined(boxes_of(case), most=2)
    assert sum(box.num_parameters for box in boxes) == model.count_params()
    drawn = {(parent, place) for place, box in enumerate(boxes) for parent in box.parents}
    assert drawn == connections(saved_graph(model), boxes)


def titles(boxes):
    return [box.words.title for box in boxes]


def test_words_and_shapes_of_retinal(boxes_of):
    boxes = boxes_of("retinal")
    assert titles(boxes) == [
        *("images", "augmentation", "5 fixed gazes", "a copy for each look", "retinal sampling"),
        *("network", "dense layer", "mean over the looks"),
    ]
    assert [box.words.kind for box in boxes] == [
        *("other", "other", "look", "other", "see", "network", "network", "other")
    ]
    assert boxes[5].words.details == ("21 convolutions",)
    # Five views for each image, until their logits are averaged.
    assert [box.shapes[0] for box in boxes[2:]] == [
        *((1, (5, 2)), (5, (32, 32, 3)), (5, (32, 32, 3)), (5, (16,)), (5, (3,)), (1, (3,)))
    ]
    # 16 features, 3 classes.
    assert boxes[6].num_parameters == 16 * 3 + 3


def test_scales_stand_beside_each_other(boxes_of):
    boxes = boxes_of("cortical")
    scales = [box for box in boxes if box.words.title.startswith("scale")]
    assert titles(scales) == ["scale 1", "scale 2", "scale 3", "scale 4"]
    (views,) = {box.parents for box in scales}
    assert boxes[views[0]].words.title == "crops at 4 scales"
    assert boxes[views[0]].shapes == ((5, (9, 9, 3)),) * 4
    (merge,) = [box for box in boxes if box.words.title == "side by side"]
    assert [boxes[parent] for parent in merge.parents] == scales


def test_a_scale_that_stays_still_is_said_to(boxes_of):
    for name, details in (
        ("cortical, whole", ("16, 32 pixels", "the widest does not move")),
        ("cortical, retinal", ("15, 30 pixels",)),
    ):
        (views,) = [box for box in boxes_of(name) if box.words.title == "crops at 2 scales"]
        assert views.words.details == details


def test_shared_and_distinct_classifiers_are_told_apart(boxes_of):
    for name in ("stn", "multi_gaze"):
        shared, distinct = (boxes_of(f"{name} {kind}") for kind in ("shared", "distinct"))
        number = 5 if name == "stn" else 3
        of_shared = [box for box in shared if box.words.title.startswith("classifier")]
        of_distinct = [box for box in distinct if box.words.title.startswith("classifier")]
        assert titles(of_shared) == ["classifier"]
        assert titles(of_distinct) == [f"classifier {index}" for index in range(number)]
        assert of_shared[0].shapes == ((5, (3,)),)
        assert {box.shapes for box in of_distinct} == {((1, (3,)),)}
        assert of_shared[0].num_parameters == of_distinct[0].num_parameters > 0


def test_no_gradient_is_drawn_where_there_is_none(boxes_of):
    assert "no gradient" in titles(boxes_of("stn, retinal eye"))
    assert "no gradient" not in titles(boxes_of("stn shared"))


def test_many_alike_become_one_box(boxes_of):
    boxes = boxes_of("stn of nine")
    joined = with_siblings_joined(boxes, most=5)
    assert len(joined) == len(boxes) - 8
    (box,) = [box for box in joined if box.words.title.startswith("classifier")]
    assert box.words.title == "classifier 0 … 8"
    assert box.words.details[0] == "9 alike, each:"
    assert with_siblings_joined(boxes, most=9) == boxes


def gated():
    """A network whose gate leads around a part of it, with a dense layer in between."""
    images = keras.Input((8, 8, 3))
    outputs = keras.layers.Conv2D(4, 3, padding="same", name="net_a")(images)
    gate = keras.layers.GlobalAveragePooling2D(name="net_b")(outputs)
    gate = keras.layers.Dense(4, activation="sigmoid", name="net_c")(gate)
    gate = keras.layers.Reshape((1, 1, 4))(gate)
    outputs = keras.layers.Multiply(name="net_d")([outputs, gate])
    outputs = keras.layers.Conv2D(2, 8, name="net_e")(outputs)
    return keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(outputs)))


def enclosing():
    """A network that goes on after a box in its middle."""
    images = keras.Input((8, 8, 3))
    first = keras.layers.Conv2D(3, 1, name="net_a")(images)
    inner = keras.Model(entry := keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 1)(entry), name="inner")
    both = keras.layers.Add(name="net_b")([first, keras.layers.ReLU(name="net_c")(inner(first))])
    return keras.Model(images, keras.layers.GlobalAveragePooling2D(name="net_d")(both))


def twice():
    """One network for two pictures, one of them mirrored by an operation that is no layer."""
    entry = keras.Input((8, 8, 3))
    inner = keras.Model(entry, keras.layers.Dense(2)(keras.layers.Flatten()(entry)), name="inner")
    images = keras.Input((8, 8, 3))
    return keras.Model(images, inner(images) + inner(ops.flip(images, axis=2)))


def sequential():
    return keras.Sequential(
        [
            *(keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.ReLU()),
            *(keras.layers.Flatten(), keras.layers.Dense(5), keras.layers.ReLU(), keras.layers.Dense(3)),
        ]
    )


@pytest.mark.parametrize("make", [gated, enclosing, twice, sequential])
def test_any_graph_can_be_drawn(make, tmp_path):
    model = make()
    boxes = architecture_boxes(model)
    assert sum(box.num_parameters for box in boxes) == model.count_params() > 0
    assert all(parent < place for place, box in enumerate(boxes) for parent in box.parents)
    assert draw_architecture(tmp_path / "a.png", model).is_file()


def test_a_gate_is_part_of_its_network():
    boxes = architecture_boxes(gated())
    assert [len(box.layers) for box in boxes] == [1, 7, 1]
    assert titles(boxes)[2] == "dense layer"


def test_weights_used_twice_are_counted_once():
    boxes = architecture_boxes(twice())
    assert titles(boxes)[1:] == ["inner", "inner", "sum"]
    assert [box.num_parameters for box in boxes[1:3]] == [8 * 8 * 3 * 2 + 2, 0]


class Subclassed(keras.Model):
    def call(self, images):
        return images


def test_models_without_a_graph_are_refused(tmp_path):
    with pytest.raises(InputError, match="model mine is not functional"):
        draw_architecture(tmp_path / "a.png", Subclassed(name="mine"))
    free = keras.Input((None, None, 3))
    with pytest.raises(InputError, match="no single input of a fixed size"):
        draw_architecture(tmp_path / "a.png", keras.Model(free, keras.layers.Conv2D(2, 1)(free)))
    assert list(tmp_path.iterdir()) == []


def overlap(first, second):
    return (
        first.left < second.left + second.width
        and second.left < first.left + first.width
        and first.top < second.top + second.height
        and second.top < first.top + first.height
    )


@pytest.mark.parametrize("case", CASES)
def test_boxes_and_lines_do_not_cover_boxes(boxes_of, case):
    boxes = with_siblings_joined(boxes_of(case), most=5)
    diagram = arrange(boxes)
    for place in diagram.places:
        assert place.left >= 0
        assert place.left + place.width <= style.WIDTH_INCHES
        assert 0 <= place.top < place.top + place.height <= diagram.height + 1e-9
    assert not [pair for pair in combinations(diagram.places, 2) if overlap(*pair)]
    assert {(line.parent, line.child) for line in diagram.lines} == {
        (parent, place) for place, box in enumerate(boxes) for parent in box.parents
    }
    for line in diagram.lines:
        parent, child = diagram.places[line.parent], diagram.places[line.child]
        assert line.points[0][1] == pytest.approx(parent.top + parent.height)
        assert line.points[-1][1] == pytest.approx(child.top)
        for (x, y), end in ((line.points[0], parent), (line.points[-1], child)):
            assert end.left < x < end.left + end.width, (x, y)
        for place in diagram.places:
            assert not passes(line.points, place)


def passes(points, place):
    """Whether a line runs through the inside of a box."""
    fractions = np.linspace(0, 1, 200)[:, None]
    run = np.concatenate(
        [np.array(first) * (1 - fractions) + np.array(last) * fractions for first, last in pairwise(points)]
    )
    low = np.array([place.left, place.top]) + 1e-6
    high = np.array([place.left + place.width, place.top + place.height]) - 1e-6
    return bool(((run > low) & (run < high)).all(1).any())


@pytest.mark.parametrize("case", ["stn distinct", "cortical"])
def test_texts_stay_in_their_boxes(models, case, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(style, "save_png", lambda figure, path, **_: (figures.append(figure), path)[1])
    model = models(case)
    with style.house_style():
        draw_architecture(tmp_path / "a.png", model)
        figure = figures[0]
        renderer = FigureCanvasAgg(figure).get_renderer()
        (axes,) = figure.axes
        boxes = [patch.get_window_extent(renderer) for patch in axes.patches]
        extents = [text.get_window_extent(renderer) for text in axes.texts]
    assert len(extents) > 10
    for extent in extents:
        assert any(
            box.x0 <= extent.x0 and extent.x1 <= box.x1 and box.y0 <= extent.y0 and extent.y1 <= box.y1
            for box in boxes
        )
    written = [text.get_text() for text in figure.texts]
    assert f"{model.count_params():,} parameters" in " ".join(written)


def test_the_same_model_gives_a_small_file_of_the_same_bytes(models, tmp_path):
    first, second = (draw_architecture(tmp_path / name, models("stn shared")) for name in ("a.png", "b.png"))
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 80_000
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.png", "b.png"]
    with Image.open(first) as image:
        assert image.width == round(style.WIDTH_INCHES * style.PIXELS_PER_INCH)
