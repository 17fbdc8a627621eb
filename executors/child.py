"""The life of a child: read one program, compile it, run its tests, report, wait to be killed.

Runs on the sandboxed side, standard library only. A child knows the program and the tests' inputs, never an expected output. It
is not trusted once the program has run: the judge takes its reports as raw output of the program.

A job is {kind, text, entry, longest, sizes} with the inputs behind it. The first report says whether the program
compiles. `stdin`, `call` and `shared` tests then run one after another without the judge, each with a report: the error, the
seconds, how far stdout has grown, and the returned value. A `serving` program answers the calls of an assert test, one by one;
`tests` is the other side of that.
"""

from __future__ import annotations

import gc
import os
from json import dumps
from os import fstat
from typing import Any, NamedTuple

from executors import tester, wider
from executors.exchange import Exchange
from executors.own import BUILTINS
from executors.place import cut_off, syntax_place
from executors.program import FILENAME, Program, Stdio, Streams, printable

__builtins__ = BUILTINS


class Files(NamedTuple):
    """Descriptors that the judge passed on, and at last /dev/null."""

    channel: int
    feed: int
    reports: int
    given: int
    out: int
    err: int
    nothing: int


def serve(files: Files, streams: Streams) -> None:
    """Do the job in the feed. Returns when the judge is gone."""
    gc.enable()
    exchange = Exchange(files.channel, files.feed, files.reports)
    stdio = Stdio(files.given, files.out, files.err, files.nothing)
    for descriptor, source in enumerate((stdio.nothing, stdio.out, stdio.err)):
        os.dup2(source, descriptor)
    job, inputs = exchange.request()
    if job["kind"] == "tests":
        tester.serve(exchange, job["text"], job["entry"])
        return
    text = job["text"].removeprefix("\ufeff")
    try:
        code = compile(text, FILENAME, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as err:
        exchange.report(_uncompiled(err, text))
        exchange.wait()
        return
    exchange.report_line(b"{}")
    program = Program(text, code, job["entry"], job["longest"], stdio, streams)
    if job["kind"] == "serving":
        _answer_calls(program, exchange)
    else:
        _run_tests(program, exchange, job, inputs, stdio)


def _run_tests(program: Program, exchange: Exchange, job: dict[str, Any], inputs: bytes, stdio: Stdio) -> None:
    test = {"stdin": program.run, "call": program.answer, "shared": program.share}[job["kind"]]
    start = 0
    for size in job["sizes"]:
        header, value = test(inputs[start : start + size])
        start += size
        line = b'{"seconds": %.9f, "out": %d}' % (program.seconds, fstat(stdio.out).st_size)
        if header:
            line = line[:-1] + b", " + dumps(header).encode("ascii")[1:]
        exchange.report_line(line, value)
        if program.spent:
            break
    exchange.wait()


def _answer_calls(program: Program, exchange: Exchange) -> None:
    """{"begin": true} runs the program anew; otherwise what comes are encoded arguments."""
    while exchange.wait():
        request, payload = exchange.request()
        exchange.report(*(program.begin() if "begin" in request else _called(program, payload)))


def _called(program: Program, payload: bytes) -> tuple[dict[str, Any], bytes]:
    """Call the program's function; what it returned, and its arguments where they have changed."""
    arguments, named = wider.decode(payload)

    def call() -> bytes:
        result = program.function()(*arguments, **named)
        after = wider.encode_answer((arguments, named))
        return wider.encode_answer((result, list(arguments) if after != payload else None))

    return program.call(call)


def _uncompiled(err: Exception, text: str) -> dict[str, Any]:
    """Why the text doesn't compile: {"syntax": its SyntaxReport}."""
    report: dict[str, Any] = {"type": type(err).__name__, "message": "", "place": None, "cut_off": False}
    if not isinstance(err, SyntaxError):
        report["message"] = printable(err)
    elif err.lineno is not None:
        report["message"] = printable(err.msg)
        report["place"] = (err.lineno, max(err.lineno, err.end_lineno or 0))
        report["expression"] = syntax_place(err, text)
        report["cut_off"] = cut_off(text, FILENAME, err)
    return {"syntax": report}
