"""The life of a child: read one program, compile it, run it test by test as the judge asks, report, wait to be killed.

Runs on the sandboxed side, standard library only. The child knows the program and the current test's input, never an expected
output. It is not trusted once the program has run: the judge takes its reports as raw output of the program.

The feed (a memory file) holds the job first, then each test's input. The judge sends one byte per test. A report is a length
(4 bytes) and a line of JSON, followed by the returned value in the form of executors/plain.py where there is one.
"""

from __future__ import annotations

import _sitebuiltins
import _thread
import atexit
import builtins
import gc
import json
import os
import random
import sys
import threading
from collections.abc import Callable
from io import TextIOWrapper
from socket import socket
from types import CodeType, ModuleType
from typing import Any, Literal, NamedTuple

from executors import plain
from executors.place import cut_off, raising_statement
from executors.preludes import add_numpy

FILENAME = "<program under test>"
_MESSAGE = 300
_RECURSION_LIMIT = 1000

builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D")
builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D")
_BUILTINS = dict(vars(builtins))


class Files(NamedTuple):
    """Descriptors that the judge passed on."""

    feed: int
    out: int
    err: int
    nothing: int
    """/dev/null: the stdin of call-based programs."""


class Job(NamedTuple):
    """One program, ready to run."""

    text: str
    code: CodeType
    fn_name: str | None
    names: dict[str, Any]
    longest: int
    """Bytes of a returned value."""


def serve(channel: socket, files: Files, preludes: dict[str, dict[str, Any]]) -> None:
    """Run the feed's program on as many tests as the judge asks for; returns where it doesn't compile or the judge is gone."""
    gc.enable()
    os.dup2(files.nothing, 0)
    os.dup2(files.out, 1)
    os.dup2(files.err, 2)
    task = json.loads(_content(files.feed))
    text = task["text"].removeprefix("\ufeff")
    try:
        code = compile(text, FILENAME, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as err:
        _report(channel, _uncompiled(err, text))
        return
    names = dict(preludes[task["prelude"]])
    add_numpy(names, task["prelude"], text)
    job = Job(text, code, task["fn_name"], names, task["longest"])
    _report(channel, {})
    while channel.recv(1):
        _report(channel, *_run(job, files))


def _content(feed: int) -> bytes:
    return os.pread(feed, os.fstat(feed).st_size, 0)


def _report(channel: socket, header: dict[str, Any], value: bytes = b"") -> None:
    body = json.dumps(header).encode("ascii") + b"\n" + value
    channel.sendall(len(body).to_bytes(4, "little") + body)


def _uncompiled(err: Exception, text: str) -> dict[str, Any]:
    """Why the text doesn't compile: {"syntax": {type, message, place, cut_off}}, the place as (line, end line) or None."""
    report: dict[str, Any] = {"type": type(err).__name__, "message": "", "place": None, "cut_off": False}
    if not isinstance(err, SyntaxError):
        report["message"] = _printable(err)
    elif err.lineno is not None:
        report["message"] = _printable(err.msg)
        report["place"] = (err.lineno, max(err.lineno, err.end_lineno or 0))
        report["cut_off"] = cut_off(text, FILENAME, err)
    return {"syntax": report}


def _run(job: Job, files: Files) -> tuple[dict[str, Any], bytes]:
    """One test with fresh globals and stdio: the report, and the encoded return value of a call."""
    arguments = plain.decode(_content(files.feed)) if job.fn_name else ()
    module = _fresh(job, files)
    in_threads: list[dict[str, Any]] = []
    threading.excepthook = lambda failed: in_threads.append(_error(failed.exc_value or SystemExit(), job, "raised"))
    report: dict[str, Any] = {}
    value = b""
    kind = "raised"
    try:
        exec(job.code, module.__dict__)
        if job.fn_name:
            kind = "entry"
            function = _entry(module, job)
            value = _encoded(function(*arguments), job)
    except SystemExit as err:
        if job.fn_name or not _is_success(err.code):
            report["error"] = _error(err, job, "exit")
    except BaseException as err:  # noqa: BLE001  whatever a program raises is reported
        report["error"] = _error(err, job, kind)
    if "error" not in report:
        report["spent"] = _finish(module, job)
    _restore()
    if in_threads:
        report["thread_error"] = in_threads[0]
    return report, value


def _fresh(job: Job, files: Files) -> ModuleType:
    """A new main module, and the interpreter's state as a new process has it."""
    os.dup2(files.nothing if job.fn_name else files.feed, 0)
    os.dup2(files.out, 1)
    os.dup2(files.err, 2)
    os.lseek(0, 0, os.SEEK_SET)
    _restore()
    threading.stack_size(0)
    random.seed(0)
    sys.argv = ["program.py"]
    sys.stdin = sys.__stdin__ = _stream(0, "r")  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = _stream(1, "w")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2, "w")  # type: ignore[misc]
    module = ModuleType("program" if job.fn_name else "__main__")
    module.__dict__.update(job.names, __builtins__=builtins)
    sys.modules[module.__name__] = module
    return module


def _stream(descriptor: int, mode: Literal["r", "w"]) -> TextIOWrapper:
    errors = "backslashreplace" if descriptor == 2 else "strict"
    return open(descriptor, mode, encoding="utf-8", errors=errors, closefd=False)


def _entry(module: ModuleType, job: Job) -> Callable[..., Any]:
    """The function that tests call: a method of the program's class Solution, else a function of its own.

    Raises AttributeError where there is neither.
    """
    name = job.fn_name or ""
    solution = module.__dict__.get("Solution")
    if isinstance(solution, type) and hasattr(solution, name):
        method: Callable[..., Any] = getattr(solution(), name)
        return method
    function = module.__dict__.get(name)
    if not callable(function) or function is job.names.get(name):
        raise AttributeError(f"the program has no function {name}")
    return function


def _encoded(value: Any, job: Job) -> bytes:
    """The value as plain data; nothing where it is not, or is too long: that equals no expected value."""
    _restore()
    try:
        payload = plain.encode(value)
    except plain.NotPlain:
        return b""
    return payload if len(payload) <= job.longest else b""


def _restore() -> None:
    """Take back what a program may have changed that reporting needs."""
    vars(builtins).update(_BUILTINS)
    sys.setrecursionlimit(_RECURSION_LIMIT)


def _is_success(code: object) -> bool:
    return code is None or (isinstance(code, int) and code == 0)


def _finish(module: ModuleType, job: Job) -> bool:
    """What the interpreter does at its end: wait for threads, run exit handlers, flush, drop the module.

    Returns whether the child is spent: after threads it is not as good as new.
    """
    spent = _thread._count() > 0
    if job.fn_name:
        return spent
    if spent:
        threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.__stdout__):
        try:
            stream.flush()  # type: ignore[union-attr]
        except Exception:  # noqa: BLE001  a program's own stream may raise anything; a new process ignores it as well
            spent = True
    module.__dict__.clear()
    gc.collect()
    return spent


def _error(err: BaseException, job: Job, kind: str) -> dict[str, Any]:
    """What was raised: kind `exit`, `memory`, `recursion`, `entry` (by the call itself) or `raised`, and the place."""
    _restore()
    try:
        message = _printable(err)
    except BaseException:  # noqa: BLE001  __str__ is the program's
        message = ""
    place = None if kind == "exit" else raising_statement(err.__traceback__, FILENAME, job.text)
    if isinstance(err, MemoryError):
        kind = "memory"
    elif isinstance(err, RecursionError):
        kind = "recursion"
    elif place is not None:
        kind = "raised"
    return {"kind": kind, "type": _printable(type(err).__name__), "message": message, "place": place}


def _printable(thing: object) -> str:
    return str(thing)[:_MESSAGE].encode("utf-8", "backslashreplace").decode()
