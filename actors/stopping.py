"""Ends the rows of a sampled batch after whose programs a stop text follows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, StoppingCriteria

from models.answers import AnswerForm

BYTES_PER_CHARACTER = 4


class StopTexts(StoppingCriteria):
    """Looks at what each row wrote last, at every step; transformers' own criterion would also find stop texts that begin in the
    prompt, and those in the words before a fence."""

    def __init__(self, form: AnswerForm, tokenizer: PreTrainedTokenizerFast, start: int, fn_names: Sequence[str | None]) -> None:
        """start: tokens of a row before the first generated one; fn_names: the function of each row's problem."""
        self.lengths: dict[int, int] = {}
        """Row → tokens that it had generated when it ended here."""
        self._form = form
        self._decode = tokenizer.backend_tokenizer.decode
        self._start = start
        self._fn_names = fn_names
        # A token has one byte or more. One token before these: decoders drop the blank that a text begins with.
        self._recent = 1 + max(len(stop) for stop in form.stop) * BYTES_PER_CHARACTER

    def __call__(self, input_ids: Tensor, scores: Tensor | None, **kwargs: object) -> Tensor:  # noqa: ARG002 - the base's
        """input_ids: [B, tokens so far]. Returns [B] bool, the rows that have ended."""
        length = input_ids.shape[1] - self._start
        for row, recent in enumerate(input_ids[:, self._start :][:, -self._recent :].tolist()):
            if row not in self.lengths and self._seen_in(self._decode(recent)) and self._stopped(row, input_ids[row]):
                self.lengths[row] = length
        return torch.tensor([row in self.lengths for row in range(len(input_ids))], device=input_ids.device)

    def _seen_in(self, text: str) -> bool:
        return any(stop in text for stop in self._form.stop)

    def _stopped(self, row: int, ids: Tensor) -> bool:
        return self._form.read(self._decode(ids[self._start :].tolist()), fn_name=self._fn_names[row]).stopped
