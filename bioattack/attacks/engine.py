"""The streaming engine: a batch that is kept full, a rule for each image, results in input order."""

import hashlib
import itertools
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bioattack.attacks.attack import AttackedModel, Slots, State, StreamedAttack
from bioattack.attacks.compiled import CompiledAttack, compile_attack
from bioattack.attacks.lengths import length
from bioattack.attacks.searches import UNTARGETED, Attempts, Finding, Outcome, Search, Trial
from bioattack.attacks.stream import Image, read_stream
from bioattack.attacks.tasks import ImageResult, Progress, Statistics, Task
from bioattack.errors import InputError

# Results wait until all before them are there; so many bytes of images may wait, then nothing new comes in.
_WINDOW_BYTES = 2**28

# A look costs one forward pass, which the images that still stand must make again; it saves the backward
# pass of those that are over. So it pays if more are over than a forward pass is of a forward and backward
# one: measured 0.35 on a small network, 0.42 on a ResNet-20, 0.2 on a ResNet-18.
_LOOK_IF_OVER = 0.35


class Engine:
    """Attacks a stream of images with a batch that is kept full.

    Images that the model gets wrong as they are leave at once unless all are asked for. The others take a
    slot each; an image that is done gives its slot to the next. The step is one compiled graph that is never
    traced again, not at the end of the stream either, where the batch shrinks. Results do not depend on who
    shared the batch, but for the last bits of the libraries' arithmetic.

    Args:
        model: The model.
        attack: The attack.
        search: What is tried on each image.
        attempts: Restarts and targets.
        batch_size: Number of slots.
        seed: With each image's name, the source of all that is random.
        attacks_all: Whether images that are wrong already are attacked, too.
    """

    def __init__(
        self,
        model: AttackedModel,
        attack: StreamedAttack,
        *,
        search: Search,
        attempts: Attempts,
        batch_size: int,
        seed: int,
        attacks_all: bool = False,
    ) -> None:
        self.model = model
        self.attack = attack
        self.search = search
        self.attempts = attempts
        self.batch_size = batch_size
        self.seed = seed
        self.attacks_all = attacks_all
        self.statistics = Statistics()
        self.num_batches_read = 0
        self.waiting: deque[Task] = deque()
        self.tasks: list[Task | None] = []
        self.finished: dict[int, Task] = {}
        self.next_index = 0
        self.slots: Slots | None = None
        self.state: State | None = None
        self.num_judged = np.zeros(attack.num_steps + 1, np.int64)
        self.num_over = np.zeros(attack.num_steps + 1, np.int64)
        self.progress = Progress.none(0)
        self.starting: dict[int, Trial] = {}
        self.is_dry = False
        self.compiled: CompiledAttack | None = None

    def run(self, stream: Iterable[Mapping[str, Any]]) -> Iterator[list[ImageResult]]:
        """Attacks all images of a stream, from its beginning or from where a restored engine had got to.

        Args:
            stream: Batches as dictionaries: ``image`` (float32, ``(n, height, width, channels)``, [0, 1]; or,
                where rows of a table are attacked, ``(n, features)``, also under the name ``features``),
                ``label`` (integers) and ``image_id`` (texts); ``clean_logits`` if known already;
                ``fallen_at`` where smaller epsilons only are wanted; anything else is passed through.

        Yields:
            After each pass the results, in input order, that have become complete; often none. Between two
            of these the engine may be saved (``bioattack.attacks.snapshot``).

        Raises:
            InputError: If the stream is empty or holds what cannot be attacked, or the model gives NaN.
        """
        images = read_stream(
            stream,
            self.model,
            first_batch=self.num_batches_read,
            open_images=self._open if self._opens else None,
            needs_8_bits=self.attack.needs_8_bits,
            bounds=self.attack.bounds,
        )
        while True:
            self._fill(images)
            if self.is_dry and not any(self.tasks):
                break
            # No slot may be filled, and yet images be left: as many as may wait were wrong before.
            if any(self.tasks) and self.attack.has_cheap_look and self._expected_over() > _LOOK_IF_OVER:
                self._pass(is_look=True)
                self._fill(images)
            if any(self.tasks):
                self._pass(is_look=False)
            yield self._complete()
        yield self._complete(is_last=True)

    @property
    def _opens(self) -> bool:
        """Whether one pass can both classify an image and make the first move of all its trials."""
        return self.attack.opens_at_image and not self.attempts.num_targets

    def _complete(self, *, is_last: bool = False) -> list[ImageResult]:
        """Takes out finished images that no unfinished one stands before, and looks at them again as saved.

        Always ``batch_size`` at a time: which images share a call must depend on their order alone.
        """
        results: list[ImageResult] = []
        while True:
            ready = range(self.next_index, self.next_index + self.batch_size)
            tasks = [self.finished[index] for index in ready if index in self.finished]
            if not tasks or (len(tasks) < self.batch_size and not is_last):
                return results
            self.next_index += len(tasks)
            for task in tasks:
                del self.finished[task.image.index]
            chunk = [ImageResult(task.image, tuple(self._outcomes(task))) for task in tasks]
            look_again(chunk, self.model, self.batch_size, is_saved_as_found=self.attack.bounds is not None)
            results += chunk

    def _outcomes(self, task: Task) -> list[Outcome]:
        if not self._is_attacked(task):
            return []
        return self.search.outcomes(task.findings, task.attempts, task.image.fallen_at)

    # --- images in ---

    def _fill(self, images: Iterator[list[Image]]) -> None:
        """Starts the next trials, of the images in the slots and of new ones in the free slots."""
        for place in range(self.batch_size):
            if place < len(self.tasks) and self.tasks[place] is not None:
                continue
            task = self._next_task(images)
            if task is None:
                break
            if place == len(self.tasks):
                self.tasks.append(None)
            self.tasks[place] = task
            self.starting[place] = self.required_trial(place)
        self._start_trials()
        self._shrink()

    def _next_task(self, images: Iterator[list[Image]]) -> Task | None:
        while not self.waiting:
            if self.is_dry or self._is_window_full():
                return None
            batch = next(images, None)
            if batch is None:
                self.is_dry = True
                return None
            self.num_batches_read += 1
            self._take_in(batch)
        return self.waiting.popleft()

    def _take_in(self, batch: Sequence[Image]) -> None:
        for image in batch:
            image.index = self.statistics.num_images
            self.statistics.num_images += 1
            task = Task(image, self.attempts.list(image.clean_logits, image.label))
            if self._is_attacked(task) and self._next_trial(task) is not None:
                self.waiting.append(task)
            else:
                self._finish(task)

    def _finish(self, task: Task) -> None:
        task.image.opening = None
        self.finished[task.image.index] = task

    def _is_attacked(self, task: Task) -> bool:
        return self.attacks_all or task.image.is_correct

    def _is_window_full(self) -> bool:
        num_waiting = self.statistics.num_images - self.next_index
        kept = itertools.chain(filter(None, self.tasks), self.waiting, self.finished.values())
        num_bytes = next((task.image.pixels.nbytes for task in kept), 1)
        return num_waiting >= max(
            8 * self.batch_size, _WINDOW_BYTES // (num_bytes * (1 + self.search.num_outcomes))
        )

    def _next_trial(self, task: Task) -> Trial | None:
        return self.search.next_trial(task.findings, task.attempts, task.image.fallen_at)

    def required_trial(self, place: int) -> Trial:
        """Names the trial that is going on, or about to begin, in a slot that holds an image."""
        trial = self._next_trial(self._task_at(place))
        if trial is None:
            raise ValueError(f"the image in slot {place} is done")
        return trial

    def _start_trials(self) -> None:
        if not self.starting:
            return
        places = sorted(self.starting)
        trials = [self.starting[place] for place in places]
        self.starting = {}
        images = [self._task_at(place).image for place in places]
        slots = self._make_slots(images, trials)
        begin = time.perf_counter()
        state = self._started(slots, images)
        seconds = (time.perf_counter() - begin) / len(places)
        if self.slots is None or self.state is None or len(places) == len(self.tasks):
            self.slots, self.state = slots, state
        else:
            where = tf.constant(places, tf.int32)
            compiled = self._compiled_for(slots)
            put = compiled.put if places[-1] < len(self.slots.labels) else compiled.put_behind
            self.slots, self.state = put(self.slots, self.state, slots, state, where)
        self.progress.begin(places, len(self.tasks), steps=state["num_steps"].numpy(), seconds=seconds)

    def _compiled_for(self, slots: Slots) -> CompiledAttack:
        if self.compiled is None:
            self.compiled = compile_attack(self.model, self.attack, slots)
        return self.compiled

    def _started(self, slots: Slots, images: Sequence[Image]) -> State:
        openings = [image.opening for image in images if image.opening is not None]
        compiled = self._compiled_for(slots)
        if len(openings) < len(images):
            return compiled.start(slots)
        logits = np.stack([image.clean_logits for image in images])
        return compiled.start_opened(slots, tf.constant(logits), tf.constant(np.stack(openings)))

    def _open(self, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classifies images with the pass that gives the gradient for their first move."""
        target = UNTARGETED if self.attempts.target is None else self.attempts.target
        slots = Slots(
            originals=tf.constant(images),
            labels=tf.constant(labels, tf.int32),
            targets=tf.fill([len(labels)], target),
            epsilons=tf.zeros(len(labels)),
            keys=tf.zeros((len(labels), 2), tf.int32),
        )
        logits, gradients = self._compiled_for(slots).open(slots)
        return logits.numpy(), gradients.numpy()

    def _make_slots(self, images: Sequence[Image], trials: Sequence[Trial]) -> Slots:
        keys = [self._key(image, trial) for image, trial in zip(images, trials, strict=True)]
        return Slots(
            originals=tf.constant(np.stack([image.pixels for image in images])),
            labels=tf.constant([image.label for image in images], tf.int32),
            targets=tf.constant([trial.target for trial in trials], tf.int32),
            epsilons=tf.constant([trial.epsilon for trial in trials], tf.float32),
            keys=tf.constant(np.stack(keys), tf.int32),
        )

    def _key(self, image: Image, trial: Trial) -> np.ndarray:
        """Two numbers that depend on the seed, the image and the attempt alone; not on epsilon.

        So an image has the same start, scaled, at every epsilon, in one run and in separate ones.
        """
        words = f"{self.seed}/{self.attack.norm}/{trial.restart}/{trial.target}/{image.image_id}"
        return np.frombuffer(hashlib.sha256(words.encode()).digest()[:8], np.int32)

    def _shrink(self) -> None:
        """Leaves out the free slots once no image is left and a quarter of them are free.

        Not each as it becomes free: parts of a model may be compiled for each size of the batch.
        """
        if not self.is_dry or self.waiting:
            return
        places = self._places()
        if not len(places) or 4 * len(places) > 3 * len(self.tasks):
            return
        if self.compiled is None or self.slots is None or self.state is None:
            raise ValueError("nothing has been started")
        self.slots, self.state = self.compiled.take(self.slots, self.state, tf.constant(places, tf.int32))
        self.tasks = [self.tasks[place] for place in places]
        self.progress.keep(places)

    # --- passes ---

    def _places(self) -> np.ndarray:
        """The slots that hold an image."""
        return np.flatnonzero([task is not None for task in self.tasks])

    def _expected_over(self) -> float:
        """The share of images that will turn out to be over, going by all those that made as many steps."""
        expected = self.num_over / np.maximum(1, self.num_judged)
        expected[self.attack.num_steps] = 1.0
        return float(np.mean(expected[self.progress.steps[self._places()]]))

    def _pass(self, *, is_look: bool) -> None:
        if self.compiled is None or self.slots is None or self.state is None:
            raise ValueError("nothing has been started")
        start = time.perf_counter()
        act = self.compiled.look if is_look else self.compiled.advance
        self.state, report = act(self.slots, self.state)
        is_over, is_fooled, is_broken, num_steps = report.numpy()
        places, progress = self._places(), self.progress
        self._count(places, is_over, is_look=is_look)
        progress.seconds[places] += (time.perf_counter() - start) / len(places)
        progress.is_judged[places] = is_look
        broken = places[is_broken[places] > 0]
        if len(broken):
            raise InputError(
                f"model {self.model.name} gives NaN or infinite logits on the way from image "
                f"{self._task_at(broken[0]).image.image_id} (step {progress.steps[broken[0]]}); look for a "
                "root, a logarithm or a division at zero in it"
            )
        progress.steps = num_steps.astype(np.int64)
        self._take_out(places[is_over[places] > 0].tolist(), is_fooled)

    def _count(self, places: np.ndarray, is_over: np.ndarray, *, is_look: bool) -> None:
        judged = places[~self.progress.is_judged[places]]
        steps = self.progress.steps[judged]
        self.num_judged += np.bincount(steps, minlength=len(self.num_judged))
        self.num_over += np.bincount(steps[is_over[judged] > 0], minlength=len(self.num_over))
        statistics, num_idle = self.statistics, len(self.tasks) - len(places)
        statistics.num_looks += is_look
        statistics.num_passes += not is_look
        statistics.slot_passes += len(self.tasks)
        if self.is_dry and not self.waiting:
            statistics.idle_slot_passes_dry += num_idle
        else:
            statistics.idle_slot_passes += num_idle

    def _task_at(self, place: int) -> Task:
        task = self.tasks[place]
        if task is None:
            raise ValueError(f"slot {place} is free")
        return task

    def _take_out(self, places: Sequence[int], is_fooled: np.ndarray) -> None:
        """Notes what was found in the slots that are over, and what is to be done there next."""
        if not places or self.state is None:
            return
        where = tf.constant(places, tf.int32)
        images, logits, has_zero_gradient = (
            tf.gather(self.state[name], where).numpy()
            for name in ("adversarial_images", "logits", "has_zero_gradient")
        )
        found: list[Finding] = []
        for row, place in enumerate(places):
            task = self._task_at(place)
            trial = self.required_trial(place)
            found.append(
                Finding(
                    trial,
                    is_fooled=bool(is_fooled[place]),
                    length=length(images[row] - task.image.pixels, self.attack.norm),
                    margin=_margin(logits[row], task.image.label, self.attempts.target),
                    clean_margin=_margin(task.image.clean_logits, task.image.label, self.attempts.target),
                    num_steps=int(self.progress.steps[place]),
                    has_zero_gradient=bool(has_zero_gradient[row]),
                    seconds=float(self.progress.seconds[place]),
                    logits=logits[row],
                    adversarial_image=images[row],
                )
            )
        if self.search.goes_by_8_bits:
            self._judge_8_bits(places, found)
        for place, finding in zip(places, found, strict=True):
            task = self._task_at(place)
            task.findings.append(finding)
            if len(task.findings) > 1:
                self._forget_images(task)
            if (following := self._next_trial(task)) is not None:
                self.starting[place] = following
            else:
                self._finish(task)
                self.tasks[place] = None

    def _judge_8_bits(self, places: Sequence[int], findings: Sequence[Finding]) -> None:
        """Notes which of the images that fool still do once they are saved with 8 bits."""
        fooling = [
            (place, finding) for place, finding in zip(places, findings, strict=True) if finding.is_fooled
        ]
        if not fooling or self.compiled is None:
            return
        if self.attack.bounds is not None:
            for _, finding in fooling:
                finding.logits_8bit, finding.is_fooled_8bit = finding.logits, True
            return
        images = rounded_to_8_bits(np.stack([finding.required_image() for _, finding in fooling]))
        # A few sizes only: parts of a model may be compiled for each size of the batch that comes along.
        num_more = 2 ** math.ceil(math.log2(len(images))) - len(images)
        padded = np.pad(images, ((0, num_more), (0, 0), (0, 0), (0, 0)))
        logits = self.compiled.logits(tf.constant(padded)).numpy()[: len(images)]
        for (place, finding), its_logits in zip(fooling, logits, strict=True):
            finding.logits_8bit = its_logits
            predicted, target = int(its_logits.argmax()), self.attempts.target
            label = self._task_at(place).image.label
            finding.is_fooled_8bit = predicted != label if target is None else predicted == target

    def _forget_images(self, task: Task) -> None:
        outcomes = self.search.outcomes(task.findings, task.attempts, task.image.fallen_at)
        kept = {id(outcome.finding) for outcome in outcomes}
        for finding in task.findings:
            if id(finding) not in kept:
                finding.adversarial_image = None


def look_again(
    results: Sequence[ImageResult], model: AttackedModel, batch_size: int, *, is_saved_as_found: bool = False
) -> None:
    """Notes with each finding what the model makes of its image once that is saved with 8 bits.

    Args:
        results: The results, of which those not looked at yet are.
        model: The model.
        batch_size: Images per call.
        is_saved_as_found: Whether nothing is lost in saving, as with rows of a table.
    """
    findings = list(
        {
            id(outcome.finding): outcome.finding
            for result in results
            for outcome in result.outcomes
            if outcome.finding is not None and outcome.finding.logits_8bit is None
        }.values()
    )
    for start in range(0, len(findings), batch_size):
        some = findings[start : start + batch_size]
        if is_saved_as_found:
            for finding in some:
                finding.logits_8bit = finding.logits
            continue
        images = np.stack([finding.required_image() for finding in some])
        for finding, logits in zip(some, model.logits(rounded_to_8_bits(images)).numpy(), strict=True):
            finding.logits_8bit = logits


def rounded_to_8_bits(images: np.ndarray) -> np.ndarray:
    """Gives the images as a PNG file holds them: every value ``k / 255``, float32."""
    return np.round(images * 255).astype(np.float32) / np.float32(255)


def _margin(logits: np.ndarray, label: int, target: int | None) -> float:
    """How far an image is from success: true class over best other, or best other over target."""
    aim = label if target is None else target
    # Three times as fast as `np.delete`, once for every image that is over.
    others = logits.copy()
    others[aim] = -np.inf
    lead = float(logits[aim] - others.max())
    return lead if target is None else -lead
