"""Statements that no run comes to, and calls that no function of that name takes.

Runs on the sandboxed side; standard library only.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Sequence
from functools import cache
from inspect import Parameter, Signature, signature

from executors.scopes import Fault, Function, Loop, Scopes

UNREACHABLE, WRONG_ARITY = "unreachable", "wrong-arity"
_TYPE_ERROR = frozenset({"TypeError"})
_BUILT_IN = """abs all any ascii bin callable chr complex divmod enumerate float format hasattr hash hex id input isinstance
issubclass len list oct ord pow repr reversed round sorted sum tuple"""


def unreachable(scopes: Scopes) -> Iterator[Fault]:
    """Each statement behind one that never comes to its end, in the same block.

    Not `pass` and texts that stand for comments, which nobody misses, nor a `yield`, which makes its function a generator.
    """
    for node in scopes.nodes:
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                behind = next((index for index, statement in enumerate(block, 1) if _never_ends(statement)), len(block))
                for statement in block[behind:]:
                    if not _is_idle(statement) and not _yields(statement):
                        yield Fault(UNREACHABLE, f"no run comes here: see line {block[behind - 1].lineno}", statement)


def _never_ends(statement: ast.stmt) -> bool:
    match statement:
        case ast.Return() | ast.Raise() | ast.Break() | ast.Continue():
            return True
        case ast.If(body=body, orelse=orelse):
            return any(map(_never_ends, body)) and any(map(_never_ends, orelse))
        case ast.While(test=ast.Constant(value=value), body=body):
            return bool(value) and not any(map(_breaks, body))
    return False


def _breaks(node: ast.AST) -> bool:
    """Does it leave the loop that it is in the body of?"""
    if isinstance(node, ast.Break):
        return True
    if isinstance(node, Function | ast.ClassDef):
        return False
    parts: Sequence[ast.AST] = node.orelse if isinstance(node, Loop) else list(ast.iter_child_nodes(node))
    return any(map(_breaks, parts))


def _is_idle(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))


def _yields(statement: ast.stmt) -> bool:
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(statement))


def wrong_arity(scopes: Scopes) -> Iterator[Fault]:
    """Calls, by name, of the program's own functions and of built-in ones, with arguments that these cannot take."""
    if scopes.is_dynamic or scopes.is_starred:
        return
    own = {
        statement.name: _signature(statement.args)
        for statement in scopes.tree.body
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef)
        and not statement.decorator_list
        and scopes.bindings[scopes.tree][statement.name] == 1
        and not hasattr(builtins, statement.name)
    }
    built_in = frozenset(_BUILT_IN.split()) - scopes.everywhere
    for call in scopes.nodes:
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            continue
        name = call.func.id
        taken = own.get(name) if not scopes.binds_around(call, name) else None
        if taken is None and name in built_in:
            taken = _of_built_in(name)
        refusal = _refusal(taken, call) if taken is not None else None
        if refusal is not None and not scopes.is_caught(call, _TYPE_ERROR):
            yield Fault(WRONG_ARITY, f"{name}(): {refusal}", call)


@cache
def _of_built_in(name: str) -> Signature:
    return signature(getattr(builtins, name))


def _signature(arguments: ast.arguments) -> Signature:
    """A definition's signature; which defaults there are is all that matters of them."""
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    parameters = [
        Parameter(
            one.arg,
            Parameter.POSITIONAL_ONLY if index < len(arguments.posonlyargs) else Parameter.POSITIONAL_OR_KEYWORD,
            default=Parameter.empty if index < required else None,
        )
        for index, one in enumerate(positional)
    ]
    if arguments.vararg:
        parameters.append(Parameter(arguments.vararg.arg, Parameter.VAR_POSITIONAL))
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parameters.append(Parameter(one.arg, Parameter.KEYWORD_ONLY, default=Parameter.empty if default is None else None))
    if arguments.kwarg:
        parameters.append(Parameter(arguments.kwarg.arg, Parameter.VAR_KEYWORD))
    return Signature(parameters)


def _refusal(taken: Signature, call: ast.Call) -> str | None:
    """Why these arguments are refused; None where they are not, or where a star hides how many they are."""
    names = [keyword.arg for keyword in call.keywords]
    if any(isinstance(argument, ast.Starred) for argument in call.args) or None in names:
        return None
    try:
        taken.bind(*call.args, **{name: None for name in names if name is not None})
    except TypeError as err:
        return str(err)
    return None
