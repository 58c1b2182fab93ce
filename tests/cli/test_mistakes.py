"""Typical mistakes: each ends in a line or two that say what to do, before anything heavy is loaded."""

import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
WATCHED = """
import sys
from pathlib import Path
from cli.command import main
noted = Path(sys.argv.pop())
try:
    main()
finally:
    noted.write_text(" ".join(sorted({"torch", "transformers", "prefect", "mlflow"} & sys.modules.keys())))
"""
MOST_CPU_SECONDS = 15
"""Of a processor: a machine with other work on it takes longer, but no more of these."""
LABELS = "labels={{kind: pairs, path: {}}}"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder to be called in, with what mistakes name."""
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("nothing but text " * 20)
    (tmp_path / "pairs.jsonl").write_text(
        '{"prompt": "a", "chosen": "b", "rejected": "c"}\n{"prompt": "a", "chosen": 3}\n'
    )
    (tmp_path / "broken.yaml").write_text("seed: 1\nbase: {kind: pretrained\nlabels: [\n")
    (tmp_path / "tabs.yaml").write_text("base:\n\tkind: scratch\n")
    (tmp_path / "twice.yaml").write_text("seed: 1\ntuning: {kind: ppo,\n  gamma: 1.0, gamma: 0.9}\nseed: 2\n")
    (tmp_path / "picture.yaml").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "llama"}')
    return tmp_path


def call(place: Path, *words: str) -> tuple[int, list[str], str]:
    """Exit status, lines on the terminal, and which heavy modules were loaded, of a process as a user starts it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "REIN_"))}
    noted = place / "loaded"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *words, str(noted)],
        cwd=place,
        env=clean | {"PYTHONPATH": str(PROJECT), "HF_HUB_OFFLINE": "1", "HF_HOME": str(place / "hub")},
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime) < MOST_CPU_SECONDS
    lines = (done.stdout + done.stderr).strip().splitlines()
    return done.returncode, lines, noted.read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        # a key
        (["rlhf", "smoke", "tunning.kl.coef=1"], "tunning: no such key; did you mean tuning?"),
        (["rlhf", "smoke", "tuning.kl.coeff=1"], "did you mean tuning.kl.coef?"),
        (["rlhf", "smoke", "num_updates=3"], "did you mean tuning.num_updates or first_tuning.num_updates?"),
        (
            ["rlhf", "smoke", "reward.num_members=3"],
            "reward.num_members: no such key of the kind that is set; of kind ensemble",
        ),
        # a type
        (["rlhf", "smoke", "tuning.kl.coef=much"], "tuning.kl.coef: Input should be a valid number"),
        (
            ["rlhf", "smoke", "tuning.kl={kind: fixd}"],
            "tuning.kl: there is no kind 'fixd'; there are 'fixed', 'adaptive'",
        ),
        (["rlhf", "smoke", "generation.num_completions=1"], "generation.num_completions: Input should be greater than"),
        (["rlhf", "smoke", "tuning.kl=0.1"], "tuning.kl: has keys below it, such as tuning.kl.KEY=value"),
        (["rlhf", "smoke", "storage=elsewhere"], "storage: has keys below it, such as storage.KEY=value"),
        # a file
        (["learn", "smoke", LABELS.format("away.jsonl")], "labels.path: away.jsonl: no such file or folder"),
        (
            ["rlhf", "smoke", "prompts.source={kind: file, path: away.txt}"],
            "prompts.source.path: away.txt: no such file",
        ),
        (["rlhf", "smoke", "sft.source={kind: file, path: away.jsonl}"], "sft.source.path: away.jsonl: no such file"),
        (["collect", "smoke", "batch.instructions=away.md"], "batch.instructions: away.md: no such file"),
        (["learn", "smoke", LABELS.format("empty.jsonl")], "labels.path: empty.jsonl: the file is empty"),
        (["learn", "smoke", "labels={kind: folder, path: empty}"], "labels.path: empty: the folder is empty"),
        (["learn", "smoke", LABELS.format("pairs.jsonl")], "pairs.jsonl:2: chosen: expected text"),
        (["learn", "smoke", LABELS.format("notes.txt")], "notes.txt: unknown ending"),
        # a model
        (
            ["rlhf", "smoke", "base={kind: pretrained, model: empty}"],
            "the folder has no config.json, so that it holds no model",
        ),
        (["rlhf", "smoke", "base={kind: pretrained, model: model}"], "the folder has no weights in *.safetensors"),
        (["rlhf", "smoke", "base={kind: pretrained, model: notes.txt}"], "it is a file; name the folder of a model"),
        (
            ["rlhf", "smoke", "base={kind: pretrained, model: ./away}"],
            "base.model './away' cannot be loaded: there is no such folder",
        ),
        (
            ["rlhf", "smoke", "base={kind: pretrained, model: gpt3}"],
            "there is no such folder, and the hub is not asked, since HF_HUB_OFFLINE",
        ),
        (
            ["rlhf", "smoke", "base.kind=pretrained", "base.model=x"],
            "base: kind pretrained has no vocab_size, hidden_size",
        ),
        # a preset
        (["rlhf", "tinny"], "tinny: no such file, and no preset of that name; did you mean tiny?"),
        (["check", "presets/smoke.yaml"], "did you mean smoke?"),
        (["rlhf", "broken.yaml"], "broken.yaml:3: not YAML: while parsing a flow mapping, which begins in line 2"),
        (["rlhf", "tabs.yaml"], "tabs.yaml:2: not YAML: found character '\\t'"),
        (["rlhf", "twice.yaml"], "twice.yaml:3: not YAML: key gamma stands twice, first in line 3"),
        (["rlhf", "picture.yaml"], "picture.yaml: not YAML: it is no text in UTF-8"),
        # a place
        (["rlhf", "smoke", "storage.root=/proc/rein"], "storage.root: /proc/rein/prefect: no folder can be made there"),
        (["rlhf", "smoke", "storage.root=notes.txt"], "notes.txt is a file; name another place"),
        (
            ["rlhf", "smoke", "tracking.uri=sqlite:///notes.txt"],
            "tracking.uri: notes.txt: there is such a file, and it is no SQLite database",
        ),
        (
            ["labelers", "add", "ann", "--store", "sqlite:////proc/x/feedback.db"],
            "feedback store sqlite:////proc/x/feedback.db: cannot be made",
        ),
        (
            ["labelers", "list", "--store", "sqlite:///notes.txt"],
            "feedback store sqlite:///notes.txt: cannot be opened: file is not a database",
        ),
        (["collect", "smoke", "feedback.url=mysql://x"], "feedback store mysql://x: expected sqlite:///"),
        # too early
        (["learn", "smoke", "labels={kind: store}"], "holds no judgement by 'helpfulness': has anybody labelled yet?"),
        (["learn", "smoke", "labels={kind: store, batches: [b1]}"], "the feedback store has no batch b1"),
        (["learn", "smoke"], "labels.kind simulated has no rankings to start from"),
        (["rlhf", "smoke", "labels={kind: store}"], "labels.kind store cannot answer at once"),
        (["retrain", "smoke"], "retraining learns from the feedback store; say kind: store"),
        (["promote", "--by", "ann", "--reason", "better"], "sqlite:///.rein/mlflow.db has no rein-policy yet"),
        (["evaluate", "smoke"], "sqlite:///.rein/mlflow.db has no rein-policy yet"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_ends_early_in_a_line(words, told, place):
    status, lines, loaded = call(place, *words)
    assert status == 1 and told in "\n".join(lines), lines
    assert len(lines) <= 3
    assert loaded == ""


def test_a_root_that_is_a_file_is_told(place):
    (place / ".rein").touch()
    for words in (["rlhf", "smoke"], ["lineage", "policy@champion"]):
        status, lines, _ = call(place, *words)
        assert status == 1 and len(lines) == 1 and f"{place}/.rein is a file; name another place" in lines[0]


def test_a_port_that_there_is_not_is_told(place):
    status, lines, loaded = call(place, "label", "--port", "99999")
    assert (status, loaded) == (2, "") and len(lines) <= 4 and "99999" in "".join(lines)


def test_a_port_in_use_is_told(place):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, lines, loaded = call(place, "label", "--port", str(port))
        assert (status, loaded) == (1, "")
        assert lines == [
            f"ConfigError: cannot listen on 127.0.0.1:{port}: Address already in use; choose another --port"
        ]
        done = subprocess.run(
            [sys.executable, "-m", "deployments.local.up", "--prefect-port", str(port)],
            cwd=place,
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1
    assert (
        done.stdout + done.stderr
        == f"StartError: port {port}: Address already in use; choose another with --prefect-port\n"
    )
