"""What Ray tells of an actor, a node or data that a run has lost, in a line for its user."""

from __future__ import annotations

import re
from textwrap import shorten

import ray.exceptions as gone

from contracts.errors import RunError

LOST = (
    gone.RayActorError,
    gone.ActorPlacementGroupRemoved,
    gone.LocalRayletDiedError,
    gone.NodeDiedError,
    gone.ObjectLostError,
    gone.OutOfMemoryError,
    gone.WorkerCrashedError,
)
"""What `--resume` is the remedy for."""
_FIELD = re.compile(r"\t(class_name|actor_id|pid|name|namespace|ip): (.*)")
_WORDS = 400


def lost(err: gone.RayError) -> RunError | None:
    """The error to end with; None where nothing was lost: then an actor has raised something of its own."""
    cause = getattr(err, "cause", None) or err  # Ray wraps what a task met
    if not isinstance(cause, LOST):
        return None
    return RunError(_line(cause), "See the logs in Ray's folder of this session; go on with --resume")


def _line(err: gone.RayError) -> str:
    lines = str(err).strip().splitlines()
    if isinstance(err, gone.ActorUnavailableError):
        return f"an actor does not answer: {_said(lines)}"
    if isinstance(err, gone.RayActorError):
        fields = {found.group(1): found.group(2) for line in lines if (found := _FIELD.fullmatch(line))}
        who = f"{fields['class_name']} on {fields.get('ip', 'no node')}: " if "class_name" in fields else ""
        why = [line for line in lines[1:] if not _FIELD.fullmatch(line)]
        return f"an actor died: {who}{_said(lines[-1:] if err.actor_init_failed else why or lines)}"
    if isinstance(err, gone.ObjectLostError):
        return f"programs or weights were lost on their way, as happens when a node dies: {_said(lines[:1])}"
    return f"a process of the run was lost ({type(err).__name__}): {_said(lines)}"


def _said(lines: list[str]) -> str:
    return shorten(" ".join(lines), _WORDS, placeholder=" …").removesuffix(".")
