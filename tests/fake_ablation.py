"""An ablation whose runs are made up: they take as many looks as they are told, and leave a summary as a real one does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import yaml
from rich.console import Console

from contracts.ablation import AblationRecipe, load_ablation
from contracts.recipe import write_recipe
from contracts.summary import Summary, write_summary
from rltf.ablation_jobs import Job, begin, plan
from rltf.progress import Progress
from rltf.runs import State
from tests.fake_run import result

ROOT = Path(__file__).resolve().parent.parent
ARMS: dict[str, Any] = {
    "sl": {"about": "supervised <only>", "set": {"online": False, "control": True}},
    "coarse": {"about": "one reward", "set": {"objective.fine": 0, "objective.adaptive": 0}},
    "coarse+fine": {"about": "two", "set": {"objective.adaptive": 0}},
}


def recipe(tmp_path: Path, *overrides: str, **changes: Any) -> AblationRecipe:
    """An ablation below tmp_path/runs, of recipes/local.yaml."""
    tree = {
        "name": "fake",
        "base": str(ROOT / "recipes" / "local.yaml"),
        "set": {"control": False, "output": str(tmp_path / "runs")},
        "seeds": [0, 1],
        "arms": ARMS,
    }
    path = tmp_path / "fake.yaml"
    path.write_text(yaml.safe_dump(tree | changes, sort_keys=False))
    return load_ablation(path, overrides)


def planned(ablation: AblationRecipe, arms: Sequence[str], seeds: Sequence[int]) -> list[Job]:
    """The runs of an ablation whose folder is there, with their recipes in it."""
    jobs = plan(ablation, arms, seeds)
    with begin(ablation, jobs, resume=False):
        return jobs


def leave(
    job: Job,
    rate: float = 0.5,
    *,
    status: Any = "done",
    error: float = 0.02,
    start: float = 0.3,
    passed: Sequence[int] = (),
) -> None:
    """What a run leaves: its control is far better than its online model, where it has both."""
    folder = job.recipe.folder
    folder.mkdir(parents=True, exist_ok=True)
    write_recipe(job.recipe, folder / "config.yaml")
    (folder / "state.json").write_bytes(msgspec.json.encode(State(run="r")))
    ours = result(rate, rate + 0.2, error=error)
    ours.evaluations["T=1.0"].passed = list(passed)
    summary = Summary(name=job.recipe.name, status=status, seed=job.seed, seconds={"online": 120.0})
    if job.arm is not None and status == "done":
        summary.start = result(start, 0.7)
        if job.recipe.online:
            summary.final, summary.control = ours, result(0.99, 0.99)
        else:
            summary.control = ours
    write_summary(summary, folder / "summary.json")


@dataclass
class Process:
    """A run that ends after so many looks."""

    job: Job
    world: World
    looks: int
    code: int

    def poll(self) -> int | None:
        self.looks -= 1
        if self.looks > 0:
            return None
        self.world.going.discard(str(self.job))
        self.world.events.append(f"end {self.job}")
        if self.code == 0:
            leave(self.job, self.world.rates.get(self.job.arm or "", 0.5))
        return self.code

    def terminate(self) -> None:
        self.world.events.append(f"terminate {self.job}")
        leave(self.job, status="interrupted")

    def wait(self) -> int:
        self.world.events.append(f"wait {self.job}")
        return 130


@dataclass
class World:
    """Launches runs and keeps what happened."""

    looks: Mapping[str, int] = field(default_factory=dict)
    """By str(job); 2 where it says nothing."""
    failing: Sequence[str] = ()
    rates: Mapping[str, float] = field(default_factory=dict)
    interrupt_after: int | None = None
    """Pauses before Ctrl-C."""
    events: list[str] = field(default_factory=list)
    going: set[str] = field(default_factory=set)
    most: int = 0
    """Runs at a time."""
    lock: int = -1
    """The descriptor that the last one was given."""
    pauses: int = 0

    def launch(self, job: Job, lock: int) -> Process:
        name = str(job)
        self.lock = lock
        self.events.append(f"{'resume' if job.has_begun else 'start'} {name}")
        self.going.add(name)
        self.most = max(self.most, len(self.going))
        job.log.write_text("…")
        return Process(job, self, self.looks.get(name, 2), int(name in self.failing))

    def pause(self) -> None:
        self.pauses += 1
        if self.pauses == self.interrupt_after:
            raise KeyboardInterrupt

    @property
    def begun(self) -> list[str]:
        """What was started, in order."""
        return [event for event in self.events if event.startswith(("start", "resume"))]


def progress() -> tuple[Progress, StringIO]:
    """A progress, and what it says."""
    said = StringIO()
    return Progress(Console(file=said, width=200)), said
