"""The Slurm script with stand-ins for Slurm, Ray and rltf: what it starts, how it ends, when it comes back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import psutil
import pytest

from contracts.network import PORTS
from deploy.slurm import cluster
from tests.cli import RECIPE, ROOT, begun

SCRIPT = ROOT / "deploy" / "slurm" / "rltf.sbatch"
STANDINS = {
    "python": """[ "$3" = resume ] && { shift 3; echo "$@" >> $OUT/asked; cat $OUT/resume; }
[ "$3" = choose ] && [ -e $OUT/choosing ] && { echo started >&2; cat $OUT/choosing; }
[ "$3" = choose ] && { echo "$4" > $OUT/faced; echo 10.0.0.1:4001 4002 secret; }
[ "$3" = gather ] && echo "gather $4" >> $OUT/log
[ "$3" = gather ] && [ -e $OUT/gathering ] && { echo $$ > $OUT/pid; echo started >&2; exec sleep 600; }
true""",
    "rltf": """echo "rltf $*" >> $OUT/log
echo "$RAY_ADDRESS $RAY_AUTH_MODE $RAY_AUTH_TOKEN" > $OUT/environment
echo $$ > $OUT/pid
[ -e $OUT/importing ] && { echo started >&2; exec sleep 600; }
trap 'kill $!; exit 130' TERM
echo started >&2
[ -e $OUT/short ] && exit 3
sleep 600 & wait""",
    "srun": 'echo "srun $*" >> $OUT/log; cat > /dev/null; echo "nodes ended" >> $OUT/log',
    "scontrol": """[ "$1" = show ] && printf 'first\nlast\n' || echo "scontrol $*" >> $OUT/log""",
}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for name, text in STANDINS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "resume").touch()
    return tmp_path


def _environment(out: Path, **variables: str) -> dict[str, str]:
    return {
        "PATH": f"{out}:{os.environ['PATH']}", "OUT": str(out), "RLTF_BIN": str(out), "SLURM_SUBMIT_DIR": str(ROOT),
        "SLURM_CPUS_PER_TASK": "4", "SLURM_NNODES": "2", "SLURM_JOB_ID": "7", **variables,
    }  # fmt: skip


def _start(out: Path, *, restarts: int = 0) -> subprocess.Popen[str]:
    """The script, when the driver has begun, or the wait for the nodes."""
    environment = _environment(out, SLURM_RESTART_COUNT=str(restarts))
    script = subprocess.Popen(
        ["bash", SCRIPT, "recipe.yaml", "steps=5"], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert script.stdout is not None
    assert "started\n" in script.stdout, "reads on until it is there"
    return script


def _log(out: Path) -> list[str]:
    return (out / "log").read_text(encoding="utf-8").splitlines()


DRIVER = "rltf train recipe.yaml steps=5"
NODES = "srun --ntasks=2 --ntasks-per-node=1 deploy/slurm/node.sh 4002"


def test_driver_begins_when_nodes_are_there_and_nodes_end_after_it(out: Path) -> None:
    (out / "short").touch()
    script = _start(out)
    assert script.wait(60) == 3
    log = _log(out)
    assert sorted(log) == ["gather 2", "nodes ended", DRIVER, NODES]
    assert log.index("gather 2") < log.index(DRIVER) < log.index("nodes ended") == 3
    assert (out / "environment").read_text(encoding="utf-8") == "10.0.0.1:4001 token secret\n"
    assert (out / "faced").read_text(encoding="utf-8") == "last\n"
    assert not (out / "asked").exists()


@pytest.mark.parametrize(("number", "requeued"), [(signal.SIGUSR1, ["scontrol requeue 7"]), (signal.SIGTERM, [])])
@pytest.mark.parametrize(("when", "driver", "code"), [("gathering", [], 143), ("importing", [DRIVER], 143), ("", [DRIVER], 130)])
def test_the_time_limit_brings_a_job_back_and_scancel_does_not(
    out: Path, when: str, driver: list[str], code: int, number: signal.Signals, requeued: list[str]
) -> None:
    """Whenever it comes: while nodes join, before rltf hears signals, while it trains."""
    if when:
        (out / when).touch()
    script = _start(out)
    script.send_signal(number)
    assert script.wait(60) == code
    assert not psutil.pid_exists(int((out / "pid").read_text(encoding="utf-8")))
    log = _log(out)
    assert sorted(log[: 2 + len(driver)]) == sorted(["gather 2", *driver, NODES])
    assert log[2 + len(driver) :] == ["nodes ended", *requeued]


@pytest.mark.parametrize(("number", "requeued"), [(signal.SIGUSR1, ["scontrol requeue 7"]), (signal.SIGTERM, [])])
def test_nothing_begins_after_a_signal(out: Path, number: signal.Signals, requeued: list[str]) -> None:
    os.mkfifo(out / "choosing")
    script = _start(out)
    script.send_signal(number)
    (out / "choosing").write_text("", encoding="utf-8")
    assert script.wait(60) == 130
    assert _log(out) == [NODES, "nodes ended", *requeued]


def test_a_job_cancelled_after_its_limit_was_near_stays_away(out: Path) -> None:
    (out / "gathering").touch()
    script = _start(out)
    for number in (signal.SIGSTOP, signal.SIGUSR1, signal.SIGTERM, signal.SIGCONT):  # both are there when it goes on
        script.send_signal(number)
    assert script.wait(60) == 143
    assert _log(out)[2:] == ["nodes ended"]


def test_array_jobs_are_refused(out: Path) -> None:
    environment = _environment(out, SLURM_ARRAY_JOB_ID="7")
    done = subprocess.run(
        ["bash", SCRIPT, "recipe.yaml"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    remedy = "Submit a job for each run, with a name=… of its own\n"
    assert done.stderr == f"error: the tasks of --array would share one run folder. {remedy}"
    assert not (out / "log").exists()


@pytest.mark.parametrize(("begun", "arguments"), [("--resume\n", "recipe.yaml steps=5 --resume"), ("", "recipe.yaml steps=5")])
def test_a_job_that_came_back_resumes_what_had_begun(out: Path, begun: str, arguments: str) -> None:
    (out / "short").touch()
    (out / "resume").write_text(begun, encoding="utf-8")
    assert _start(out, restarts=1).wait(60) == 3
    assert (out / "asked").read_text(encoding="utf-8") == "recipe.yaml steps=5\n"
    assert f"rltf train {arguments}" in _log(out)


def test_a_run_is_resumed_once_it_has_begun(tmp_path: Path) -> None:
    arguments = (str(ROOT / RECIPE), f"output={tmp_path}", "name=mine")
    assert cluster.main("resume", *arguments) == ""
    begun(tmp_path, "name=mine")
    assert cluster.main("resume", *arguments) == "--resume"
    assert cluster.main("resume", "--", *arguments) == "--resume"


@pytest.mark.parametrize("option", ["--resume", "--dry-run"])
def test_options_may_stand_anywhere_and_are_not_added_to(tmp_path: Path, option: str) -> None:
    begun(tmp_path, "name=mine")
    arguments = (str(ROOT / RECIPE), f"output={tmp_path}", "name=mine")
    assert [cluster.resume(*arguments[:i], option, *arguments[i:]) for i in range(4)] == [""] * 4


@pytest.mark.parametrize("arguments", [(), ("no/recipe.yaml",), (RECIPE, "stepps=5"), (RECIPE, "--resum")])
def test_what_is_wrong_with_arguments_is_left_for_rltf_to_say(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(ROOT)
    assert cluster.resume(*arguments) == ""


def test_an_address_faces_the_other_node_and_is_free_and_tokens_differ() -> None:
    address, client, token = cluster.choose("127.0.0.1").split()
    host, port = address.split(":")
    assert host == "127.0.0.1"
    assert int(port) != int(client)
    for one in (int(port), int(client)):
        assert one in PORTS
        with socket.socket() as probe:
            probe.bind((host, one))
    assert len(bytes.fromhex(token)) == 32
    assert cluster.choose("127.0.0.1").split()[2] != token


def test_ports_are_two_even_where_one_is_drawn_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([20_001, 20_001, 20_002])
    monkeypatch.setattr(cluster, "free_port", lambda host: next(drawn))  # noqa: ARG005 - stands in for one with a host
    address, client, _ = cluster.choose("127.0.0.1").split()
    assert {address, client} in ({"127.0.0.1:20001", "20002"}, {"127.0.0.1:20002", "20001"})


def test_a_node_that_nobody_knows_is_named() -> None:
    with pytest.raises(
        SystemExit, match=r"^error: no way leads to node n0\.invalid: .+\. Its name has to be known on all nodes$"
    ):
        cluster.choose("n0.invalid")


def test_nodes_that_stay_away_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "WAIT_SECONDS", 0.0)
    with pytest.raises(SystemExit, match=r"^error: 0 of 2 nodes joined in 0 s\."):
        cluster.main("gather", "2")
