"""Hub names: from the hub's own cache, without a network; what cannot be had is one line with a way out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError

from contracts.errors import UserError
from contracts.sections import ProblemsConfig
from problems.hub import resolved
from problems.read import read_problems
from problems.sets import load_problem_set
from tests.cli import rltf

ROW = {"question": "Add.", "input_output": {"inputs": ["1"], "outputs": ["2"]}, "difficulty": "interview"}
REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache with apps/train.jsonl of somebody, as `hf download` leaves it; no network."""
    repository = tmp_path / "hub" / "datasets--somebody--apps"
    file = repository / "snapshots" / REVISION / "data" / "train.jsonl"
    blob = repository / "blobs" / "00ff"
    for folder in (file.parent, blob.parent, repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text(REVISION)
    blob.write_text("\n".join(json.dumps(ROW | {"id": number}) for number in range(3)))
    file.symlink_to(blob)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return file


def test_what_is_no_hub_name_stays_as_it_is() -> None:
    for path in (Path("hub"), Path("/data/hub:a/b/c.jsonl"), Path("apps/train")):
        assert resolved(path) == path


def test_a_cached_file_needs_no_network(cached: Path) -> None:
    name = Path("hub:somebody/apps/data/train.jsonl")
    assert resolved(name) == cached
    problems, dropped = read_problems(name)
    assert ([problem.id for problem in problems], dropped) == (["0000", "0001", "0002"], 0)
    assert {problem.split for problem in problems} == {"train"}


@pytest.mark.usefixtures("cached")
def test_a_recipe_may_name_it(tmp_path: Path) -> None:
    config = ProblemsConfig.model_validate({"path": "hub:somebody/apps/data/train.jsonl"})
    made = load_problem_set(config, tmp_path, 0)
    assert (len(made.train), len(made.heldout)) == (2, 1)
    assert str(config.path) == config.model_dump(mode="json")["path"] == "hub:somebody/apps/data/train.jsonl"


@pytest.mark.usefixtures("cached")
def test_the_command_line_takes_it_too() -> None:
    done = rltf("problems", "show", "hub:somebody/apps/data/train.jsonl")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-3:] == ["0000,", "0001,", "0002"]


@pytest.mark.parametrize(
    "name",
    ["hub:", "hub:somebody", "hub:somebody/apps", "hub:somebody/apps/", "hub:/apps/a.jsonl", "hub:somebody/apps/a.parquet"],
)
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"names no file of problems. Write hub:OWNER/NAME/FILE"):
        read_problems(Path(name))


REMEDY = (
    "is not in the Hugging Face cache here and cannot be downloaded. Where there is a network, run: "
    "hf download --repo-type dataset {}. Or name a local file"
)


@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize("name", ["somebody/apps test.jsonl", "nobody/apps data/train.jsonl"])
def test_what_is_not_there_and_cannot_be_fetched_says_how_to_get_it(name: str) -> None:
    with pytest.raises(UserError) as err:
        read_problems(Path(f"hub:{name.replace(' ', '/')}"))
    assert str(err.value) == f"{name.replace(' ', '/')} {REMEDY.format(name)}"


@pytest.mark.usefixtures("cached")
def test_on_the_command_line_it_is_one_line() -> None:
    done = rltf("problems", "check", "hub:somebody/apps/test.jsonl")
    said = f"error: somebody/apps/test.jsonl {REMEDY.format('somebody/apps test.jsonl')}\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_what_is_not_in_the_cache_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(repository: str, file: str, **settings: Any) -> str:
        asked.append((repository, file, settings))
        if settings.get("local_files_only"):
            raise LocalEntryNotFoundError("not here")
        return str(tmp_path / "a.jsonl")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert resolved(Path("hub:o/n/data/a.jsonl")) == tmp_path / "a.jsonl"
    assert asked == [
        ("o/n", "data/a.jsonl", {"repo_type": "dataset", "local_files_only": True}),
        ("o/n", "data/a.jsonl", {"repo_type": "dataset"}),
    ]


@pytest.mark.parametrize("err", [RemoteEntryNotFoundError.__new__(RemoteEntryNotFoundError), PermissionError("no room")])
def test_what_the_hub_says_is_passed_on(monkeypatch: pytest.MonkeyPatch, err: Exception) -> None:
    def download(*_: Any, **__: Any) -> str:
        raise err

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(UserError, match=r"o/n/a.jsonl cannot be had from the hub: .*Mend the name"):
        resolved(Path("hub:o/n/a.jsonl"))


@pytest.mark.usefixtures("cached")
def test_a_file_above_its_repository_is_refused() -> None:
    with pytest.raises(UserError, match=r"somebody/apps/../a.jsonl cannot be had from the hub: Invalid filename"):
        resolved(Path("hub:somebody/apps/../a.jsonl"))


def test_a_repository_s_name_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(UserError, match=r"cannot be had from the hub: Repo id must use"):
        resolved(Path("hub:o o/n/a.jsonl"))
