"""Five families, each with its own kind of tokenizer: sampled log-probs are the learner's, before and after weight syncs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from actors.sampler import Sampler
from contracts.records import Group
from contracts.sections import PromptConfig, SamplingConfig
from models.load import load_model, load_tokenizer
from models.scoring import collate, token_logprobs
from tests.tiny_models import FAMILIES, problem, save_family
from weights.buckets import flatten_into, layout_of
from weights.memory import MemoryTransport
from weights.publisher import Publisher, Receiver

PROBLEMS = [problem("a", "Print 3."), problem("b"), problem("c", "Read n integers on one line. Print the greatest of them. " * 3)]
WITHIN = 1e-4
"""Nats."""


def apart(groups: list[Group], model: PreTrainedModel, pad: int) -> float:
    """The largest difference between a behaviour log-prob and the learner's; all groups are scored in one padded batch."""
    prompts = [group.prompt_ids for group in groups for _ in group.programs]
    programs = [program for group in groups for program in group.programs]
    temperature = torch.tensor([group.temperature for group in groups for _ in group.programs])
    with torch.no_grad():
        scored = token_logprobs(model, collate(prompts, [program.token_ids for program in programs], pad), temperature)
    sampled = torch.zeros_like(scored)
    for row, program in zip(sampled, programs, strict=True):
        row[: len(program.logprobs)] = torch.tensor(program.logprobs)
    return (scored - sampled).abs().max().item()


def changed(model: PreTrainedModel, seed: int) -> dict[str, Tensor]:
    """Give a model other weights, as an optimizer step would; returns them."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(parameter.std() * 0.3 * torch.randn(parameter.shape, generator=generator))
    return dict(model.named_parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_sampled_logprobs_are_the_learners_before_and_after_weight_syncs(family: str, tmp_path: Path) -> None:
    save_family(family, tmp_path)
    tokenizer, learner = load_tokenizer(str(tmp_path)), load_model(str(tmp_path)).train()
    prompt = PromptConfig(template="{question}\n", max_tokens=200, chat=family == "qwen2")
    sampler = Sampler(load_model(str(tmp_path)), tokenizer, SamplingConfig(samples_per_problem=3, max_new_tokens=24), prompt)
    layout = layout_of(learner, 4096)
    transport = MemoryTransport()
    publisher, receiver = Publisher(transport, layout, "cpu"), Receiver(transport, layout, "cpu")
    texts = []
    for version in range(4):
        if version:
            parameters = changed(learner, version)
            staging = publisher.stage(len(layout.buckets))
            for buffer, bucket in zip(staging, layout.buckets, strict=True):
                flatten_into(buffer, bucket, parameters)
            publisher.send(publisher.due(version, staging))
            publisher.stage(0)  # waits until it is sent
            assert receiver.receive()[:2] == (version, None)
            assert receiver.apply(dict(sampler.model.named_parameters())) == version
        for temperature in (1.0, 0.6):
            how = SamplingConfig(samples_per_problem=3, max_new_tokens=24, temperature=temperature, stop=("x", "3"))
            groups = sampler.sample(PROBLEMS, batch=0, version=version, seed="s", greedy=True, sampling=how)
            assert len({len(group.prompt_ids) for group in groups}) == 3
            assert len({len(program.token_ids) for group in groups for program in group.programs}) > 1
            assert apart(groups, learner, tokenizer.pad_token_id) < WITHIN
        texts.append([program.text for group in groups for program in group.programs])
    assert len({"".join(each) for each in texts}) == 4, "each publication changes what is written"
    publisher.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_that_have_not_travelled_show(family: str, tmp_path: Path) -> None:
    save_family(family, tmp_path)
    tokenizer, learner = load_tokenizer(str(tmp_path)), load_model(str(tmp_path))
    how = SamplingConfig(samples_per_problem=3, max_new_tokens=24)
    sampler = Sampler(load_model(str(tmp_path)), tokenizer, how, PromptConfig(template="{question}\n"))
    changed(learner, 1)
    groups = sampler.sample(PROBLEMS, batch=0, version=0, seed="s", greedy=True)
    assert apart(groups, learner, tokenizer.pad_token_id) > 100 * WITHIN


@pytest.mark.parametrize("family", FAMILIES)
def test_in_bf16_each_family_loads_and_samples_what_it_scores(family: str, tmp_path: Path) -> None:
    save_family(family, tmp_path)
    model, tokenizer = load_model(str(tmp_path), "bf16"), load_tokenizer(str(tmp_path))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    how = SamplingConfig(samples_per_problem=2, max_new_tokens=6)
    sampler = Sampler(model, tokenizer, how, PromptConfig(template="{question}\n"))
    groups = sampler.sample(PROBLEMS, batch=0, version=0, seed="s", greedy=False)
    assert all(torch.tensor(program.logprobs).isfinite().all() for group in groups for program in group.programs)
    assert apart(groups, model, tokenizer.pad_token_id) < 1.0
