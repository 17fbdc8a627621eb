"""An evaluation's folder while it grows: samples.jsonl line by line, summary.json now and then.

samples.jsonl is all there is to go on from: it is written a batch at a time, and what a kill left of an incomplete batch is cut
off. Everything in summary.json follows from its lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from contracts.config import Recipe
from contracts.errors import RunError, UserError
from contracts.evaluation import EvaluationSummary, Sample, decode_sample, encode_samples, write_evaluation
from contracts.files import write_in_one_move
from contracts.recipe import write_recipe
from rltf.runs import check_kept, check_replaceable, check_same_recipe, check_space, make_anew
from rltf.summing import About, summarise
from rltf.tally import Tally

SAMPLES = "samples.jsonl"
SUMMARY = "summary.json"
_WRITTEN = 4
"""Times that a summary of what is there so far is written."""

Key = tuple[str, str, int, str]
"""A sample's `key`."""


class Recording:
    """Writes an evaluation's folder; a context manager. However it ends once it has begun, the folder has a summary."""

    def __init__(self, folder: Path, about: About, programs: int) -> None:
        """`programs`: how many are to come, so that a summary is written at some shares of them."""
        folder.mkdir(parents=True, exist_ok=True)
        self.tally = Tally()
        self.about = about
        self._folder = folder
        self._every = max(1, programs // _WRITTEN)
        self._file = (folder / SAMPLES).open("r+b" if (folder / SAMPLES).exists() else "w+b", buffering=0)
        self._begun = self._done = False

    def resume(self, batches: Sequence[Sequence[Key]], codes: Iterator[str] | None = None) -> int:
        """Count in the whole batches that are there, cut off what follows them; returns how many they are.

        `codes`: of all programs in order, where they are known before; those of the whole batches are taken from it.
        Raises UserError where the lines are of other programs than the batches', which are their keys in order, or than `codes`.
        """
        with (self._folder / SAMPLES).open("rb") as file:
            whole = end = 0
            for batch in batches:
                lines = [file.readline() for _ in batch]
                if not lines[-1].endswith(b"\n"):
                    break
                self._count(lines, batch, codes)
                whole, end = whole + 1, file.tell()
            if whole == len(batches) and file.read(1):
                raise self._of_others()
        self._file.truncate(end)
        self._file.seek(end)
        self._begun = True
        self._write("running")
        return whole

    def add(self, samples: Sequence[Sample]) -> None:
        """Append a batch. Raises RunError where the executors fail too often."""
        self._begun = True
        before = self.tally.programs // self._every
        self._file.write(encode_samples(samples))
        for sample in samples:
            self.tally.add(sample)
        if self.tally.programs // self._every > before:
            self._write("running")
        self.tally.stop_where_hopeless(self.about.most_failed)

    def finish(self) -> EvaluationSummary:
        """All programs are there. Raises RunError where none of them has a verdict."""
        if not any(count.scored for count in self.tally.settings.get(self.about.main, {}).values()):
            raise RunError("no program could be judged", "See `rltf doctor`")
        self._done = True
        return self._write("done")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        if self._begun and not self._done:
            self._write("interrupted")

    def _count(self, lines: Sequence[bytes], batch: Sequence[Key], codes: Iterator[str] | None) -> None:
        try:
            samples = [decode_sample(line) for line in lines]
        except ValueError as err:  # msgspec's too
            raise UserError(f"{self._folder / SAMPLES} cannot be read: {err}", "Leave out --resume to begin anew") from err
        if [sample.key for sample in samples] != list(batch):
            raise self._of_others()
        if codes is not None and [sample.code for sample in samples] != list(islice(codes, len(batch))):
            raise UserError(
                f"{self._folder / SAMPLES} is of other programs than those in the file",
                "Resume with the file as it was, or leave out --resume",
            )
        for sample in samples:
            self.tally.add(sample)

    def _of_others(self) -> UserError:
        return UserError(
            f"{self._folder / SAMPLES} is of other problems or another way of decoding",
            "Resume as the evaluation was started, or leave out --resume",
        )

    def _write(self, status: Literal["running", "interrupted", "done"]) -> EvaluationSummary:
        summary = summarise(self.tally, self.about, status)
        write_evaluation(summary, self._folder / SUMMARY)
        return summary


def check_folder(folder: Path, recipe: Recipe | None, sources: Iterable[Path] = (), *, resume: bool) -> None:
    """See whether an evaluation can begin, or be resumed, in this folder; changes nothing. Raises UserError where it can't.

    `recipe` None: it is one of programs from a file. `sources`: what is to be read, and may not be in its way.
    """
    check_kept(folder, sources, "Choose another --output")
    if not resume:
        check_replaceable(folder, SAMPLES, "an evaluation", "Choose another --output")
        check_space(folder)
        return
    if not (folder / SAMPLES).is_file() or not (folder / ("config.yaml" if recipe else SUMMARY)).is_file():
        raise UserError(f"there is no evaluation to resume in {folder}", "Leave out --resume to start one")
    if recipe is not None:
        check_same_recipe(folder, recipe, "or choose another --output")
    check_space(folder)


def begin_folder(folder: Path, recipe: Recipe | None) -> None:
    """Make the folder anew; an evaluation that was there before is kept, once, as NAME~previous."""
    make_anew(folder)
    write_in_one_move(folder / SAMPLES, b"")
    if recipe is not None:
        write_recipe(recipe, folder / "config.yaml")
