"""What ends a run that has lost an actor, a node or its data: one line, with who, where and why, and the remedy."""

from __future__ import annotations

import pytest
import ray
from ray import exceptions as gone
from ray.core.generated.common_pb2 import ActorDiedErrorContext

from contracts.errors import RunError, UserError
from contracts.recipe import parse_recipe
from rltf import joining
from rltf.joining import connected

REMEDY = "See the logs in Ray's folder of this session; go on with --resume"
KILLED = (
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker "
    "unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the process was killed by "
    "the OOM killer due to high memory usage, (2) ray stop --force was called, or (3) the worker crashed unexpectedly due to "
    "SIGSEGV or another unexpected error."
)
NODE = "The actor died because its node has died. Node Id: 54b4\n\tthe actor's node was terminated: received SIGTERM"


def died(reason: str) -> gone.ActorDiedError:
    context = ActorDiedErrorContext(
        error_message=reason,
        actor_id=bytes(16),
        class_name="SamplerActor",
        pid=71,
        node_ip_address="192.0.2.7",
        ray_namespace="n",
    )
    return gone.ActorDiedError(context)


def in_a_task(cause: Exception) -> Exception:
    """As `ray.get` raises what a task met."""
    error: Exception = gone.RayTaskError("label", "Traceback …", cause).as_instanceof_cause()
    return error


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "_start_local", lambda _: None)
    monkeypatch.setattr(ray, "shutdown", lambda: None)


def raised(err: BaseException) -> BaseException:
    with pytest.raises(BaseException) as caught, connected(parse_recipe({"name": "r", "ray": {"address": "local"}})):  # noqa: PT011
        raise err
    return caught.value


OBJECT = "programs or weights were lost on their way, as happens when a node dies: Failed to retrieve object ff"


@pytest.mark.parametrize(
    ("err", "message"),
    [
        (
            died(f"{KILLED} If the process was killed by more, {'long ' * 20}"),
            f"an actor died: SamplerActor on 192.0.2.7: {KILLED}",
        ),
        (died(NODE), f"an actor died: SamplerActor on 192.0.2.7: {NODE.replace(chr(10) + chr(9), ' ')}"),
        (
            gone.ActorDiedError.from_task_error(
                gone.RayTaskError("__init__", "Traceback\n  line\nValueError: bad", ValueError())
            ),
            "an actor died: ValueError: bad",
        ),
        (gone.ActorDiedError(), "an actor died: The actor died unexpectedly before finishing this task"),
        (gone.ActorUnavailableError("gone", None), "an actor does not answer: The actor None is unavailable: gone"),
        (gone.NodeDiedError("node 7 died"), "a process of the run was lost (NodeDiedError): node 7 died"),
        (gone.OutOfMemoryError("too much"), "a process of the run was lost (OutOfMemoryError): too much"),
        (gone.WorkerCrashedError(), "a process of the run was lost (WorkerCrashedError): The worker died unexpectedly"),
        (gone.ObjectReconstructionFailedError("ff"), OBJECT),
        (in_a_task(gone.ObjectReconstructionFailedError("ff")), OBJECT),
        (in_a_task(gone.NodeDiedError("node 7 died")), "a process of the run was lost (NodeDiedError): node 7 died"),
    ],
)
def test_a_loss_is_one_line_and_says_how_to_go_on(err: Exception, message: str) -> None:
    found = raised(err)
    assert isinstance(found, RunError)
    assert found.message.startswith(message)
    assert "\n" not in found.message
    assert found.remedy == REMEDY
    assert found.__cause__ is err


@pytest.mark.parametrize(
    "err", [in_a_task(UserError("bad", "mend it")), in_a_task(ValueError("a fault of ours")), KeyboardInterrupt(), KeyError("x")]
)
def test_what_else_ends_a_run_stays_what_it_is(err: BaseException) -> None:
    assert raised(err) is err
