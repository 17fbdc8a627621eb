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
from collections.abc import Callable
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from time import process_time
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from executors import plain
from executors.place import raising_statement

FILENAME = "<program under test>"
TEST_FILENAME = "<test>"
_MESSAGE = 300
_RECURSION_LIMIT = 1000

builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D")
builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D")
_BUILTINS = dict(vars(builtins))

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


class Program:
    """A program's code, run as often as there are tests."""

    def __init__(self, text: str, code: CodeType, entry: str | None, names: dict[str, Any], longest: int, stdio: Stdio) -> None:
        self._text = text
        self._code = code
        self._entry = entry
        self._names = names
        self._longest = longest
        """Bytes of a returned value."""
        self._stdio = stdio
        self._in_threads: list[dict[str, Any]] = []
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
        if error and error["kind"] == "entry":
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
        if not callable(function) or function is self._names.get(name):
            raise AttributeError(f"the program has no function {name}")
        return function

    def _execute(self) -> bytes:
        exec(self._code, self._module.__dict__)
        return b""

    def _reported(self, source: int, name: str, finish: Callable[[], bytes]) -> Report:
        """A test: run the program's text in a new module, then `finish`, then what an interpreter does at its end."""
        began = process_time()
        self._renew(source, name)
        header, value = self._guarded("raised", self._execute)
        if "error" not in header:
            header, value = self._guarded("entry", finish)
        if name == "__main__" and header.get("success"):
            del header["error"]
        header["spent"] = self._end(name, header) or header.get("error", {}).get("kind") in _SPENDING
        if self._in_threads:
            header["thread_error"] = self._in_threads[0]
        header["seconds"] = process_time() - began
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
        _restore()
        threading.stack_size(0)
        random.seed(0)
        sys.argv = ["program.py"]
        sys.stdin = sys.__stdin__ = TextIOWrapper(BufferedReader(FileIO(0, "r", closefd=False)), "utf-8")  # type: ignore[misc]
        sys.stdout = sys.__stdout__ = _writer(1, "strict")  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = _writer(2, "backslashreplace")  # type: ignore[misc]
        self._in_threads.clear()
        threading.excepthook = self._note_thread
        self._module = ModuleType(name)
        self._module.__dict__.update(self._names, __builtins__=builtins)
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
        for stream in {sys.stdout, sys.__stdout__}:
            try:
                stream.flush()  # type: ignore[union-attr]
            except Exception:  # noqa: BLE001  a program's own stream may raise anything; a new process ignores it as well
                spent = True
        self._module.__dict__.clear()
        gc.collect(1)
        _restore()
        return spent

    def _encoded(self, value: Any) -> bytes:
        """The value as plain data; nothing where it is not, or is too long: that equals no expected value."""
        _restore()
        try:
            payload = plain.encode(value)
        except plain.NotPlain:
            return b""
        return payload if len(payload) <= self._longest else b""

    def _note_thread(self, failed: threading.ExceptHookArgs) -> None:
        self._in_threads.append(self._error(failed.exc_value or SystemExit(), "raised"))

    def _error(self, err: BaseException, kind: str) -> dict[str, Any]:
        """What was raised, where: kind `exit`, `memory`, `recursion`, `disallowed`, `entry` (by the call itself) or `raised`."""
        _restore()
        try:
            message = printable(err)
        except BaseException:  # noqa: BLE001  __str__ is the program's
            message = ""
        place = None if kind == "exit" else raising_statement(err.__traceback__, FILENAME, self._text)
        if isinstance(err, MemoryError):
            kind = "memory"
        elif isinstance(err, RecursionError):
            kind = "recursion"
        elif isinstance(err, PermissionError) and err.errno in (errno.EPERM, errno.EACCES):
            kind = "disallowed"
        elif place is not None:
            kind = "raised"
        return {"kind": kind, "type": printable(type(err).__name__), "message": message, "place": place}


_SPENDING = ("exit", "memory", "recursion")
"""Errors after which a child is not as good as new."""


def printable(thing: object) -> str:
    """Its text, not too long, as something that can be sent."""
    return str(thing)[:_MESSAGE].encode("utf-8", "backslashreplace").decode()


def _writer(descriptor: int, errors: str) -> TextIOWrapper:
    return TextIOWrapper(BufferedWriter(FileIO(descriptor, "w", closefd=False)), "utf-8", errors)


def _restore() -> None:
    """Take back what a program may have changed that reporting needs."""
    vars(builtins).update(_BUILTINS)
    sys.setrecursionlimit(_RECURSION_LIMIT)


def _is_success(code: object) -> bool:
    return code is None or (isinstance(code, int) and code == 0)
