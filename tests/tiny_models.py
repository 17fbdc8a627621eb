"""Tiny random models of several families, and a tokenizer, for tests."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CodeGenConfig,
    CodeGenForCausalLM,
    CodeGenTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Tokenizer,
    LlamaTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Tokenizer,
    RobertaTokenizer,
)

from contracts.records import Problem, Test
from contracts.sections import ModelConfig
from models.tiny import build_model, train_tokenizer

torch.set_num_threads(1)  # threads over tensors this small do nothing but wait for each other
FAMILIES = ("llama", "t5", "gpt2", "qwen2", "codegen")
SCALES = {"t5": 1.0}
"""T5 does not scale its attention: weights three times as large saturate it, and its fp32 is off by 0.003 nats of its fp64."""
CHATML = """{%- if messages[0].role != 'system' -%}<|im_start|>system
You are a helpful assistant.<|im_end|>
{% endif -%}
{%- for message in messages -%}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}"""
TEXTS = [
    "Read n integers. Print the sum of those greater than 3.\nprint(sum(x for x in a if x > 3))\n",
    "def f(a):\n    return max(a) - min(a)\nif x:\n    y = 10\n",
]


@cache
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """320 pieces."""
    return train_tokenizer(TEXTS * 3, 320, 256)


@cache
def family_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """About 400 pieces, with the special tokens and the splitting into words that the family's published models have."""
    special = {
        "t5": ["<pad>", "<s>", "</s>", "<unk>", "<mask>"],  # CodeT5's: RoBERTa's kind of tokenizer
        "qwen2": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        "llama": ["<s>", "</s>"],
    }.get(family, ["<|endoftext|>"])
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    trained.train_from_iterator(TEXTS * 3, trainer)
    if family == "llama":  # its prompts begin with a token of their own
        trained.decoder = decoders.ByteLevel()
        trained.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
        return PreTrainedTokenizerFast(tokenizer_object=trained, bos_token="<s>", eos_token="</s>")
    model = json.loads(trained.to_str())["model"]
    pieces = {"vocab": model["vocab"], "merges": [tuple(pair) for pair in model["merges"]]}
    if family == "qwen2":
        tokenizer = Qwen2Tokenizer(**pieces, eos_token="<|im_end|>", pad_token="<|endoftext|>")
        tokenizer.add_tokens([AddedToken("<|im_start|>", special=True)])
        tokenizer.chat_template = CHATML
        return tokenizer
    return {"t5": RobertaTokenizer, "codegen": CodeGenTokenizer, "gpt2": GPT2Tokenizer}[family](**pieces)


@cache
def blank_first_tokenizer() -> PreTrainedTokenizerFast:
    """SentencePiece's kind, as Code Llama's: a word carries the blank before it, and decoders drop the blank of the first."""
    characters = ["▁", *"abcdefghijklmnopqrstuvwxyz()=+:123"]
    merges = [("▁", "▁"), ("▁▁", "▁▁"), ("d", "e"), ("de", "f"), ("▁", "def"), ("▁", "a")]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *characters, *map("".join, merges)]
    return LlamaTokenizer(vocab={piece: number for number, piece in enumerate(pieces)}, merges=merges, pad_token="</s>")


def tiny_model(
    family: str = "llama", seed: int = 0, tokenizer: PreTrainedTokenizerFast | None = None, scale: float = 3.0
) -> PreTrainedModel:
    """A model of two layers with random weights, large enough for sharp distributions."""
    torch.manual_seed(seed)
    tokenizer = tokenizer or tiny_tokenizer()
    size, end = len(tokenizer), tokenizer.eos_token_id
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": end}
    if family in ("llama", "t5"):
        kind = "causal" if family == "llama" else "encoder_decoder"
        model = build_model(ModelConfig(kind=kind, width=32, layers=2), tokenizer)
    elif family == "gpt2":
        model = GPT2LMHeadModel(GPT2Config(vocab_size=size, n_embd=32, n_layer=2, n_head=4, n_positions=256, **ids))
    elif family == "qwen2":
        model = Qwen2ForCausalLM(
            Qwen2Config(vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                        num_key_value_heads=2, tie_word_embeddings=True, **ids)
        )  # fmt: skip
    else:
        config = CodeGenConfig(vocab_size=size, n_embd=32, n_layer=2, n_head=4, rotary_dim=8, n_positions=256, **ids)
        model = CodeGenForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    for module in model.modules():  # no dropout, as in all that models/load.py loads
        for name in ("p", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model


def save_family(family: str, folder: Path, seed: int = 0) -> None:
    """A folder as the family's models are published: random weights, its own kind of tokenizer, its end tokens."""
    tokenizer = family_tokenizer(family)
    model = tiny_model(family, seed, tokenizer, scale=SCALES.get(family, 3.0))
    if family == "qwen2":
        model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def problem(key: str = "p", question: str = "Read n integers. Print the sum.", **fields: object) -> Problem:
    """A stdin problem with one test."""
    return Problem(id=key, question=question, tests=(Test("1\n", "1\n"),), **fields)  # type: ignore[arg-type]
