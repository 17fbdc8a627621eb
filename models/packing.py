"""Several prompts with their programs in one row, without padding and without one seeing another.

Positions begin at 0 again at each prompt: transformers takes a row of such positions without an attention mask for several
sequences, and no token attends to another sequence's (`masking_utils.find_packed_sequence_indices`).
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from contracts.errors import UserError
from contracts.sections import ModelConfig
from models.load import load_config
from models.scoring import logprobs_of

Pair = tuple[Sequence[int], Sequence[int]]
"""A prompt's tokens and its program's."""


def plan_rows(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Indices by row: the longest first, each into the first row with room (first-fit decreasing).

    What is longer than `capacity` gets a row of its own.
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        length = lengths[index]
        fitting = next((row for row, left in enumerate(room) if length <= left), len(rows))
        if fitting == len(rows):
            rows.append([])
            room.append(capacity)
        rows[fitting].append(index)
        room[fitting] -= length
    return rows


def packed_logprobs(model: PreTrainedModel, pairs: Sequence[Pair], device: str | torch.device = "cpu") -> Tensor:
    """[N] log-probs of the N program tokens of one row, program after program, float32, in nats."""
    columns: list[int] = []
    positions: list[int] = []
    targets: list[int] = []
    length = 0
    for prompt, program in pairs:
        size = len(prompt) + len(program)
        columns += range(length + len(prompt) - 1, length + size - 1)  # where each program token is drawn
        positions += range(size)
        targets += program
        length += size
    ids = torch.tensor([[token for pair in pairs for part in pair for token in part]], device=device)
    logits = _logits(model, ids, torch.tensor([positions], device=device), torch.tensor(columns, device=device))
    return logprobs_of(logits.float(), torch.tensor(targets, device=device))


def check_packable(config: ModelConfig) -> None:
    """Raises UserError, before the model is loaded, where it is an encoder and a decoder."""
    if load_config(config.path).is_encoder_decoder if config.path else config.kind == "encoder_decoder":
        raise UserError("learner.pack_tokens is for decoders, and this model has an encoder", "Set learner.pack_tokens=0")


def refuse_unpackable(model: PreTrainedModel) -> None:
    """Raises UserError where a program would see another one of its row."""
    one, other, observed = ([1, 2, 3], [4, 5]), ([6, 7, 8], [9, 10]), ([11, 12], [13, 14, 15])
    apart = "position_ids" in _parameters(model)
    if apart:
        with torch.no_grad():
            after_one, after_other = (packed_logprobs(model, [before, observed], model.device)[2:] for before in (one, other))
        apart = torch.equal(after_one, after_other)  # masked tokens weigh nothing at all, in any precision
    if not apart:
        raise UserError(
            f"{type(model).__name__} lets programs of one row see each other",
            "Set learner.pack_tokens=0: each program has a row of its own then",
        )


def _logits(model: PreTrainedModel, ids: Tensor, positions: Tensor, columns: Tensor) -> Tensor:
    """[N, V] at N columns of one row."""
    if "logits_to_keep" in _parameters(model):
        return model(input_ids=ids, position_ids=positions, use_cache=False, logits_to_keep=columns).logits[0]
    return model(input_ids=ids, position_ids=positions, use_cache=False).logits[0, columns]


def _parameters(model: PreTrainedModel) -> set[str]:
    return set(inspect.signature(getattr(model, "module", model).forward).parameters)
