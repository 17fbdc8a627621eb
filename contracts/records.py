"""The records that cross a room's border, as msgspec structs with a schema version; never pickled.

One entry of the buffer is a `LabelledGroup`: one problem's programs from one policy version, each with its verdict and
its labels. All per-token lists of a `Program` have one length, the number of its tokens; `None` means absent.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

SCHEMA_VERSION = 3


class Outcome(StrEnum):
    """What a program's run came to (RLTF, section 3.3: pass, failure, error; the error split in two as its rewards are)."""

    PASS = "pass"
    FAILURE = "failure"
    RUNTIME_ERROR = "runtime_error"
    SYNTAX_ERROR = "syntax_error"
    SANDBOX_ERROR = "sandbox_error"
    """Our fault, never the program's: retried elsewhere once, then dropped and counted; never scored."""


class Detail(StrEnum):
    """The kind of a RUNTIME_ERROR."""

    EXCEPTION = "exception"
    EXIT = "exit"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT_LIMIT = "output_limit"
    DISALLOWED = "disallowed"


class Category(StrEnum):
    """Where an error is (RLTF, section 3.3, U_global, U_line and U_ignore)."""

    GLOBAL = "global"
    LINE = "line"
    IGNORE = "ignore"


class TestKind(StrEnum):
    """How a problem's tests use a program."""

    STDIN = "stdin"
    """Feed input, compare what is printed."""
    CALL = "call"
    """Call a function, compare what it returns."""
    ASSERT = "assert"
    """Run a text that calls a function and asserts something about what it returns."""


class Trust(StrEnum):
    """How far a verdict can be trusted."""

    FULL = "full"
    LOW = "low"
    """The tests had to run in the program's own process, which could have forged their result."""


class Test(msgspec.Struct, frozen=True):
    """One unit test.

    stdin: both are text. Call-based: the list of arguments, and the plain result. Assert: source text, and None.
    """

    input: Any
    expected: Any


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A statement with its unit tests."""

    id: str
    question: str
    starter_code: str = ""
    fn_name: str | None = None
    """The function that a call-based or assert problem's tests call; None: a stdin/stdout problem."""
    test_setup: str | None = None
    """Assert problems, and only they, have one: source that runs before each test, in the tests' process."""
    tests: tuple[Test, ...]
    """What training sees."""
    hidden_tests: tuple[Test, ...] = ()
    """What held-out evaluation judges by; empty: it judges by `tests`."""
    solutions: tuple[str, ...] = ()
    """Reference solutions: correct programs."""
    corpus: tuple[str, ...] = ()
    """Programs for supervised steps (L_sl); the same as `solutions` unless the problem set ships a corpus of its own."""
    difficulty: str = "unknown"
    split: str = ""
    """The part of its data set that it belongs to: `train`, `test` …; empty where the set has none."""
    source: str = ""
    """Where the problem is from: a URL, or the family of a generated problem."""
    reference_seconds: float | None = None
    """CPU seconds that the slowest reference solution spent on one test, where `rltf problems check` measured it."""

    @property
    def kind(self) -> TestKind:
        """How the tests use a program."""
        if self.test_setup is not None:
            return TestKind.ASSERT
        return TestKind.STDIN if self.fn_name is None else TestKind.CALL


class Span(msgspec.Struct, frozen=True):
    """A place in a program's text. Lines count from 1 and include the end; characters count from 0, the end excluded."""

    start_line: int
    end_line: int
    start_char: int
    end_char: int


class Finding(msgspec.Struct, frozen=True):
    """A certain fault that static analysis found in a program's text, whether or not a test came to it."""

    code: str
    """What kind of fault, in a word: `undefined-name`, `wrong-arity`, `unreachable` …"""
    message: str
    span: Span


class TestResult(msgspec.Struct, frozen=True):
    """One test's result: `outcome` is PASS, FAILURE (a wrong answer) or RUNTIME_ERROR."""

    outcome: Outcome
    seconds: float
    """CPU seconds that the program spent on this test."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the unit tests said about one program."""

    outcome: Outcome
    detail: Detail | None = None
    error_type: str | None = None
    """The exception's class name, for syntax and runtime errors that have one."""
    message: str = ""
    """The error's own words, or what is wrong with the first wrong answer; shortened, for people to read."""
    passed: int = 0
    total: int = 0
    tests: tuple[TestResult, ...] = ()
    """One per test, in order; empty where the program did not compile."""
    category: Category | None = None
    """None for PASS, FAILURE and SANDBOX_ERROR."""
    span: Span | None = None
    """The located statement, for category LINE."""
    expression: Span | None = None
    """Within `span`, the expression that raised; None where nothing narrower than the statement is known."""
    seconds: float = 0.0
    """CPU seconds of all tests together."""
    trust: Trust = Trust.FULL
    findings: tuple[Finding, ...] = ()
    """What static analysis found, where `executors.analyse` asks for it and the program compiles."""


def error_kind(outcome: Outcome, detail: Detail | None, error_type: str | None) -> str | None:
    """What people call an error: its exception's class, or timeout, memory …; None for a program that had none."""
    if outcome not in (Outcome.RUNTIME_ERROR, Outcome.SYNTAX_ERROR):
        return None
    if detail is None or detail is Detail.EXCEPTION:
        return error_type or outcome.value
    return detail.value


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """One generated program, as sampled. `text` is the concatenation of its tokens' texts; what is run is `code`."""

    text: str
    token_ids: list[int]
    """The generated tokens, the end token included where there is one."""
    logprobs: list[float]
    """Behaviour log-probs in nats: log-softmax(logits / temperature) of the sampled token, before any top-k or top-p cut."""
    starts: list[int]
    """First character of each token in `text`."""
    ends: list[int]
    """One past the last character; the end token's span is empty."""
    truncated: bool = False
    """Cut off at the token limit: it has neither an end token nor a stop text nor the end of its fence."""
    greedy: bool = False
    """Decoded greedily: kept as the baseline W_b, never trained on."""
    prefix: str = ""
    """What the text continues: the start of the code, where the prompt already held it, or what makes indented code run."""
    code_start: int = 0
    """Where in `text` the code begins, behind what is said before it."""
    code_end: int | None = None
    """One past its last character; None: it goes on to the end."""

    @property
    def code(self) -> str:
        """What is run and judged. Spans of verdicts count its characters."""
        return self.prefix + self.text[self.code_start : self.code_end]

    @property
    def code_offset(self) -> int:
        """Added to a place in `code`, this is the same place in `text`; below 0: it is in the prefix, which no token wrote."""
        return self.code_start - len(self.prefix)


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """One problem's programs from one policy version."""

    id: str
    """Unique in a run and the same whenever the same batch is sampled again: appends are de-duplicated by it."""
    problem_id: str
    batch: int
    """Position in the problem order: which sampled batch it came from."""
    policy_version: int
    """Optimizer steps that the weights had seen."""
    temperature: float
    prompt_ids: list[int]
    prompt_cut: int = 0
    """Characters of the statement that did not fit into the prompt."""
    programs: list[Program]


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """The three granularities of feedback for one program (RLTF, section 3.3)."""

    coarse: float
    """R_coarse, on all tokens."""
    fine: float
    """R_fine, on the penalised tokens: 0 where no token is penalised."""
    adaptive: float | None
    """R_adaptive, on all tokens; None for a program that raised an error: L_adaptive is 0 for it."""
    penalised: list[bool]
    """Per token: does R_fine apply to it? (the range S..E)"""
    static: list[bool] = []
    """Per token: does it share a character with a static finding's span? Empty where there is none, or nothing was looked for."""


class LabelledGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A group with one verdict and one set of labels per program, in the order of `group.programs`."""

    group: Group
    verdicts: list[Verdict]
    labels: list[Labels]
    schema_version: int = SCHEMA_VERSION

    @property
    def samples(self) -> int:
        """Programs to train on: all but the greedy ones."""
        return sum(not program.greedy for program in self.group.programs)


class SchemaError(ValueError):
    """An entry was written by another version of this program."""


_encoder = msgspec.msgpack.Encoder()
_groups = msgspec.msgpack.Decoder(list[Group])
_labelled = msgspec.msgpack.Decoder(LabelledGroup)
_problems = msgspec.msgpack.Decoder(list[Problem], ext_hook=lambda _, data: int(bytes(data), 16))
_BIG_INT = 1
"""The msgpack extension for whole numbers of more than 64 bits, which tests of call-based problems may have."""


def encode(record: msgspec.Struct | list[Group] | list[Problem]) -> bytes:
    """Any record of this file as msgpack."""
    try:
        return _encoder.encode(record)
    except OverflowError:
        return _encoder.encode(_with_big_ints(msgspec.to_builtins(record)))


def _with_big_ints(value: Any) -> Any:
    """Plain data in which each whole number that msgpack does not have is an extension, its hexadecimal digits."""
    if isinstance(value, dict):
        return {_with_big_ints(key): _with_big_ints(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_big_ints(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return msgspec.msgpack.Ext(_BIG_INT, f"{value:x}".encode())
    return value


def decode_groups(payload: bytes) -> list[Group]:
    """The groups of one sampled batch. Raises msgspec.ValidationError for anything else."""
    return _groups.decode(payload)


def decode_problems(payload: bytes) -> list[Problem]:
    """A problem set. Raises msgspec.ValidationError for anything else."""
    return _problems.decode(payload)


def decode_labelled(payload: bytes) -> LabelledGroup:
    """One entry of the buffer. Raises SchemaError for another schema version, msgspec.ValidationError for other data."""
    entry = _labelled.decode(payload)
    if entry.schema_version != SCHEMA_VERSION:
        raise SchemaError(f"buffer entry of schema {entry.schema_version}, this program reads {SCHEMA_VERSION}")
    return entry
