"""Adapters: what is trained, what is exported, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedModel

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.sections import LoraConfig, ModelConfig
from contracts.training import LearnerConfig, OptimizerConfig
from learner.engine import TorchEngine
from learner.trainer import Trainer
from models.load import load_model
from models.lora import load_taught, merged_state, with_adapters
from models.scoring import collate, token_logprobs
from tests.small_batch import CORPUS
from tests.tiny_models import FAMILIES, tiny_model
from weights.buckets import flatten_into, layout_of
from weights.memory import MemoryTransport
from weights.publisher import Publisher, Receiver

LORA = LoraConfig(rank=4, alpha=8)


def adapted(family: str = "llama", lora: LoraConfig = LORA) -> PreTrainedModel:
    torch.manual_seed(1)
    return with_adapters(tiny_model(family), lora)


def logprobs(model: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        return token_logprobs(model, collate([row.prompt_ids for row in CORPUS], [row.token_ids for row in CORPUS], 0))


def trained(family: str = "llama", steps: int = 2, checkpointing: bool = False) -> PreTrainedModel:
    """Adapters after some supervised steps."""
    model = adapted(family).train()
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    engine = TorchEngine(model, OptimizerConfig(lr=1e-2), steps)
    trainer = Trainer(engine, Recipe(name="t", learner=LearnerConfig()), 0)
    for step in range(steps):
        trainer.step([], CORPUS, step)
    return model.eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_change_nothing_at_first_and_then_they_alone_are_trained(family: str) -> None:
    plain, model = tiny_model(family), trained(family)
    assert torch.equal(logprobs(adapted(family)), logprobs(plain))
    assert (logprobs(model) - logprobs(plain)).abs().max() > 1e-2
    before = dict(plain.named_parameters())
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (".lora_" in name)
        if not parameter.requires_grad:
            assert torch.equal(parameter, before[name.replace(".base_layer.", ".")])


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_exported_loads_without_peft_and_says_the_same(family: str, tmp_path: Path) -> None:
    model = trained(family).double()
    merged = merged_state(model)
    assert list(merged) == [name for name, _ in tiny_model(family).named_parameters()]
    model.save_pretrained(tmp_path, state_dict=merged)
    kind = AutoModelForSeq2SeqLM if family == "t5" else AutoModelForCausalLM
    loaded = kind.from_pretrained(tmp_path, dtype=torch.float64).eval()
    assert type(loaded) is type(tiny_model(family))
    assert "peft" not in (tmp_path / "config.json").read_text()
    assert (logprobs(loaded) - logprobs(model)).abs().max() < 1e-6


def test_the_merged_weight_is_the_formula() -> None:
    model = trained()
    layer = model.model.layers[0].self_attn.q_proj
    expected = layer.base_layer.weight + 8 / 4 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    assert torch.allclose(merged_state(model)["model.layers.0.self_attn.q_proj.weight"], expected, atol=1e-7)


def test_activation_checkpointing_reaches_adapters_below_frozen_embeddings() -> None:
    plain, saving = merged_state(trained()), merged_state(trained(checkpointing=True))
    for name, value in plain.items():
        assert torch.allclose(saving[name], value, atol=1e-6), name


def test_named_targets_get_adapters_and_no_others() -> None:
    model = adapted(lora=LoraConfig(rank=2, targets=("q_proj", "mlp.up_proj")))
    names = {name.split(".lora_")[0].split(".", 3)[3] for name, p in model.named_parameters() if p.requires_grad}
    assert names == {"self_attn.q_proj", "mlp.up_proj"}


def test_a_target_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(UserError, match=r"LlamaForCausalLM has no linear module lm_head, query.*down_proj, gate_proj, k_proj"):
        adapted(lora=LoraConfig(rank=2, targets=("q_proj", "lm_head", "query")))


def test_a_recipe_without_adapters_loads_the_model_as_it_is_and_a_seed_draws_one_a(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    plain = load_taught(str(tmp_path), Recipe(name="t"))
    assert [name for name, _ in plain.named_parameters()] == [name for name, _ in tiny_model().named_parameters()]
    drawn = []
    for seed in (0, 0, 1):
        model = load_taught(str(tmp_path), Recipe(name="t", seed=seed, model=ModelConfig(lora=LORA)))
        drawn.append(model.get_parameter("model.layers.0.self_attn.q_proj.lora_A.default.weight"))
        torch.rand(3)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_samplers_that_get_adapters_alone_score_as_the_learner_does(tmp_path: Path) -> None:
    """Two stages: the second begins with the first one's merged weights."""
    transport = MemoryTransport()
    tiny_model(seed=5).save_pretrained(tmp_path / "other")
    sampled = with_adapters(load_model(str(tmp_path / "other")), LORA)
    layout = layout_of(adapted(), 4096)
    assert 0 < layout.trained < len(layout.buckets)
    publisher, receiver = Publisher(transport, layout, "cpu"), Receiver(transport, layout, "cpu")
    start: dict[str, torch.Tensor] = merged_state(adapted())
    for _stage in range(2):
        learned = tiny_model()
        learned.load_state_dict(start, strict=False)
        learned = with_adapters(learned, LORA)
        for version, buckets in enumerate([len(layout.buckets), layout.trained, layout.trained]):
            with torch.no_grad():
                for parameter in learned.parameters():
                    parameter.add_(0.02 * torch.randn(parameter.shape) * parameter.requires_grad)
            staging = publisher.stage(buckets)
            for buffer, bucket in zip(staging, layout.buckets, strict=False):
                flatten_into(buffer, bucket, dict(learned.named_parameters()))
            publisher.send(publisher.due(version, staging))
            publisher.stage(0)
            receiver.receive()
            receiver.apply(dict(sampled.named_parameters()))
            assert (logprobs(sampled) - logprobs(learned)).abs().max() < 1e-4
        start = merged_state(learned)
    publisher.close()
