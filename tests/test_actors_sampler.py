"""Sampling: behaviour log-probs, greedy rows, cuts, offsets, seeds."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import pytest
import torch

from actors.behaviour import BehaviourPolicy
from actors.sampler import Sampler
from contracts.errors import RunError
from contracts.records import Group
from contracts.sections import PromptConfig, SamplingConfig
from models.scoring import collate, token_logprobs
from tests.tiny_models import FAMILIES, problem, tiny_model, tiny_tokenizer

PROBLEMS = [problem("a"), problem("b", "Print 3."), problem("c", "Read n integers on one line. Print the greatest of them.")]


def sample(family: str = "llama", seed: str = "s", *, greedy: bool = True, **sampling: object) -> tuple[Sampler, list[Group]]:
    how = SamplingConfig.model_validate({"samples_per_problem": 3, "max_new_tokens": 12, **sampling})
    sampler = Sampler(tiny_model(family), tiny_tokenizer(), how, PromptConfig(template="{question}\n"))
    return sampler, sampler.sample(PROBLEMS, batch=7, version=4, seed=seed, greedy=greedy)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_behaviour_logprobs_are_what_a_plain_forward_pass_gives(family: str, temperature: float) -> None:
    sampler, groups = sample(family, temperature=temperature)
    for group in groups:
        programs = [program.token_ids for program in group.programs]
        batch = collate([group.prompt_ids] * len(programs), programs, tiny_tokenizer().pad_token_id)
        scored = token_logprobs(sampler.model, batch, temperature)
        for row, program in zip(scored, group.programs, strict=True):
            torch.testing.assert_close(torch.tensor(program.logprobs), row[: len(program.logprobs)], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_groups_are_whole_and_the_greedy_program_is_the_most_likely_at_each_step(family: str) -> None:
    sampler, groups = sample(family)
    assert [group.id for group in groups] == ["000007-a", "000007-b", "000007-c"]
    for group in groups[:2]:
        assert (group.policy_version, group.batch) == (4, 7)
        assert [program.greedy for program in group.programs] == [False, False, False, True]
        ids = group.programs[-1].token_ids
        for position in range(len(ids)):
            continuations = [[*ids[:position], token] for token in range(len(tiny_tokenizer()))]
            batch = collate([group.prompt_ids] * len(continuations), continuations, 0)
            best = token_logprobs(sampler.model, batch)[:, position].tolist()
            assert best.index(max(best)) == ids[position]


def test_programs_end_at_the_end_token_or_are_flagged_truncated() -> None:
    _, groups = sample(samples_per_problem=40)
    programs = [program for group in groups for program in group.programs]
    end = tiny_tokenizer().eos_token_id
    assert {program.truncated for program in programs} == {True, False}
    for program in programs:
        assert program.truncated == (end not in program.token_ids)
        assert end not in program.token_ids[:-1]
        assert len({len(program.token_ids), len(program.logprobs), len(program.starts), len(program.ends)}) == 1
        assert program.ends[-1] == len(program.text)
        if not program.truncated:
            assert program.starts[-1] == program.ends[-1], "the end token's span is empty"


def test_draws_are_decided_by_the_seed_alone() -> None:
    first, again, other = (sample(seed=seed)[1] for seed in ("x", "x", "y"))
    assert first == again
    assert first != other
    assert first[0].programs[-1].token_ids == other[0].programs[-1].token_ids, "greedy does not depend on it"


def test_sampling_follows_the_distribution() -> None:
    sampler, groups = sample(samples_per_problem=2000, max_new_tokens=1, greedy=False, temperature=0.3)
    drawn = torch.bincount(torch.tensor([program.token_ids[0] for program in groups[0].programs]), minlength=320) / 2000
    tokens = [[token] for token in range(320)]
    wanted = token_logprobs(sampler.model, collate([groups[0].prompt_ids] * 320, tokens, 0), 0.3)[:, 0].exp()
    assert (drawn - wanted).abs().max() < 0.05
    assert wanted.max() > 0.1


def test_cuts_limit_what_is_drawn_but_not_the_recorded_logprob() -> None:
    policy = BehaviourPolicy(0.5, top_p=1.0, top_k=2, greedy=torch.tensor([False]))
    scores = torch.tensor([[1.0, 2.0, 3.0, 0.0]])
    cut = policy(torch.tensor([[9]]), scores)
    assert torch.isinf(cut).tolist() == [[True, False, False, True]]
    recorded = policy.logprobs(torch.tensor([[9, 2]]))
    torch.testing.assert_close(recorded, (scores / 0.5).log_softmax(-1)[:, 2:3])


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
@pytest.mark.parametrize("cuts", [{"top_p": 1.0, "top_k": 0}, {"top_p": 0.9, "top_k": 2}])
def test_a_row_of_broken_logits_can_be_drawn_from_and_has_no_logprob(broken: float, cuts: dict[str, Any]) -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0, 0.0], [1.0, broken, 3.0, 0.0], [-torch.inf, 2.0, 3.0, 0.0]])
    policy = BehaviourPolicy(0.5, **cuts, greedy=torch.zeros(3, dtype=torch.bool))
    cut = policy(torch.tensor([[9]] * 3), scores)
    assert torch.isfinite(cut).sum(-1).tolist()[1] == 1
    assert torch.multinomial(cut.softmax(-1), 1)[1].item() == 1, "an exception from here on a GPU would end the process"
    logprobs = policy.logprobs(torch.tensor([[9, 2], [9, 1], [9, 2]]))
    assert logprobs.isnan().tolist() == [[False], [True], [False]]
    alone = BehaviourPolicy(0.5, **cuts, greedy=torch.zeros(1, dtype=torch.bool))
    assert torch.equal(cut[:1], alone(torch.tensor([[9]]), scores[:1])), "other rows are what they are without it"


@pytest.mark.parametrize("greedy", [False, True])
def test_logits_that_are_not_finite_end_the_run_with_a_remedy(greedy: bool) -> None:
    model = tiny_model("t5")
    model.shared.weight.data.fill_(torch.nan)
    how = SamplingConfig(samples_per_problem=1, max_new_tokens=4)
    sampler = Sampler(model, tiny_tokenizer(), how, PromptConfig(template="{question}\n"))
    with pytest.raises(RunError) as raised:
        sampler.sample(PROBLEMS, batch=0, version=0, seed="s", greedy=greedy)
    assert raised.value.message == "the model's logits are not finite, in torch.float32 (problem a)"
    assert raised.value.remedy.startswith("Choose another deepspeed.precision")


def test_logits_after_a_row_s_end_mean_nothing() -> None:
    model, end = tiny_model(), tiny_tokenizer().eos_token_id
    forward, calls = model.forward, itertools.count()

    def forced(*arguments: Any, **named: Any) -> Any:
        output = forward(*arguments, **named)
        if next(calls) == 0:
            output.logits[0, :, end] = 1e4
        else:
            output.logits[0] = torch.nan
        return output

    model.forward = functools.wraps(forward)(forced)
    how = SamplingConfig(samples_per_problem=1, max_new_tokens=4)
    groups = Sampler(model, tiny_tokenizer(), how, PromptConfig(template="{question}\n")).sample(
        PROBLEMS, batch=0, version=0, seed="s", greedy=False
    )
    assert groups[0].programs[0].token_ids == [end]
    assert next(calls) > 1


def test_nothing_is_inherited_from_the_checkpoint() -> None:
    model = tiny_model()
    model.generation_config.top_k = 1
    model.generation_config.repetition_penalty = 5.0
    how = SamplingConfig(samples_per_problem=3, max_new_tokens=12)
    groups = Sampler(model, tiny_tokenizer(), how, PromptConfig(template="{question}\n")).sample(
        PROBLEMS, batch=7, version=4, seed="s", greedy=True
    )
    assert groups == sample()[1]
