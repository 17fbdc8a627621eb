"""Kinds of values in a recipe, and what is refused for each."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field


def _named(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(f"{name!r} is no name: it may hold letters, digits, dots, _ and -, and begins with a letter or a digit")
    return name


Name = Annotated[str, AfterValidator(_named)]
"""Name of a folder, in all places where one is named after it."""
Count = Annotated[int, Field(ge=1)]
NonNegative = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Ratio = Annotated[float, Field(ge=0, le=1)]


def _whole_or_a_share(gpus: float) -> float:
    if gpus > 1 and gpus != int(gpus):
        raise ValueError(f"{gpus} is neither a share of one GPU nor a whole number of GPUs")
    return gpus


LEAST = 0.0001
"""Ray counts resources in ten-thousandths."""


def _none_or_enough(amount: float) -> float:
    if 0 < amount < LEAST:
        raise ValueError(f"{amount:g} is less than Ray can give: {LEAST} is the least")
    return amount


Gpus = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(_whole_or_a_share), AfterValidator(_none_or_enough)]
"""GPUs of an actor: some, or a share of one."""


def _only_custom(resources: dict[str, float]) -> dict[str, float]:
    if rays_own := {"CPU", "GPU", "memory", "object_store_memory"} & set(resources):
        raise ValueError(f"{min(rays_own)} is Ray's own: threads, cores and num_gpus say how much of it an actor takes")
    return resources


Resources = Annotated[dict[str, Annotated[float, Field(ge=LEAST, allow_inf_nan=False)]], AfterValidator(_only_custom)]
"""Ray's custom resources of an actor, by which a cluster's owner marks nodes: {cpu_node: 0.001} is had by many actors of one."""


def _place(url: str | None) -> str | None:
    """Without a slash at the end; empty is unset. Raises ValueError where nothing would be left, or too much would be told."""
    if not url:
        return None
    scheme, separator, place = url.partition("://")
    if ":" in (place or url).rpartition("@")[0]:
        raise ValueError("it holds a password, and is written to config.yaml: use the environment variables of its backend")
    if not separator or not scheme:
        raise ValueError(f"{url} is no URL: a folder's is file:///A/FOLDER")
    if not place.strip("/"):
        raise ValueError(f"{url} names no place below which copies could be")
    if scheme in ("file", "local") and not place.startswith("/"):
        raise ValueError(f"{url} depends on where the run is started: write file:///A/FOLDER")
    if scheme == "memory":
        raise ValueError(f"{url} goes when the run has ended: name a place that stays")
    return url.rstrip("/")


UploadUrl = Annotated[str | None, AfterValidator(_place)]
"""A place that fsspec knows, for a run's copy."""
