"""Names that programs may use without importing them; they go into a program's globals, never in front of its text.

Runs on the sandboxed side: standard library only, and numpy in the zygotes that are for programs that say so.
"""

from __future__ import annotations

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
Names = dict[str, dict[str, Any]]
"""A prelude's name → the names that it defines."""


def load(name: str, numpy: str | None) -> Names:
    """Preludes `none` and `asserts`, and `apps` where it is asked for. `numpy` is the folder that numpy is imported from."""
    if numpy is not None:
        sys.path.append(numpy)
        importlib.import_module("numpy")
        sys.path.remove(numpy)
    names: Names = {"none": {}, "asserts": _defined(_ASSERTS)}
    if name == "apps":
        names["apps"] = _defined(_APPS + ("import numpy as np\n" if numpy else ""))
    return names


def numpy_folders(numpy: str | None) -> list[str]:
    """What numpy reads when more of it is imported."""
    return [] if numpy is None else [os.path.join(numpy, "numpy"), os.path.join(numpy, "numpy.libs")]


def _defined(source: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(source, names)
    del names["__builtins__"]
    return names
