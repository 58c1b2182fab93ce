"""Which project code a stage runs, as one digest: the part of a cache key that changes when the code does.

Prefect's own `TASK_SOURCE` sees only the lines of the task itself; a stage is thin, what it calls is not.
"""

import ast
import functools
import hashlib
import importlib.util
import subprocess
from importlib.metadata import version
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("cli", "flows", "tasks", "models", "labeling", "deployments")

NOT_COMPUTING = (
    # Their values stand in the cache key themselves:
    "models.settings",
    # How a stage is run, kept and recorded changes nothing in what it computes:
    "models.stages.rank_process",
    "tasks.running",
    "tasks.tracking",
)
"""Modules and packages."""


def module_file(module: str, root: str | None = None) -> Path | None:
    """The source file of a project module, or of one below the package `root` of somebody else's; None for anything else."""
    first = module.partition(".")[0]
    if first in PACKAGES:
        path = PROJECT.joinpath(*module.split("."))
        return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
    if first != root:
        return None
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # a name of a module, not a module
        return None
    return Path(found.origin) if found and found.origin and found.has_location else None


def imported_modules(file: Path, root: str | None = None) -> set[str]:
    """Modules that a file imports anywhere in it, inside functions too: project modules, and those below `root`."""
    return {name for name in _imported_names(file, file.stat().st_mtime_ns) if module_file(name, root)}


def reachable_modules(module: str) -> dict[str, Path]:
    """The module and every one that it imports, directly or not, with their files: of the project, and of its own package."""
    root = module.partition(".")[0]
    reached: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        current = waiting.pop()
        file = module_file(current, root)
        if current in reached or file is None or _is_below(current, NOT_COMPUTING):
            continue
        reached[current] = file
        waiting.extend(imported_modules(file, root))
    return reached


@functools.cache
def code_digest(*modules: str) -> str:
    """SHA-256 over the sources of all modules that these reach."""
    files = {name: file for module in modules for name, file in reachable_modules(module).items()}
    digest = hashlib.sha256()
    for name, file in sorted(files.items()):
        digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


@functools.cache
def _imported_names(file: Path, changed: int) -> frozenset[str]:
    """Dotted names that a file imports, `from a import b` as both `a` and `a.b`; `changed`: when it was written last."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def imported_packages(*modules: str) -> set[str]:
    """Top-level names of everything that all modules which these reach import."""
    files = {file for module in modules for file in reachable_modules(module).values()}
    names = {name for file in files for name in _imported_names(file, file.stat().st_mtime_ns)}
    return {name.partition(".")[0] for name in names}


def _is_below(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def package_version() -> str:
    """The version of Rein that is installed."""
    return version("rein")


@functools.cache
def git_commit() -> str | None:
    """The commit that the project's code is at, `-dirty` after it where files were edited; None where it is no repository."""
    git = ("git", "-C", str(PROJECT))
    try:
        top = subprocess.run([*git, "rev-parse", "--show-toplevel"], capture_output=True, text=True, check=True)
        if Path(top.stdout.strip()) != PROJECT:  # it is installed below somebody else's repository
            return None
        described = [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(described, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
