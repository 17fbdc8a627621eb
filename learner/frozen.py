"""Models that only score: the reference that KL keeps the policy near, and the critic of the published implementation."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForTokenClassification, PretrainedConfig, PreTrainedModel

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.records import Outcome
from models.load import DTYPES, load_config, load_model
from models.scoring import TokenBatch, token_logprobs

CLASSES = (Outcome.PASS, Outcome.FAILURE, Outcome.RUNTIME_ERROR, Outcome.SYNTAX_ERROR)
"""The critic's labels, in order."""


class Frozen:
    """Each is absent where the objective has no use for it. Every rank holds them whole."""

    def __init__(self, recipe: Recipe, start: str, device: str | torch.device) -> None:
        """`start`: the folder of the weights that the stage begins with.

        Raises UserError for a critic that is none or does not fit.
        """
        objective, precision = recipe.objective, recipe.deepspeed.precision
        self._reference = _still(load_model(start, precision), device) if objective.kl else None
        self._critic = None
        if objective.kind == "rltf_reference" and objective.reference.critic is not None:
            self._critic = _still(load_critic(objective.reference.critic, precision), device)
            _check_fits(self._critic.config, load_config(start), recipe)

    def reference_logprobs(self, batch: TokenBatch, temperature: Tensor) -> Tensor | None:
        """[B, T] under the reference."""
        if self._reference is None:
            return None
        with torch.no_grad():
            return token_logprobs(self._reference, batch, temperature)

    def critic_weights(self, batch: TokenBatch, outcomes: list[Outcome]) -> Tensor | None:
        """[B, T] the critic's probability, at each program token, of the program's true outcome (CodeRL, arXiv 2207.01780)."""
        if self._critic is None:
            return None
        with torch.no_grad():
            logits = critic_logits(self._critic, batch)
        classes = torch.tensor([CLASSES.index(outcome) for outcome in outcomes], device=logits.device)
        return logits.softmax(-1)[torch.arange(len(outcomes)), :, classes] * batch.program_mask


def critic_logits(critic: PreTrainedModel, batch: TokenBatch) -> Tensor:
    """[B, T, 4] float32, what a token classifier says at each program token; whatever, on padding."""
    width, padding = batch.program_ids.shape[1], (batch.prompt_mask == 0).sum(1).tolist()
    back = [-n for n in padding]  # padding goes last: positions must not count it
    ids = _rolled(torch.cat([batch.prompt_ids, batch.program_ids], dim=1), back)
    mask = _rolled(torch.cat([batch.prompt_mask, batch.program_mask], dim=1), back)
    return _rolled(critic(input_ids=ids, attention_mask=mask).logits, padding)[:, -width:].float()


def load_critic(path: Path, precision: str = "fp32") -> PreTrainedModel:
    """A token classifier of four labels. Raises UserError where the folder holds none."""
    remedy = "Name the folder of a token classifier: pass, failure, runtime error, syntax error"
    try:
        critic = AutoModelForTokenClassification.from_pretrained(path, dtype=DTYPES[precision])
    except (OSError, ValueError, KeyError) as err:
        raise UserError(f"objective.reference.critic={path} cannot be loaded: {str(err).splitlines()[0]}", remedy) from err
    if critic.config.num_labels != len(CLASSES):
        raise UserError(f"objective.reference.critic={path} has {critic.config.num_labels} labels, not {len(CLASSES)}", remedy)
    return critic


def _rolled(rows: Tensor, by: list[int]) -> Tensor:
    """Each of B rows, rolled to the right by its own number of columns."""
    return torch.stack([row.roll(n, 0) for row, n in zip(rows, by, strict=True)])


def _check_fits(critic: PretrainedConfig, taught: PretrainedConfig, recipe: Recipe) -> None:
    """Raises UserError where the critic does not know all tokens of the taught model, or cannot read as many."""
    longest = getattr(critic, "max_position_embeddings", None)
    if critic.vocab_size < taught.vocab_size or (longest is not None and longest < recipe.context):
        raise UserError(
            f"objective.reference.critic knows {critic.vocab_size} tokens and reads {longest or 'any number'}, the taught model "
            f"has {taught.vocab_size} and prompt.max_tokens + sampling.max_new_tokens are {recipe.context}",
            "Name a critic of the taught model's vocabulary and context",
        )


def _still(model: PreTrainedModel, device: str | torch.device) -> PreTrainedModel:
    return model.eval().requires_grad_(False).to(device)
