"""Folders and hub names: every family's own tokenizer, all kinds of weight files, and what is said where something is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from contracts.errors import UserError
from contracts.sections import LoraConfig
from models.load import check_model_path, end_tokens, load_model, load_tokenizer
from models.lora import with_adapters
from models.offsets import decode_with_offsets
from tests.small_run import ROOT
from tests.tiny_models import FAMILIES, SCALES, family_tokenizer, save_family, tiny_model

CODE = "# Größe\ndef f(a):\n    if a > 10:\n\n        return a[0]  # é\n\tx = 'ab'\nprint(f(int(input())))\n"


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_loads_with_its_own_tokenizer_without_dropout_and_with_tied_weights(family: str, tmp_path: Path) -> None:
    save_family(family, tmp_path)
    check_model_path(str(tmp_path), 200)
    tokenizer, model = load_tokenizer(str(tmp_path)), load_model(str(tmp_path))
    original = tiny_model(family, 0, family_tokenizer(family), SCALES.get(family, 3.0))
    assert type(model) is type(original)
    for name, value in original.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert tied == (family != "codegen")
    assert [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout) and module.p > 0] == []
    rates = {name: value for name, value in vars(model.config).items() if ("dropout" in name or "pdrop" in name) and value}
    assert not {name for name, value in rates.items() if isinstance(value, float)}
    assert tokenizer.is_fast
    assert tokenizer.pad_token_id is not None
    assert tokenizer.padding_side == "left"
    ids = tokenizer(CODE, add_special_tokens=False).input_ids
    assert decode_with_offsets(ids, tokenizer).text == CODE


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("precision", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_all_parameters_have_the_type_that_the_learner_computes_in(
    family: str, precision: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    save_family(family, tmp_path)
    taught = with_adapters(load_model(str(tmp_path), precision), LoraConfig(rank=2))
    assert {parameter.dtype for parameter in taught.parameters()} == {dtype}
    model = load_model(str(tmp_path), precision)
    assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) == (family != "codegen")


def test_the_conventions_of_each_family(tmp_path: Path) -> None:
    ends, starts, pads = {}, {}, {}
    for family in FAMILIES:
        save_family(family, tmp_path / family)
        tokenizer, model = load_tokenizer(str(tmp_path / family)), load_model(str(tmp_path / family))
        ends[family] = tokenizer.convert_ids_to_tokens(end_tokens(model, tokenizer))
        starts[family] = getattr(model.config, "decoder_start_token_id", None)
        pads[family] = tokenizer.pad_token
    plain = ["<|endoftext|>"]
    assert ends == {"llama": ["</s>"], "t5": ["</s>"], "gpt2": plain, "codegen": plain, "qwen2": [*plain, "<|im_end|>"]}
    assert starts == {"llama": None, "t5": 0, "gpt2": None, "codegen": None, "qwen2": None}
    assert pads == {"llama": "</s>", "t5": "<pad>", "gpt2": plain[0], "codegen": plain[0], "qwen2": plain[0]}


@pytest.mark.parametrize("family", ["t5", "gpt2", "codegen", "qwen2"])
def test_tokenizers_as_they_were_published_load(family: str, tmp_path: Path) -> None:
    """As Salesforce/codet5-large and others of its time: vocab.json and merges.txt, no tokenizer.json."""
    save_family(family, tmp_path)
    whole = json.loads((tmp_path / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.json").write_text(json.dumps(whole["model"]["vocab"]))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in whole["model"]["merges"]))
    tokenizer, expected = load_tokenizer(str(tmp_path)), family_tokenizer(family)
    assert tokenizer(CODE).input_ids == expected(CODE).input_ids
    assert tokenizer.eos_token_id == expected.eos_token_id


def same(folder: Path, expected: torch.nn.Module) -> bool:
    check_model_path(str(folder), 200)
    loaded = load_model(str(folder)).state_dict()
    return all(torch.equal(loaded[name], value) for name, value in expected.state_dict().items())


def test_sharded_weights_and_older_weight_files_load(tmp_path: Path) -> None:
    save_family("gpt2", tmp_path)
    model = load_model(str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert same(tmp_path, model)
    for file in tmp_path.glob("model*.safetensors*"):
        file.unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    assert same(tmp_path, model)


def test_a_folder_that_lacks_something_is_an_error_not_a_model_drawn_at_random(tmp_path: Path) -> None:
    save_family("llama", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    left = {name: value for name, value in weights.items() if "layers.1.mlp.up" not in name}
    save_file(left, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks weights: model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(str(tmp_path))
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be loaded"):
        load_model(str(tmp_path))


@pytest.mark.parametrize("family", ["gpt2", "qwen2", "codegen", "t5"])
def test_a_folder_without_a_tokenizer_is_refused(family: str, tmp_path: Path) -> None:
    tiny_model(family).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="cannot write Python"):
        check_model_path(str(tmp_path), 100)


def test_a_decoder_that_does_not_say_how_it_begins_begins_as_it_is_scored(tmp_path: Path) -> None:
    save_family("t5", tmp_path)
    for name in ("config.json", "generation_config.json"):
        lines = (tmp_path / name).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(line for line in lines if "decoder_start_token_id" not in line))
    model = load_model(str(tmp_path))
    assert model.config.decoder_start_token_id == family_tokenizer("t5").pad_token_id


def offline(*code: str, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run Python where there is no network, with this cache."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGINGFACE"))}
    env = known | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(cache)}
    return subprocess.run([sys.executable, *code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_a_hub_name_that_cannot_be_got_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    name, run = "nobody/no-such-model", ("-m", "rltf.cli", "train", "recipes/local.yaml", f"output={tmp_path}")
    done = offline(*run, f"model.path={name}", cache=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert f"model.path={name}" in line
    assert f"hf download {name}" in line
    assert "model.path=FOLDER" in line
    assert not (tmp_path / "local").exists(), "nothing was started"


def test_a_hub_name_is_looked_up_in_the_cache_file_by_file(tmp_path: Path) -> None:
    commit = "0" * 40
    cached = tmp_path / "hub" / "models--someone--tiny"
    save_family("gpt2", cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    code = (
        "from models.load import check_model_path, load_model; check_model_path('someone/tiny', 200); load_model('someone/tiny')"
    )
    assert offline("-c", code, cache=tmp_path).returncode == 0
    (cached / "snapshots" / commit / "model.safetensors").unlink()
    done = offline("-c", code, cache=tmp_path)
    assert "UserError" in done.stderr.strip().splitlines()[-1]
    assert "its model.safetensors is not in the cache" in done.stderr


def test_what_is_no_hub_name_either_is_said(tmp_path: Path) -> None:
    done = offline("-c", "from models.load import check_model_path; check_model_path('my model', 9)", cache=tmp_path)
    assert "neither a folder nor a hub name" in done.stderr.strip().splitlines()[-1]
