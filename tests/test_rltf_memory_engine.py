"""What is reckoned of a learner rank's memory, against what real DeepSpeed ranks hold, tensor by tensor."""

from __future__ import annotations

import gc
import json
import socket
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import LlamaConfig, LlamaForCausalLM

from contracts.recipe import parse_recipe
from contracts.training import DeepSpeedConfig, OptimizerConfig
from models.scoring import _entropy, collate, token_logprobs
from rltf.memory import BUCKET, ENTROPY, Pass, Sizes, learner_parts

RANKS = 2
ON_ONE_DEVICE = [("fp32", stage, False) for stage in (0, 1, 2, 3)] + [("bf16", stage, False) for stage in (1, 2, 3)]
OFFLOADED = [(precision, stage, True) for precision in ("fp32", "bf16") for stage in (1, 2, 3)]
APART = ("staging copy for the samplers", "DeepSpeed's gradient bucket")
"""The first is the publisher's, the second has a size of its own, hundreds of times that of these tests' model."""


class Held(TorchDispatchMode):
    """Bytes of all tensors that were made since it was entered and are still there, DeepSpeed's gradient buckets left out."""

    def __init__(self) -> None:
        super().__init__()
        self._storages: dict[int, tuple[weakref.ref[torch.UntypedStorage], int]] = {}
        self.now = self.most = 0

    def add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._storages or size >= BUCKET:
            return
        self._storages[key] = weakref.ref(storage, lambda _: self._drop(key)), size
        self.now += size
        self.most = max(self.most, self.now)

    def _drop(self, key: int) -> None:
        self.now -= self._storages.pop(key)[1]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and tensor.device.type != "meta":
                self.add(tensor)
        return made


def settled(held: Held) -> int:
    """Bytes that are there to stay: gloo's threads let go of what they have sent a moment after it was awaited."""
    gc.collect()
    for _ in range(10):
        torch.distributed.barrier()
    return held.now


def engine_of(precision: str, stage: int, offload: bool) -> dict[str, Any]:
    return {"precision": precision, "zero_stage": stage, "offload_optimizer": offload}


def run_rank(rank: int, port: int, folder: Path) -> None:
    """Per trained parameter, in the second step: bytes held between two micro-batches, and at the most."""
    from learner.deepspeed_engine import DeepSpeedEngine, join_ranks

    torch.set_num_threads(1)
    join_ranks(rank, RANKS, ("127.0.0.1", port))
    batch = collate([[1]], [[4]], 0)
    # ZeRO 3 shares matrices of more than 100,000 parameters out, and leaves the others whole
    shape = {"hidden_size": 320, "intermediate_size": 640, "num_hidden_layers": 4, "num_attention_heads": 4}
    figures: dict[str, Any] = {}
    for case in ON_ONE_DEVICE + OFFLOADED:
        with Held() as held:
            model = LlamaForCausalLM(LlamaConfig(vocab_size=30, **shape))
            model = model.to(torch.bfloat16) if case[0] == "bf16" else model
            size = sum(parameter.numel() for parameter in model.parameters())
            for parameter in model.parameters():
                held.add(parameter.data)
            config = DeepSpeedConfig.model_validate(engine_of(*case))
            engine = DeepSpeedEngine(model.train(), config, OptimizerConfig(), 2)
            for _ in range(2):
                held.most = held.now
                engine.backward(-token_logprobs(engine.model, batch).sum(), last=False)
                lasting = settled(held)
                engine.backward(-token_logprobs(engine.model, batch).sum(), last=True)
                engine.step()
        figures[str(case)] = [lasting / size, held.most / size]
        engine.close()
    if rank == 0:
        (folder / "figures.json").write_text(json.dumps(figures))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    folder = tmp_path_factory.mktemp("held")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(run_rank, args=(port, folder), nprocs=RANKS)
    found = json.loads((folder / "figures.json").read_text())
    assert isinstance(found, dict)
    return found


def reckoned(case: tuple[str, int, bool]) -> dict[str, float]:
    """Bytes a trained parameter, where a pass over a micro-batch takes next to nothing."""
    learner = {"ranks": RANKS, "batch_samples": 128}
    asked = parse_recipe({"name": "r", "learner": learner, "deepspeed": engine_of(*case)})
    parts = learner_parts(asked, Sizes(10_000, 10_000, 4, Pass(0, 0, 0, 0), 0, 0, 0))
    return {part.name: part.size / 10_000 for part in parts if part.name not in APART}


@pytest.mark.slow
@pytest.mark.parametrize("case", ON_ONE_DEVICE, ids=str)
def test_a_rank_holds_at_most_what_is_reckoned(ran: dict[str, list[float]], case: tuple[str, int, bool]) -> None:
    assert sum(reckoned(case).values()) == pytest.approx(ran[str(case)][1], rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("case", ON_ONE_DEVICE + OFFLOADED, ids=str)
def test_a_rank_keeps_between_micro_batches_what_is_reckoned(ran: dict[str, list[float]], case: tuple[str, int, bool]) -> None:
    parts = reckoned(case)
    names = {"weights", "gradients", "optimizer", "gradients and weights under way"} & parts.keys()
    assert sum(parts[name] for name in names) == pytest.approx(ran[str(case)][0], rel=0.05)


@pytest.mark.parametrize("rows", [1, 3])
def test_entropy_takes_four_times_one_programs_logits(rows: int) -> None:
    with Held() as held:
        logits = torch.randn(rows, 50, 2000)
        before = held.now
        assert _entropy(logits).shape == (rows, 50)
    assert held.most - before == pytest.approx(ENTROPY * 50 * 2000, rel=0.01)
