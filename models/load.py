"""Load a code model and its tokenizer from a folder or the hub, ready to be sampled from or scored."""

from __future__ import annotations

from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from contracts.errors import UserError

transformers_logging.disable_progress_bar()

_REMEDY = "Name a Hugging Face model folder or hub name"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def load_tokenizer(path: str) -> PreTrainedTokenizerFast:
    """The tokenizer of a model folder or hub name. Raises UserError where there is none that can give offsets."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left")
    except (OSError, ValueError) as err:
        raise _not_a_model(path, err) from err
    if not tokenizer.is_fast:
        raise UserError(f"{path} has no fast tokenizer", "Convert it: located errors need character offsets")
    if tokenizer.eos_token_id is None:
        raise UserError(f"the tokenizer of {path} has no end token", "Set eos_token in its tokenizer_config.json")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(path: str, precision: str = "fp32") -> PreTrainedModel:
    """The causal or encoder–decoder model of a folder or hub name, every dropout off.

    Raises UserError where it isn't a model that transformers can load.
    """
    try:
        config = load_config(path)
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model = kind.from_pretrained(path, config=config, dtype=DTYPES[precision])
    except (OSError, ValueError, KeyError) as err:
        raise _not_a_model(path, err) from err
    forget_generation_defaults(model)
    return model


def check_model_path(path: str, tokens: int) -> None:
    """Raises UserError at once, before anything is started, where a path was named that holds no model.

    Likewise where prompt and program, `tokens` long together, do not fit into the model's context.
    """
    folder = Path(path)
    if folder.exists() and not (folder / "config.json").is_file():
        raise UserError(f"model.path={path} is not a model folder: it has no config.json", _REMEDY)
    if not folder.exists() and (path.startswith((".", "/", "~")) or path.count("/") > 1):
        raise UserError(f"model.path={path}: there is no such folder", _REMEDY)
    config = load_config(path)
    load_tokenizer(path)
    context = getattr(config, "max_position_embeddings", None)
    if context is not None and tokens > context:
        raise UserError(
            f"prompt.max_tokens + sampling.max_new_tokens = {tokens} exceed the model's context of {context}", "Lower them"
        )
    if folder.exists() and not any(file.suffix in (".safetensors", ".bin") for file in folder.iterdir()):
        raise UserError(f"model.path={path} is not a model folder: it has no weights", _REMEDY)


def without_dropout(config: object) -> None:
    """Set every dropout rate of a configuration to 0: behaviour policy and scored policy must be the same."""
    for name, value in vars(config).items():
        if ("dropout" in name or "pdrop" in name) and isinstance(value, float):
            setattr(config, name, 0.0)


def forget_generation_defaults(model: PreTrainedModel) -> None:
    """Drop the checkpoint's own top_k, top_p, repetition penalty …: `generate` would fill what is unset from them."""
    kept = model.generation_config
    model.generation_config = GenerationConfig(
        eos_token_id=kept.eos_token_id,
        pad_token_id=kept.pad_token_id,
        bos_token_id=kept.bos_token_id,
        decoder_start_token_id=kept.decoder_start_token_id,
    )


def load_config(path: str) -> PretrainedConfig:
    """A model's configuration, every dropout off. Raises UserError where there is none."""
    try:
        config = AutoConfig.from_pretrained(path)
    except (OSError, ValueError, KeyError, StrictDataclassError) as err:
        raise _not_a_model(path, err) from err
    without_dropout(config)
    return config


def _not_a_model(path: str, err: Exception) -> UserError:
    first_line = str(err).strip().splitlines()[0] if str(err).strip() else type(err).__name__
    return UserError(f"{path} cannot be loaded as a code model: {first_line}", _REMEDY)
