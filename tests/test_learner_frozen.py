"""Models that only score: the reference and the critic."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2ForTokenClassification, LlamaConfig, LlamaForTokenClassification, PreTrainedModel

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.objective import ObjectiveConfig
from contracts.records import Outcome
from contracts.sections import PromptConfig, SamplingConfig
from learner.frozen import Frozen, load_critic
from models.scoring import collate, token_logprobs
from tests.closed_form import losses
from tests.small_batch import CORPUS, GROUPS, batch, exact_model, recipe, scored, trainer
from tests.tiny_models import tiny_model

PROMPTS, PROGRAMS = [[5, 6, 7], [8], [9, 10]], [[20], [21, 22, 23, 24], [25, 26]]
OUTCOMES = [Outcome.SYNTAX_ERROR, Outcome.PASS, Outcome.FAILURE]
LABELS = [Outcome.PASS, Outcome.FAILURE, Outcome.RUNTIME_ERROR, Outcome.SYNTAX_ERROR]


def classifier(folder: Path, labels: int = 4, family: str = "llama", vocab_size: int = 320) -> PreTrainedModel:
    """A tiny random token classifier, saved."""
    torch.manual_seed(3)
    if family == "gpt2":
        absolute = GPT2Config(vocab_size=vocab_size, n_embd=16, n_layer=1, n_head=2, n_positions=64, num_labels=labels)
        model: PreTrainedModel = GPT2ForTokenClassification(absolute)
    else:
        config = LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_labels=labels,
        )
        model = LlamaForTokenClassification(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5.0)
    model.save_pretrained(folder)
    return model.eval()


def with_critic(folder: Path) -> dict[str, Any]:
    switches = {"critic": folder, "adaptive_replaces_failure": False, "alternate": False, "alpha_is_one": False}
    return {"kind": "rltf_reference", "reference": switches}


def short(objective: dict[str, Any]) -> Recipe:
    """A recipe whose prompts and programs have 64 tokens together."""
    prompt, sampling = PromptConfig(max_tokens=32), SamplingConfig(max_new_tokens=32)
    return Recipe(name="t", objective=ObjectiveConfig.model_validate(objective), prompt=prompt, sampling=sampling)


def start(folder: Path) -> str:
    """The folder of the model that is taught."""
    tiny_model().save_pretrained(folder / "start")
    return str(folder / "start")


def likelihood_of(critic: PreTrainedModel, prompt: list[int], program: list[int], outcome: Outcome) -> list[float]:
    """The probability of the outcome's label at each program token, from one unpadded pass."""
    with torch.no_grad():
        logits = critic(torch.tensor([prompt + program])).logits[0, len(prompt) :]
    return [float(row.softmax(-1)[LABELS.index(outcome)]) for row in logits]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_tokens_weigh_as_the_critic_says_whatever_the_padding(family: str, tmp_path: Path) -> None:
    critic = classifier(tmp_path, family=family)
    frozen = Frozen(short(with_critic(tmp_path)), start(tmp_path), "cpu")
    weights = frozen.critic_weights(collate(PROMPTS, PROGRAMS, 0), OUTCOMES)
    assert weights is not None
    for row, prompt, program, outcome in zip(weights.tolist(), PROMPTS, PROGRAMS, OUTCOMES, strict=True):
        assert row[: len(program)] == pytest.approx(likelihood_of(critic, prompt, program, outcome), abs=1e-5)
        assert not any(row[len(program) :])
    assert weights.max() > 2 * weights[weights > 0].min(), "the critic has opinions"


def test_a_step_multiplies_every_token_s_reward_by_them(tmp_path: Path) -> None:
    critic = classifier(tmp_path)
    chosen = recipe(with_critic(tmp_path) | {"sl": 0.0})
    taught, engine = trainer(chosen, frozen=Frozen(chosen, start(tmp_path), "cpu"))
    metrics = taught.step(batch(), CORPUS, 9)
    model = exact_model()
    cases, likelihoods = [], []
    for (prompt, specs), row in zip(GROUPS.items(), scored(model, chosen), strict=True):
        for spec, one in zip(specs, row, strict=False):
            ids = list(range(spec.first, spec.first + spec.length))
            case = dataclasses.replace(one.case, critic=likelihood_of(critic, list(prompt), ids, spec.outcome))
            cases.append(case)
            likelihoods.append(one.likelihood)
    result = losses(cases, chosen.objective, sum(len(case.logprobs) for case in cases), len(cases))
    assert isinstance(metrics["loss"], dict)
    assert metrics["loss"]["total"] == pytest.approx(result.total, rel=1e-4)
    slopes = torch.tensor([slope for row in result.slopes for slope in row], dtype=torch.float64)
    (slopes * torch.cat(likelihoods)).sum().backward()
    for name, value in engine.gradients[0].items():
        torch.testing.assert_close(value, model.get_parameter(name).grad, rtol=1e-4, atol=1e-6)


def test_a_critic_with_other_labels_or_none_at_all_is_refused(tmp_path: Path) -> None:
    classifier(tmp_path / "three", labels=3)
    with pytest.raises(UserError, match=r"objective\.reference\.critic=.*three has 3 labels, not 4"):
        load_critic(tmp_path / "three")
    tiny_model().save_pretrained(tmp_path / "writes")
    with pytest.raises(UserError, match="has 2 labels, not 4"):
        load_critic(tmp_path / "writes")
    with pytest.raises(UserError, match="cannot be loaded") as caught:
        load_critic(tmp_path / "nowhere")
    assert "pass, failure, runtime error, syntax error" in str(caught.value)


@pytest.mark.parametrize(
    ("family", "changes", "said"),
    [("gpt2", {}, "reads 64"), ("llama", {"vocab_size": 200}, "knows 200 tokens")],
)
def test_a_critic_that_cannot_read_all_is_refused(family: str, changes: dict[str, int], said: str, tmp_path: Path) -> None:
    classifier(tmp_path, family=family, **changes)
    long = Recipe(name="t", objective=ObjectiveConfig.model_validate(with_critic(tmp_path)))
    with pytest.raises(UserError, match=said):
        Frozen(long, start(tmp_path), "cpu")


def test_the_reference_scores_as_the_start_model_does_and_never_learns(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    frozen = Frozen(recipe({"kind": "grpo", "kl": 0.1}), str(tmp_path), "cpu")
    tokens, temperature = collate(PROMPTS, PROGRAMS, 0), torch.tensor([0.5, 1.0, 2.0])
    found = frozen.reference_logprobs(tokens, temperature)
    assert found is not None
    torch.testing.assert_close(found, token_logprobs(tiny_model(), tokens, temperature))
    assert not found.requires_grad
    assert frozen.critic_weights(tokens, OUTCOMES) is None


def test_what_the_objective_has_no_use_for_is_not_loaded(tmp_path: Path) -> None:
    frozen = Frozen(recipe({"kind": "grpo"}), str(tmp_path / "nowhere"), "cpu")
    tokens = collate(PROMPTS, PROGRAMS, 0)
    assert frozen.reference_logprobs(tokens, torch.ones(3)) is None
    assert frozen.critic_weights(tokens, OUTCOMES) is None
