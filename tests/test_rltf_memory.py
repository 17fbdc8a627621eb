"""What a recipe needs of memory: against published figures, and against what torch holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PretrainedConfig, PreTrainedModel

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.recipe import apply_override, load_recipe, parse_recipe
from learner.engine import build_optimizer
from models.load import without_dropout
from models.scoring import TokenBatch, score
from rltf.fitting import needs, refuse_unfit, remedy
from rltf.memory import GB, Pass, Sizes, activation_bytes, checkpoint_bytes, learner_parts, sampler_parts, total
from rltf.reduced import config_of
from rltf.sizes import measure

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
LLAMA = {"model_type": "llama", "vocab_size": 300, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 4}
SMALL: dict[str, dict[str, Any]] = {
    "llama": LLAMA | {"num_attention_heads": 4, "num_key_value_heads": 2},
    "qwen2": LLAMA | {"model_type": "qwen2", "num_attention_heads": 4, "num_key_value_heads": 2},
    "gpt2": {"model_type": "gpt2", "vocab_size": 300, "n_embd": 64, "n_layer": 4, "n_head": 4, "n_positions": 128},
    "codegen": {"model_type": "codegen", "vocab_size": 300, "n_embd": 64, "n_layer": 4, "n_head": 4, "rotary_dim": 8},
    "t5": {"model_type": "t5", "vocab_size": 300, "d_model": 64, "d_kv": 16, "d_ff": 160, "num_heads": 4}
    | {"num_layers": 4, "num_decoder_layers": 4, "decoder_start_token_id": 0},
}
BF16 = {"precision": "bf16", "zero_stage": 1}
FIXED = ("weights", "gradients", "optimizer")


def recipe(**sections: dict[str, Any]) -> Recipe:
    learner = {"num_gpus": 1, "micro_batch": 3} | sections.pop("learner", {})
    shapes = {"prompt": {"max_tokens": 40}, "sampling": {"max_new_tokens": 24}, "actors": {"num_gpus": 1}}
    return parse_recipe({"name": "r", **shapes, "learner": learner, **sections})


def sizes(parameters: int, trained: int | None = None) -> Sizes:
    return Sizes(parameters, trained or parameters, 2, Pass(1000, 10, 500, 0), 0, 0, 0)


def model_of(architecture: dict[str, Any]) -> PreTrainedModel:
    config = AutoConfig.for_model(**architecture)
    without_dropout(config)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    return kind.from_config(config)


@pytest.mark.parametrize(("ranks", "stage", "published"), [(1, 1, 120.0), (64, 1, 31.4), (64, 2, 16.6), (64, 3, 1.9)])
def test_zero_takes_what_its_paper_says(ranks: int, stage: int, published: float) -> None:
    """Rajbhandari et al. 2020, figure 1: 7.5 billion parameters, mixed precision; gradients there are half as wide as here."""
    asked = recipe(learner={"ranks": ranks, "batch_samples": 64 * 20}, deepspeed={"zero_stage": stage, "precision": "bf16"})
    parts = {part.name: part.size for part in learner_parts(asked, sizes(7_500_000_000))}
    assert round((sum(parts[name] for name in FIXED) - parts["gradients"] / 2) / GB, 1) == published


@pytest.mark.parametrize(("precision", "stage", "each"), [("fp32", 0, 16), ("fp32", 1, 20), ("bf16", 1, 18), ("fp16", 2, 18)])
def test_the_optimizer_has_its_own_copy_of_the_weights_under_zero(precision: str, stage: int, each: int) -> None:
    engine = {"precision": precision, "zero_stage": stage}
    parts = {p.name: p.size for p in learner_parts(recipe(deepspeed=engine), sizes(1000))}
    assert sum(parts[name] for name in FIXED) == each * 1000


@pytest.mark.parametrize(
    ("stage", "offload", "gpus", "beyond"), [(0, False, 1, 4), (1, True, 1, 6), (2, False, 1, 2), (2, False, 0, 6)]
)
def test_an_update_counts_for_what_it_takes_beyond_a_pass(stage: int, offload: bool, gpus: int, beyond: int) -> None:
    """AdamW's copies or gradients between ranks, where a pass takes nothing but, under ZeRO 2, 2 bytes for the latter."""
    engine = {"precision": "bf16" if stage else "fp32", "zero_stage": stage, "offload_optimizer": offload}
    asked = recipe(deepspeed=engine, learner={"num_gpus": gpus})
    parts = {p.name: p.size for p in learner_parts(asked, Sizes(1000, 1000, 2, Pass(0, 0, 0, 0), 0, 0, 0))}
    assert parts.get("an update, beyond a pass", 0) == beyond * 1000


def test_only_optimizers_with_a_bucket_are_said_to_have_one() -> None:
    def bucket(**engine: Any) -> float:
        parts = {p.name: p.size for p in learner_parts(recipe(deepspeed=engine), sizes(1000))}
        return parts.get("DeepSpeed's gradient bucket", 0)

    assert bucket(zero_stage=0) == bucket(zero_stage=1, precision="bf16") == 0
    assert bucket(zero_stage=1) == bucket(zero_stage=1, precision="bf16", offload_optimizer=True) == 2 * GB
    assert bucket(zero_stage=2, precision="bf16") == GB


def test_frozen_weights_have_neither_gradient_nor_optimizer_state() -> None:
    parts = {p.name: p.size for p in learner_parts(recipe(deepspeed=BF16), sizes(1000, trained=10))}
    assert [parts[name] for name in FIXED] == [2000, 40, 120]
    assert parts["staging copy for the samplers"] == 20


def test_an_offloaded_optimizer_is_in_main_memory() -> None:
    engine = {"precision": "fp16", "zero_stage": 2}
    on_gpu, off = (recipe(deepspeed=engine | {"offload_optimizer": offload}) for offload in (False, True))
    moved = total(learner_parts(on_gpu, sizes(1000)), "gpu") - total(learner_parts(off, sizes(1000)), "gpu")
    assert moved == 12_000
    assert total(learner_parts(off, sizes(1000)), "host") == moved + 6_000 + 8_000  # under way; AdamW's working copies


def test_the_optimizer_holds_what_is_reckoned() -> None:
    model = model_of(SMALL["llama"])
    asked = recipe()
    optimizer, _ = build_optimizer(model, asked.learner.optimizer, 1)
    model(input_ids=torch.ones(1, 4, dtype=torch.int64)).logits.sum().backward()
    optimizer.step()
    held = sum(value.nbytes for state in optimizer.state.values() for value in state.values() if value.ndim)
    parts = {p.name: p.size for p in learner_parts(asked, measure(model.config, asked))}
    assert parts["optimizer"] == held
    assert parts["weights"] == parts["gradients"] == sum(p.nbytes for p in model.parameters())


ATTENTION = [(family, "eager") for family in SMALL if family != "t5"] + [
    (family, "sdpa") for family in SMALL if family != "codegen"
]


@pytest.fixture
def scores_in_the_models_precision() -> Iterator[None]:
    """Where a bias is learnt a CPU's kernel keeps the scores, as large as the mask that a GPU's keeps; by default in fp32."""
    before = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    yield
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(before)


@pytest.mark.usefixtures("scores_in_the_models_precision")
@pytest.mark.parametrize(("family", "attention"), ATTENTION)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_activations_are_what_torch_keeps(family: str, attention: str, precision: str) -> None:
    """By real tensors at full depth, where the reckoning has seen one and two blocks without contents."""
    asked = recipe(deepspeed={"precision": precision, "zero_stage": 1})
    model = model_of(SMALL[family]).to(torch.bfloat16 if precision == "bf16" else torch.float32)
    model.set_attn_implementation(attention)
    kept: dict[int, torch.UntypedStorage] = {}
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        ids, masks = ([torch.ones(3, n, dtype=torch.int64) for n in (40, 24)] for _ in range(2))
        masks[0][0, :7] = masks[1][0, 20:] = 0  # one row is shorter than the others
        scores = score(model.train(), TokenBatch(ids[0], masks[0], ids[1], masks[1]))
    held = sum(storage.nbytes() for storage in kept.values())
    assert scores.logprobs.requires_grad
    assert activation_bytes(asked, measure(model.config, asked)) == pytest.approx(held, rel=0.02)


@pytest.mark.parametrize("family", SMALL)
def test_the_cache_is_what_transformers_keeps(family: str) -> None:
    model, asked = model_of(SMALL[family]), recipe(deepspeed={"precision": "fp32"})
    prompt, program = torch.ones(1, 40, dtype=torch.int64), torch.ones(1, 24, dtype=torch.int64)
    if model.config.is_encoder_decoder:
        cache = model(input_ids=prompt, decoder_input_ids=program, use_cache=True).past_key_values
        layers = [*cache.self_attention_cache.layers, *cache.cross_attention_cache.layers]
    else:
        layers = model(input_ids=torch.cat([prompt, program], 1), use_cache=True).past_key_values.layers
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)
    assert measure(model.config, asked).row_cache_bytes == held


def test_checkpointed_activations_are_a_boundary_a_block_and_one_block_whole() -> None:
    plain, checkpointed = (recipe(learner={"activation_checkpointing": on}) for on in (False, True))
    assert activation_bytes(plain, sizes(1)) == 500 + 2 * 1000
    assert activation_bytes(checkpointed, sizes(1)) == 500 + 1000 + 2 * 10


def test_a_packed_row_counts_where_it_is_larger_than_a_micro_batch() -> None:
    config = model_of(SMALL["llama"]).config
    padded, short, long = (measure(config, recipe(learner={"pack_tokens": n})).largest for n in (0, 64, 400))
    assert short == padded
    assert long.boundary_bytes == 400 * 64 * 4 > padded.boundary_bytes == 3 * 64 * 64 * 4
    assert long.logits == 399 * 300


def test_a_sampler_holds_a_cache_for_every_program_of_its_batch() -> None:
    rows = recipe(sampling={"samples_per_problem": 7, "problems_per_batch": 5}, objective={"baseline": "greedy"})
    found = Sizes(1000, 1000, 2, Pass(0, 0, 0, 0), 0, 0, row_cache_bytes=11)
    parts = {part.name: part.size for part in sampler_parts(rows, found)}
    assert parts["keys and values"] == 5 * 8 * 11
    assert parts["weights"] == parts["staging copy of new weights"] == 4000


def test_disk_holds_the_checkpoints_kept_one_under_way_and_the_models_of_the_stages() -> None:
    asked = recipe(checkpoint={"keep": 2}, warmup={"steps": 5}, model={"path": "a/b"}, deepspeed=BF16)
    state, model = 14 * 1000, 2 * 1000
    assert checkpoint_bytes(asked, sizes(1000)) == 2 * model + 3 * (state + model)
    full = recipe(checkpoint={"keep": 2}, model={"path": "a/b"}, deepspeed={"zero_stage": 1})
    assert checkpoint_bytes(full, sizes(1000)) == 4000 + 3 * (16_000 + 4000)
    assert checkpoint_bytes(recipe(steps=0, online=False, model={"path": "a/b"}), sizes(1000)) == 0


def test_architectures_have_the_sizes_of_the_published_models() -> None:
    counts = {name: parameters(f"apps-{name}") for name in ("codet5-770m", "codegen-2.7b", "qwen2.5-coder-1.5b")}
    d, ff = 1024, 4096
    encoder, decoder = 4 * d * d + 2 * d * ff + 2 * d, 8 * d * d + 2 * d * ff + 3 * d
    assert counts["codet5-770m"] == 32100 * d + 24 * (encoder + decoder) + 2 * 32 * 16 + 2 * d
    d = 2560
    block = 4 * d * d + 8 * d * d + 4 * d + d + 2 * d  # attention has no biases
    assert counts["codegen-2.7b"] == 2 * 51200 * d + 51200 + 32 * block + 2 * d
    d, ff, kv = 1536, 8960, 256
    block = 2 * d * d + 2 * d * kv + d + 2 * kv + 3 * d * ff + 2 * d
    assert counts["qwen2.5-coder-1.5b"] == 151936 * d + 28 * block + d


def test_adapters_train_rank_times_inputs_and_outputs() -> None:
    asked = load_recipe(RECIPES / "apps-qwen2.5-coder-1.5b-lora.yaml")
    d, ff, kv = 1536, 8960, 256
    ends = 2 * (d + d) + 2 * (d + kv) + 3 * (d + ff)
    assert measure(architecture(asked), asked).trained == 28 * 32 * ends


def test_what_does_not_fit_is_refused_with_a_change_that_helps() -> None:
    asked = recipe(learner={"micro_batch": 400, "num_gpus": 1}, hardware={"gpu_memory_gb": 1.6})
    config = model_of(SMALL["llama"]).config
    with pytest.raises(UserError, match=r"a learner rank needs about \d\.\d+ GB.* gives it 1\.6 GB") as caught:
        refuse_unfit(asked, measure(config, asked), lambda changed: measure(config, changed))
    assert caught.value.remedy == "Set learner.micro_batch=1"
    tree = asked.model_dump(mode="json")
    apply_override(tree, "learner.micro_batch=1")
    refuse_unfit(parse_recipe(tree), measure(config, parse_recipe(tree)), lambda changed: measure(config, changed))


def test_changes_that_help_only_together_are_named_together_and_no_other() -> None:
    """CodeGen's fp16 run on GPUs half as large: bf16 would change nothing, an optimizer is offloaded already."""
    asked = load_recipe(
        RECIPES / "apps-codegen-2.7b.yaml", ("hardware.gpu_memory_gb=12", "learner.activation_checkpointing=false")
    )
    config = architecture(asked)
    with pytest.raises(UserError) as caught:
        refuse_unfit(asked, measure(config, asked), lambda changed: measure(config, changed))
    remedies = caught.value.remedy.removeprefix("Set ").split()
    assert remedies[0] == "learner.activation_checkpointing=true"
    assert 2 <= len(remedies) <= 3
    assert not {"learner.micro_batch=1", "deepspeed.precision=bf16", "deepspeed.offload_optimizer=true"} & set(remedies)


def test_half_precision_comes_with_the_sharding_that_it_needs() -> None:
    def measured(asked: Recipe) -> Sizes:
        return Sizes(1000, 1000, 1, Pass(GB * (2 if asked.deepspeed.precision == "bf16" else 4), 0, 0, 0), 0, 0, 0)

    asked = recipe(hardware={"gpu_memory_gb": 5})
    assert remedy(asked, "learner rank", measured) == "Set deepspeed.precision=bf16 deepspeed.zero_stage=2"
    asked = recipe(hardware={"gpu_memory_gb": 6}, deepspeed={"zero_stage": 1})
    assert remedy(asked, "learner rank", measured) == "Set deepspeed.precision=bf16"


def test_a_sampler_that_does_not_fit_is_told_how_many_problems_would() -> None:
    large = SMALL["llama"] | {"num_hidden_layers": 40}
    asked = recipe(
        learner={"micro_batch": 1}, sampling={"problems_per_batch": 64, "max_new_tokens": 400}, hardware={"gpu_memory_gb": 2.5}
    )
    config = config_of(large)
    with pytest.raises(UserError, match="a sampler needs") as caught:
        refuse_unfit(asked, measure(config, asked), lambda changed: measure(config, changed))
    problems = int(caught.value.remedy.removeprefix("Set sampling.problems_per_batch="))
    fitting, more = (
        asked.model_copy(update={"sampling": asked.sampling.model_copy(update={"problems_per_batch": n})})
        for n in (problems, 2 * problems)
    )
    assert [needs(each, measure(config, each))[1].fits for each in (fitting, more)] == [True, False]


def test_what_no_change_makes_fit_asks_for_other_gpus() -> None:
    asked = recipe(hardware={"gpu_memory_gb": 0.5})  # CUDA's own needs more
    config = model_of(SMALL["llama"]).config
    with pytest.raises(UserError, match="Use GPUs with more memory, or a smaller model"):
        refuse_unfit(asked, measure(config, asked), lambda changed: measure(config, changed))


def test_main_memory_is_checked_where_the_recipe_says_how_much_there_is() -> None:
    config = model_of(SMALL["llama"]).config
    asked = recipe(executors={"count": 4, "cores": 8}, hardware={"memory_gb": 16.0})
    with pytest.raises(UserError, match=r"about 17\.2 GB of main memory, hardware\.memory_gb=16"):
        refuse_unfit(asked, measure(config, asked), lambda changed: measure(config, changed))


def test_a_share_of_a_gpu_is_a_share_of_its_memory() -> None:
    found = needs(recipe(learner={"num_gpus": 0.5}, actors={"num_gpus": 0}), sizes(1))
    assert [need.budget for need in found] == [40 * GB, None]
    assert found[1].verdict == "in main memory"
    assert total(found[1].parts, "gpu") == 0


def parameters(name: str) -> int:
    asked = load_recipe(RECIPES / f"{name}.yaml")
    return measure(architecture(asked), asked).parameters


def architecture(asked: Recipe) -> PretrainedConfig:
    assert asked.model.architecture is not None
    return config_of(asked.model.architecture)
