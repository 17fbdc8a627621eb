"""Built-in names that programs cannot change: a copy for what runs beside them in one process.

A module that says `__builtins__ = BUILTINS` before it defines its functions has them look there. Putting back what a program
changed instead would write to every one of these objects, once per test.
"""

from __future__ import annotations

import builtins
from typing import Any

BUILTINS: Any = dict(vars(builtins))
