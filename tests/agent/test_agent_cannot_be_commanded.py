"""The agent runs on every host, so it must not be a way into any: nothing in it can start or load foreign code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import agent

FOLDER = Path(agent.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))

FORBIDDEN_MODULES = {
    "subprocess", "pickle", "cPickle", "shelve", "marshal", "dill", "ctypes", "cffi", "importlib", "imp", "runpy",
    "code", "codeop", "pty", "multiprocessing", "asyncio", "xmlrpc", "webbrowser", "distutils",
}  # fmt: skip
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "breakpoint", "input"}
FORBIDDEN_ATTRIBUTES = {
    "system", "popen", "fork", "forkpty", "posix_spawn", "posix_spawnp", "startfile", "import_module", "run_module",
    "run_path", "Popen",
}  # fmt: skip
FORBIDDEN_PREFIXES = ("exec", "spawn")
# adjtimex(2), which only reads here, has no other way in from Python. The test below holds it to the C library.
EXCEPTIONS = {"probes/timex.py": {"import ctypes"}}
SAFE_YAML = {"safe_load", "SafeLoader", "YAMLError", "MarkedYAMLError", "MappingNode"}
LISTENING = {"listen", "create_server", "add_insecure_port", "add_secure_port", "accept"}


def offences(tree: ast.AST) -> list[str]:
    """What in a module could run code that is not the agent's own, or let somebody in."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [f"import {name.name}" for name in node.names if _forbidden(name.name)]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name.name}" for name in node.names]
            found += [f"from {node.module} import …" for name in names[:1] if _forbidden(node.module or "")]
        elif isinstance(node, ast.Name) and node.id in FORBIDDEN_CALLS and isinstance(node.ctx, ast.Load):
            found.append(node.id)
        elif isinstance(node, ast.Attribute):
            found += _attribute(node)
    return found


def _forbidden(module: str) -> bool:
    # importlib.metadata only reads the installed version; it loads nothing.
    return module != "importlib.metadata" and module.partition(".")[0] in FORBIDDEN_MODULES


def _attribute(node: ast.Attribute) -> list[str]:
    owner = node.value.id if isinstance(node.value, ast.Name) else ""
    if owner == "os" and (node.attr in FORBIDDEN_ATTRIBUTES or node.attr.startswith(FORBIDDEN_PREFIXES)):
        return [f"os.{node.attr}"]
    if owner == "yaml" and node.attr not in SAFE_YAML:
        return [f"yaml.{node.attr}"]
    if owner != "os" and node.attr in {"import_module", "run_module", "run_path", "Popen", *LISTENING}:
        return [f"….{node.attr}"]
    return []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_nothing_in_the_agent_can_run_foreign_code_or_listen(path: Path) -> None:
    allowed = EXCEPTIONS.get(str(path.relative_to(FOLDER)), set())
    assert set(offences(ast.parse(path.read_text(encoding="utf-8")))) - allowed == set()


def test_exception_for_the_clock_loads_nothing_but_the_c_library_that_is_there() -> None:
    tree = ast.parse((FOLDER / "probes" / "timex.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    loads = [call for call in calls if call.func.attr in {"CDLL", "PyDLL", "LoadLibrary", "dlopen"}]  # type: ignore[attr-defined]
    assert [ast.unparse(call.args[0]) for call in loads] == ["None"]


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess", "from subprocess import run", "import os; os.system('x')", "import os; os.execv('a', [])",
        "import os; os.spawnl(0, 'a')", "eval('1')", "run = exec", "import pickle",
        "from importlib import import_module", "import ctypes.util", "import yaml; yaml.load(x)", "__import__('os')",
        "import asyncio", "sock.listen()",
        "from multiprocessing import Process",
    ],
)  # fmt: skip
def test_every_way_to_run_foreign_code_is_noticed(source: str) -> None:
    assert offences(ast.parse(source))


def test_harmless_code_is_left_alone() -> None:
    assert offences(ast.parse("import os, re\nre.compile('a'); os.getpid(); from_ = os.stat('a')")) == []
