"""Names that programs may use without importing them; they stand beside Python's built-in ones, never in front of the text.

Runs on the sandboxed side: standard library only, and numpy in the zygotes that are for programs that say so.
"""

from __future__ import annotations

import builtins
import importlib
import os
import sys
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
# What published harnesses of MBPP and HumanEval import.
_ASSERTS = """
from typing import *
import math, re, collections, itertools, functools, heapq, string, sys, random, copy, operator
"""
_PRELUDES = {"none": "", "apps": _APPS, "asserts": _ASSERTS}


def install(name: str, numpy: str | None) -> None:
    """Add a prelude's names to the built-in ones; `numpy` is the folder that numpy is imported from.

    In a program's own globals they would cost each child a write to every one of them. The harnesses ran on Pythons that put no
    limit on a whole number's digits in text: nor is there one beside any prelude but none.
    """
    if name != "none":
        sys.set_int_max_str_digits(0)
    source = _PRELUDES[name]
    if numpy is not None:
        sys.path.append(numpy)
        importlib.import_module("numpy")
        sys.path.remove(numpy)
        source += "import numpy as np\n" if name == "apps" else ""
    vars(builtins).update(_defined(source))


def numpy_folders(numpy: str | None) -> list[str]:
    """What numpy reads when more of it is imported."""
    return [] if numpy is None else [os.path.join(numpy, "numpy"), os.path.join(numpy, "numpy.libs")]


def all_names() -> frozenset[str]:
    """What any prelude defines, but for numpy's `np`."""
    return frozenset(_defined("".join(_PRELUDES.values())))


def _defined(source: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(source, names)
    del names["__builtins__"]
    return names
