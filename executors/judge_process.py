"""An executor in a process of its own, so that judges on several cores do not wait for one another's interpreter lock.

Run as `python -m executors.judge_process DESCRIPTOR`, the descriptor of a socket. Messages are msgpack, of the types below. A
problem is sent once and then named by its number, until it is forgotten to make room.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import OrderedDict
from multiprocessing.connection import Connection

import msgspec

from contracts import metrics as m
from contracts.counts import Counts, add, count
from contracts.errors import UserError
from contracts.records import Outcome, Problem, Verdict, decode_problems, encode
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors.confine import Tier
from executors.judge import Executor

_MOST_PROBLEMS = 1000
_START_SECONDS = 60.0


class _Start(msgspec.Struct, array_like=True):
    config: str
    rewards: str
    tier: int | None


class _Request(msgspec.Struct, array_like=True):
    number: int
    """The problem's."""
    problem: bytes | None
    """Encoded, where it comes for the first time."""
    forget: int | None
    """A problem that will not be named again."""
    text: bytes
    """In UTF-8 that may hold lone surrogates."""
    hidden: bool


class _Answer(msgspec.Struct, array_like=True):
    verdict: Verdict | None
    refusal: tuple[str, str] | None
    """What was wrong and the remedy, of a UserError."""
    tier: int
    zygotes: list[int]
    counts: Counts
    """Since the answer before."""


class JudgeProcess:
    """An Executor elsewhere, as if it were here. Raises what Executor raises where it cannot start."""

    def __init__(self, config: ExecutorsConfig, rewards: RewardsConfig, tier: Tier | None = None) -> None:
        self._config = config
        self._start = _Start(config.model_dump_json(), rewards.model_dump_json(), tier)
        self._problems: OrderedDict[int, tuple[int, Problem]] = OrderedDict()
        self._count = 0
        self._counts: Counts = {}
        self.zygotes: list[int] = []
        self._open()

    @property
    def process_id(self) -> int:
        """The process's id."""
        return self._process.pid

    def judge(self, problem: Problem, text: str, *, hidden: bool = False) -> Verdict:
        """As Executor.judge does; a process that dies or stops answering is replaced, and the verdict is SANDBOX_ERROR."""
        try:
            self._connection.send_bytes(msgspec.msgpack.encode(self._request(problem, text, hidden)))
            answer = self._answer(self._patience(problem))
        except (OSError, EOFError, UserError) as err:
            if isinstance(err, UserError):
                raise
            count(self._counts, m.REPLACED)
            self.close()
            self._open()
            return Verdict(outcome=Outcome.SANDBOX_ERROR, message="the judge's process was lost")
        assert answer.verdict is not None
        return answer.verdict

    def collect(self) -> Counts:
        """As Executor.collect does; this process counts as a zygote, those that it took with it don't."""
        counts, self._counts = self._counts, {}
        return counts

    def close(self) -> None:
        """End the process and its zygotes."""
        self._connection.close()  # it ends where nobody asks any more
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _open(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "executors.judge_process", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self._connection = Connection(ours.detach())
        self._problems.clear()
        try:
            self._connection.send_bytes(msgspec.msgpack.encode(self._start))
            self._answer(_START_SECONDS)
        except BaseException:
            self.close()
            raise

    def _request(self, problem: Problem, text: str, hidden: bool) -> _Request:
        """Problems are known by identity: the reference kept here is what makes that safe."""
        key, new, forget = id(problem), None, None
        if key not in self._problems:
            self._count += 1
            self._problems[key] = self._count, problem
            new = encode([problem])
            if len(self._problems) > _MOST_PROBLEMS:
                forget = self._problems.popitem(last=False)[1][0]
        self._problems.move_to_end(key)
        return _Request(self._problems[key][0], new, forget, text.encode("utf-8", "surrogatepass"), hidden)

    def _answer(self, patience: float) -> _Answer:
        """Raises UserError where the other side did, TimeoutError or EOFError where it is silent or gone."""
        if not self._connection.poll(patience):
            raise TimeoutError
        answer = msgspec.msgpack.decode(self._connection.recv_bytes(), type=_Answer)
        self.tier, self.zygotes = Tier(answer.tier), answer.zygotes
        add(self._counts, answer.counts)
        if answer.refusal is not None:
            raise UserError(*answer.refusal)
        return answer

    def _patience(self, problem: Problem) -> float:
        """More wall seconds than any program can take: each test runs at most twice, ten backstops long."""
        tests = len(problem.tests) + len(problem.hidden_tests)
        limit = max(self._config.cpu_seconds, self._config.reference_factor * (problem.reference_seconds or 0.0))
        return _START_SECONDS + 20 * (tests + 1) * max(3 * limit, limit + 2.0)


def _serve(connection: Connection) -> None:
    """Judge what is asked until nobody asks any more."""
    start = msgspec.msgpack.decode(connection.recv_bytes(), type=_Start)
    config, rewards = ExecutorsConfig.model_validate_json(start.config), RewardsConfig.model_validate_json(start.rewards)
    tier = None if start.tier is None else Tier(start.tier)
    problems: dict[int, Problem] = {}
    try:
        executor = Executor(config, rewards, tier)
    except UserError as err:
        connection.send_bytes(msgspec.msgpack.encode(_Answer(None, (err.message, err.remedy), 0, [], {})))
        return
    decoder = msgspec.msgpack.Decoder(_Request)
    with executor:
        verdict: Verdict | None = None
        refusal: tuple[str, str] | None = None
        while True:
            answer = _Answer(verdict, refusal, executor.tier, executor.zygotes, executor.collect())
            connection.send_bytes(msgspec.msgpack.encode(answer))
            request = decoder.decode(connection.recv_bytes())
            if request.problem is not None:
                (problems[request.number],) = decode_problems(request.problem)
            if request.forget is not None:
                del problems[request.forget]
            try:
                text = request.text.decode("utf-8", "surrogatepass")
                verdict, refusal = executor.judge(problems[request.number], text, hidden=request.hidden), None
            except UserError as err:
                verdict, refusal = None, (err.message, err.remedy)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the one who asks, and with it this
    with contextlib.suppress(EOFError, ConnectionError):
        _serve(Connection(int(sys.argv[1])))
