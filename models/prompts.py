"""How a problem becomes a prompt, and a corpus program a training example."""

from __future__ import annotations

from typing import NamedTuple

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerFast

from contracts.errors import UserError
from contracts.records import Problem
from contracts.sections import PromptConfig


class Prompt(NamedTuple):
    """A tokenised prompt."""

    token_ids: list[int]
    cut: int
    """Characters of the statement that did not fit."""


def prompt_text(problem: Problem, question: str, config: PromptConfig) -> str:
    """The prompt of a problem with this statement."""
    return config.template.format(
        question=question,
        starter_code=problem.starter_code,
        starter_lines=f"\n{problem.starter_code}" if problem.starter_code else "",
        format=config.call_format if problem.fn_name else config.stdin_format,
    )


def check_chat(tokenizer: PreTrainedTokenizerFast, config: PromptConfig) -> None:
    """Raises UserError where the recipe asks for a chat, and the tokenizer has no template for it or none that takes it."""
    if not config.chat:
        return
    if not tokenizer.chat_template:
        problem = "prompt.chat=true, and the model's tokenizer has no chat template"
        raise UserError(problem, "Name a model that is tuned to chat, or set prompt.chat=false")
    try:
        chat_text("?", tokenizer, config)
    except TemplateError as err:
        problem = f"the chat template of the model's tokenizer refuses what it is given: {err}"
        raise UserError(problem, "Leave prompt.system unset, or set prompt.chat=false") from err


def chat_text(said: str, tokenizer: PreTrainedTokenizerFast, config: PromptConfig) -> str:
    """What the user says, in the tokenizer's chat template, up to where the answer begins; special tokens are in the text."""
    system = [{"role": "system", "content": config.system}] if config.system is not None else []
    messages = [*system, {"role": "user", "content": said}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert isinstance(text, str)
    return text


def build_prompt(problem: Problem, tokenizer: PreTrainedTokenizerFast, config: PromptConfig) -> Prompt:
    """Tokenise a problem's prompt; a statement too long for `config.max_tokens` loses its end, also within a chat.

    Raises UserError where the frame alone (template, starter code, chat) is longer than that.
    """
    question = problem.question
    while True:
        token_ids = _encoded(prompt_text(problem, question, config), tokenizer, config)
        excess = len(token_ids) - config.max_tokens
        if excess <= 0:
            return Prompt(token_ids, len(problem.question) - len(question))
        if not question:
            raise UserError(
                f"problem {problem.id}: template and starter code alone exceed prompt.max_tokens={config.max_tokens}",
                "Raise it, or leave the problem out",
            )
        spans = tokenizer(question, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
        kept = max(0, len(spans) - excess)
        end = spans[kept][0] if kept < len(spans) else len(question)
        question = question[: min(end, len(question) - 1)]  # a token of blanks may have an empty span (RoBERTa's trim_offsets)


def _encoded(text: str, tokenizer: PreTrainedTokenizerFast, config: PromptConfig) -> list[int]:
    encoded = tokenizer(chat_text(text, tokenizer, config), add_special_tokens=False) if config.chat else tokenizer(text)
    return list(encoded.input_ids)


def encode_program(text: str, tokenizer: PreTrainedTokenizerFast, max_tokens: int) -> list[int] | None:
    """A corpus program, as an answer, with the end token; None where it is longer than `max_tokens`: cut, it would teach to stop
    early."""
    token_ids = [*tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    return token_ids if len(token_ids) <= max_tokens else None
