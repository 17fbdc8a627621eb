"""Log-probs of given programs under a model: the one forward pass that learner, tests and self-checks share."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel


@dataclass(frozen=True)
class TokenBatch:
    """B prompts of at most P tokens and their programs of at most T tokens, padded.

    Prompts are padded on the left and programs on the right, so that all programs start in one column, as in sampling.
    """

    prompt_ids: Tensor
    """[B, P] int64"""
    prompt_mask: Tensor
    """[B, P] int64, 1 on tokens"""
    program_ids: Tensor
    """[B, T] int64"""
    program_mask: Tensor
    """[B, T] int64, 1 on tokens"""


def collate(
    prompts: Sequence[Sequence[int]], programs: Sequence[Sequence[int]], pad: int, device: str | torch.device = "cpu"
) -> TokenBatch:
    """Pad B prompts and their B programs."""
    prompt_ids, prompt_mask = pad_rows(prompts, pad, left=True)
    program_ids, program_mask = pad_rows(programs, pad)
    return TokenBatch(prompt_ids.to(device), prompt_mask.to(device), program_ids.to(device), program_mask.to(device))


def pad_rows(rows: Sequence[Sequence[int]], pad: int, *, left: bool = False) -> tuple[Tensor, Tensor]:
    """Ragged rows as one [B, longest] int64 tensor, and its mask."""
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad, dtype=torch.int64)
    mask = torch.zeros((len(rows), width), dtype=torch.int64)
    for i, row in enumerate(rows):
        where = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, where] = torch.tensor(row, dtype=torch.int64)
        mask[i, where] = 1
    return ids, mask


class Scores(NamedTuple):
    """What a model says about B programs."""

    logprobs: Tensor
    """[B, T] log-softmax(logits / temperature) of each program token, float32, in nats; 0 on padding"""
    entropy: Tensor
    """[B, T] entropy of the distribution that each token is drawn from, without gradient; 0 on padding"""


def score(model: PreTrainedModel, batch: TokenBatch, temperature: Tensor | float = 1.0) -> Scores:
    """One forward pass. temperature: one, or [B]."""
    logits = _scaled_logits(model, batch, temperature)
    return Scores(_chosen(logits, batch), _entropy(logits.detach()) * batch.program_mask)


def token_logprobs(model: PreTrainedModel, batch: TokenBatch, temperature: Tensor | float = 1.0) -> Tensor:
    """The log-probs of `score` alone."""
    return _chosen(_scaled_logits(model, batch, temperature), batch)


def _scaled_logits(model: PreTrainedModel, batch: TokenBatch, temperature: Tensor | float) -> Tensor:
    each = temperature.view(-1, 1, 1) if isinstance(temperature, Tensor) else temperature
    return _program_logits(model, batch).float() / each


def logprobs_of(logits: Tensor, tokens: Tensor) -> Tensor:
    """[...] log-softmax(logits) of the given tokens. logits: [..., V]; tokens: [...]."""
    return logits.gather(-1, tokens.unsqueeze(-1)).squeeze(-1) - logits.logsumexp(-1)


def _chosen(logits: Tensor, batch: TokenBatch) -> Tensor:
    return logprobs_of(logits, batch.program_ids) * batch.program_mask


def _entropy(logits: Tensor) -> Tensor:
    """[B, T], program by program: all at once would take the logits' memory twice more."""
    return torch.stack([torch.distributions.Categorical(logits=row, validate_args=False).entropy() for row in logits])


def _program_logits(model: PreTrainedModel, batch: TokenBatch) -> Tensor:
    """The logits that each program token was drawn from, [B, T, V]."""
    length = batch.program_ids.shape[1]
    unwrapped = getattr(model, "module", model)  # a DeepSpeed engine hides its model's configuration and signature
    if unwrapped.config.is_encoder_decoder:
        start = torch.full_like(batch.program_ids[:, :1], unwrapped.config.decoder_start_token_id)
        output = model(
            input_ids=batch.prompt_ids,
            attention_mask=batch.prompt_mask,
            decoder_input_ids=torch.cat([start, batch.program_ids[:, :-1]], dim=1),
            use_cache=False,
        )
        return output.logits
    mask = torch.cat([batch.prompt_mask, batch.program_mask], dim=1)
    inputs = {
        "input_ids": torch.cat([batch.prompt_ids, batch.program_ids], dim=1),
        "attention_mask": mask,
        "use_cache": False,
    }
    accepted = inspect.signature(unwrapped.forward).parameters
    if "position_ids" in accepted:  # absolute positions must not count the padding
        inputs["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
    if "logits_to_keep" in accepted:  # the prompt's logits would be the larger part of the memory
        inputs["logits_to_keep"] = length + 1
    return model(**inputs).logits[:, -length - 1 : -1]
