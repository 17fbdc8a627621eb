"""The critic of `objective.reference.critic`: a token classifier that tells a program's outcome from its tokens.

CodeRL (arXiv 2207.01780, section 3.2) trains its critic to predict a whole program's outcome, from states pooled over its
tokens, and takes its states per token as rewards. Here each program token is told the outcome: cross-entropy per token.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import torch
from torch import Tensor
from transformers import AutoModelForTokenClassification, PreTrainedModel

from contracts.config import Recipe
from contracts.errors import UserError
from learner.advantages import Row, split_evenly
from learner.engine import TorchEngine
from learner.frozen import CLASSES, critic_logits
from models.load import load_config
from models.scoring import TokenBatch, collate


class CriticReport(msgspec.Struct, kw_only=True, frozen=True):
    """critic.json: what the critic knows of programs whose problems it has not seen, judged at their last token."""

    accuracy: float
    majority: float
    """The accuracy of always naming the outcome that most of these programs have."""
    recall: dict[str, float]
    """Outcome → share of its programs that are told right; without those that no program has."""
    heldout: dict[str, int]
    """Outcome → programs that it was judged on."""
    trained: dict[str, int]
    """Outcome → programs that it was trained on."""


def load_untrained(path: str) -> PreTrainedModel:
    """The token classifier that a model's weights begin; its head is drawn from torch's global generator.

    Raises UserError where transformers has none for the model's family.
    """
    config = load_config(path)
    config.id2label = dict(enumerate(map(str, CLASSES)))
    config.label2id = {name: index for index, name in config.id2label.items()}
    config.classifier_dropout = 0.0  # unset, the heads of most families drop a tenth
    try:
        return AutoModelForTokenClassification.from_pretrained(path, config=config, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as err:
        raise UserError(
            f"{path} cannot become a token classifier: transformers has none for {config.model_type}",
            "Name with --model a model of another family that has the taught model's vocabulary",
        ) from err


def hold_out(programs: Mapping[str, Sequence[Row]], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Rows to train on and rows of held-out problems. programs: by problem.

    Raises UserError where there is one problem, or one outcome to train on.
    """
    ids = sorted(programs)
    random.Random(f"critic/{seed}").shuffle(ids)
    kept = max(1, round(share * len(ids)))
    heldout, train = ([row for key in part for row in programs[key]] for part in (ids[:kept], ids[kept:]))
    if len({row.outcome for row in train}) < 2:
        raise UserError(
            f"{len(train)} programs of {len(ids) - kept} problems, with fewer than two outcomes, teach a critic nothing",
            "Name --samples of more problems",
        )
    return train, heldout


def train_critic(engine: TorchEngine, rows: Sequence[Row], recipe: Recipe, pad: int) -> Iterator[float]:
    """`critic.steps` optimizer steps on programs drawn with replacement; yields each step's loss, in nats per token."""
    config, draws = recipe.critic, random.Random(f"critic/{recipe.seed}")
    weights = class_weights(rows).to(engine.model.device)
    for _ in range(config.steps):
        drawn = draws.choices(rows, k=config.batch)
        total = sum(weights[_label(row)].item() * len(row.token_ids) for row in drawn)
        loss = 0.0
        for part in split_evenly(drawn, math.ceil(config.batch / recipe.learner.micro_batch)):
            share = _token_losses(engine.model, part, weights, pad).sum() / total
            engine.backward(share, last=True)
            loss += share.item()
        engine.step()
        yield loss


def class_weights(rows: Sequence[Row]) -> Tensor:
    """[4] by which outcomes weigh the same, however many tokens have them; 0 for those that no row has."""
    tokens = torch.zeros(len(CLASSES))
    for row in rows:
        tokens[_label(row)] += len(row.token_ids)
    there = tokens > 0
    return torch.where(there, tokens.sum() / (there.sum() * tokens.clamp(min=1)), 0.0)


def assess(critic: PreTrainedModel, heldout: Sequence[Row], trained: Sequence[Row], pad: int, batch: int) -> CriticReport:
    """What the critic says at the last token of held-out programs."""
    right: Counter[str] = Counter()
    with torch.no_grad():
        for part in split_evenly(heldout, math.ceil(len(heldout) / batch)):
            tokens = _collated(part, pad, critic)
            last = tokens.program_mask.sum(1) - 1
            said = critic_logits(critic, tokens)[torch.arange(len(part)), last].argmax(-1).tolist()
            right.update(row.outcome.value for row, label in zip(part, said, strict=True) if label == _label(row))
    there = Counter(row.outcome.value for row in heldout)
    return CriticReport(
        accuracy=right.total() / there.total(),
        majority=max(there.values()) / there.total(),
        recall={name: right[name] / count for name, count in sorted(there.items())},
        heldout=dict(sorted(there.items())),
        trained=dict(sorted(Counter(row.outcome.value for row in trained).items())),
    )


def _token_losses(critic: PreTrainedModel, rows: Sequence[Row], weights: Tensor, pad: int) -> Tensor:
    """[B, T] weighted cross-entropy with the program's outcome, 0 on padding."""
    batch = _collated(rows, pad, critic)
    labels = torch.tensor([_label(row) for row in rows], device=weights.device).unsqueeze(1).expand_as(batch.program_ids)
    logits = critic_logits(critic, batch).transpose(1, 2)
    return torch.nn.functional.cross_entropy(logits, labels, weights, reduction="none") * batch.program_mask


def _collated(rows: Sequence[Row], pad: int, critic: PreTrainedModel) -> TokenBatch:
    return collate([row.prompt_ids for row in rows], [row.token_ids for row in rows], pad, critic.device)


def _label(row: Row) -> int:
    return CLASSES.index(row.outcome)
