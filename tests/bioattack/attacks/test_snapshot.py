import numpy as np
import pytest

from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import make_engine
from bioattack.attacks.snapshot import restore_engine, save_engine
from bioattack.errors import InputError
from bioattack.testing.check_attack import made_up_batch, made_up_classifier
from bioattack.testing.made_up_distances import MadeUpFeatures

REQUESTS = {
    "pgd": AttackRequest("pgd", epsilons=(0.03,), num_steps=6),
    "last iterate": AttackRequest("pgd", "l2", epsilons=(0.25,), num_steps=4, judged="last"),
    "momentum": AttackRequest("mifgsm", epsilons=(0.03,), num_steps=4),
    "from the image itself": AttackRequest("bim", epsilons=(0.01, 0.02, 0.03), num_steps=4),
    "8 bits": AttackRequest("pgd", epsilons=(8 / 255,), num_steps=4, is_quantised=True),
    "epsilons, restarts and targets": AttackRequest(
        "pgd-dlr-targeted", epsilons=(0.0, 0.02, 0.04), num_steps=1, num_restarts=2
    ),
    "epsilons apart": AttackRequest("pgd", epsilons=(0.02, 0.04), num_steps=3, is_independent=True),
    "least epsilon": AttackRequest("pgd", epsilons=(0.04,), num_steps=3, least_epsilon_width=0.005),
    "apgd": AttackRequest("apgd", epsilons=(0.03,), num_steps=6),
    "square": AttackRequest("square", epsilons=(0.05,), num_steps=6),
    "lagrangian": AttackRequest("lagrangian", distance=MadeUpFeatures(), num_steps=6),
    "lagrangian in 8 bits": AttackRequest("lagrangian", distance="l2", num_steps=6, is_quantised=True),
    "ppgd": AttackRequest("ppgd", distance=MadeUpFeatures(), epsilons=(0.2, 0.3), num_steps=3),
    "lpa": AttackRequest("lpa", distance=MadeUpFeatures(), epsilons=(0.2,), num_steps=10),
    "perc-al": AttackRequest("perc-al", num_steps=4),
}


@pytest.fixture(scope="module")
def classifier():
    return made_up_classifier()


def engine_for(classifier, request, *, seed=0):
    return make_engine(classifier, request, num_classes=4, batch_size=4, seed=seed)


def stream():
    # Fifteen of twenty images are attacked, in a batch of four: slots are filled up, run idle and shrink.
    batch = made_up_batch(made_up_classifier(), num_images=20)
    images = np.round(batch.images * 255).astype(np.float32) / np.float32(255)
    for start in range(0, 20, 6):
        some = slice(start, min(start + 6, 20))
        yield {
            "image": images[some],
            "label": batch.labels[some],
            "image_id": batch.image_ids[some],
            "country": np.array([b"KEN", b"CAN"] * 3)[: len(batch.images[some])],
            "number": np.arange(start, some.stop),
        }


def as_text(value):
    # What came as bytes comes back as text from a snapshot.
    return value.decode() if isinstance(value, bytes) else str(value)


def facts_of(results):
    """All that a result says, but for the time it took; arrays as bytes."""
    return [
        (
            result.image.image_id,
            as_text(result.image.extra["country"]),
            int(result.image.extra["number"]),
            result.image.clean_logits.tobytes(),
            [
                (
                    outcome.epsilon,
                    outcome.is_fooled,
                    outcome.num_steps,
                    repr((outcome.epsilon_low, outcome.epsilon_high)),
                    outcome.finding
                    and (
                        outcome.finding.required_image().tobytes(),
                        outcome.finding.logits.tobytes(),
                        outcome.finding.logits_8bit.tobytes(),
                        outcome.finding.has_zero_gradient,
                    ),
                )
                for outcome in result.outcomes
            ],
        )
        for result in results
    ]


@pytest.mark.parametrize("name", REQUESTS)
def test_a_run_goes_on_from_every_moment_as_if_nothing_had_been(classifier, tmp_path, name):
    engine = engine_for(classifier, REQUESTS[name])
    whole, moments = [], []
    for moment, complete in enumerate(engine.run(stream())):
        whole += complete
        moments.append(len(whole))
        save_engine(engine, tmp_path / f"{moment}.npz", note={"results": len(whole)})
    assert len(moments) > 3
    expected = facts_of(whole)
    assert any(outcome.is_fooled for result in whole for outcome in result.outcomes)
    for moment, num_results in enumerate(moments):
        restored = engine_for(classifier, REQUESTS[name])
        assert restore_engine(restored, tmp_path / f"{moment}.npz") == {"results": num_results}
        rest = [result for complete in restored.run(stream()) for result in complete]
        assert facts_of(rest) == expected[num_results:]
        assert vars(restored.statistics) == vars(engine.statistics)


def test_a_snapshot_is_replaced_as_a_whole(classifier, tmp_path):
    path = tmp_path / "engine.npz"
    engine = engine_for(classifier, REQUESTS["pgd"])
    for _ in zip(range(2), engine.run(stream()), strict=False):
        save_engine(engine, path, note={})
    assert [file.name for file in tmp_path.iterdir()] == ["engine.npz"]
    with np.load(path, allow_pickle=False) as archive:
        assert "slots/originals" in archive.files


def test_what_another_version_left_is_refused(classifier, tmp_path):
    engine = engine_for(classifier, REQUESTS["pgd"])
    next(engine.run(stream()))
    save_engine(engine, tmp_path / "state.npz", note={})
    with np.load(tmp_path / "state.npz") as file:
        arrays = {name: values for name, values in file.items() if not name.startswith("progress/")}
    np.savez(tmp_path / "state.npz", **arrays)
    with pytest.raises(InputError, match="was left by another version of bioattack: start anew"):
        restore_engine(engine_for(classifier, REQUESTS["pgd"]), tmp_path / "state.npz")
