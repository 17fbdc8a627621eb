"""A recipe made small enough to be tried in a minute: one block of its model, a few short problems, two steps on one machine.

What decides whether the parts fit together stays: kind, width and heads of the model, objective, engine, prompt and answer.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PretrainedConfig,
    PreTrainedTokenizerFast,
)

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.recipe import parse_recipe
from contracts.records import Problem
from contracts.sections import PromptConfig
from models.answers import AnswerForm
from models.load import load_config, load_tokenizer, without_dropout
from models.prompts import prompt_text
from models.tiny import build_model, train_tokenizer
from problems.own_rows import write_rows
from problems.sets import ProblemSet
from rltf.sizes import reduced

TRAIN, HELDOUT, SAMPLES, STEPS = 4, 2, 2, 2
MOST_PROMPT_TOKENS, LEAST_PROGRAM_TOKENS = 256, 16
VOCABULARY = 512


class Base(NamedTuple):
    """The model that a recipe begins with, as far as it is there."""

    config: PretrainedConfig
    folder: Path | None
    """Where its files are."""
    tokenizer: PreTrainedTokenizerFast | None
    """None: one has to be made."""


def find_base(recipe: Recipe) -> Base | None:
    """The configuration and the tokenizer of the recipe's model, without a network; None where the run makes its model itself.

    Raises UserError where neither its files nor `model.architecture` say what it is.
    """
    path, architecture = recipe.model.path, recipe.model.architecture
    if path is None and architecture is None:
        return None
    folder = local_folder(path) if path else None
    if folder is not None:
        return Base(load_config(str(folder)), folder, load_tokenizer(str(folder)))
    if architecture is None:
        raise UserError(
            f"model.path={path} is not on this machine, and the recipe has no model.architecture to do without it",
            f"Get it (hf download {path}), name a folder, or set model.architecture as in its config.json",
        )
    return Base(config_of(architecture), None, None)


def local_folder(path: str) -> Path | None:
    """The folder of a model: the one named, or the hub cache's; None where it isn't on this machine."""
    try:
        folder = Path(path) if Path(path).is_dir() else Path(snapshot_download(path, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return folder if all((folder / file).is_file() for file in ("config.json", "tokenizer_config.json")) else None


def config_of(architecture: dict[str, Any]) -> PretrainedConfig:
    """`model.architecture` as a configuration, every dropout off. Raises UserError where it is none."""
    sizes = dict(architecture)
    try:
        config = AutoConfig.for_model(sizes.pop("model_type", ""), **sizes)
    except (ValueError, TypeError) as err:
        first_line = str(err).strip().splitlines()[0]
        raise UserError(f"model.architecture describes no model: {first_line}", "Copy it from the model's config.json") from err
    without_dropout(config)
    return config


def tiny_config(recipe: Recipe) -> PretrainedConfig:
    """Of the model that a run of this recipe makes itself."""
    with torch.device("meta"):
        config = build_model(recipe.model, train_tokenizer([], VOCABULARY, recipe.context)).config
    assert isinstance(config, PretrainedConfig)
    config.vocab_size = recipe.model.vocab_size
    return config


def write_model(base: Base, problems: ProblemSet, folder: Path, seed: int) -> PreTrainedTokenizerFast:
    """One block (of an encoder–decoder, one each) at full width with random weights, and the tokenizer, as a model folder.

    Where the tokenizer had to be made, the vocabulary is its.
    """
    config, tokenizer = reduced(base.config, 1), base.tokenizer
    if tokenizer is None:
        texts = [text for problem in problems.train for text in (problem.question, *problem.corpus)]
        tokenizer = train_tokenizer(texts, VOCABULARY, 10**6)
        config.vocab_size = len(tokenizer)
        config.bos_token_id = None
        config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
        if config.is_encoder_decoder:
            config.decoder_start_token_id = tokenizer.pad_token_id
    torch.manual_seed(seed)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    kind.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return tokenizer


def shortest(problems: ProblemSet, config: PromptConfig) -> ProblemSet:
    """A few of the problems with the shortest statements and programs; none without a prompt, which the template may make."""

    def length(problem: Problem) -> tuple[bool, bool, int]:
        programs, prompt = [len(text) for text in problem.corpus], prompt_text(problem, problem.question, config)
        return not prompt.strip(), not programs, len(prompt) + min(programs, default=0)

    train, heldout = sorted(problems.train, key=length)[:TRAIN], sorted(problems.heldout, key=length)[:HELDOUT]
    return replace(problems, train=train, heldout=heldout)


def program_tokens(problems: Sequence[Problem], tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> int:
    """Tokens for which one corpus program of some problem fits, within the recipe's own limit."""
    form = AnswerForm(recipe.prompt.answer, recipe.sampling.stop)
    answers = [form.write(text, problem.starter_code) for problem in problems for text in problem.corpus]
    lengths = [len(tokenizer(text, add_special_tokens=False).input_ids) + 1 for text in answers if text is not None]
    return min(recipe.sampling.max_new_tokens, max(LEAST_PROGRAM_TOKENS, min(lengths, default=0)))


def small_recipe(
    recipe: Recipe, problems: ProblemSet, model: Path | None, tokenizer: PreTrainedTokenizerFast, scratch: Path
) -> Recipe:
    """The recipe of the trial, with its problems written below `scratch`. `model` None: the run makes its own."""
    write_rows(scratch / "train.jsonl", problems.train)
    write_rows(scratch / "heldout.jsonl", problems.heldout)
    chat = recipe.prompt.chat and bool(tokenizer.chat_template)
    changes: dict[str, Any] = {
        "name": "trial",
        "output": str(scratch / "runs"),
        "steps": STEPS,
        "online": True,
        "control": False,
        "upload": None,
        "ray": {"address": None},
        "problems": {"path": str(scratch / "train.jsonl"), "heldout_path": str(scratch / "heldout.jsonl")},
        "model": {"path": str(model) if model else None, "architecture": None, "layers": 1, "vocab_size": VOCABULARY},
        "prompt": {"max_tokens": min(recipe.prompt.max_tokens, MOST_PROMPT_TOKENS), "chat": chat},
        "sampling": {
            "samples_per_problem": SAMPLES,
            "problems_per_batch": 2,
            "max_new_tokens": program_tokens(problems.train, tokenizer, recipe),
            "truncated": "label",
        },
        "actors": {"count": 1, "in_flight": 1, "threads": _threads(), **_gpus(recipe.actors.num_gpus)},
        "executors": {"count": 1, "cores": 1},
        "buffer": {"url": None},
        "objective": {"skip_zero_variance": False, "reference": {"critic": None}},
        "learner": {
            "ranks": 1,
            "threads": _threads(),
            "batch_samples": 2 * SAMPLES,
            "sl_samples": min(recipe.learner.sl_samples, 2),
            "micro_batch": 2,
            "updates": min(recipe.learner.updates, 2),
            **_gpus(recipe.learner.num_gpus),
        },
        "deepspeed": {"precision": precision_here(recipe)},
        "weights": {"sync_every": 1, "hold_back": 0, "transport": "auto"},
        "warmup": {"steps": min(recipe.warmup.steps, 1), "batch": 2},
        "eval": {"samples": 1, "k": [1], "temperatures": [recipe.eval.temperatures[0]]},
        "checkpoint": {"every": 0, "keep": 1},
        "monitor": {"prometheus_port": 0, "examples": 0},
    }
    tree = recipe.model_dump(mode="json")
    tree["problems"] = {}
    return parse_recipe(_merged(tree, changes))


def precision_here(recipe: Recipe) -> str:
    """fp16 needs a GPU."""
    wanted = recipe.deepspeed.precision
    return "fp32" if wanted == "fp16" and not torch.cuda.is_available() else wanted


def _gpus(wanted: float) -> dict[str, float]:
    """Learner and sampler share what GPUs this machine has."""
    return {"num_gpus": min(wanted, 1.0, torch.cuda.device_count() / 2)}


def _threads() -> int:
    """Half of this machine's cores, so that learner and sampler do not stand in each other's way."""
    return max(1, len(os.sched_getaffinity(0)) // 2)


def _merged(tree: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy of the tree with the changes in it, section by section."""
    return tree | {
        key: _merged(tree[key], value) if isinstance(value, dict) and isinstance(tree[key], dict) else value
        for key, value in changes.items()
    }
