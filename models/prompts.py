"""How a problem becomes a prompt, and a corpus program a training example."""

from __future__ import annotations

from typing import NamedTuple

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
    """The prompt of a problem with this statement (the published runs' form by default)."""
    return config.template.format(
        question=question,
        starter_code=problem.starter_code,
        format=config.call_format if problem.fn_name else config.stdin_format,
    )


def build_prompt(problem: Problem, tokenizer: PreTrainedTokenizerFast, config: PromptConfig) -> Prompt:
    """Tokenise a problem's prompt; a statement too long for `config.max_tokens` loses its end.

    Raises UserError where the frame alone (template, starter code) is longer than that.
    """
    question = problem.question
    while True:
        token_ids = tokenizer(prompt_text(problem, question, config)).input_ids
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
        question = question[: spans[kept][0]] if kept < len(spans) else question[:-1]


def encode_program(text: str, tokenizer: PreTrainedTokenizerFast, max_tokens: int) -> list[int] | None:
    """A corpus program with the end token; None where it is longer than `max_tokens`, which would teach to stop early."""
    token_ids = [*tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    return token_ids if len(token_ids) <= max_tokens else None
