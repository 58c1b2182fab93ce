"""Nothing points back: every import follows the arrows, and the learning code needs neither Prefect nor MLflow."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = ("flows", "tasks", "models", "labeling", "deployments")

MAY_IMPORT = {
    "models": {"models"},
    "labeling": {"labeling", "models"},
    "tasks": {"tasks", "labeling", "models"},
    "flows": {"flows", "tasks", "labeling", "models"},
    "deployments": {"deployments", "models"},
}
NEVER_IN_MODELS = {"prefect", "mlflow", "sqlalchemy", "fastapi", "cyclopts", "rich"}
LEARNING = (
    *(
        "models.tuning.ppo.loop",
        "models.rewards.pairwise",
        "models.training.causal_lm",
        "models.generation.sampling",
        "models.evaluation.matches",
    ),
    *("models.stages.pretraining", "models.stages.sft", "models.stages.reward", "models.stages.tuning"),
)
LEARNING_NEEDS = {"torch", "transformers", "tokenizers", "safetensors", "pydantic", "numpy", "yaml"}

MAX_LINES = 320
LONGER = {
    "labeling/worlds/household.py": "half of it is the phrases of the tiny world",
}


def files(folder: str) -> list[Path]:
    return sorted(file for file in (PROJECT / folder).rglob("*.py") if "__pycache__" not in file.parts)


def module_of(file: Path) -> str:
    parts = file.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for package in PACKAGES for file in files(package)}


@cache
def imports(file: Path) -> frozenset[str]:
    """Dotted names that a file imports anywhere, `from a import b` as both `a` and `a.b`."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: a relative import; tasks/running/code_digest.py does not follow these"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def roots(file: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(file)}


def closure(module: str) -> set[str]:
    """The module and all project modules that it reaches."""
    reached, waiting = set(), [module]
    while waiting:
        current = waiting.pop()
        if current not in reached:
            reached.add(current)
            waiting.extend(name for name in imports(MODULES[current]) if name in MODULES)
    return reached


def outside(module: str) -> set[str]:
    """Third-party packages that the module reaches through project code."""
    names = set().union(*(roots(MODULES[name]) for name in closure(module)))
    return names - set(PACKAGES) - sys.stdlib_module_names


def fresh_interpreter(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_walk_sees_what_it_should():
    assert {"torch", "models.tuning.ppo.losses"} <= imports(PROJECT / "models/tuning/ppo/loop.py")
    assert "models.tuning.ppo.losses" in closure("tasks.stages.ppo"), "an import inside a function counts"
    assert len(MODULES) > 40


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_follow_the_arrows(package):
    for file in files(package):
        assert roots(file) & set(PACKAGES) <= MAY_IMPORT[package], file


def test_labeling_takes_only_what_needs_no_torch():
    for file in files("labeling"):
        assert "torch" not in outside(module_of(file)), file


def test_models_knows_no_orchestrator_tracker_or_database():
    for file in files("models"):
        assert not roots(file) & NEVER_IN_MODELS, file


def test_one_file_imports_mlflow():
    assert [name for name, file in MODULES.items() if "mlflow" in roots(file)] == ["tasks.tracking.tracked_run"]


@pytest.mark.parametrize("module", LEARNING)
def test_learning_needs_few_packages(module):
    assert outside(module) - {"jaxtyping", "peft"} <= LEARNING_NEEDS
    for package, owner in (("jaxtyping", "models.shapes"), ("peft", "models.network.lora")):
        takes = {name for name in closure(module) if package in roots(MODULES[name])}
        assert takes <= {owner}, f"only {owner} goes on without {package}"


def test_learning_runs_where_jaxtyping_peft_prefect_and_mlflow_are_missing():
    missing = "import sys; sys.modules.update(dict.fromkeys(['jaxtyping', 'peft', 'prefect', 'mlflow', 'sqlalchemy']));"
    fresh_interpreter(f"{missing} import {', '.join(LEARNING)}")


@pytest.mark.parametrize(
    "module",
    [
        "models.settings.pipeline",
        "models.preferences.consensus",
        "labeling.importers.read_feedback",
        "flows.rlhf",
        "cli.command",
    ],
)
def test_importing_it_loads_no_torch(module):
    fresh_interpreter(f"import sys, {module}; sys.exit('torch was loaded' if 'torch' in sys.modules else 0)")


def test_code_is_imported_only_by_import_statements():
    """Else the code digest of a stage would miss what it runs."""
    for name, file in MODULES.items():
        loaders = {one for one in imports(file) if one.startswith("importlib")}
        assert not loaders - {
            "importlib.metadata",
            "importlib.metadata.version",
        } and "__import__" not in file.read_text(encoding="utf-8"), name


def test_files_stay_short():
    lengths = {
        file.relative_to(PROJECT).as_posix(): len(file.read_text(encoding="utf-8").splitlines())
        for folder in (*PACKAGES, "tests", "benchmarks")
        for file in files(folder)
    }
    long = {name for name, length in lengths.items() if length > MAX_LINES}
    assert long == set(LONGER), f"unexpected {long - set(LONGER)}, no longer long {set(LONGER) - long}"
