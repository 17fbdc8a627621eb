"""A hand-made global batch for tests of the optimizer step, and its closed form on a model: unpadded, one program at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from contracts.config import Recipe
from contracts.objective import ObjectiveConfig
from contracts.records import Group, LabelledGroup, Labels, Outcome, Program, Verdict
from contracts.sections import ExecutorsConfig, SamplingConfig
from contracts.training import LearnerConfig, OptimizerConfig
from learner.advantages import Row
from learner.engine import TorchEngine
from learner.frozen import Frozen
from learner.trainer import Trainer
from tests.closed_form import Case, Result, advantages, losses
from tests.tiny_models import tiny_model

TEMPERATURE = 0.8
APART = (0.6, -0.5, 0.1, -0.1, 0.35)
"""Behaviour log-probs minus the model's: ratios of 0.55, 1.65, 0.90, 1.11 and 0.70, clipped on both sides."""
CORPUS = [Row([3, 4], [30, 31, 32]), Row([5], [33]), Row([6, 7, 8], [34, 35]), Row([9], [36, 37, 38, 39])]


@dataclass(frozen=True)
class Spec:
    """One program: its length and first token, its rewards, the positions of located tokens."""

    length: int
    first: int
    outcome: Outcome
    coarse: float
    adaptive: float | None
    penalised: tuple[int, ...] = ()
    findings: tuple[int, ...] = ()


GROUPS = {
    (3, 4, 5): [
        Spec(7, 40, Outcome.PASS, 1.0, 1.0),
        Spec(2, 50, Outcome.FAILURE, -0.3, 0.35, findings=(1,)),
        Spec(5, 70, Outcome.RUNTIME_ERROR, -0.6, None, penalised=(1, 2), findings=(2, 3)),
        Spec(9, 60, Outcome.FAILURE, -0.3, -0.1),
    ],
    (6,): [
        Spec(6, 90, Outcome.SYNTAX_ERROR, -1.0, None, penalised=(0, 1, 2, 3, 4, 5)),
        Spec(11, 80, Outcome.RUNTIME_ERROR, -0.6, None, penalised=(10,), findings=(0,)),
        Spec(4, 30, Outcome.FAILURE, -0.3, -0.3),
        Spec(3, 20, Outcome.FAILURE, -0.3, 0.1),
    ],
}
"""Prompt → three sampled programs and the greedy one."""


def exact_model(family: str = "llama", seed: int = 0) -> PreTrainedModel:
    """A tiny model in float64: what is compared is the arithmetic of the objective, not that of the model's layers."""
    return tiny_model(family, seed).double()


def log_likelihood(model: PreTrainedModel, prompt: Sequence[int], program: Sequence[int], temperature: float = 1.0) -> Tensor:
    """log p of each program token, [T]: one unpadded forward pass, by transformers alone."""
    if model.config.is_encoder_decoder:
        given = torch.tensor([[model.config.decoder_start_token_id, *program[:-1]]])
        logits = model(input_ids=torch.tensor([list(prompt)]), decoder_input_ids=given).logits[0]
    else:
        logits = model(torch.tensor([[*prompt, *program]])).logits[0, len(prompt) - 1 : -1]
    return (logits / temperature).log_softmax(-1)[torch.arange(len(program)), list(program)]


def batch(family: str = "llama") -> list[LabelledGroup]:
    """GROUPS as a model of that family might have sampled them some steps ago."""
    model, found = exact_model(family), []
    for key, (prompt, specs) in enumerate(GROUPS.items()):
        programs, labels = [], []
        for spec in specs:
            ids = list(range(spec.first, spec.first + spec.length))
            with torch.no_grad():
                present = log_likelihood(model, prompt, ids, TEMPERATURE).tolist()
            programs.append(
                Program(
                    text="x" * spec.length,
                    token_ids=ids,
                    logprobs=[x + APART[(t + spec.first) % 5] for t, x in enumerate(present)],
                    starts=list(range(spec.length)),
                    ends=list(range(1, spec.length + 1)),
                    greedy=spec is specs[-1],
                )
            )
            labels.append(
                Labels(
                    coarse=spec.coarse,
                    fine=-0.3 if spec.penalised else 0.0,
                    adaptive=spec.adaptive,
                    penalised=[t in spec.penalised for t in range(spec.length)],
                    static=[t in spec.findings for t in range(spec.length)],
                )
            )
        group = Group(
            id=str(key), problem_id=str(key), batch=0, policy_version=7 - 5 * key, temperature=TEMPERATURE,
            prompt_ids=list(prompt), programs=programs,
        )  # fmt: skip
        verdicts = [Verdict(outcome=spec.outcome, total=1) for spec in specs]
        found.append(LabelledGroup(group=group, verdicts=verdicts, labels=labels))
    return found


class Recorder(TorchEngine):
    """Keeps what each update had: its gradients, which an engine clears, and the weights before it."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__(model.train(), OptimizerConfig(lr=1e-3, grad_clip=0.5), 10)
        self.gradients: list[dict[str, Tensor]] = []
        self.weights: list[dict[str, Tensor]] = []

    def step(self) -> float:
        named = dict(self.model.named_parameters())
        self.gradients.append({name: value.grad.clone() for name, value in named.items() if value.grad is not None})
        self.weights.append({name: value.detach().clone() for name, value in named.items()})
        return super().step()


def recipe(objective: dict[str, Any], micro_batch: int = 3, updates: int = 1) -> Recipe:
    return Recipe(
        name="t",
        sampling=SamplingConfig(samples_per_problem=3, temperature=TEMPERATURE),
        objective=ObjectiveConfig.model_validate(objective),
        executors=ExecutorsConfig(analyse=True),
        learner=LearnerConfig(batch_samples=6, sl_samples=6, micro_batch=micro_batch, updates=updates),
    )


def trainer(chosen: Recipe, family: str = "llama", frozen: Frozen | None = None) -> tuple[Trainer, Recorder]:
    engine = Recorder(exact_model(family))
    return Trainer(engine, chosen, 0, frozen), engine


@dataclass(frozen=True)
class Scored:
    """A program, its closed form's case, and the likelihood that gradients go through."""

    case: Case
    likelihood: Tensor


def scored(
    model: PreTrainedModel, chosen: Recipe, start: PreTrainedModel | None = None, reference: PreTrainedModel | None = None
) -> list[list[Scored]]:
    """The sampled programs of each group under the model. `start`: the weights at the step's start, where they are others."""
    config, found = chosen.objective, []
    temperature = TEMPERATURE if config.scores_as_sampled else 1.0
    for entry, (prompt, specs) in zip(batch(model.config.model_type), GROUPS.items(), strict=True):
        rewards = [(spec.coarse, spec.adaptive) for spec in specs]
        row = []
        for spec, program, values in zip(
            specs, entry.group.programs, advantages(rewards[:-1], rewards[-1], config), strict=False
        ):
            likelihood = log_likelihood(model, prompt, program.token_ids, temperature)
            case = Case(
                likelihood.tolist(),
                program.logprobs,
                values,
                fine=-0.3 if spec.penalised else 0.0,
                penalised=[t in spec.penalised for t in range(spec.length)],
                static=chosen.rewards.static if spec.findings else 0.0,
                findings=[t in spec.findings for t in range(spec.length)],
            )
            with torch.no_grad():
                for name, other in (("proximal", start), ("reference", reference)):
                    if other is not None:
                        case = replace(case, **{name: log_likelihood(other, prompt, program.token_ids, temperature).tolist()})
            row.append(Scored(case, likelihood))
        found.append(row)
    return found


def closed_gradient(
    model: PreTrainedModel, chosen: Recipe, programs: Sequence[Scored], corpus: Sequence[Row]
) -> tuple[Result, float, dict[str, Tensor]]:
    """Loss by term, L_sl, and the gradient of both together, of an update that is made from these."""
    tokens = sum(len(one.case.logprobs) for one in programs)
    result = losses([one.case for one in programs], chosen.objective, tokens, len(programs))
    loss = torch.zeros((), dtype=torch.float64)
    for one, slopes in zip(programs, result.slopes, strict=True):
        loss = loss + (torch.tensor(slopes, dtype=torch.float64) * one.likelihood).sum()
    imitated = torch.cat([log_likelihood(model, row.prompt_ids, row.token_ids) for row in corpus])
    supervised = -chosen.objective.sl * imitated.mean()
    named = dict(model.named_parameters())
    gradients = torch.autograd.grad(loss + supervised, list(named.values()), allow_unused=True)
    return result, supervised.item(), {n: g for n, g in zip(named, gradients, strict=True) if g is not None}
