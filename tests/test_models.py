"""Tokenizer, offsets, prompts, loading and scoring."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import UserError
from contracts.sections import PromptConfig
from models.load import check_model_path, load_model, load_tokenizer
from models.offsets import decode_with_offsets
from models.prompts import build_prompt, encode_program
from models.scoring import collate, score, token_logprobs
from tests.tiny_models import FAMILIES, problem, tiny_model, tiny_tokenizer


@settings(deadline=None)
@given(st.text())
def test_offsets_of_encoded_text_cover_it_exactly(text: str) -> None:
    tokenizer = tiny_tokenizer()
    ids = tokenizer(text, add_special_tokens=False).input_ids
    decoded = decode_with_offsets(ids, tokenizer)
    assert decoded.text == text
    assert decoded.starts == [0, *decoded.ends][:-1]
    assert decoded.ends[-1:] == ([len(text)] if ids else [])


@settings(deadline=None)
@given(st.lists(st.integers(0, 319), max_size=30))
def test_offsets_of_any_tokens_are_consistent_with_their_text(ids: list[int]) -> None:
    tokenizer = tiny_tokenizer()
    text, starts, ends = decode_with_offsets(ids, tokenizer)
    assert len(starts) == len(ends) == len(ids)
    assert "".join(text[start:end] for start, end in zip(starts, ends, strict=True)) == text
    plain = tokenizer.backend_tokenizer.decode(ids)
    assert text.replace("\ufffd", "") == plain.replace("\ufffd", "")


def test_special_tokens_have_empty_spans_and_split_characters_belong_to_the_last_byte() -> None:
    tokenizer = tiny_tokenizer()
    ids = [*tokenizer("é", add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    assert len(ids) == 3
    assert decode_with_offsets(ids, tokenizer) == ("é", [0, 0, 1], [0, 1, 1])


def test_no_piece_merges_a_newline_with_the_indent_after_it_and_digits_stand_alone() -> None:
    pieces = tiny_tokenizer().convert_ids_to_tokens(range(len(tiny_tokenizer())))
    newline = "Ċ"
    assert [piece for piece in pieces if newline in piece] == [newline]
    assert [piece for piece in pieces if any(char.isdigit() for char in piece) and len(piece) > 1] == []


@pytest.mark.parametrize("limit", [8, 20, 60])
def test_long_statements_lose_their_end_and_the_cut_is_counted(limit: int) -> None:
    question = "Read n integers. Print the sum of those greater than 3. " * 5
    config = PromptConfig(template="{question}\n{format}\n", stdin_format="in", max_tokens=limit)
    ids, cut = build_prompt(problem(question=question), tiny_tokenizer(), config)
    text = tiny_tokenizer().decode(ids)
    assert len(ids) <= limit
    assert text == question[: len(question) - cut] + "\nin\n"
    assert cut > 0
    assert len(ids) >= limit - 3, "no more is cut than needed"


def test_short_statements_lose_nothing() -> None:
    ids, cut = build_prompt(problem(question="Print 3."), tiny_tokenizer(), PromptConfig())
    assert cut == 0
    assert tiny_tokenizer().decode(ids) == "QUESTION:\nPrint 3.\n\nUse Standard Input format\nANSWER:\n"


def test_frames_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(UserError, match="starter code alone"):
        build_prompt(problem(starter_code="x = 1\n" * 100), tiny_tokenizer(), PromptConfig(max_tokens=40))


def test_programs_end_with_the_end_token_or_are_passed_over() -> None:
    tokenizer = tiny_tokenizer()
    ids = encode_program("x = 1\n", tokenizer, 20)
    assert ids is not None
    assert ids[-1] == tokenizer.eos_token_id
    assert encode_program("x = 1\n", tokenizer, len(ids) - 1) is None


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_changes_no_logprob(family: str) -> None:
    model = tiny_model(family).eval()
    prompts, programs = [[5, 6, 7], [8], [9, 10, 11, 12, 13]], [[20], [21, 22, 23, 24], [25, 26]]
    together = token_logprobs(model, collate(prompts, programs, 0))
    for row, prompt, program in zip(together, prompts, programs, strict=True):
        alone = token_logprobs(model, collate([prompt], [program], 0))[0]
        torch.testing.assert_close(row[: len(program)], alone, rtol=0, atol=1e-4)
        assert not row[len(program) :].any()


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_the_scaled_distribution_each_program_at_its_own_temperature(family: str) -> None:
    model = tiny_model(family).eval()
    prompts, programs, temperatures = [[5, 6, 7], [8], [9, 10]], [[20], [21, 22, 23, 24], [25, 26]], [0.5, 1.0, 3.0]
    tokens = collate(prompts, programs, 0)
    found = score(model, tokens, torch.tensor(temperatures))
    torch.testing.assert_close(found.logprobs, token_logprobs(model, tokens, torch.tensor(temperatures)))
    assert not found.entropy.requires_grad
    for i, (prompt, program, temperature) in enumerate(zip(prompts, programs, temperatures, strict=True)):
        with torch.no_grad():
            if model.config.is_encoder_decoder:
                given = torch.tensor([[model.config.decoder_start_token_id, *program[:-1]]])
                logits = model(input_ids=torch.tensor([prompt]), decoder_input_ids=given).logits[0]
            else:
                logits = model(torch.tensor([prompt + program])).logits[0, len(prompt) - 1 : -1]
        every = (logits.double() / temperature).log_softmax(-1)
        entropy = -(every.exp() * every).sum(-1)
        torch.testing.assert_close(found.entropy[i, : len(program)], entropy.float(), rtol=1e-3, atol=1e-4)
        chosen = every[torch.arange(len(program)), program].float()
        torch.testing.assert_close(found.logprobs[i, : len(program)].detach(), chosen, rtol=1e-4, atol=1e-3)
        assert not found.entropy[i, len(program) :].any()
    torch.testing.assert_close(score(model, tokens, 0.5).logprobs[0], found.logprobs[0])
    assert not torch.allclose(score(model, tokens).entropy[0, :1], found.entropy[0, :1])


@pytest.mark.parametrize("family", ["llama", "t5", "gpt2"])
def test_saved_models_load_again_without_dropout(family: str, tmp_path: Path) -> None:
    model = tiny_model(family)
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    again = load_model(str(tmp_path))
    assert load_tokenizer(str(tmp_path)).get_vocab() == tiny_tokenizer().get_vocab()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value)
    assert [module.p for module in again.modules() if isinstance(module, torch.nn.Dropout) and module.p > 0] == []


def test_a_folder_without_a_model_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        check_model_path(str(tmp_path), 100)
    with pytest.raises(UserError, match="no such folder"):
        check_model_path(str(tmp_path / "nowhere"), 100)
    tiny_model().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    check_model_path(str(tmp_path), 256)
    with pytest.raises(UserError, match="context of 256"):
        check_model_path(str(tmp_path), 257)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_model(str(tmp_path))
