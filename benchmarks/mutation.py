"""How many small defects the unit tests notice: ``python -m benchmarks.mutation MODULE...``.

Each run changes one expression of one module in a copy of the source and runs the tests
that are about it; a change that they do not notice survives. What a change cannot be told
by is left out: docstrings, annotations, ``__all__``, what is only for type checkers, and
the wording of sentences.

MODULE is a path below ``src/tasker_health``, a folder or a file, and may be followed by
``=TEST,TEST`` to name its test files; else the file of the same name in ``tests/unit``.
"""

from __future__ import annotations

import ast
import copy
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = ROOT / "src" / "tasker_health"
WORKERS: Final = int(os.environ.get("MUTATION_WORKERS", "2"))
LIMIT_SECONDS: Final = float(os.environ.get("MUTATION_SECONDS", "600"))
TEST_SECONDS: Final = 20.0

_COMPARED: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COUNTED: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
}


@attrs.frozen
class Mutant:
    """One change.

    Args:
        module: where, below the package.
        line: which line of it.
        change: what was changed.
        text: the whole module, changed.
    """

    module: Path
    line: int
    change: str
    text: str = attrs.field(repr=False)

    def __str__(self) -> str:
        return f"{self.module}:{self.line} {self.change}"


def mutants(module: Path) -> Iterator[Mutant]:
    """Give every change of a module, each alone."""
    tree = ast.parse((PACKAGE / module).read_text())
    targets = [node for node in _executed(tree) if isinstance(node, ast.expr | ast.stmt)]
    for number, node in enumerate(targets):
        for change in range(3):
            changed = copy.deepcopy(tree)
            twin = [n for n in _executed(changed) if isinstance(n, ast.expr | ast.stmt)][number]
            what = _change(twin, change)
            if what:
                yield Mutant(module, node.lineno, what, ast.unparse(changed))


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk what runs and matters, always in the same order."""
    for node in ast.iter_child_nodes(tree):
        if _is_passed_over(node):
            continue
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for part in (*node.body, *node.args.defaults, *filter(None, node.args.kw_defaults)):
                if not _is_passed_over(part):
                    yield part
                    yield from _executed(part)
        elif isinstance(node, ast.AnnAssign):
            if node.value is not None:
                yield node.value
                yield from _executed(node.value)
        else:
            yield from _executed(node)


def _is_passed_over(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "cast":
        return True  # for type checkers, and what is cast is seldom more than a name
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True  # a docstring
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return True
    if isinstance(node, ast.Import | ast.ImportFrom | ast.arguments):
        return True
    names = [ast.unparse(target) for target in getattr(node, "targets", ())]
    return "__all__" in names


def _change(node: ast.AST, number: int) -> str:
    """Change a node in place, in one of its ways; the empty string when it has no such way."""
    before = ast.unparse(node)
    if number == 0:
        _change_operator(node)
    elif number == 1:
        _change_value(node)
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        node.test = ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await):
        node.value = ast.Constant(None)  # the call is left out
    ast.fix_missing_locations(node)
    after = ast.unparse(node)
    first, second = before.splitlines()[0], after.splitlines()[0]
    return f"{first[:60]} -> {second[:60]}" if after != before else ""


def _change_operator(node: ast.AST) -> None:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARED:
        node.ops[0] = _COMPARED[type(node.ops[0])]()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif isinstance(node, ast.BinOp) and type(node.op) in _COUNTED:
        node.op = _COUNTED[type(node.op)]()
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        node.op = ast.UAdd()
        node.operand = ast.Call(ast.Name("bool"), [node.operand], [])
    elif isinstance(node, ast.Return) and not _is_false(node.value):
        node.value = ast.Constant(None)
    elif isinstance(node, ast.Raise) and node.exc is not None:
        node.exc, node.cause = ast.Call(ast.Name("ArithmeticError"), [], []), None


def _is_false(value: ast.expr | None) -> bool:
    """Tell what None in its place would be the same as: its own change is a better one."""
    return value is None or (isinstance(value, ast.Constant) and not value.value)


def _change_value(node: ast.AST) -> None:
    if not isinstance(node, ast.Constant):
        return
    if isinstance(node.value, bool):
        node.value = not node.value
    elif isinstance(node.value, int | float):
        node.value = node.value + 1
    elif isinstance(node.value, str) and node.value and " " not in node.value:
        node.value = f"X{node.value}"


def survives(mutant: Mutant, tests: Sequence[str], copied: Path) -> bool:
    """Tell whether the tests pass with the change."""
    place = copied / "src" / "tasker_health" / mutant.module
    original = place.read_text()
    place.write_text(mutant.text)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{copied / 'src'}{os.pathsep}{copied}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TASKER_HEALTH_TEST_ACCESS_CASES": "500",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # the two that the tests use start much sooner
    }
    plugins = ("no:cacheprovider", "anyio.pytest_plugin", "_hypothesis_pytestplugin")
    words = ["-x", "-q", *(word for plugin in plugins for word in ("-p", plugin)), *tests]
    try:
        code = subprocess.run(  # noqa: S603  our own tests
            [sys.executable, "-m", "pytest", *words],
            cwd=copied,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TEST_SECONDS,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return False
    finally:
        place.write_text(original)
    return code == 0


def _tests(module: Path) -> list[str]:
    return [f"tests/unit/test_{module.stem}.py"]


def _work(argument: str) -> Iterator[tuple[Mutant, Sequence[str]]]:
    name, _, told = argument.partition("=")
    found = PACKAGE / name
    files = sorted(found.rglob("*.py")) if found.is_dir() else [found]
    for file in files:
        module = file.relative_to(PACKAGE)
        tests = [f"tests/unit/{test}" for test in told.split(",")] if told else _tests(module)
        if all((ROOT / test).exists() for test in tests):
            yield from ((mutant, tests) for mutant in mutants(module))
        else:
            print(f"{module}: name its tests", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Run every change of the modules that were named, and tell which survived."""
    work = [one for argument in arguments for one in _work(argument)]
    copies: SimpleQueue[Path] = SimpleQueue()
    until = time.monotonic() + LIMIT_SECONDS
    survived: list[Mutant] = []
    tried = 0

    def run(one: tuple[Mutant, Sequence[str]]) -> tuple[Mutant, bool | None]:
        if time.monotonic() > until:
            return one[0], None
        copied = copies.get()
        try:
            return one[0], survives(*one, copied)
        finally:
            copies.put(copied)

    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        for number in range(WORKERS):
            copied = Path(folder) / str(number)
            shutil.copytree(ROOT / "src", copied / "src")
            shutil.copytree(ROOT / "tests", copied / "tests")
            shutil.copy(ROOT / "pyproject.toml", copied)
            copies.put(copied)
        with ThreadPoolExecutor(WORKERS) as pool:
            for mutant, lives in pool.map(run, work):
                tried += lives is not None
                if lives:
                    survived.append(mutant)
                    print(f"survived: {mutant}", flush=True)
    killed = tried - len(survived)
    share = killed / tried if tried else 1.0
    print(f"{tried} of {len(work)} tried, {killed} noticed: {share:.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
