"""The life of a child that analyses one program: read its text, look for certain faults, report, wait to be killed.

Runs on the sandboxed side, in zygotes of its own that have imported pyflakes. It runs nothing of the program; it is not trusted
all the same, since parsing and checking hostile text can go wrong in any way. A job is {text, setup}: the program, and what runs
before its tests and may provide names. The report is {findings}; where something goes wrong there is none.
"""

from __future__ import annotations

import ast
import builtins
from typing import Any

from executors.child import Files
from executors.exchange import Exchange
from executors.flakes import flakes
from executors.flow import unreachable, wrong_arity
from executors.place import Region
from executors.program import Streams, printable
from executors.scopes import Scopes, bound

_MOST_FINDINGS, _MESSAGE = 100, 200
"""As executors/analyser.py takes them."""
Found = tuple[str, str, Region]
"""Code, message, place: a line from 1 and a column in UTF-8 bytes from 0, twice."""


def serve(files: Files, _streams: Streams) -> None:
    """Do the job in the feed. Returns when the judge is gone; raises whatever goes wrong, and then nothing is reported."""
    exchange = Exchange(files.channel, files.feed, files.reports)
    job, _ = exchange.request()
    exchange.report({"findings": analyse(job["text"], job["setup"])})
    exchange.wait()


def analyse(text: str, setup: str = "") -> list[Found]:
    """The first faults of a text that compiles, in its order.

    Raises what ast.parse does, and RecursionError.
    """
    scopes = Scopes(ast.parse(text.removeprefix("\ufeff")))
    known = frozenset(dir(builtins)) | {name for node in ast.walk(ast.parse(setup)) for name in bound(node)}
    scopes.is_starred = scopes.is_starred or "*" in known
    found: dict[tuple[str, Region], Found] = {}
    faults = [*unreachable(scopes)]
    if not scopes.asks_for_version:
        faults += [*flakes(scopes, known), *wrong_arity(scopes)]
    for code, message, node in faults:
        place = _region(node)
        found.setdefault((code, place), (code, printable(message)[:_MESSAGE], place))
    return sorted(found.values(), key=lambda one: (one[2], one[0]))[:_MOST_FINDINGS]


def _region(node: Any) -> Region:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def warm_up() -> None:
    """What every child would do for the first time. Raises nothing."""
    for _ in range(_TIMES):
        analyse(_PROGRAM)


_TIMES = 12
_PROGRAM = """
import sys
from collections import defaultdict
from typing import List
class Stack(list):
    def top(self): return self[-1]
def solve(n, *rest, key=None):
    total: int = 0
    for i, word in enumerate(rest):
        while n > 0 and word:
            try:
                n = int(word) - len(rest[i:])
            except (ValueError, KeyError) as err:
                raise RuntimeError from err
            if n: continue
            else: break
            total += n
    print("%s %d" % (n, total), "{} {}".format(total), f"{n:>3}")
    return sorted((x for x in rest if x), key=lambda x: -x)[-1], {i: [i * 2.5] for i in rest}
    raise NotImplemented
def unbound(values: List[int]) -> int:
    sum = sum(values, 1, 2)
    return missing + round(1, 2, 3)
solve()
"""
