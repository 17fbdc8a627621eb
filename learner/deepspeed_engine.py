"""The engine that runs use: DeepSpeed over any ZeRO stage, precision and number of ranks."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import Tensor
from transformers import PreTrainedModel

os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")  # read when deepspeed is imported
import deepspeed
import deepspeed.ops
from deepspeed.runtime.zero import parameter_offload

from contracts.training import DeepSpeedConfig, OptimizerConfig
from learner.engine import Engine, build_optimizer


def join_ranks(rank: int, ranks: int, address: tuple[str, int], *, gpu: bool = False) -> None:
    """Rendezvous of all ranks at rank 0's address, once per process, before any engine is made."""
    host, port = address
    os.environ.update(MASTER_ADDR=host, MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(ranks), LOCAL_RANK="0")
    # This op would be compiled for minutes at its first use, and needs a C++ compiler; gloo does its work.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed("nccl" if gpu else "gloo", auto_mpi_discovery=False, verbose=False)


class DeepSpeedEngine(Engine):
    """One rank's DeepSpeed engine."""

    def __init__(self, model: PreTrainedModel, config: DeepSpeedConfig, optimizer: OptimizerConfig, steps: int) -> None:
        """Shard a model that every rank holds whole. `join_ranks` comes first."""
        self.rank = torch.distributed.get_rank()
        self.ranks = torch.distributed.get_world_size()
        self._optimizer_config = optimizer
        self._config = config
        adamw, schedule = build_optimizer(model, optimizer, steps)
        self._engine, *_ = deepspeed.initialize(
            model=model, optimizer=adamw, lr_scheduler=schedule, config=deepspeed_settings(config, optimizer)
        )
        self._schedule = schedule
        self.model = self._engine

    @property
    def module(self) -> PreTrainedModel:
        """The model itself, sharded under ZeRO 3."""
        return self._engine.module

    def backward(self, loss: Tensor, *, last: bool) -> None:
        self._engine.set_gradient_accumulation_boundary(last)
        # DeepSpeed averages gradients over ranks; losses here are already shares of the global batch.
        self._engine.backward(loss * self.ranks, scale_wrt_gas=False)

    def step(self) -> float | None:
        norm, skipped = self._unsharded_gradient_norm(), self._engine.skipped_steps
        self._engine.step()
        if self._engine.skipped_steps > skipped:
            self._forget_overflow()
            return None
        reported = self._engine.get_global_grad_norm()
        return float(reported) if reported is not None else norm

    def learning_rate(self) -> float:
        return float(self._schedule.get_last_lr()[0])

    def sum_over_ranks(self, values: Sequence[float]) -> list[float]:
        if self.ranks == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self._engine.device)
        torch.distributed.all_reduce(total)
        return list(total.tolist())

    def broadcast(self, text: str | None) -> str:
        if self.ranks == 1:
            assert text is not None
            return text
        box: list[str | None] = [text]
        torch.distributed.broadcast_object_list(box, src=0, device=self._engine.device)
        assert box[0] is not None
        return box[0]

    @contextmanager
    def gathered(self, parameters: Sequence[torch.nn.Parameter]) -> Iterator[None]:
        with deepspeed.zero.GatheredParameters(list(parameters), enabled=self._config.zero_stage == 3):
            yield

    def save(self, folder: Path, extra: dict[str, Any]) -> None:
        """Write model, optimizer, schedule and `extra` (plain data) below `folder`; all ranks call it."""
        self._engine.save_checkpoint(str(folder), tag="state", client_state=extra, save_latest=False)

    def load(self, folder: Path) -> dict[str, Any]:
        """Read what `save` wrote with as many ranks; returns `extra`."""
        path, extra = self._engine.load_checkpoint(str(folder), tag="state")
        if path is None:
            raise FileNotFoundError(f"{folder} holds no learner state")
        return dict(extra)

    def close(self) -> None:
        """Free what DeepSpeed holds; a process may make another engine afterwards."""
        own = set(self.module.modules())
        stack = parameter_offload.FWD_MODULE_STACK  # ZeRO 3's hooks keep every model there for as long as the process lasts
        stack[:] = [module for module in stack if module not in own]
        self._engine.destroy()

    def _forget_overflow(self) -> None:
        """Of an offloaded optimizer DeepSpeed keeps the sums that overflowed: every later step would be skipped too."""
        sums = getattr(self._engine.optimizer, "averaged_gradients", {})
        sums.update(dict.fromkeys(sums))

    def _unsharded_gradient_norm(self) -> float:
        """DeepSpeed reports no norm for plain fp32 without ZeRO: take it before the step, while the gradients are there."""
        gradients = [parameter.grad for parameter in self.module.parameters() if parameter.grad is not None]
        if self._config.zero_stage > 0 or not gradients:
            return math.nan
        return float(torch.nn.utils.get_total_norm(gradients))


def deepspeed_settings(config: DeepSpeedConfig, optimizer: OptimizerConfig) -> dict[str, Any]:
    """The recipe's settings in DeepSpeed's own terms. Everything that has a surprising default is set."""
    zero: dict[str, Any] = {"stage": config.zero_stage}
    if config.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu"}
    return {
        "train_micro_batch_size_per_gpu": 1,  # for DeepSpeed's own reckoning of throughput only: batches are formed here
        "gradient_accumulation_steps": 1,  # boundaries are set by hand at each step's last micro-batch
        "gradient_clipping": optimizer.grad_clip,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": config.precision == "bf16", "immediate_grad_update": True},  # keeps no bf16 gradients beside the sums
        "fp16": {"enabled": config.precision == "fp16"},
        "data_types": {"grad_accum_dtype": "fp32"},  # by default half precision's: each micro-batch would round the sum again
        "steps_per_print": 10**12,
        "wall_clock_breakdown": False,
    }
