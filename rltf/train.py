"""One run from problems to report: the stages, each left out where a resumed run has finished it.

problems → model → warm start → evaluation → supervised control → evaluation → online RLTF → evaluation → report

A recipe may leave out the warm start, the control, and online RLTF with its evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import ray
import torch

from buffer.redis_buffer import RedisBuffer
from buffer.server import EmbeddedRedis, url_of
from contracts import logs
from contracts import metrics as m
from contracts.config import Recipe
from contracts.counts import add, number_of, summed
from contracts.errors import UserError
from contracts.records import decode_labelled
from learner.checkpoint import remove_old, size_of, step_folder, written_whole
from learner.step_metrics import StepMetrics
from models.load import check_model_path
from models.packing import check_packable
from models.prompts import prompt_text
from models.tiny import build_model, train_tokenizer
from problems.order import ProblemOrder
from problems.sets import load_problem_set
from rltf.board import Values
from rltf.cluster import Cluster
from rltf.course import Course
from rltf.evaluations import Evaluations, count_again
from rltf.examples import append_examples, forget_examples
from rltf.host import address_of, driver_host
from rltf.job import in_own_copy
from rltf.joining import connected
from rltf.lag import lag_bound
from rltf.locks import alone_in
from rltf.loop import OnlineLoop
from rltf.monitor import Monitor
from rltf.progress import Progress, shares
from rltf.pulse import Pulse, what_it_has, zeros
from rltf.record import Record, example_of
from rltf.report import write_report
from rltf.reserving import reserve
from rltf.roles import roles_of
from rltf.runs import RunFolder, State, anchored
from rltf.supervised import Stage, finish_stage, newest_checkpoint, remove_finished, run_stage, unfinished
from rltf.totals import take_counts
from rltf.upload import Upload
from rltf.verified import verified
from rltf.wording import problems_in_words, warning_of_few

TOKENIZER_TEXTS = 2000


class Run:
    """A run's parts, and its stages as methods."""

    def __init__(self, recipe: Recipe, progress: Progress, *, resume: bool = False, warmup_only: bool = False) -> None:
        self._recipe = recipe = anchored(recipe)
        self._progress = progress
        self._resume = resume
        self._warmup_only = warmup_only
        self._folder = RunFolder(recipe.folder.absolute())

    def execute(self) -> None:
        """Run all stages. The run folder has a summary and a report however it ends; Ctrl-C ends everything that was started.

        Raises UserError, before anything is written, where another process is at work in the run folder.
        """
        recipe = self._recipe
        if recipe.model.path:
            check_model_path(recipe.model.path, recipe.context, recipe.prompt)
        elif recipe.prompt.chat:
            raise UserError("prompt.chat=true, and the tiny model that is made has no chat template", "Set model.path")
        if recipe.learner.pack_tokens:
            check_packable(recipe.model)
        with alone_in(self._folder.path, "the run"):
            self._state = self._folder.begin(recipe, resume=self._resume, tell=self._progress.note)
            self._go_on()

    def _go_on(self) -> None:
        """From the state that the folder has, to the end."""
        recipe = self._recipe
        remove_finished(self._folder, self._state)
        kept = {"online": self._state.step} | unfinished(self._state)
        forget_examples(self._folder.path, self._state.step)
        count_again(self._folder, self._state.totals)
        run, path, host = self._state.run, self._folder.path, driver_host(recipe)
        log = logs.to_file(path / logs.FILE, run, "driver")
        monitor = Monitor(run, path, recipe.monitor, host=host, kept=kept, note=self._progress.note)
        copies = Upload(recipe.upload, path, self._progress.note, monitor.post, lasts=not in_own_copy(recipe))
        with log, copies as self._upload, monitor as self._monitor:
            logs.info("run resumed" if self._resume else "run begun", self._state.step, node=host, metrics=monitor.address)
            self._pulse = Pulse(monitor.post, path)
            self._pulse.beat(self._state.totals.values)
            if newest := newest_checkpoint(self._folder, self._state):
                self._tell_size(newest)
            self._record = Record(recipe, self._folder, self._state, resume=self._resume)
            self._course = Course(self._progress, self._record, monitor, self._pulse)
            self._evaluations = Evaluations(recipe, self._folder, self._state.totals, self._course)
            try:
                self._upload.begin()
                self._stages()
                self._record.finish("done")
                logs.info("run done")
                self._progress.stage("report")
                if not self._warmup_only:
                    self._progress.table(*self._record.table())
            except BaseException as err:
                if isinstance(err, KeyboardInterrupt):
                    self._record.finish("interrupted", err)
                    logs.warning("run interrupted")
                else:
                    self._record.finish("failed", err)
                    logs.error("run failed", err)
                raise
            finally:
                report = write_report(path)
                if not in_own_copy(recipe):
                    self._progress.note(f"report: {report}")
                    if address_of(recipe):
                        self._progress.note(f"results: {path} on node {host}")

    def _stages(self) -> None:
        recipe, critic = self._recipe, self._recipe.objective.reference.critic
        with ExitStack() as stack:
            with self._course.stage("problems"):
                self._problems = load_problem_set(recipe.problems, self._folder.path, recipe.seed)
                self._progress.note(problems_in_words(self._problems))
                if few := warning_of_few(len(self._problems.heldout)):
                    self._progress.note(few)
            self._record.problems(self._problems)
            if recipe.problems.corpus == "verified":
                self._verify_corpus()
            base = self._base_model()
            url = url_of(recipe.buffer) or stack.enter_context(self._embedded_redis()).url
            self._buffer = RedisBuffer(url, self._state.run, recipe.buffer)
            stack.callback(self._buffer.close)
            stack.enter_context(connected(recipe))
            with self._course.stage("actors"):
                files = [path for path in (self._folder.path, Path(base), critic) if path and path.is_dir()]
                alive = partial(self._pulse.progress, self._state.totals.values)
                places = reserve(recipe.ray, roles_of(recipe), files, self._progress.note, alive)
                self._cluster = Cluster(recipe, base, self._problems, places, run=self._state.run)
                self._cluster.open_buffer(url, self._state.run)
            tiers = ray.get([executor.tier.remote() for executor in self._cluster.executors])
            self._monitor.post({**what_it_has(recipe, tiers), **zeros(self._problems)})
            self._cluster.start_learner(base, recipe.learner.optimizer, 1)
            self._record.model(self._cluster.on_ranks("describe")[0])
            start = self._warm_start(base)
            if self._warmup_only:
                return
            self._evaluations.make("start", start, self._cluster, self._problems.heldout)
            if recipe.control:
                self._control(start)
            if recipe.online:
                self._online(start)

    def _verify_corpus(self) -> None:
        """Leave in the corpus only the programs that pass."""
        before, whole = self._problems, sum(len(problem.corpus) for problem in self._problems.train)

        def tell(programs: int) -> None:
            self._progress.update(programs)
            self._pulse.progress(self._state.totals.values)

        with self._course.stage("verified corpus", whole, "program"):
            train = verified(before.train, self._recipe, self._folder.path, tell)
        self._problems = replace(before, train=train)
        kept = sum(len(problem.corpus) for problem in train)
        self._progress.note(f"{kept} of {whole} corpus programs pass their problem's tests: the others are not imitated")
        self._record.corpus(whole, kept)

    def _embedded_redis(self) -> EmbeddedRedis:
        return EmbeddedRedis(self._folder.redis, driver_host(self._recipe))

    def _base_model(self) -> str:
        """The model to begin with: the recipe's, or a tiny one made on the spot."""
        recipe = self._recipe
        if recipe.model.path:
            return recipe.model.path
        folder = self._folder.checkpoints / "base"
        if not folder.is_dir():
            self._progress.stage("tiny model")
            train = self._problems.train[:TOKENIZER_TEXTS]
            texts = (prompt_text(p, p.question, recipe.prompt) + text for p in train for text in p.corpus)
            tokenizer = train_tokenizer(texts, recipe.model.vocab_size, recipe.context)
            torch.manual_seed(recipe.seed)
            with written_whole(folder) as partial:
                build_model(recipe.model, tokenizer).save_pretrained(partial)
                tokenizer.save_pretrained(partial)
        return str(folder)

    def _warm_start(self, base: str) -> str:
        """Supervised steps on the corpus; returns the folder of the model that all that follows starts from."""
        warmup, folder = self._recipe.warmup, self._folder.checkpoints / "start"
        if not warmup.steps:
            return base
        if "warm start" not in self._state.done:
            self._supervised(Stage("warm start", base, warmup.optimizer, warmup.steps, warmup.batch))
            self._export(folder)
            self._finish_stage("warm start")
        return str(folder)

    def _control(self, start: str) -> None:
        """As many supervised steps from the same start as the online stage makes."""
        recipe, folder = self._recipe, self._folder.checkpoints / "control"
        if "control" not in self._state.done:
            self._supervised(Stage("control", start, recipe.learner.optimizer, recipe.steps, recipe.learner.sl_samples))
            self._export(folder)
            self._finish_stage("control")
        self._evaluations.make("control", str(folder), self._cluster, self._problems.heldout)

    def _online(self, start: str) -> None:
        """Online RLTF."""
        recipe, folder = self._recipe, self._folder.checkpoints / "final"
        if "online" not in self._state.done:
            self._cluster.start_learner(start, recipe.learner.optimizer, recipe.steps * recipe.learner.updates)
            self._cluster.on_ranks("load_frozen", start)
            if self._state.step:
                self._cluster.on_ranks("load", step_folder(self._folder.checkpoints, self._state.step))
                self._buffer.rewind(self._state.step, self._state.sequence, self._state.drawn)
            else:
                self._buffer.clear()
            ray.get(self._cluster.publish(self._state.step))
            ids = [problem.id for problem in self._problems.train]
            order = ProblemOrder(ids, recipe.seed, min(recipe.sampling.problems_per_batch, len(ids)))
            loop = OnlineLoop(self._cluster, self._buffer, order, self._state, self._on_step, self._on_checkpoint, self._pulse)
            with self._course.stage("online", recipe.steps, title="online RLTF"):
                self._progress.note(f"lag is at most {lag_bound(recipe).bound} steps: {lag_bound(recipe).formula}")
                try:
                    loop.run()
                finally:
                    self._record.progressed(loop.reported, loop.totals)
            self._export(folder)
            self._buffer.clear()
            self._finish_stage("online")
        self._evaluations.make("final", str(folder), self._cluster, self._problems.heldout)

    def _supervised(self, stage: Stage) -> None:
        def tell(done: int, rows: Sequence[StepMetrics]) -> None:
            totals = self._state.totals
            for step, row in enumerate(rows, start=done + 1):
                add(totals.supervised, take_counts(row))
                self._monitor.record(stage.name, {m.STEP.name: step, **row})
            self._pulse.progress(totals.values)
            loss = rows[-1][m.LOSS.name]
            assert isinstance(loss, dict)
            self._progress.update(done + len(rows), loss=f"{loss['sl']:.3f}")

        with self._course.stage(stage.name, stage.steps):
            every = self._recipe.checkpoint.every
            run_stage(stage, self._cluster, self._folder, self._state, every, tell, self._on_supervised_checkpoint)

    def _on_step(self, step: int, metrics: Values, example: bytes | None) -> None:
        self._monitor.record("online", metrics)
        seconds = number_of(metrics, m.STEP_SECONDS)
        self._record.stepped(seconds)
        self._progress.update(
            step,
            passed=f"{number_of(metrics, m.PASS_RATE):.2f}",
            outcomes=shares(summed(metrics, m.PROGRAMS, "outcome", split="train")),
            buffer=f"{number_of(metrics, m.BUFFER_FILL):.0f}",
            lag=f"{number_of(metrics, m.LAG_MEAN):.1f}",
            step_seconds=f"{seconds:.2f}",
            programs_per_second=f"{self._recipe.samples_per_step / seconds:.0f}",
        )
        if example is not None and self._record.wants_example(step):
            append_examples(self._folder.path, [example_of(decode_labelled(example), self._problems.train, step)])

    def _on_checkpoint(self, state: State) -> None:
        folder = step_folder(self._folder.checkpoints, state.step)
        with written_whole(folder) as partial:
            self._cluster.on_ranks("save", partial)
            self._cluster.on_ranks("export", partial / "model")
        self._state = state
        self._folder.save(state)
        self._record.progressed(state.step, state.totals)
        self._buffer.commit(state.step)
        self._tell_size(folder)
        logs.info("checkpoint", state.step, folder=str(folder))
        remove_old(self._folder.checkpoints, self._recipe.checkpoint.keep)
        self._upload.in_background()

    def _on_supervised_checkpoint(self, checkpoint: Path) -> None:
        self._tell_size(checkpoint)
        self._upload.in_background()

    def _tell_size(self, checkpoint: Path) -> None:
        self._monitor.post({m.CHECKPOINT_BYTES.name: size_of(checkpoint)})

    def _export(self, folder: Path) -> None:
        with written_whole(folder) as partial:
            self._cluster.on_ranks("export", partial)

    def _finish_stage(self, stage: str) -> None:
        finish_stage(stage, self._folder, self._state)
        self._upload.in_background()
