"""Nothing points back: every import follows the arrows, and the learning code needs neither Prefect nor MLflow."""

import ast
import subprocess
import sys
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from models.settings.asked.judge_models import JudgeModelKind
from models.settings.base import kinds_of
from models.settings.judges import JudgeKind
from models.settings.labels import FeedbackFiles, LabelerKind
from models.settings.rewards import RewardKind
from models.settings.sources import DemonstrationSourceKind, PromptSourceKind, TextSourceKind
from models.settings.tuning import TuningKind

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = ("cli", "flows", "tasks", "models", "labeling", "deployments")

MAY_IMPORT = {
    "models": {"models"},
    "labeling": {"labeling", "models"},
    "tasks": {"tasks", "labeling", "models"},
    "flows": {"flows", "tasks", "labeling", "models"},
    "cli": {"cli", "flows", "tasks", "labeling", "models"},
    "deployments": {"deployments", "models"},
}
QUARTERS = {
    "models": (
        *("settings", "preferences", "distributed", "network", "generation", "training"),
        *("judge_model", "rewards", "evaluation", "tuning", "stages"),
    ),
    "tasks": ("tracking", "running", "lineage", "champion", "reporting", "stages", "judging"),
    "labeling": (
        *("sources", "worlds", "public_data", "labelers", "importers", "label_studio", "exporters"),
        *("store", "oversight", "page"),
    ),
}
"""The folders of a package: each imports from those before it alone (and from the files that lie beside the folders)."""
NEVER_IN_MODELS = {"prefect", "mlflow", "sqlalchemy", "fastapi", "cyclopts", "rich"}
LEARNING = (
    *(
        "models.tuning.ppo.tune",
        "models.tuning.critic_free.rloo",
        "models.rewards.pairwise",
        "models.training.causal_lm",
        "models.generation.sampling",
    ),
    "models.evaluation.matches",
    *("models.stages.pretraining", "models.stages.sft", "models.stages.reward", "models.stages.tuning"),
)
LEARNING_NEEDS = {
    "jinja2",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "pydantic",
    "pydantic_core",
    "numpy",
    "yaml",
}
SEAMS = {
    RewardKind: ("train", "load"),
    TuningKind: ("tune",),
    JudgeKind: ("knows", "open_judge"),
    LabelerKind: ("open_labeler",),
    JudgeModelKind: ("open_model", "tells_probabilities"),
    FeedbackFiles: ("read",),
    TextSourceKind: ("texts",),
    DemonstrationSourceKind: ("demonstrations",),
    PromptSourceKind: ("prompts",),
}
"""Seam -> the functions that the module of each of its kinds offers."""

MAX_LINES = 320
MAX_FILES = 16


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
    assert {"transformers", "models.tuning.ppo.minibatch"} <= imports(PROJECT / "models/tuning/ppo/loop.py")
    assert "models.stages.tuning" in closure("tasks.stages.tuning"), "an import inside a function counts"
    assert len(MODULES) > 40


def quarter_of(module: str) -> str | None:
    """The folder of its package that a module lies in; None where the package has none, or the module lies beside them."""
    package, _, below = module.partition(".")
    quarter = below.partition(".")[0]
    return quarter if quarter in QUARTERS.get(package, ()) else None


@pytest.mark.parametrize("package", QUARTERS)
def test_every_folder_of_a_package_has_its_place(package):
    folders = {path.parent.name for path in (PROJECT / package).glob("*/__init__.py")}
    assert folders == set(QUARTERS[package])


@pytest.mark.parametrize(("package", "quarter"), [(package, one) for package in QUARTERS for one in QUARTERS[package]])
def test_a_quarter_imports_from_those_before_it(package, quarter):
    order = QUARTERS[package]
    later = set(order[order.index(quarter) + 1 :])
    for file in files(f"{package}/{quarter}"):
        known = {name for name in imports(file) if name.startswith(f"{package}.") and name in MODULES}
        back = {name for name in known if quarter_of(name) in later}
        assert not back, f"{file}: {back}"


@pytest.mark.parametrize("package", QUARTERS)
def test_what_lies_beside_the_quarters_needs_none_of_them(package):
    beside = [file for file in (PROJECT / package).glob("*.py") if file.name != "__init__.py"]
    for file in beside:
        needed = {quarter_of(name) for name in imports(file) if name.startswith(f"{package}.")} - {None}
        assert needed <= {"settings"}, file


@pytest.mark.parametrize(("seam", "promised"), SEAMS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_the_module_of_every_kind_keeps_what_its_seam_promises(seam, promised):
    kinds = kinds_of(seam)
    assert kinds
    for name, kind in kinds.items():
        module = kind.load_module()
        assert all(callable(getattr(module, one, None)) for one in promised), name


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


def test_one_folder_imports_mlflow():
    assert {name.rpartition(".")[0] for name, file in MODULES.items() if "mlflow" in roots(file)} == {"tasks.tracking"}


@pytest.mark.parametrize("module", LEARNING)
def test_learning_needs_few_packages(module):
    assert outside(module) - {"jaxtyping", "peft"} <= LEARNING_NEEDS
    for package, owner in (("jaxtyping", "models.shapes"), ("peft", "models.network.lora")):
        takes = {name for name in closure(module) if package in roots(MODULES[name])}
        assert takes <= {owner}, f"only {owner} goes on without {package}"


def test_learning_runs_where_jaxtyping_peft_prefect_and_mlflow_are_missing():
    missing = "import sys; sys.modules.update(dict.fromkeys(['jaxtyping', 'peft', 'prefect', 'mlflow', 'sqlalchemy']));"
    fresh_interpreter(f"{missing} import {', '.join(LEARNING)}")


def test_importing_these_loads_no_torch():
    modules = (
        *("models.settings.pipeline", "models.preferences.consensus", "labeling.importers.read_feedback"),
        *("cli.command", "flows.rlhf"),
    )
    loads = "import sys, importlib\nfor one in {modules}:\n    importlib.import_module(one)\n    assert 'torch' not in sys.modules, one"
    fresh_interpreter(loads.format(modules=modules))


def test_a_form_is_read_before_what_takes_seconds_to_import():
    """A form that does not fit is told as soon as its run has a process."""
    heavy = "{'torch', 'transformers', 'mlflow', 'datasets', 'sqlalchemy.orm'}"
    fresh_interpreter(f"import sys, flows.forms\nassert not {heavy} & sys.modules.keys(), {heavy} & sys.modules.keys()")


def test_code_is_imported_only_by_import_statements_and_kinds():
    """Else the code digest of a stage would miss what it runs."""
    for name, file in MODULES.items():
        loaders = {one for one in imports(file) if one.startswith("importlib")} - {
            *("importlib.metadata", "importlib.metadata.version", "importlib.metadata.PackageNotFoundError"),
        }
        waiting = {"importlib", "importlib.import_module"}  # for the server, by a command that imports all of it soon
        allowed = {"models.settings.base": {"importlib"}, "tasks.running.code_digest": {"importlib.util"}}
        allowed["models.rewards.function"] = {"importlib"}  # whose module the settings name, so that it counts
        allowed |= {"cli.starting.temporary_server": waiting}
        assert loaders <= allowed.get(name, set()), name
        assert "__import__" not in file.read_text(encoding="utf-8"), name


def test_shapes_are_checked_in_tests():
    """Those of the innermost functions each night: there checking takes longer than computing."""
    options = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    checked = tuple(options["addopts"].partition("--jaxtyping-packages=")[2].split(",")[:-1])
    with_shapes = {name for name, file in MODULES.items() if "models.shapes" in imports(file)}
    inside = {
        "models.generation.decoding",
        *(f"models.network.{one}" for one in ("attention", "llama_forward", "packing")),
    }
    assert len(with_shapes) > 20
    assert {name for name in with_shapes if not f"{name}.".startswith(tuple(f"{one}." for one in checked))} == inside


def test_files_and_folders_stay_short():
    folders = (*PACKAGES, "tests", "benchmarks")
    lengths = {
        file.relative_to(PROJECT).as_posix(): len(file.read_text(encoding="utf-8").splitlines())
        for folder in folders
        for file in files(folder)
    }
    assert not {name: length for name, length in lengths.items() if length > MAX_LINES}
    sizes = Counter(name.rpartition("/")[0] for name in lengths)
    assert not {folder: size for folder, size in sizes.items() if size > MAX_FILES}
