"""Which project code a stage runs, as one digest: the part of a cache key that changes when the code does.

Prefect's own `TASK_SOURCE` sees only the lines of the task itself; a stage is thin, what it calls is not.
"""

import ast
import functools
import hashlib
import subprocess
from importlib.metadata import version
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("cli", "flows", "tasks", "models", "labeling", "deployments")

NOT_COMPUTING = frozenset(
    {
        # Their values stand in the cache key themselves:
        "models.settings.pipeline",
        "models.settings.compute",
        "models.settings.ppo",
        "models.settings.sources",
        # How a stage is run, kept and recorded changes nothing in what it computes:
        "tasks.running.code_digest",
        "models.stages.rank_process",
        "tasks.running.pipeline_run",
        "tasks.running.torch_ranks",
        "tasks.running.stage",
        "tasks.tracking.tracked_run",
    }
)


def module_file(module: str) -> Path | None:
    """The source file of a project module, None for anything else."""
    if module.partition(".")[0] not in PACKAGES:
        return None
    path = PROJECT.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def imported_modules(file: Path) -> set[str]:
    """Project modules that a file imports anywhere in it, inside functions too."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module)
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {module for module in modules if module_file(module)}


def reachable_modules(module: str) -> set[str]:
    """The module and every project module that it imports, directly or not."""
    reached: set[str] = set()
    waiting = [module]
    while waiting:
        current = waiting.pop()
        file = module_file(current)
        if current in reached or current in NOT_COMPUTING or file is None:
            continue
        reached.add(current)
        waiting.extend(imported_modules(file))
    return reached


@functools.cache
def code_digest(module: str) -> str:
    """SHA-256 over the sources of all modules that `module` reaches."""
    digest = hashlib.sha256()
    for name in sorted(reachable_modules(module)):
        file = module_file(name)
        assert file is not None
        digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


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
