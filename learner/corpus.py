"""The supervised side: which corpus programs L_sl sees at which step."""

from __future__ import annotations

import random
from collections.abc import Sequence

from transformers import PreTrainedTokenizerFast

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.records import Problem
from learner.advantages import Row
from models.answers import AnswerForm
from models.prompts import build_prompt, encode_program


class Corpus:
    """All (prompt, corpus program) pairs of a problem set, tokenised when first drawn."""

    def __init__(self, problems: Sequence[Problem], tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> None:
        self._pairs = [(problem, text) for problem in problems for text in problem.corpus]
        self._tokenizer = tokenizer
        self._recipe = recipe
        self._rows: dict[int, Row | None] = {}

    def __len__(self) -> int:
        return len(self._pairs)

    def draw(self, count: int, *seed: object) -> list[Row]:
        """`count` programs drawn at random with replacement: a pure function of the seed (any parts: stage, step …).

        Programs longer than `sampling.max_new_tokens`, and those that cannot be written as the recipe's answers, are passed over.
        Raises UserError where there is none, or none is left.
        """
        if not self._pairs:
            raise UserError(
                "the training problems have no solutions to imitate",
                "Add solutions.json or corpus.json, or set learner.sl_samples=0, warmup.steps=0 and control=false",
            )
        if all(self._row(index) is None for index in range(len(self._pairs))):
            tokens, answer = self._recipe.sampling.max_new_tokens, self._recipe.prompt.answer
            raise UserError(
                f"no corpus program fits into sampling.max_new_tokens={tokens}, or none can be written as prompt.answer={answer}",
                "Change them, or set learner.sl_samples=0 to train without L_sl",
            )
        draws = random.Random("/".join(map(str, seed)))
        rows: list[Row] = []
        while len(rows) < count:
            row = self._row(draws.randrange(len(self._pairs)))
            if row is not None:
                rows.append(row)
        return rows

    def _row(self, index: int) -> Row | None:
        if index not in self._rows:
            problem, text = self._pairs[index]
            self._rows[index] = self._encoded(problem, text)
        return self._rows[index]

    def _encoded(self, problem: Problem, text: str) -> Row | None:
        recipe = self._recipe
        answer = AnswerForm(recipe.prompt.answer, recipe.sampling.stop).write(text, problem.starter_code)
        if answer is None:
            return None
        program = encode_program(answer, self._tokenizer, recipe.sampling.max_new_tokens)
        return None if program is None else Row(build_prompt(problem, self._tokenizer, recipe.prompt).token_ids, program)
