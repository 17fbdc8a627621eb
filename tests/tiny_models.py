"""Tiny random models of several families, and a tokenizer, for tests."""

from __future__ import annotations

from functools import cache

import torch
from transformers import (
    CodeGenConfig,
    CodeGenForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from contracts.records import Problem, Test
from contracts.sections import ModelConfig
from models.load import without_dropout
from models.tiny import build_model, train_tokenizer

torch.set_num_threads(1)  # threads over tensors this small do nothing but wait for each other
FAMILIES = ("llama", "t5", "gpt2", "qwen2", "codegen")
TEXTS = [
    "Read n integers. Print the sum of those greater than 3.\nprint(sum(x for x in a if x > 3))\n",
    "def f(a):\n    return max(a) - min(a)\nif x:\n    y = 10\n",
]


@cache
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """320 pieces."""
    return train_tokenizer(TEXTS * 3, 320, 256)


def tiny_model(family: str = "llama", seed: int = 0) -> PreTrainedModel:
    """A model of two layers with random weights, large enough for sharp distributions."""
    torch.manual_seed(seed)
    tokenizer = tiny_tokenizer()
    size, end = len(tokenizer), tokenizer.eos_token_id
    if family in ("llama", "t5"):
        kind = "causal" if family == "llama" else "encoder_decoder"
        model = build_model(ModelConfig(kind=kind, width=32, layers=2), tokenizer)
    elif family == "gpt2":
        config = GPT2Config(vocab_size=size, n_embd=32, n_layer=2, n_head=4, n_positions=128, eos_token_id=end)
        without_dropout(config)
        model = GPT2LMHeadModel(config)
    elif family == "qwen2":
        model = Qwen2ForCausalLM(
            Qwen2Config(vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                        num_key_value_heads=2, eos_token_id=end)
        )  # fmt: skip
    else:
        config = CodeGenConfig(vocab_size=size, n_embd=32, n_layer=2, n_head=4, rotary_dim=8, n_positions=128, eos_token_id=end)
        without_dropout(config)
        model = CodeGenForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    for module in model.modules():  # no dropout, as in all that models/load.py loads
        for name in ("p", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model


def problem(key: str = "p", question: str = "Read n integers. Print the sum.", **fields: object) -> Problem:
    """A stdin problem with one test."""
    return Problem(id=key, question=question, tests=(Test("1\n", "1\n"),), **fields)  # type: ignore[arg-type]
