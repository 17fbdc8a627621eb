"""Load a code model and its tokenizer from a folder or the hub, ready to be sampled from or scored."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from huggingface_hub.errors import HFValidationError, StrictDataclassError
from safetensors import SafetensorError
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
from transformers.utils.hub import has_file

from contracts.errors import UserError
from contracts.sections import PromptConfig
from models.prompts import check_chat

transformers_logging.disable_progress_bar()
logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it would tell of each attempt to reach the hub

_REMEDY = "Name a Hugging Face model folder or hub name"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_CODE = "def f(x):\n    if x:\n        return x[0] + 1\n\n\nprint(f([2]))\n"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def load_tokenizer(path: str) -> PreTrainedTokenizerFast:
    """The tokenizer of a model folder or hub name. Raises UserError where none is there that gives offsets and writes Python."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left")
    except (OSError, ValueError) as err:
        raise _not_a_model(path, err) from err
    if not tokenizer.is_fast:
        raise UserError(f"{path} has no fast tokenizer", "Convert it: located errors need character offsets")
    if tokenizer.eos_token_id is None:
        raise UserError(f"the tokenizer of {path} has no end token", "Set eos_token in its tokenizer_config.json")
    if tokenizer.backend_tokenizer.decode(tokenizer(_CODE, add_special_tokens=False).input_ids) != _CODE:
        raise UserError(  # transformers makes an empty tokenizer where files are missing
            f"the tokenizer of {path} cannot write Python: its files are missing, or it loses newlines or blanks",
            "Save the tokenizer beside the model, or take a model that was made for code",
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(path: str, precision: str = "fp32") -> PreTrainedModel:
    """The causal or encoder–decoder model of a folder or hub name, every dropout off, its parameters of one type.

    Raises UserError where it isn't a model that transformers can load, or lacks weights.
    """
    try:
        config = load_config(path)
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model, found = kind.from_pretrained(path, config=config, dtype=DTYPES[precision], output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as err:
        raise _not_a_model(path, err) from err
    if found["missing_keys"]:  # transformers would draw them at random
        raise UserError(f"{path} lacks weights: {min(found['missing_keys'])} for one", "Name a whole language model's folder")
    if config.is_encoder_decoder and getattr(config, "decoder_start_token_id", None) is None:
        kept = model.generation_config
        model.config.decoder_start_token_id = _first(kept.decoder_start_token_id, kept.bos_token_id, config.pad_token_id)
    forget_generation_defaults(model)
    _have_one_type(model, DTYPES[precision])
    return model


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The tokens that end a program: the tokenizer's, and the model's, of which chat models have several."""
    own = model.generation_config.eos_token_id
    return sorted({tokenizer.eos_token_id, *([own] if isinstance(own, int) else own or [])})


def _have_one_type(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """transformers keeps some of T5's weights in fp32; DeepSpeed does not, and samplers must compute what the learner does."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)


def check_model_path(path: str, tokens: int, prompt: PromptConfig | None = None) -> None:
    """Raises UserError at once, before anything is started, where a path was named that holds no model.

    Likewise where a hub name's files are neither here nor to be had, where prompt and program, `tokens` long together, do not fit
    into the model's context, and where the tokenizer has no template for the chat that `prompt` asks for.
    """
    folder = Path(path)
    if folder.exists() and not (folder / "config.json").is_file():
        raise UserError(f"model.path={path} is not a model folder: it has no config.json", _REMEDY)
    if not folder.exists() and (path.startswith((".", "/", "~")) or path.count("/") > 1):
        raise UserError(f"model.path={path}: there is no such folder", _REMEDY)
    if not folder.exists():
        _check_hub(path, ("config.json",))
    config = load_config(path)
    tokenizer = load_tokenizer(path)
    check_context(config, tokens)
    if prompt is not None:
        check_chat(tokenizer, prompt)
    if not folder.exists():
        _check_hub(path, _WEIGHTS)
    elif not any(file.suffix in (".safetensors", ".bin") for file in folder.iterdir()):
        raise UserError(f"model.path={path} is not a model folder: it has no weights", _REMEDY)


def check_context(config: PretrainedConfig, tokens: int) -> None:
    """Raises UserError where prompt and program, `tokens` long together, do not fit into the model's context."""
    context = getattr(config, "max_position_embeddings", None)
    if context is not None and tokens > context:
        raise UserError(
            f"prompt.max_tokens + sampling.max_new_tokens = {tokens} exceed the model's context of {context}", "Lower them"
        )


def _check_hub(name: str, files: tuple[str, ...]) -> None:
    """Raises UserError where none of these files of a hub name is in the cache or can be got."""
    try:
        there = any(has_file(name, file) for file in files)
    except HFValidationError as err:
        raise UserError(f"model.path={name} is neither a folder nor a hub name", _REMEDY) from err
    except OSError as err:
        raise _not_a_model(name, err) from err
    if not there:
        raise UserError(
            f"model.path={name}: there is no such folder, and its {files[0]} is not in the cache and cannot be got from the hub",
            f"Run `hf download {name}` where there is a network, or name a folder: model.path=FOLDER",
        )


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


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
