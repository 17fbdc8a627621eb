"""Prompts: the published runs', chats, and statements that are too long for either."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.recipe import load_recipe
from contracts.sections import PromptConfig
from learner.corpus import Corpus
from models.load import check_model_path
from models.prompts import build_prompt, check_chat, prompt_text
from tests.cli import ROOT
from tests.tiny_models import family_tokenizer, problem, save_family, tiny_tokenizer

CHAT = PromptConfig(template="{question}\n{format}\n", stdin_format="in", chat=True)
ASKED = "<|im_start|>user\n{}\nin\n<|im_end|>\n<|im_start|>assistant\n"


def text_of(ids: list[int], tokenizer: PreTrainedTokenizerFast) -> str:
    return tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=False)


STDIN, CALL = "Use Standard Input format", "Use Call-Based format"


@pytest.mark.parametrize(
    ("starter", "fn_name", "default", "published"),
    [
        ("", None, f"QUESTION:\nPrint 3.\n\n{STDIN}\nANSWER:\n", f"\nQUESTION:\nPrint 3.\n{STDIN}\nANSWER:\n"),
        ("", "f", f"QUESTION:\nPrint 3.\n\n{CALL}\nANSWER:\n", f"\nQUESTION:\nPrint 3.\n{CALL}\nANSWER:\n"),
        (
            "def f():",
            "f",
            f"QUESTION:\nPrint 3.\ndef f():\n{CALL}\nANSWER:\n",
            f"\nQUESTION:\nPrint 3.\ndef f():\n{CALL}\nANSWER:\n",
        ),
    ],
)
def test_prompts_by_default_and_as_the_published_code_samples(
    starter: str, fn_name: str | None, default: str, published: str
) -> None:
    asked = problem(question="Print 3.", starter_code=starter, fn_name=fn_name)
    assert prompt_text(asked, asked.question, PromptConfig()) == default
    for name in ("apps-codet5-770m", "apps-codegen-2.7b", "mbpp-zero-shot"):
        config = load_recipe(ROOT / "recipes" / f"{name}.yaml").prompt
        assert prompt_text(asked, asked.question, config) == published
        assert config.max_tokens == 800
    tokenizer = family_tokenizer("t5")
    assert text_of(build_prompt(asked, tokenizer, config).token_ids, tokenizer) == f"<s>{published}</s>"


def test_a_chat_is_what_the_user_says_in_the_tokenizers_template() -> None:
    tokenizer = family_tokenizer("qwen2")
    own, given = (CHAT.model_copy(update={"system": system}) for system in (None, "Write Python."))
    asked = problem(question="Print 3.")
    ids = build_prompt(asked, tokenizer, own).token_ids
    own_system = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    assert text_of(ids, tokenizer) == own_system + ASKED.format("Print 3.")
    marks = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    assert [token for token in ids if token in marks] == [marks[0], marks[1], marks[0], marks[1], marks[0]]
    ids = build_prompt(asked, tokenizer, given).token_ids
    assert text_of(ids, tokenizer) == "<|im_start|>system\nWrite Python.<|im_end|>\n" + ASKED.format("Print 3.")


@pytest.mark.parametrize("limit", [90, 110, 150])
def test_long_statements_lose_their_end_within_the_chat(limit: int) -> None:
    tokenizer, question = family_tokenizer("qwen2"), "Read n integers. Print the sum of those greater than 3. " * 9
    config = CHAT.model_copy(update={"max_tokens": limit})
    ids, cut = build_prompt(problem(question=question), tokenizer, config)
    assert cut > 0
    assert limit - 3 <= len(ids) <= limit
    assert text_of(ids, tokenizer).endswith(ASKED.format(question[: len(question) - cut]))


def test_a_chat_that_does_not_fit_without_the_statement_is_an_error() -> None:
    with pytest.raises(UserError, match=r"alone exceed prompt\.max_tokens=20"):
        build_prompt(problem(), family_tokenizer("qwen2"), CHAT.model_copy(update={"max_tokens": 20}))


@settings(deadline=None)
@given(st.text("ab \n", max_size=60), st.sampled_from(["t5", "qwen2", "gpt2", "llama"]), st.integers(12, 40))
def test_any_statement_is_cut_to_what_fits_and_no_more_than_its_tokens_ask_for(text: str, family: str, limit: int) -> None:
    tokenizer = family_tokenizer(family)
    config = PromptConfig(template="{question}|", max_tokens=limit)
    ids, cut = build_prompt(problem(question=text), tokenizer, config)
    assert len(ids) <= limit
    assert text_of(ids, tokenizer).removeprefix("<s>").removesuffix("</s>") == text[: len(text) - cut] + "|"
    assert not cut or len(tokenizer(text + "|").input_ids) > limit


def test_a_chat_needs_a_template_that_takes_it(tmp_path: Path) -> None:
    check_chat(family_tokenizer("qwen2"), CHAT)
    check_chat(tiny_tokenizer(), PromptConfig())
    with pytest.raises(UserError, match=r"no chat template.*prompt\.chat=false"):
        check_chat(tiny_tokenizer(), CHAT)
    save_family("qwen2", tmp_path)
    check_model_path(str(tmp_path), 100, CHAT)
    template = tmp_path / "chat_template.jinja"
    template.write_text("{% if messages[0].role == 'system' %}{{ raise_exception('no system, please') }}{% endif %}x")
    check_model_path(str(tmp_path), 100, CHAT)
    with pytest.raises(UserError, match=r"no system, please.*prompt\.system"):
        check_model_path(str(tmp_path), 100, CHAT.model_copy(update={"system": "s"}))
    template.unlink()
    with pytest.raises(UserError, match="no chat template"):
        check_model_path(str(tmp_path), 100, CHAT)
    check_model_path(str(tmp_path), 100, PromptConfig())


def test_a_system_message_without_a_chat_is_refused() -> None:
    with pytest.raises(ValueError, match="set chat=true"):
        PromptConfig(system="Write Python.")


def recipe(**fields: object) -> Recipe:
    return Recipe.model_validate({"name": "r", **fields})


def test_the_corpus_is_imitated_as_the_prompt_asks_for_it() -> None:
    tokenizer, whole = family_tokenizer("qwen2"), "def f(a):\n    return a\n"
    asked = problem(corpus=(whole,), starter_code="def f(a):\n")
    for answer, written in (
        ("program", whole),
        ("completion", "    return a\n"),
        ("fence", f"```python\n{whole}```"),
    ):
        prompt = {"template": "{question}\n", "chat": answer == "fence", "answer": answer}
        (row,) = Corpus([asked], tokenizer, recipe(prompt=prompt)).draw(1, "s")
        assert text_of(row.token_ids, tokenizer) == written + "<|im_end|>"
        assert row.prompt_ids == build_prompt(asked, tokenizer, PromptConfig.model_validate(prompt)).token_ids


def test_corpus_programs_that_cannot_be_answers_are_passed_over() -> None:
    tokenizer = family_tokenizer("qwen2")
    asked = problem(corpus=("x = 1\n", "def f(a):\n    return a\n", "y = 2\n"), starter_code="def f(a):\n")
    corpus = Corpus([asked], tokenizer, recipe(prompt={"answer": "completion"}))
    assert {text_of(row.token_ids, tokenizer) for row in corpus.draw(8, "s")} == {"    return a\n<|im_end|>"}
    none = Corpus([asked], tokenizer, recipe(prompt={"answer": "completion"}, sampling={"stop": ["return"]}))
    with pytest.raises(UserError, match=r"prompt\.answer=completion"):
        none.draw(1, "s")
