"""What the unit tests said about a micro-batch, as tensors, and what a loss returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

Figures = dict[str, float]
"""Sums over tokens; keys that end in `_max` are largest values."""


@dataclass(frozen=True)
class Feedback:
    """B programs of at most T tokens."""

    mask: Tensor
    """[B, T], 1 on tokens"""
    advantages: Mapping[str, Tensor]
    """Term → [B], weighted: on all tokens"""
    fine: Tensor
    """[B] R_fine(W)"""
    penalised: Tensor
    """[B, T] bool, the range S..E"""
    static: Tensor
    """[B] R_static where the program has findings, else 0"""
    findings: Tensor
    """[B, T] bool, the tokens of static findings"""
    behaviour: Tensor
    """[B, T] log-probs with which the tokens were sampled, 0 on padding"""
    proximal: Tensor | None = None
    """[B, T] log-probs under the weights at the step's start; None: they are the present ones"""
    critic: Tensor | None = None
    """[B, T] a frozen critic's probability of the true outcome"""


class Losses(NamedTuple):
    """A micro-batch's share of the loss."""

    terms: dict[str, Tensor]
    """Term → scalar, as it enters the total"""
    figures: Figures
    """What a user watches"""
