"""How old a trained sample can be at most: a bound that follows from the recipe, printed at start and checked by tests.

Between the start of a group's sampling and its training, every other sample that is trained on was, at some time in
between, in the FIFO (at most C when sampling starts, and at most C while the group waits: what is left of the window
and the window after it) or in flight (at most F before it and F after it). So at most 2 (C + F) / B optimizer steps
pass, and its weights were at most S − 1 steps old when its sampling started, or S (1 + H) − 1 where samplers stay H
publications behind.

Groups are taken to be whole: those that lost programs to SANDBOX_ERRORs count as fewer samples, so that the FIFO may hold
more of them. With uses without limit, groups that shrink, or a window that is replaced before it is used up, nothing but
max_lag bounds the lag; max_lag holds in any case.
"""

from __future__ import annotations

from contracts.config import Recipe
from contracts.summary import Lag


def lag_bound(recipe: Recipe) -> Lag:
    """The bound in optimizer steps and the formula with its values."""
    buffer, n = recipe.buffer, recipe.sampling.samples_per_problem
    sync, held = recipe.weights.sync_every, recipe.weights.hold_back
    age, values = "S - 1", f"S = sync_every = {sync}"
    if held:
        age, values = "S (1 + H) - 1", f"{values}, H = hold_back = {held}"
    if recipe.deterministic:
        problems, groups = recipe.sampling.problems_per_batch, recipe.groups_per_step
        formula = f"{age} + (P + G - 2) / G with {values}, P = {problems}, G = {groups}: one batch at a time"
        return Lag(bound=recipe.deterministic_lag, formula=formula)
    batch = recipe.samples_per_step
    in_flight = recipe.in_flight * recipe.sampling.problems_per_batch * n
    limit = f"max_lag = {buffer.max_lag}"
    if buffer.max_uses != 1 or buffer.on_exhausted == "reshuffle":
        return Lag(bound=buffer.max_lag, formula=f"{limit}: groups are used more than once")
    if recipe.sampling.truncated == "drop":
        return Lag(bound=buffer.max_lag, formula=f"{limit}: groups shrink where truncated programs are dropped")
    if buffer.refresh_every * batch < buffer.capacity:
        return Lag(bound=buffer.max_lag, formula=f"{limit}: windows are replaced before they are used up")
    bound = recipe.oldest_weights + 2 * (buffer.capacity + in_flight) // batch
    formula = (
        f"min(max_lag, {age} + 2 (C + F) / B) with {values}, C = capacity = {buffer.capacity}, "
        f"F = in flight = {in_flight}, B = batch = {batch}, {limit}"
    )
    return Lag(bound=min(bound, buffer.max_lag), formula=formula)
