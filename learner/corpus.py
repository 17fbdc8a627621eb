"""The supervised side: which corpus programs L_sl sees at which step."""

from __future__ import annotations

import random
from collections.abc import Sequence

from transformers import PreTrainedTokenizerFast

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.records import Problem
from learner.advantages import Row
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

        Programs longer than `sampling.max_new_tokens` are passed over. Raises UserError where no program fits.
        """
        draws = random.Random("/".join(map(str, seed)))
        rows: list[Row] = []
        misses = 0
        while len(rows) < count:
            row = self._row(draws.randrange(len(self._pairs))) if self._pairs else None
            if row is not None:
                rows.append(row)
            elif (misses := misses + 1) > 100 * count:
                raise UserError(
                    f"no corpus program fits into sampling.max_new_tokens={self._recipe.sampling.max_new_tokens}",
                    "Raise it, or set learner.sl_samples=0 to train without L_sl",
                )
        return rows

    def _row(self, index: int) -> Row | None:
        if index not in self._rows:
            problem, text = self._pairs[index]
            program = encode_program(text, self._tokenizer, self._recipe.sampling.max_new_tokens)
            prompt = build_prompt(problem, self._tokenizer, self._recipe.prompt)
            self._rows[index] = None if program is None else Row(prompt.token_ids, program)
        return self._rows[index]
