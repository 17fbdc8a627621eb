"""Stop texts and end tokens: where rows end, what is flagged truncated, what is recorded."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from actors.sampler import Sampler
from actors.stopping import StopTexts
from contracts.records import Group, Program
from contracts.sections import PromptConfig, SamplingConfig
from models.answers import AnswerForm
from models.load import end_tokens
from models.scoring import collate, token_logprobs
from tests.tiny_models import SCALES, blank_first_tokenizer, problem, tiny_model, tiny_tokenizer

PROBLEMS = [problem("a", starter_code="def f():\n"), problem("b", "Print 3.")]


def sample(
    family: str = "llama", stop: tuple[str, ...] = (), answer: str = "program", *, ends: list[int] | None = None, n: int = 12
) -> tuple[Sampler, list[Group]]:
    model = tiny_model(family, scale=SCALES.get(family, 3.0))
    if ends:
        model.generation_config.eos_token_id = ends
    how = SamplingConfig(samples_per_problem=n, max_new_tokens=16, stop=stop)
    prompt = PromptConfig.model_validate({"template": "{question}\n", "answer": answer})
    sampler = Sampler(model, tiny_tokenizer(), how, prompt)
    return sampler, sampler.sample(PROBLEMS, batch=0, version=0, seed="s", greedy=True)


def only(forward: Callable[..., Any], token: int) -> Callable[..., Any]:
    """A model's forward pass that leaves one token to draw."""

    @functools.wraps(forward)
    def forced(*arguments: Any, **named: Any) -> Any:
        output = forward(*arguments, **named)
        output.logits[..., token] = 1e4
        return output

    return forced


def scripted(forward: Callable[..., Any], ids: list[int]) -> Callable[..., Any]:
    """A model's forward pass that leaves one token to draw at each step."""
    steps = iter(ids)

    @functools.wraps(forward)
    def forced(*arguments: Any, **named: Any) -> Any:
        return only(forward, next(steps))(*arguments, **named)

    return forced


def programs(groups: list[Group]) -> list[Program]:
    return [program for group in groups for program in group.programs]


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_a_row_ends_at_the_token_that_completes_a_stop_text(family: str) -> None:
    stop = ("x", "3", "ar")
    sampler, groups = sample(family, stop, n=40)
    stopped = [program for program in programs(groups) if any(text in program.text for text in stop)]
    assert len(stopped) > 3
    for program in stopped:
        place = min(at for text in stop if (at := program.text.find(text)) >= 0)
        assert (program.code, program.truncated) == (program.text[:place], False)
        before_last = program.text[: program.starts[-1]]
        assert not any(text in before_last for text in stop), "nothing is sampled after it"
        assert len(program.token_ids) == len(program.logprobs) == len(program.starts) == len(program.ends)
        assert program.ends[-1] == len(program.text)
    for program in programs(groups):
        if program not in stopped:
            ended = program.token_ids[-1] == tiny_tokenizer().eos_token_id
            assert (program.code, program.truncated) == (program.text, not ended)
    for group in groups:
        rows = [program.token_ids for program in group.programs]
        scored = token_logprobs(sampler.model, collate([group.prompt_ids] * len(rows), rows, 0))
        for row, program in zip(scored, group.programs, strict=True):
            torch.testing.assert_close(torch.tensor(program.logprobs), row[: len(program.logprobs)], rtol=0, atol=1e-4)


def test_until_it_stops_a_row_is_what_it_is_without_stop_texts() -> None:
    stopped, whole = programs(sample(stop=("x",))[1]), programs(sample()[1])
    assert any(len(short.text) < len(long.text) for short, long in zip(stopped, whole, strict=True))
    for short, long in zip(stopped, whole, strict=True):
        assert long.text.startswith(short.text)
        assert long.token_ids[: len(short.token_ids)] == short.token_ids
        assert long.logprobs[: len(short.logprobs)] == pytest.approx(short.logprobs, abs=1e-5)


def test_completions_carry_the_starter_code_of_their_problem() -> None:
    _, groups = sample(answer="completion")
    assert {program.prefix for program in groups[0].programs} == {"def f():\n"}
    assert {program.prefix for program in groups[1].programs} == {""}
    assert all(program.code == "def f():\n" + program.text for program in groups[0].programs)


def test_completions_begin_where_the_prompt_ends_programs_where_a_text_begins() -> None:
    tokenizer = blank_first_tokenizer()
    for answer, kept in (("completion", " "), ("program", "")):
        prompt = PromptConfig.model_validate({"template": "{starter_code}", "answer": answer})
        how = SamplingConfig(samples_per_problem=4, max_new_tokens=1)
        model = tiny_model("llama", tokenizer=tokenizer)
        model.generation_config.eos_token_id = None
        model.forward = only(model.forward, tokenizer.convert_tokens_to_ids("▁a"))
        (group,) = Sampler(model, tokenizer, how, prompt).sample(PROBLEMS[:1], batch=0, version=0, seed="s", greedy=False)
        assert {program.text for program in group.programs} == {f"{kept}a"}


def test_every_end_token_of_the_model_ends_a_row() -> None:
    tokenizer = tiny_tokenizer()
    other = tokenizer.convert_tokens_to_ids("x")  # not a special token: its text is no part of the program all the same
    sampler, groups = sample(ends=[other], n=40)
    assert end_tokens(sampler.model, tokenizer) == sorted([other, tokenizer.eos_token_id])
    ended = [program for program in programs(groups) if not program.truncated]
    assert {program.token_ids[-1] for program in ended} == {other, tokenizer.eos_token_id}
    for program in programs(groups):
        assert not {other, tokenizer.eos_token_id} & set(program.token_ids[:-1])
        assert program.ends[-1] == len(program.text)
        assert program.truncated == (program.token_ids[-1] not in (other, tokenizer.eos_token_id))
    for program in ended:
        assert program.starts[-1] == program.ends[-1], "the end token's span is empty"


def steps(form: AnswerForm, prompt: str, text: str, fn_name: str | None = None) -> int | None:
    """Tokens of `text` after which a row ends that goes on from `prompt`."""
    tokenizer = tiny_tokenizer()
    given, ids = (tokenizer(part, add_special_tokens=False).input_ids for part in (prompt, text))
    stops = StopTexts(form, tokenizer, len(given), [fn_name, None])
    for count in range(1, len(ids) + 1):
        rows = torch.tensor([given + ids[:count], given + [ids[0]] * count])
        if stops(rows, None).tolist() == [True, False]:
            assert stops.lengths == {0: count}
            return count
    return None


def tokens(text: str) -> int:
    return len(tiny_tokenizer()(text, add_special_tokens=False).input_ids)


def test_a_stop_text_that_begins_in_the_prompt_is_none() -> None:
    form = AnswerForm("program", ("\ndef",))
    assert steps(form, "x\n", "def f") is None
    assert steps(form, "x\n", "y\ndef f") == tokens("y\ndef")


def test_stop_texts_before_the_fence_let_a_row_go_on() -> None:
    form = AnswerForm("fence", ("\n#",))
    said, code = "See\n# Solution\n```python\n", "y = 1\n# more"
    assert steps(form, "?", said) is None
    assert steps(form, "?", "See\n# Solution\n```\n") is None
    assert steps(form, "?", said + code) == tokens(said + "y = 1\n#")


def test_stop_texts_in_a_fence_that_does_not_define_the_function_let_a_row_go_on() -> None:
    form = AnswerForm("fence", ("\n#",))
    defined = "```python\ndef f():\n    return 1\n"
    used = "```\nso\n```python\nprint(f())\n#"
    assert steps(form, "?", defined + used) == tokens(defined + used)
    assert steps(form, "?", defined + used + " prints 1\n", "f") is None
    assert steps(form, "?", defined + "# better", "f") == tokens(defined + "#")


@pytest.mark.parametrize(
    ("text", "truncated"),
    [
        ("Look:\n```python\nx = 1\n```\nIt sets x, and", False),
        ("x = 1\n```\nIt sets x, and", False),
        ("Look:\n```python\nx = 1\ny", True),
        ("x = 1\ny", True),
    ],
)
def test_a_program_whose_fence_is_closed_is_whole_however_long_the_model_talks_on(text: str, truncated: bool) -> None:
    tokenizer, model = tiny_tokenizer(), tiny_model()
    ids = tokenizer(text, add_special_tokens=False).input_ids
    model.forward = scripted(model.forward, ids)
    prompt = PromptConfig(template="{question}\n", answer="fence")
    how = SamplingConfig(samples_per_problem=1, max_new_tokens=len(ids))
    (group,) = Sampler(model, tokenizer, how, prompt).sample(PROBLEMS[:1], batch=0, version=0, seed="s", greedy=False)
    assert [(program.text, program.truncated) for program in group.programs] == [(text, truncated)]


def test_a_character_of_several_tokens_stops_a_row_with_its_last_one() -> None:
    assert tokens("é") == 2
    assert steps(AnswerForm("program", ("é",)), "?", "aé b") == tokens("aé")
