"""Known errors at known places in reference solutions: verdicts must name the place, and labels the tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from contracts.records import Category, Program, Span, Verdict
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors.judge import Executor
from executors.labels import label
from models.offsets import decode_with_offsets
from models.tiny import train_tokenizer
from tests.injected import Case, Host, apps_hosts, cases, mbpp_hosts, primer_hosts
from tests.injected_errors import LAYOUT, MALFORMED, RAISED

pytestmark = pytest.mark.filterwarnings("ignore::SyntaxWarning")  # of the hosts
HOSTS: dict[str, Callable[[Path], list[Host]]] = {
    "primer": lambda _: primer_hosts(120, seed=3),
    "apps": lambda data: list(apps_hosts(data / "apps" / "train")),
    "mbpp": lambda data: list(mbpp_hosts(data / "mbpp" / "mbpp.jsonl"))[::4],
}


class Judged(NamedTuple):
    """A case and what was said of it."""

    case: Case
    verdict: Verdict


@pytest.fixture(scope="module", params=list(HOSTS))
def judged(request: pytest.FixtureRequest) -> list[Judged]:
    data = Path() if request.param == "primer" else request.getfixturevalue("benchmark_data")
    with Executor(ExecutorsConfig(cpu_seconds=5, prelude="apps"), RewardsConfig()) as executor:
        return [Judged(case, executor.judge(case.problem, case.text)) for case in cases(HOSTS[request.param](data), seed=5)]


def test_there_are_enough_and_always_the_same() -> None:
    made = cases(primer_hosts(120, seed=3), seed=5)
    assert len(made) >= 300
    assert {case.error_type for case in made} >= {*RAISED, *MALFORMED, *LAYOUT}
    assert made == cases(primer_hosts(120, seed=3), seed=5)


def test_lines_are_right(judged: list[Judged]) -> None:
    missed = [
        f"{case.name}: {lines(verdict.span)}, not {lines(case.span)}\n{case.text}"
        for case, verdict in judged
        if (verdict.category, lines(verdict.span)) != (case.category, lines(case.span))
    ]
    assert len(judged) >= 300
    assert len(missed) <= 0.01 * len(judged), "\n\n".join(missed)


def test_verdicts_are_right_to_the_character(judged: list[Judged]) -> None:
    for case, verdict in judged:
        found = verdict.outcome, verdict.error_type, verdict.category, verdict.span, verdict.expression
        expected = case.outcome, case.error_type, case.category, case.span, case.expression
        assert found == expected, f"{case.name}\n{case.text}"


def lines(span: Span | None) -> tuple[int, int] | None:
    return (span.start_line, span.end_line) if span else None


def byte_pairs(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level: a character may be spread over tokens, and a token never crosses a line's end."""
    return train_tokenizer(texts, 600, 4096)


def word_pieces(texts: list[str]) -> PreTrainedTokenizerFast:
    """WordPiece over words, blanks and signs: a line's break and the next line's indentation are one piece."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>", continuing_subword_prefix="", max_input_chars_per_word=10_000))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s+|\w+|[^\s\w]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    trainer = trainers.WordPieceTrainer(
        vocab_size=900,
        special_tokens=["<unk>"],
        continuing_subword_prefix="",
        initial_alphabet=sorted(set("".join(texts))),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def sentence_pieces(texts: list[str]) -> PreTrainedTokenizerFast:
    """Unigram with blanks as ▁ in front of words, as SentencePiece has it; characters that it doesn't know are bytes."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="never"), decoders.Fuse()])
    trainer = trainers.UnigramTrainer(vocab_size=500, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@pytest.mark.parametrize("train", [byte_pairs, word_pieces, sentence_pieces])
def test_token_masks_are_exact(judged: list[Judged], train: Callable[[list[str]], PreTrainedTokenizerFast]) -> None:
    tokenizer = train([case.text for case, _ in judged])
    for case, verdict in judged:
        program = tokenized(case.text, tokenizer)
        for which, blamed in (("statement", case.span), ("expression", case.expression or case.span)):
            rewards = RewardsConfig.model_validate({"span": which})
            assert label(program, verdict, rewards).penalised == mask(program, case, blamed), (
                f"{which} of {case.name}\n{case.text}"
            )


def tokenized(text: str, tokenizer: PreTrainedTokenizerFast) -> Program:
    """The text as if these tokens of it had been sampled."""
    encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    decoded = decode_with_offsets(encoding.ids, tokenizer)
    assert decoded.text == text
    if text.isascii():
        assert list(zip(decoded.starts, decoded.ends, strict=True)) == encoding.offsets
    return Program(
        text=text, token_ids=encoding.ids, logprobs=[-1.0] * len(encoding.ids), starts=decoded.starts, ends=decoded.ends
    )


def mask(program: Program, case: Case, blamed: Span | None) -> list[bool]:
    """Character by character."""
    is_blamed = [case.category is Category.GLOBAL] * len(program.text)
    if blamed is not None:
        is_blamed[blamed.start_char : blamed.end_char] = [True] * (blamed.end_char - blamed.start_char)
    spans = zip(program.starts, program.ends, strict=True)
    return [case.category is Category.GLOBAL or any(is_blamed[start:end]) for start, end in spans]
