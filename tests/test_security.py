"""What no file of the project does: read pickles, run code that came with data, hand words to a shell."""

import ast
from collections.abc import Iterator

import pytest

from tests.test_architecture import MODULES, imports

PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "pandas.read_pickle"}
RUNS_CODE = {"eval", "exec", "compile"}


def calls(tree: ast.AST) -> Iterator[tuple[str, dict[str, object]]]:
    """(name such as `torch.load`, constant keyword arguments) of every call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            given = {key.arg: getattr(key.value, "value", ...) for key in node.keywords}
            yield ast.unparse(node.func), given


def complaints(text: str) -> list[str]:
    """What is not safe in a file's calls."""
    found = []
    for name, given in calls(ast.parse(text)):
        last = name.rpartition(".")[2]
        if name == "torch.load" and given.get("weights_only") is not True:
            found.append(f"{name} without weights_only=True")
        if last in ("read_pickle", "to_pickle") or name in RUNS_CODE or name in ("yaml.load", "os.system"):
            found.append(name)
        if given.get("allow_pickle") is True or given.get("trust_remote_code", False) is not False:
            found.append(f"{name} trusts what it reads")
        if given.get("shell", False) is not False:
            found.append(f"{name} through a shell")
        is_model = last == "from_pretrained" and name.startswith("AutoModel")
        if is_model and given.get("use_safetensors") is not True:
            found.append(f"{name} without use_safetensors=True")
    return found


@pytest.mark.parametrize("module", MODULES)
def test_a_file_reads_no_pickle_and_runs_no_code_of_others(module):
    assert not imports(MODULES[module]) & PICKLES
    assert complaints(MODULES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "pd.read_pickle(path)",
        "np.load(path, allow_pickle=True)",
        "AutoTokenizer.from_pretrained(folder, trust_remote_code=True)",
        "AutoTokenizer.from_pretrained(folder, trust_remote_code=trusted)",
        "AutoModelForCausalLM.from_pretrained(folder)",
        "subprocess.run(line, shell=True)",
        "eval(text)",
        "yaml.load(text)",
    ],
)
def test_the_check_sees_what_it_should(line):
    assert len(complaints(line)) == 1


def test_the_check_lets_safe_calls_pass():
    assert (
        complaints("torch.load(path, weights_only=True); AutoTokenizer.from_pretrained(folder); yaml.safe_load(t)")
        == []
    )
