"""Names that programs may use without importing them; they go into a program's globals, never in front of its text.

Runs on the sandboxed side: standard library only. numpy (`np` of the apps prelude) is slow to import, so only a text that
says `np` gets it.
"""

from __future__ import annotations

import re
from typing import Any

# The header that the APPS harness puts in front of every program, as names.
_APPS = """
import sys, time, itertools, collections, math, fractions, random, heapq
from itertools import accumulate, product, permutations, combinations
from collections import Counter, OrderedDict, deque, defaultdict, ChainMap
from functools import lru_cache
from math import sqrt, sin, cos, tan, ceil, fabs, floor, gcd, exp, log, log2
from typing import List, Tuple
from heapq import *
"""


def prelude(name: str) -> dict[str, Any]:
    """The names of prelude `none` or `apps`, without numpy."""
    names: dict[str, Any] = {}
    if name == "apps":
        exec(_APPS, names)
        del names["__builtins__"]
    return names


def add_numpy(names: dict[str, Any], name: str, text: str) -> None:
    """Put `np` beside the apps prelude's names if the text says so and numpy is there."""
    if name != "apps" or not re.search(r"\bnp\b", text):
        return
    try:
        import numpy
    except ImportError:
        return
    names["np"] = numpy
