"""Packed rows: what they hold, and that they teach exactly what padded ones do."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.objective import ObjectiveConfig
from contracts.sections import ModelConfig
from contracts.training import LearnerConfig, OptimizerConfig
from learner.advantages import Row
from learner.engine import TorchEngine
from learner.trainer import Trainer
from models.packing import check_packable, packed_logprobs, plan_rows, refuse_unpackable
from tests.small_batch import CORPUS, log_likelihood
from tests.tiny_models import tiny_model

FAMILIES = ("llama", "qwen2", "gpt2", "codegen")
ATTENTION = [("llama", "eager"), ("qwen2", "eager"), ("gpt2", "eager"), *((family, None) for family in FAMILIES)]
"""With eager attention, and as they are loaded: SDPA, which CodeGen does not have."""


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 30))
def test_rows_hold_everything_once_and_no_two_could_be_one(lengths: list[int], capacity: int) -> None:
    rows = plan_rows(lengths, capacity)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    sizes = sorted(sum(lengths[index] for index in row) for row in rows)
    for row in rows:
        assert sum(lengths[index] for index in row) <= capacity or len(row) == 1
    if len(sizes) > 1:
        assert sizes[0] + sizes[1] > capacity


def test_the_longest_come_first_and_gaps_are_filled() -> None:
    assert plan_rows([3, 9, 5, 2, 12, 1], 10) == [[4], [1, 5], [2, 0, 3]]


@pytest.mark.parametrize(("family", "attention"), ATTENTION)
def test_packed_programs_are_scored_as_if_alone(family: str, attention: str | None) -> None:
    model = tiny_model(family)
    if attention:
        model.set_attn_implementation(attention)
    draws = random.Random(3)
    pairs = [([draws.randrange(20, 300) for _ in range(n)], [draws.randrange(20, 300) for _ in range(t)])
             for n, t in ((5, 9), (1, 1), (1, 7), (12, 3))]  # fmt: skip
    packed = packed_logprobs(model, pairs)
    alone = [log_likelihood(model, prompt, program) for prompt, program in pairs]
    assert packed.shape == (20,)
    assert torch.allclose(packed, torch.cat(alone), rtol=0, atol=1e-5)


def gradients(family: str, rows: list[Row], pack_tokens: int, checkpointing: bool = False) -> tuple[float, torch.Tensor, int]:
    """Loss and all gradients of one supervised step, and the forward passes that it took."""
    model, passes = tiny_model(family).train(), []
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.register_forward_hook(lambda *_: passes.append(1))
    engine = TorchEngine(model, OptimizerConfig(lr=1e-3, grad_clip=0), 10)
    found: list[torch.Tensor] = []
    engine._optimizer.register_step_pre_hook(
        lambda *_: found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    )
    recipe = Recipe(name="t", learner=LearnerConfig(micro_batch=2, pack_tokens=pack_tokens))
    metrics = Trainer(engine, recipe, 0).step([], rows, 0)
    losses = metrics["loss"]
    assert isinstance(losses, dict)
    return losses["sl"], found[0], len(passes)


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_gradients_of_packed_rows_are_those_of_padded_ones(family: str) -> None:
    loss, gradient, passes = gradients(family, CORPUS, 0)
    packed_loss, packed_gradient, packed_passes = gradients(family, CORPUS, 12)
    assert (passes, packed_passes) == (2, 2)
    assert packed_loss == pytest.approx(loss, abs=1e-5)
    assert (packed_gradient - gradient).abs().max() < 1e-5
    assert gradient.abs().max() > 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_activation_checkpointing_changes_no_gradient_of_packed_rows(family: str) -> None:
    _, gradient, _ = gradients(family, CORPUS, 30)
    _, again, passes = gradients(family, CORPUS, 30, checkpointing=True)
    assert passes == 1
    assert (again - gradient).abs().max() < 1e-6


def test_a_program_longer_than_a_row_has_its_own() -> None:
    long = [*CORPUS, Row([3] * 8, list(range(30, 45)))]
    loss, gradient, _ = gradients("llama", long, 0)
    packed_loss, packed_gradient, passes = gradients("llama", long, 12)
    assert passes == 3
    assert packed_loss == pytest.approx(loss, abs=1e-5)
    assert (packed_gradient - gradient).abs().max() < 1e-5


def test_the_four_families_may_be_packed_and_an_encoder_may_not() -> None:
    for family in FAMILIES:
        refuse_unpackable(tiny_model(family))
    with pytest.raises(UserError, match=r"learner\.pack_tokens is for decoders.*Set learner\.pack_tokens=0"):
        check_packable(ModelConfig(kind="encoder_decoder"))
    check_packable(ModelConfig())


def test_a_model_in_which_programs_see_each_other_is_refused() -> None:
    model = tiny_model("codegen")
    model.config._attn_implementation = "sdpa"  # a kind of mask that its attention does not understand
    with pytest.raises(UserError, match="CodeGenForCausalLM lets programs of one row see each other"):
        refuse_unpackable(model)


def test_alternating_micro_batches_weigh_packed_rows_alike() -> None:
    recipe = Recipe(
        name="t",
        objective=ObjectiveConfig(kind="rltf_reference"),
        learner=LearnerConfig(micro_batch=2, pack_tokens=12),
    )
    trainer = Trainer(TorchEngine(tiny_model().train(), OptimizerConfig(), 10), recipe, 0)
    batch = trainer._mini_batch([], CORPUS)
    assert [len(part) for part in batch.supervised] == [3, 1]
    assert (batch.supervised_turns, batch.imitated) == (2, (10, 4))
