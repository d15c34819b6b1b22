"""Speed and memory of the attacks, side by side with peers and with bare gradients, in one run.

    python benchmarks/attacks.py                      three networks, trained on pictures it draws itself
    python benchmarks/attacks.py --realdata FOLDER    two published networks as well, one of them robust
    python benchmarks/attacks.py --quick              few pictures and repeats: does it run, not how fast

Each line is the median over interleaved repeats of "ours / theirs", with the least and the greatest. Wall
time is what the goals are about; processor time, of all threads, is steadier where other programs run too.
ART and CleverHans take part if they are installed: pip install -e ".[peers]".

"Bare" is what no attack can do without: as many calls of one compiled function that gives the gradient of
the cross-entropy with respect to a full batch, no step, no projection, no judgement. Everything is projected
gradient descent in Linf, epsilon 8/255 (0.1 on grey pictures, 0.3 on MNIST), steps of a tenth of it, no
random start: all who take part do the same work and, but for errors of rounding, find the same pictures
(tests/bioattack/attacks/test_parity.py).
"""

import argparse
import functools
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bioattack.cli.common import prepare_tensorflow

prepare_tensorflow()

import keras
import numpy as np
import tensorflow as tf
from attack_subjects import BATCH_SIZE, EPSILON, NUM_CLASSES, Subject, batches, make_subjects
from ratio import Ratio, interleave, make_ratio, print_head, print_rows

from bioattack.attacks.foolbox_bridge import TensorFlowModel, foolbox_attacks
from bioattack.attacks.losses import cross_entropy
from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import AttackedImages, attack_images, make_engine
from bioattack.classifier import load_classifier
from bioattack.models.registry import build_model

RELATIVE_STEP, NUM_STEPS = 0.1, 20
WIDTH = 1e-4
GROWTH = 10
ROWS = ("cost", "search", "stream", "memory")


def main() -> None:
    """Measures everything and prints the table."""
    arguments = _parse()
    if arguments.stream:
        _attack_stream(arguments.stream)
        return
    num_images, repeats = (128, 2) if arguments.quick else (1000, arguments.repeats)
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, TensorFlow {tf.__version__}", file=sys.stderr
    )
    print_head()
    for subject in make_subjects(arguments, num_images):
        if "cost" in arguments.rows:
            print_rows(*_cost_rows(subject, repeats))
        if "search" in arguments.rows:
            print_rows(*_search_rows(subject, min(repeats, 3), num_images=64 if arguments.quick else 256))
        if "stream" in arguments.rows:
            print_rows(*_stream_rows(subject, 1 if arguments.quick else min(repeats, 3)))
    if "memory" in arguments.rows:
        print_rows(_memory_row(quick=arguments.quick))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--realdata", type=Path, help="folder with mnist/, cifar10/ and weights/")
    parser.add_argument(
        "--keep", type=Path, help="folder that keeps pictures and trained networks for next time"
    )
    parser.add_argument("--only", help="only the networks whose name begins with this")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS, help="only these rows")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved repeats of each pair")
    parser.add_argument("--quick", action="store_true", help="few pictures and repeats")
    parser.add_argument("--stream", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _request(subject: Subject, **settings: Any) -> AttackRequest:
    how = {"epsilons": (subject.epsilon,), "num_steps": NUM_STEPS, "relative_step": RELATIVE_STEP}
    return AttackRequest("pgd", **(how | {"has_random_start": False} | settings))


def _attack(subject: Subject, request: AttackRequest) -> AttackedImages:
    return attack_images(subject.classifier, subject.images, subject.labels, request, batch_size=BATCH_SIZE)


def _bare(subject: Subject, *, has_gradient: bool = True) -> Callable[[int], None]:
    """Gives a function that makes so many bare passes over one full batch."""
    images = tf.constant(subject.images[:BATCH_SIZE])
    labels = tf.constant(subject.labels[:BATCH_SIZE])

    @tf.function(autograph=False)
    def one_pass(images: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = subject.network(images)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return tape.gradient(losses, images) if has_gradient else logits

    def passes(number: int) -> None:
        for _ in range(number):
            result = one_pass(images)
        result.numpy()

    return passes


def _cost_rows(subject: Subject, repeats: int) -> list[Ratio]:
    """One full batch, all steps made: against bare gradients, and against peers used as documented."""
    subject = subject.part(BATCH_SIZE)
    bare, peers = _bare(subject), _peers(subject)
    works: dict[str, Callable[[], Any]] = {
        "ours": lambda: _attack(subject, _request(subject, judged="last")).adversarial_images[0],
        f"{NUM_STEPS} bare gradients": lambda: bare(NUM_STEPS),
    }
    works |= {name: attack for name, (_, attack) in peers.items()}
    goals = {name: goal for name, (goal, _) in peers.items()}
    found = {name: work() for name, work in works.items()}  # not counted: graphs are traced
    for peer in peers:
        share = np.mean(np.abs(found["ours"] - np.asarray(found[peer])) > 1e-4)
        print(f"{subject.name}: {share:.1e} of the values differ from those of {peer}", file=sys.stderr)
    times = interleave(works, repeats, is_warm=True)
    what = f"{subject.name}: PGD-{NUM_STEPS}, all steps"
    return [
        make_ratio(f"{what} / {name}", times, "ours", name, goals.get(name, "<= 1.10"))
        for name in works
        if name != "ours"
    ]


def _peers(subject: Subject) -> dict[str, tuple[str, Callable[[], Any]]]:
    """The peers that are installed: goal and attack of each, on the subject's pictures."""
    images, labels, epsilon = tf.constant(subject.images), tf.constant(subject.labels), subject.epsilon
    step = RELATIVE_STEP * epsilon
    foolbox_attack = foolbox_attacks.LinfPGD(steps=NUM_STEPS, rel_stepsize=RELATIVE_STEP, random_start=False)

    def foolbox_on(network: Callable[..., Any]) -> Callable[[], Any]:
        # A Keras model says which device it is on; any other callable must have it said.
        model = TensorFlowModel(network, bounds=(0, 1), device=images.device)
        return lambda: foolbox_attack(model, images, labels, epsilons=epsilon)[1]

    peers = {
        "Foolbox as documented": ("<= 0.50", foolbox_on(subject.network)),
        "Foolbox on a compiled model": ("<= 0.77", foolbox_on(tf.function(subject.network))),
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from art.attacks.evasion import ProjectedGradientDescent
            from art.estimators.classification import TensorFlowV2Classifier
            from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent
    except ModuleNotFoundError as error:
        print(f'without ART and CleverHans ({error}): pip install -e ".[peers]"', file=sys.stderr)
        return peers
    estimator = TensorFlowV2Classifier(
        model=subject.network if isinstance(subject.network, keras.Model) else _with_mode(subject.network),
        nb_classes=NUM_CLASSES,
        input_shape=subject.images.shape[1:],
        loss_object=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        clip_values=(0, 1),
    )
    attack = ProjectedGradientDescent(
        estimator, eps=epsilon, eps_step=step, max_iter=NUM_STEPS, batch_size=BATCH_SIZE, verbose=False
    )
    peers["ART as documented"] = "<= 0.50", lambda: attack.generate(subject.images, subject.labels)
    how: dict[str, Any] = {"clip_min": 0.0, "clip_max": 1.0, "y": labels, "rand_init": False}
    peers["CleverHans as documented"] = (
        "",
        lambda: projected_gradient_descent(subject.network, images, epsilon, step, NUM_STEPS, np.inf, **how),
    )
    return peers


def _with_mode(network: Callable[..., Any]) -> Callable[..., Any]:
    """A function that can be told whether it is trained, as ART tells it."""
    return lambda images, training=False: network(images)  # noqa: ARG005


def _search_rows(subject: Subject, repeats: int, *, num_images: int) -> list[Ratio]:
    """Early stop, eight epsilons and the least epsilon, each against what one run would cost."""
    subject = subject.part(num_images)
    bare = _bare(subject)
    requests = {
        "early stop": _request(subject),
        "all steps": _request(subject, judged="last"),
        "eight epsilons": _request(
            subject, epsilons=tuple(subject.epsilon * number / 8 for number in range(1, 9))
        ),
        "least epsilon": _request(subject, least_epsilon_width=WIDTH),
    }
    found = {name: _attack(subject, request) for name, request in requests.items()}
    _tell_success(subject, found["early stop"], found["eight epsilons"])
    works: dict[str, Callable[[], Any]] = {
        name: functools.partial(_attack, subject, request) for name, request in requests.items()
    }
    bare(1)
    times = interleave(works | {"bare": lambda: bare(NUM_STEPS)}, repeats, is_warm=True)
    what, factor = f"{subject.name}: early stop / {NUM_STEPS} bare gradients", num_images / BATCH_SIZE
    rows = [make_ratio(what, times, "early stop", "bare", "<= 0.35 undefended", factor=factor)]
    for ours, goal in (("eight epsilons", "<= 2.5 undefended"), ("least epsilon", "<= 10 undefended")):
        for one in ("early stop", "all steps"):
            what = f"{subject.name}: {ours} / one run at the largest, {one}"
            rows.append(make_ratio(what, times, ours, one, goal))
    return rows


def _tell_success(subject: Subject, early: AttackedImages, eight: AttackedImages) -> None:
    """Says how many fall, and on how many pictures a loop without early stop judges otherwise."""
    expected = np.concatenate(
        [
            _falls_at_any_step(subject, subject.images[some], subject.labels[some])
            for some in batches(np.arange(len(subject.images)))
        ]
    )
    accuracies = " ".join(f"{accuracy:.1%}" for accuracy in eight.adversarial_accuracy())
    print(
        f"{subject.name}: {early.is_fooled.mean():.1%} fall, with {early.num_steps.mean():.1f} steps each; "
        f"other verdicts without early stop: {np.sum(early.is_fooled[0] != expected)} of {len(expected)}; "
        f"withstand the eight epsilons: {accuracies}",
        file=sys.stderr,
    )


def _falls_at_any_step(subject: Subject, originals: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The same attack as a plain loop that makes all steps and judges every iterate."""
    images, has_fallen = tf.constant(originals), np.zeros(len(originals), bool)
    for step in range(NUM_STEPS + 1):
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = subject.classifier.logits(images)
            loss = tf.reduce_sum(cross_entropy(logits, labels))
        has_fallen |= logits.numpy().argmax(1) != labels
        if step < NUM_STEPS:
            moved = images + RELATIVE_STEP * subject.epsilon * tf.sign(tape.gradient(loss, images))
            change = tf.clip_by_value(moved - originals, -subject.epsilon, subject.epsilon)
            images = tf.clip_by_value(originals + change, 0, 1)
    return has_fallen


def _stream_rows(subject: Subject, repeats: int) -> list[Ratio]:
    """The whole run with early stop against the passes that its pictures needed, full batches assumed."""
    gradient, forward = _bare(subject), _bare(subject, has_gradient=False)
    number = 3 * NUM_STEPS
    works: dict[str, Callable[[], Any]] = {
        "run": lambda: _attack(subject, _request(subject)),
        "gradients": lambda: gradient(number),
        "forwards": lambda: forward(number),
    }
    gradient(1), forward(1)
    attacked = works["run"]()
    # A picture that is wrong is looked at once; of one that is right the first move needs no look of its own,
    # its last iterate does, and that in 8 bits.
    num_forwards = len(subject.images) + attacked.is_correct.sum()
    shares = (attacked.num_steps.sum() / number / BATCH_SIZE, num_forwards / number / BATCH_SIZE)
    times = interleave(works, repeats, is_warm=True)
    times["needed"] = tuple(
        [shares[0] * one + shares[1] * other for one, other in zip(gradients, forwards, strict=True)]
        for gradients, forwards in zip(times["gradients"], times["forwards"], strict=True)
    )
    slots, name = attacked.statistics, f"{subject.name}: {len(subject.images)} pictures, early stop"
    idle = slots.idle_slot_passes / slots.slot_passes
    return [
        make_ratio(f"{name} / the passes they needed", times, "run", "needed", "<= 1.3"),
        Ratio(f"{name}: share of slots idle before the stream is dry", [idle], "< 0.05"),
    ]


# --- memory ---


def _memory_row(*, quick: bool) -> Ratio:
    """Peak memory of an attack on a stream, and on one ten times as long."""
    once = 200 if quick else 2000
    peaks = [[_peak(number) for number in (GROWTH * once, once)] for _ in range(1 if quick else 3)]
    return Ratio(f"peak memory, {GROWTH} times {once} pictures / once", [a / b for a, b in peaks], "<= 1.05")


def _peak(num_images: int) -> int:
    """Returns the greatest resident size, in KiB, of a process that attacks a stream."""
    # Through a small process: a child's peak begins with the size of the process that started it, and this
    # one is large.
    code = (
        "import resource, subprocess, sys;"
        "subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    attack = [sys.executable, __file__, "--stream", str(num_images)]
    said = subprocess.run([sys.executable, "-c", code, *attack], stdout=subprocess.PIPE, check=True).stdout
    peak = int(said) // (1024 if sys.platform == "darwin" else 1)
    print(f"peak memory, {num_images} pictures: {peak / 1024:.0f} MiB", file=sys.stderr)
    return peak


def _attack_stream(num_images: int) -> None:
    """Attacks pictures that are made as they are asked for, and keeps none of the results."""
    network = build_model("small_cnn", image_shape=(28, 28, 1), num_classes=NUM_CLASSES, seed=0)
    classifier = load_classifier(network)

    def stream() -> Iterator[dict[str, Any]]:
        for start in range(0, num_images, BATCH_SIZE):
            number = min(BATCH_SIZE, num_images - start)
            images = np.random.default_rng(start).uniform(size=(number, 28, 28, 1)).astype(np.float32)
            names = [str(start + place) for place in range(number)]
            yield {"image": images, "label": classifier.logits(images).numpy().argmax(1), "image_id": names}

    request = AttackRequest("pgd", epsilons=(EPSILON,), num_steps=NUM_STEPS, relative_step=RELATIVE_STEP)
    engine = make_engine(classifier, request, num_classes=NUM_CLASSES, batch_size=BATCH_SIZE, seed=0)
    assert sum(len(complete) for complete in engine.run(stream())) == num_images


if __name__ == "__main__":
    main()
