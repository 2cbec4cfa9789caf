"""How many small defects the unit tests notice: ``python -m benchmarks.mutation [MODULE...]``.

Each run changes one expression of one module in a copy of the source and runs the tests
that are about it; a change that they do not notice survives. What a change cannot be told
by is left out: docstrings, annotations, ``__all__``, what is only for type checkers, and
the wording of sentences.

MODULE is a path below ``src/tasker_health``, a folder or a file, and may be followed by
``=TEST,TEST`` to name its test files; else those that ``mutation.toml`` tells, else the
file of the same name in ``tests/unit``. Without any, all of ``FOLDERS`` is changed. The
exit code is 1 when fewer are noticed than ``LEAST_SHARE``, or when the tests of a module do
not even pass as it is.
"""

from __future__ import annotations

import ast
import gc
import importlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = Path("src", "tasker_health")
FOLDERS: Final = ("domain", "adapters/auth")
WORKERS: Final = int(os.environ.get("MUTATION_WORKERS", "2"))
LIMIT_SECONDS: Final = float(os.environ.get("MUTATION_SECONDS", "7200"))
MOST_SECONDS: Final = 60.0
LEAST_SHARE: Final = 0.95

# Imported once, before any test process is forked: to start anew for each change would
# cost most of the time. What is ours, and what pytest rewrites, is left to each.
_WARM: Final = (
    "anyio._backends._asyncio",
    "hypothesis.stateful",
    "hypothesis.strategies",
    "joserfc.jwk",
    "joserfc.jwt",
    "msgspec",
    "structlog",
)
_PLUGINS: Final = ("no:cacheprovider", "anyio.pytest_plugin", "_hypothesis_pytestplugin")
_ENVIRONMENT: Final = {
    "CI": "1",  # Hypothesis draws the same examples each time, and asserts no speed
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # the two that the tests use start much sooner
    "TASKER_HEALTH_TEST_ACCESS_CASES": "500",
}
_FORK: Final = multiprocessing.get_context("fork")

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


def mutants(package: Path, module: Path) -> Iterator[Mutant]:
    """Give every change of a module, each alone."""
    tree = ast.parse((package / module).read_text())
    for node in list(_executed(tree)):
        if not isinstance(node, ast.expr | ast.stmt):
            continue
        for fields in list(_changes(node)):
            before = ast.unparse(node)
            kept = {name: getattr(node, name) for name in fields}
            _set(node, fields)
            after = ast.unparse(node)
            first, second = before.splitlines()[0], after.splitlines()[0]
            yield Mutant(module, node.lineno, f"{first[:60]} -> {second[:60]}", ast.unparse(tree))
            _set(node, kept)


def _set(node: ast.AST, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        setattr(node, name, value)


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
    if isinstance(node, ast.Call) and ast.unparse(node.func) in {"cast", "TypeVar"}:
        return True  # for type checkers, and what is cast is seldom more than a name
    if isinstance(node, ast.keyword) and node.arg == "kw_only":
        return True  # how a value must be made: the type checker sees to it
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True  # a docstring
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return True
    if isinstance(node, ast.Import | ast.ImportFrom | ast.arguments):
        return True
    names = [ast.unparse(target) for target in getattr(node, "targets", ())]
    return "__all__" in names


def _changes(node: ast.AST) -> Iterator[Mapping[str, Any]]:
    """Give the ways to change a node, each as the fields that are then other ones."""
    yield from _changed_operators(node)
    yield from _changed_values(node)
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        yield {"test": ast.UnaryOp(ast.Not(), node.test)}
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await):
        yield {"value": ast.Constant(None)}  # the call is left out


def _changed_operators(node: ast.AST) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, ast.Compare):
        for number, operator in enumerate(node.ops):
            if type(operator) in _COMPARED:
                other = _COMPARED[type(operator)]()
                yield {"ops": [*node.ops[:number], other, *node.ops[number + 1 :]]}
    elif isinstance(node, ast.BoolOp):
        yield {"op": ast.Or() if isinstance(node.op, ast.And) else ast.And()}
    elif isinstance(node, ast.BinOp) and type(node.op) in _COUNTED:
        yield {"op": _COUNTED[type(node.op)]()}
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield {"op": ast.UAdd(), "operand": ast.Call(ast.Name("bool"), [node.operand], [])}
    elif isinstance(node, ast.Return) and not _is_false(node.value):
        yield {"value": ast.Constant(None)}
    elif isinstance(node, ast.Raise) and node.exc is not None:
        yield {"exc": ast.Call(ast.Name("ArithmeticError"), [], []), "cause": None}


def _is_false(value: ast.expr | None) -> bool:
    """Tell what None in its place would be the same as: its own change is a better one."""
    return value is None or (isinstance(value, ast.Constant) and not value.value)


def _changed_values(node: ast.AST) -> Iterator[Mapping[str, Any]]:
    if not isinstance(node, ast.Constant):
        return
    if isinstance(node.value, bool):
        yield {"value": not node.value}
    elif isinstance(node.value, int | float):
        yield {"value": node.value + 1}
    elif isinstance(node.value, str) and node.value and " " not in node.value:
        yield {"value": f"X{node.value}"}


def _copy(source: Path, target: Path) -> None:
    """Copy what the tests need, so that whoever edits it meanwhile changes nothing here."""
    for name in ("src", "tests"):
        left_out = shutil.ignore_patterns("__pycache__", ".hypothesis")
        shutil.copytree(source / name, target / name, ignore=left_out)
    shutil.copy(source / "pyproject.toml", target)


class _Place:
    """The source and the tests in a folder of one worker alone, to be changed."""

    def __init__(self, folder: Path) -> None:
        self.for_process: Final = os.getppid()
        self._root: Final = folder
        self._limits: Final[dict[tuple[str, ...], float | None]] = {}

    def limit_seconds(self, tests: tuple[str, ...]) -> float | None:
        """Tell how long the tests may take, by how long they do as it is; None if they fail."""
        if tests not in self._limits:
            began = time.monotonic()
            passed = self._passes(tests, MOST_SECONDS, compiled=True)
            self._limits[tests] = 5 + 5 * (time.monotonic() - began) if passed else None
        return self._limits[tests]

    def survives(self, mutant: Mutant, tests: tuple[str, ...]) -> bool:
        """Tell whether the tests pass with the change."""
        limit = self.limit_seconds(tests) or MOST_SECONDS
        place = self._root / PACKAGE / mutant.module
        original, written = place.read_bytes(), place.stat().st_mtime
        place.write_text(mutant.text)
        os.utime(place, (0, 0))  # so that no compiled module is taken for it
        try:
            return self._passes(tests, limit)
        finally:
            place.write_bytes(original)
            os.utime(place, (written, written))

    def _passes(
        self, tests: tuple[str, ...], limit_seconds: float, *, compiled: bool = False
    ) -> bool:
        """Run the tests in a process that is forked for it, which may leave what it compiled."""
        process = _FORK.Process(target=self._test, args=(tests, compiled))
        process.start()
        process.join(limit_seconds)
        if process.exitcode is None and process.pid is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
        return process.exitcode == 0

    def _test(self, tests: Sequence[str], compiled: bool) -> None:  # noqa: FBT001  by a process
        """Run the test files one by one, each only if those before it passed."""
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(self._root)
        sys.dont_write_bytecode = not compiled
        places = [str(self._root / "src"), str(self._root)]
        os.environ.update(_ENVIRONMENT, PYTHONPATH=os.pathsep.join(places))
        sys.path[:] = [*places, *(place for place in sys.path if Path(place or ".") != ROOT)]
        words = ["-x", "-q", *(word for plugin in _PLUGINS for word in ("-p", plugin))]
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        for test in tests:
            code = pytest.main([*words, test])
            if code:
                os._exit(int(code))
        os._exit(0)


_place: _Place


def _begin(folder: Path) -> None:
    """Set up a worker: all that its test processes have in common."""
    global _place  # noqa: PLW0603  one a process
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the parent's to stop
    mine = folder / str(os.getpid())
    _copy(folder / "as_it_is", mine)
    _place = _Place(mine)
    for name in _WARM:
        importlib.import_module(name)
    gc.freeze()


def _sound(tests: tuple[str, ...]) -> bool:
    return _place.limit_seconds(tests) is not None


def _survives(mutant: Mutant, tests: tuple[str, ...], until: float) -> bool | None:
    if os.getppid() != _place.for_process:
        os._exit(1)  # nobody waits for the outcome any more
    return _place.survives(mutant, tests) if time.monotonic() < until else None


def _told() -> dict[str, list[str]]:
    with Path(__file__).with_suffix(".toml").open("rb") as file:
        told: dict[str, list[str]] = tomllib.load(file)["tests"]
    return told


def _work(package: Path, argument: str) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Give the modules that an argument names, with the tests of each."""
    name, _, named = argument.partition("=")
    found = package / name
    for file in sorted(found.rglob("*.py")) if found.is_dir() else [found]:
        module = file.relative_to(package)
        names = named.split(",") if named else _told().get(str(module), [f"test_{module.stem}.py"])
        yield module, tuple(f"tests/unit/{test}" for test in names)


@attrs.define
class Score:
    """How a module came out."""

    found: int = 0
    tried: int = 0
    noticed: int = 0

    def __str__(self) -> str:
        share = self.noticed / self.tried if self.tried else 1.0
        left = f", {self.found - self.tried} not tried" if self.found > self.tried else ""
        return f"{self.noticed} of {self.tried} noticed: {share:.1%}{left}"

    def add(self, other: Score) -> None:
        """Count another's into this one."""
        self.found += other.found
        self.tried += other.tried
        self.noticed += other.noticed


def _scored(
    pool: ProcessPoolExecutor, tried: Sequence[Mutant], tests: tuple[str, ...], until: float
) -> Score:
    """Try every change of a module, and tell which survive."""
    score = Score(len(tried))
    outcomes = [pool.submit(_survives, mutant, tests, until) for mutant in tried]
    for mutant, outcome in zip(tried, outcomes, strict=True):
        lives = outcome.result()
        score.tried += lives is not None
        score.noticed += lives is False
        if lives:
            print(f"survived: {mutant}", flush=True)
    return score


def _run(pool: ProcessPoolExecutor, package: Path, arguments: Sequence[str]) -> int:
    until = time.monotonic() + LIMIT_SECONDS
    total, unsound = Score(), 0
    for module, tests in [one for name in arguments or FOLDERS for one in _work(package, name)]:
        tried = list(mutants(package, module))
        if not tried:
            continue
        if not pool.submit(_sound, tests).result():
            unsound += 1
            print(f"{module}: its tests fail as it is, or are not there", flush=True)
            continue
        score = _scored(pool, tried, tests, until)
        total.add(score)
        print(f"{module}: {score}", flush=True)
    print(f"in total: {total}")
    return int(unsound > 0 or total.noticed < LEAST_SHARE * total.tried)


def main(arguments: Sequence[str]) -> int:
    """Run every change of the modules that were named, and tell which survived."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        folder = Path(name)
        _copy(ROOT, folder / "as_it_is")
        pool = ProcessPoolExecutor(WORKERS, _FORK, _begin, (folder,))
        try:
            return _run(pool, folder / "as_it_is" / PACKAGE, arguments)
        finally:
            pool.shutdown(cancel_futures=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
