"""The process of an assert problem's tests: runs their source, with a stub for the program's function.

Runs on the sandboxed side, in a child that the program cannot reach; standard library only. It knows the tests, never the
program. The stub ships its arguments to the program's process, by way of the judge, and brings plain data back; so no object of
the program's is ever compared or called here.

A report asks for a call, {"call": true} with the encoded arguments, or ends a test with {"ended": …}:

    passed    the source ran to its end
    failed    it raised: an assertion, or an answer that it cannot use
    raised    by an exception of the program's own
    shared    it needs the program's own objects: other names of the program, or arguments that cannot leave this process
"""

from __future__ import annotations

import builtins
from traceback import walk_tb
from typing import Any

from executors import plain, wider
from executors.exchange import Exchange
from executors.program import TEST_FILENAME, printable
from executors.telling import failed_assertion, short

_SETUP_FILENAME = "<setup>"


class _NeedsSharing(BaseException):
    """An argument cannot leave this process."""


class _Stub:
    """Stands for the program's function."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.raised: BaseException | None = None
        self.returned = ""
        """What the last call returned, in words; empty where there was none, or it raised."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        try:
            payload = wider.encode_arguments((arguments, named))
        except plain.NotPlain as err:
            raise _NeedsSharing from err
        self.returned = ""
        self._exchange.report({"call": True}, payload)
        self._exchange.wait()
        answer, value = self._exchange.request()
        if "error" in answer:
            self.raised = _exception(answer["error"]["type"], answer["error"]["message"])
            raise self.raised
        result, changed = wider.decode(value)
        for before, after in zip(arguments, changed or (), strict=False):
            _take_over(before, after)
        self.returned = f"; the last call returned {short(result)}"
        return result


def serve(exchange: Exchange, setup: str, entry: str) -> None:
    """Run tests as the judge asks for them, each with fresh globals."""
    while exchange.wait():
        _, source = exchange.request()
        stub = _Stub(exchange)
        ended, message = _run(setup, source, {"__name__": "test", "candidate": stub, entry: stub}, stub)
        exchange.report({"ended": ended, "message": message})


def _run(setup: str, source: bytes, names: dict[str, Any], stub: _Stub) -> tuple[str, str]:
    try:
        exec(compile(setup, _SETUP_FILENAME, "exec", dont_inherit=True), names)
        exec(compile(source, TEST_FILENAME, "exec", dont_inherit=True), names)
    except (_NeedsSharing, NameError) as err:
        if err is stub.raised:
            return "raised", ""
        return "shared", printable(err)
    except BaseException as err:  # noqa: BLE001  tests may raise anything
        return ("raised", "") if err is stub.raised else ("failed", _words(err, source) + stub.returned)
    return "passed", ""


def _words(err: BaseException, source: bytes) -> str:
    """The line that failed, with what it said: the innermost of the test's own, or else all of the test."""
    text = source.decode("utf-8", "backslashreplace")
    numbers = [at for frame, at in walk_tb(err.__traceback__) if frame.f_code.co_filename == TEST_FILENAME]
    line = text.split("\n")[numbers[-1] - 1] if numbers else text
    return failed_assertion(line, ": ".join(filter(None, [type(err).__name__, printable(err)])))


def _exception(name: str, message: str) -> BaseException:
    """An exception like the program's: a built-in one of that name, or else one that is nothing but an Exception."""
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(message)
        except TypeError:  # it wants more than a message
            pass
    return type(name, (Exception,), {})(message)


def _take_over(before: Any, after: Any) -> None:
    """Let the test see what the program did to an argument."""
    if type(before) is not type(after):
        return
    if isinstance(before, list):
        before[:] = after
    elif isinstance(before, set | dict):
        before.clear()
        before.update(after)
