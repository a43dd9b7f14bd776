"""Finds text that people would read and nobody could translate: a sentence is a literal, its values stand beside it.

Reads the syntax only. `tests.meta.locales` sees to it that every literal has a translation, and the types to it that a
check's reason is a `Reason`. A parameter is followed to the calls in its module; what is further away is trusted.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from collector.domain import errors

MAKERS = frozenset({"Reason", "Message"})
MIXERS = frozenset({"str", "repr", "format", "join", "replace"})
ERRORS = frozenset(name for name, kind in vars(errors).items() if isinstance(kind, type))
_PLACEHOLDER = re.compile(r"\{(\w+)\}")

Found = Iterator[tuple[int, str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def findings(source: str) -> Found:
    """(line, what is wrong) for each sentence of a module that cannot be translated."""
    tree = ast.parse(source)
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    scopes = [tree, *(node for node in ast.walk(tree) if isinstance(node, Function))]
    for scope in scopes:
        for node in _own(scope):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id in MAKERS - own:
                    yield from _made(node)
                elif node.func.id in ERRORS - own:
                    yield from _raised(node, scope, tree)


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope without those of the functions inside it."""
    for child in ast.iter_child_nodes(scope):
        if not isinstance(child, Function):
            yield child
            yield from _own(child)


def _made(call: ast.Call) -> Found:
    first = call.args[0] if call.args else None
    if len(call.args) != 1 or not isinstance(first, ast.Constant) or not isinstance(first.value, str):
        yield call.lineno, f"{ast.unparse(call)[:80]}: the sentence is no literal"
        return
    given, named = {keyword.arg for keyword in call.keywords}, set(_PLACEHOLDER.findall(first.value))
    if given != named:
        yield call.lineno, f"{first.value!r} has other placeholders than values: {sorted(map(str, given ^ named))}"


def _raised(call: ast.Call, scope: ast.AST, tree: ast.Module) -> Found:
    texts = [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "hint")]
    for keyword in call.keywords:
        if keyword.arg == "fields" and isinstance(keyword.value, ast.Dict):
            texts += keyword.value.values
    for text in texts:
        yield from _said(text, scope, tree, direct=True)


def _said(text: ast.expr, scope: ast.AST, tree: ast.Module, *, direct: bool) -> Found:
    """What is wrong with an error's text; a literal that is not given directly has to be marked."""
    match text:
        case ast.Constant(value=str(words)) if words and not direct:
            yield text.lineno, f"{words!r} is not marked for translation"
        case ast.JoinedStr() | ast.BinOp():
            yield text.lineno, f"{ast.unparse(text)[:80]} is put together; make it a Message with values"
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in MIXERS:
            yield text.lineno, f"{ast.unparse(text)[:80]} is put together; make it a Message with values"
        case ast.IfExp(body=body, orelse=other):
            yield from _said(body, scope, tree, direct=direct)
            yield from _said(other, scope, tree, direct=direct)
        case ast.BoolOp(values=values):
            for value in values:
                yield from _said(value, scope, tree, direct=direct)
        case ast.Name(id=name):
            for source in [*_assigned(name, scope), *(_assigned(name, tree) if scope is not tree else ())]:
                yield from _said(source, scope, tree, direct=False)
            yield from _passed(name, scope, tree)
        case ast.Subscript(value=ast.Name(id=name)):
            for table in _assigned(name, tree):
                for value in table.values if isinstance(table, ast.Dict) else ():
                    yield from _said(value, tree, tree, direct=False)


def _assigned(name: str, scope: ast.AST) -> Iterator[ast.expr]:
    for node in _own(scope):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            yield node.value


def _passed(name: str, scope: ast.AST, tree: ast.Module) -> Found:
    """A parameter's texts, from the calls of its function in the same module."""
    if not isinstance(scope, Function):
        return
    names = [argument.arg for argument in (*scope.args.posonlyargs, *scope.args.args)]
    if name not in (*names, *(argument.arg for argument in scope.args.kwonlyargs)):
        return
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == scope.name:
            given: Mapping[str | None, ast.expr] = {
                **dict(zip(names, call.args, strict=False)),
                **{keyword.arg: keyword.value for keyword in call.keywords},
            }
            # One step is followed: a name in that call is trusted.
            if name in given and not isinstance(given[name], ast.Name):
                yield from _said(given[name], tree, tree, direct=False)
