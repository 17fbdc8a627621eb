"""One compiled program and what can be done with it: run it on an input, call its function, run assertions beside it.

Runs on the sandboxed side; standard library only. Each test gets fresh globals and stdio, and an interpreter put back as far as
that can be done from inside; the judge runs a failing test again in a new child, where that makes a difference.
"""

from __future__ import annotations

import _sitebuiltins
import _thread
import atexit
import builtins
import errno
import gc
import os
import random
import sys
import threading
from collections.abc import Callable, Iterable
from json import dumps
from time import process_time, thread_time
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from executors import plain
from executors.own import BUILTINS
from executors.place import Region, innermost_own, raising_place

FILENAME = "<program under test>"
TEST_FILENAME = "<test>"
_MESSAGE = 300
_NAME = 60
_name_of = type.__dict__["__name__"].__get__  # whatever a metaclass says
_SEED = int(os.environ.get("PYTHONHASHSEED", "0"))
"""Random numbers are as fixed as the zygote's hashes are."""
_RECURSION_LIMIT = 1012
"""Python's 1000, and the frames that a program's own stand on here."""

builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D")
builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D")
__builtins__ = BUILTINS

Report = tuple[dict[str, Any], bytes]
"""What came of a test, and the encoded value that was returned."""


class Stdio(NamedTuple):
    """Descriptors that become 0, 1 and 2 of a program."""

    given: int
    """The current test's input."""
    out: int
    err: int
    nothing: int
    """/dev/null: the stdin of programs whose functions are called."""


class Streams:
    """stdin, stdout and stderr, made before the fork and used again by each test for as long as a program leaves them alone."""

    def __init__(self) -> None:
        self._used = False
        self._stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
        self._stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        self._stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115

    def install(self) -> None:
        """Make them sys.stdin, sys.stdout and sys.stderr, with nothing in their buffers."""
        if self._used:
            self.clean()
        self._used = True
        sys.stdin = sys.__stdin__ = self._stdin  # type: ignore[misc]
        sys.stdout = sys.__stdout__ = self._stdout  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = self._stderr  # type: ignore[misc]

    def clean(self) -> None:
        """Empty the buffers, or make new streams where a program has closed these."""
        try:
            self._stdin.buffer.seek(0, os.SEEK_END)  # type: ignore[attr-defined]  # within the buffer it would keep what it has
            self._stdin.seek(0)
            self._stdout.flush()
            self._stderr.flush()
            self._used = False
        except ValueError:  # closed or detached
            self.__init__()  # type: ignore[misc]


class Program:
    """A program's code, run as often as there are tests."""

    def __init__(self, text: str, code: CodeType, entry: str | None, longest: int, stdio: Stdio, streams: Streams) -> None:
        self._text = text
        self._code = code
        self._entry = entry
        self._streams = streams
        self._longest = longest
        """Bytes of a returned value."""
        self._stdio = stdio
        self.seconds = 0.0
        """CPU time of the last test."""
        self.spent = False
        """Is this process, after the last test, not as good as new?"""
        self._in_threads: list[dict[str, Any]] = []
        self._places: dict[tuple[int, int], tuple[Region, Region | None]] = {}
        self._module = ModuleType("program")

    def run(self, given: bytes) -> Report:
        """A stdin test: run the program as a script that reads `given`."""
        os.ftruncate(self._stdio.given, len(given))
        os.pwrite(self._stdio.given, given, 0)
        return self._reported(self._stdio.given, "__main__", lambda: b"")

    def answer(self, given: bytes) -> Report:
        """A call-based test: call the program's function with the encoded list of arguments."""
        arguments = plain.decode(given)
        return self._reported(self._stdio.nothing, "program", lambda: self._encoded(self.function()(*arguments)))

    def share(self, given: bytes) -> Report:
        """An assert test that has to run in the program's own process; its report says `failed` where an assertion did."""

        def run_test() -> bytes:
            names = self._module.__dict__
            names.setdefault("candidate", names.get(self._entry or ""))
            exec(compile(given, TEST_FILENAME, "exec", dont_inherit=True), names)
            return b""

        header, value = self._reported(self._stdio.nothing, "program", run_test)
        error = header.get("error")
        if error and error["kind"] == "entry" and error["type"] != "NameError":  # which is a function that is missing
            header["failed"] = header.pop("error")["message"]
        return header, value

    def begin(self) -> Report:
        """Run the program's text with fresh globals, so that its function can be called; threads and the like go on."""
        self._renew(self._stdio.nothing, "program")
        return self._guarded("raised", self._execute)

    def call(self, action: Callable[[], bytes]) -> Report:
        """Do something with the program that has begun; an error is reported as a test's is."""
        return self._guarded("entry", action)

    def function(self) -> Callable[..., Any]:
        """The function that tests call: a method of the program's class Solution, else a function of its own.

        Raises AttributeError where there is neither.
        """
        name = self._entry or ""
        solution = self._module.__dict__.get("Solution")
        if isinstance(solution, type) and hasattr(solution, name):
            method: Callable[..., Any] = getattr(solution(), name)
            return method
        function = self._module.__dict__.get(name)
        if not callable(function):
            raise AttributeError(f"the program has no function {name}")
        return function

    def _execute(self) -> bytes:
        exec(self._code, self._module.__dict__)
        return b""

    def _reported(self, source: int, name: str, finish: Callable[[], bytes]) -> Report:
        """A test: run the program's text in a new module, then `finish`, then what an interpreter does at its end."""
        thread_began, began = thread_time(), process_time()
        self._renew(source, name)
        header, value = self._guarded("raised", self._execute)
        if "error" not in header:
            header, value = self._guarded("entry", finish)
        if name == "__main__" and header.pop("success", False):
            del header["error"]
        self.spent = self._end(name, header) or ("error" in header and header["error"]["kind"] in _SPENDING)
        if self._in_threads:
            header["thread_error"] = self._in_threads[0]
        # Under RLIMIT_CPU a process's clock stands still between two ticks; a thread's does not, but knows of no other thread.
        self.seconds = max(thread_time() - thread_began, process_time() - began)
        return header, value

    def _guarded(self, kind: str, action: Callable[[], bytes]) -> Report:
        """What the action returns, or the error of this kind that it raised."""
        try:
            return {}, action()
        except SystemExit as err:
            return {"error": self._error(err, "exit"), "success": _is_success(err.code)}, b""
        except BaseException as err:  # noqa: BLE001  whatever a program raises is reported
            return {"error": self._error(err, kind)}, b""

    def _renew(self, source: int, name: str) -> None:
        """A new main module, and the interpreter's state as a new process has it."""
        for descriptor, origin in enumerate((source, self._stdio.out, self._stdio.err)):
            os.dup2(origin, descriptor)
        os.lseek(0, 0, os.SEEK_SET)
        sys.setrecursionlimit(_RECURSION_LIMIT)
        threading.stack_size(0)
        if "random" in self._text:
            random.seed(_SEED)
        sys.argv = ["program.py"]
        self._streams.install()
        self._in_threads.clear()
        threading.excepthook = self._note_thread
        self._module = ModuleType(name)
        self._module.__dict__.update(__builtins__=builtins, __file__="program.py")
        sys.modules[name] = self._module

    def _end(self, name: str, header: dict[str, Any]) -> bool:
        """What the interpreter does at its end: wait for threads, run exit handlers, flush, drop the module.

        Returns whether the child is spent: after threads it is not as good as new.
        """
        spent = _thread._count() > 0
        if name == "__main__" and "error" not in header:
            if spent:
                threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
        streams = [getattr(sys, "stdout", None), sys.__stdout__]
        spent = not _flushed(streams) or spent
        self._module.__dict__.clear()
        gc.collect(1)
        return not _flushed(streams) or spent  # destructors may have printed

    def _encoded(self, value: Any) -> bytes:
        """The value as plain data, or what equals no answer: its type's name where it is not, nothing where it is too long."""
        sys.setrecursionlimit(_RECURSION_LIMIT)
        try:
            payload = plain.encode(value)
        except plain.NotPlain:
            return dumps({"foreign": _name_of(type(value))[:_NAME]}).encode("ascii")
        return payload if len(payload) <= self._longest else b""

    def _note_thread(self, failed: threading.ExceptHookArgs) -> None:
        self._in_threads.append(self._error(failed.exc_value or SystemExit(), "raised"))

    def _error(self, err: BaseException, kind: str) -> dict[str, Any]:
        """What was raised, where: kind `exit`, `memory`, `recursion`, `disallowed`, `entry` (by the call itself) or `raised`."""
        sys.setrecursionlimit(_RECURSION_LIMIT)
        try:
            message = printable(err)
        except BaseException:  # noqa: BLE001  __str__ is the program's
            message = ""
        place, expression = (None, None) if kind == "exit" else self._place(err)
        if isinstance(err, MemoryError):
            kind = "memory"
        elif isinstance(err, RecursionError):
            kind = "recursion"
        elif isinstance(err, PermissionError) and err.errno in (errno.EPERM, errno.EACCES):
            kind = "disallowed"
        elif place is not None:
            kind = "raised"
        name = printable(type(err).__name__)
        return {"kind": kind, "type": name, "message": message, "place": place, "expression": expression}

    def _place(self, err: BaseException) -> tuple[Region | None, Region | None]:
        """Statement and expression; most programs that fail do so at one place on every test, and finding it parses them."""
        own = innermost_own(err.__traceback__, FILENAME)
        if own is None:
            return None, None
        key = id(own.tb_frame.f_code), own.tb_lasti
        if key not in self._places:
            self._places[key] = raising_place(own, self._text)
        return self._places[key]


_SPENDING = ("exit", "memory", "recursion")
"""Errors after which a child is not as good as new."""


def _flushed(streams: Iterable[Any]) -> bool:
    """Flush them; False where a program's own stream raises, which a new process would ignore as well."""
    fine = True
    for stream in streams:
        try:
            stream.flush()
        except Exception:  # noqa: BLE001  anything
            fine = False
    return fine


def printable(thing: object) -> str:
    """Its text, not too long, as something that can be sent."""
    return str(thing)[:_MESSAGE].encode("utf-8", "backslashreplace").decode()


def _is_success(code: object) -> bool:
    return code is None or (isinstance(code, int) and code == 0)
