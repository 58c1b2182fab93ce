"""`rein score`: rows out of a file, a score for each, by whatever kind of reward; and what it refuses, by name."""

import csv
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.calling import call_rein

ROWS = [
    {"prompt": "my sink is leaking", "completion": "turn the water off", "id": 1},
    {"prompt": "my sink is leaking", "completion": "", "id": 2},
    {"prompt": "the lamp does not light", "completion": "change the bulb, then\nlook \x1b[31m", "id": 3},
]


@pytest.fixture
def rein(made_root, quiet_float32):
    """`rein score` on the artifacts that were made by hand."""
    where = ("--root", str(made_root), "--tracking-uri", f"sqlite:///{made_root}/none.db")
    return lambda *words: call_rein("score", *map(str, words), *where)


@pytest.fixture
def reward(made_root) -> Path:
    return made_root / "artifacts" / "reward-model"


def written(folder: Path, name: str, rows: list[dict]) -> Path:
    """The rows in a file of the form that its ending names."""
    file = folder / name
    if file.suffix in (".jsonl", ".json"):
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif file.suffix == ".csv":
        with file.open("w", encoding="utf-8", newline="") as opened:
            table = csv.DictWriter(opened, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    else:
        parquet.write_table(pa.Table.from_pylist(rows), file)
    return file


def logits(folder: Path) -> list[float]:
    """By plain transformers: the token of the beginning, the prompt, a line break, the completion and the end token (the template of models from scratch)."""
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    found = []
    for row in ROWS:
        tokens = [
            tokenizer.bos_token_id,
            *tokenizer(f"{row['prompt']}\n", add_special_tokens=False).input_ids,
            *tokenizer(row["completion"], add_special_tokens=False).input_ids,
            tokenizer.eos_token_id,
        ]
        with torch.no_grad():
            found.append(model(torch.tensor([tokens])).logits.item())
    return found


def expected(made_root: Path, factor: float) -> list[float]:
    """Mean 0.5 and spread 2 are those that the checkpoint was given; a head that counts `factor` times gives as many times the logit."""
    return [(factor * one - 0.5) / 2 for one in logits(made_root / "artifacts" / "reward-model" / "model")]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_the_same_rows_come_back_with_a_score(made_root, rein, reward, tmp_path, ending):
    file, to = written(tmp_path, f"rows.{ending}", ROWS), tmp_path / f"scored.{ending}"
    done = rein(reward, file, "--to", to)
    assert (done.returncode, done.stdout) == (0, f"{to}: 3 rows with their scores\n"), done.stderr
    if ending == "jsonl":
        rows = [json.loads(line) for line in to.read_text(encoding="utf-8").splitlines()]
    elif ending == "csv":
        with to.open(encoding="utf-8", newline="") as opened:
            rows = [row | {"id": int(row["id"]), "score": float(row["score"])} for row in csv.DictReader(opened)]
    else:
        rows = parquet.read_table(to).to_pylist()
    scores = [row.pop("score") for row in rows]
    assert rows == ROWS
    assert scores == pytest.approx(expected(made_root, 1), abs=1e-3)


def test_a_reward_of_several_is_scored_with_and_lines_are_printed_that_a_terminal_bears(made_root, rein, tmp_path):
    done = rein(made_root / "ensemble", written(tmp_path, "rows.parquet", ROWS))
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row.pop("score") for row in rows] == pytest.approx(expected(made_root, (2 + 4) / 2), abs=1e-3)
    assert rows == ROWS and "\x1b" not in done.stdout


def test_conversations_are_scored(rein, reward, tmp_path):
    """The template of models from scratch: the user's turn and a line break, the assistant's and the end token."""
    user, assistant = (
        {"role": role, "content": text} for role, text in (("user", "my sink"), ("assistant", "turn it off"))
    )
    talk = [user, assistant, {"role": "user", "content": "and now?"}]
    look = {"role": "assistant", "content": "look"}
    rows = [{"prompt": talk, "completion": one} for one in ([look], [*talk, look])]
    same = [
        {"prompt": talk, "completion": "look"},
        {
            "prompt": "\n\nHuman: my sink\n\nAssistant: turn it off\n\nHuman: and now?\n\nAssistant:",
            "completion": "look",
        },
    ]
    scores = []
    for number, file in enumerate([rows, same]):
        done = rein(reward, written(tmp_path, f"rows{number}.jsonl", file))
        assert done.returncode == 0, done.stderr
        scores += [json.loads(line)["score"] for line in done.stdout.splitlines()]
    model, tokenizer = (
        kind.from_pretrained(reward / "model") for kind in (AutoModelForSequenceClassification, AutoTokenizer)
    )
    words = "<|bos|>my sink\nturn it off<|eos|>and now?\nlook<|eos|>"
    spelled = words.replace("<|bos|>", tokenizer.bos_token).replace("<|eos|>", tokenizer.eos_token)
    with torch.no_grad():
        logit = model(**tokenizer(spelled, add_special_tokens=False, return_tensors="pt")).logits.item()
    assert scores == pytest.approx([(logit - 0.5) / 2] * 4, abs=1e-3)


LONG = "turn the water off and look " * 12
WRONG = [
    ([{"prompt": "a", "text": "b"}], "no column 'completion'; there are 'prompt', 'text'"),
    ([{"completion": "b"}], "no column 'prompt'; there are 'completion'"),
    ([], "it holds no rows"),
    (
        [*ROWS, {"prompt": "a", "completion": LONG}],
        "rows.jsonl:4: it is longer, with its prompt, than what the reward model reads",
    ),
    ([*ROWS, {"prompt": "a"}], "rows.jsonl:4: completion: no such column"),
    ([*ROWS, {"prompt": None, "completion": "c"}], "rows.jsonl:4: prompt: expected text, found None"),
    ([*ROWS, {"prompt": "", "completion": "c"}], "rows.jsonl:4: prompt: expected text, found ''"),
    (
        [*ROWS, {"prompt": [{"role": "assistant", "content": "a"}], "completion": "c"}],
        "rows.jsonl:4: prompt: the last turn must be the user's",
    ),
    (
        [*ROWS, {"prompt": "a", "completion": [{"role": "user", "content": "c"}]}],
        "rows.jsonl:4: completion: expected one message of the assistant, alone or after exactly those of the prompt",
    ),
    ([row | {"score": 1} for row in ROWS], "there is a column 'score' already"),
]


@pytest.mark.parametrize(("rows", "message"), WRONG, ids=lambda value: value[:30] if isinstance(value, str) else "")
def test_rows_that_cannot_be_scored_are_named(rein, reward, tmp_path, rows, message):
    done = rein(reward, written(tmp_path, "rows.jsonl", rows), "--to", tmp_path / "scored.jsonl")
    assert done.returncode == 1 and f"DataError: {tmp_path}/rows.jsonl" in done.stderr and message in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "scored.jsonl").exists()


def test_a_folder_without_a_reward_and_one_with_half_of_it_are_refused(made_root, rein, reward, tmp_path):
    file = written(tmp_path, "rows.csv", ROWS)
    shutil.copytree(reward / "model", tmp_path / "half")
    (tmp_path / "half" / "model.safetensors").write_bytes(b"not weights")
    for model, message in [
        (made_root / "artifacts" / "policy", "no reward of Rein: reward_kind.json is missing"),
        (file, "no reward of Rein"),
        (tmp_path / "half", "no model can be loaded from it: "),
        (tmp_path / "gone", f"{tmp_path}/gone: no such folder"),
        ("champion", "champion: no such folder, and no model is registered: sqlite:///"),
    ]:
        done = rein(model, file)
        (line,) = done.stderr.strip().splitlines()
        assert done.returncode == 1 and message in line, line


@pytest.mark.parametrize(
    ("file", "to", "message"),
    [
        ("rows.csv", "scored.parquet", "can be written to a file that ends in .jsonl or .csv"),
        ("rows.csv", "gone/scored.csv", "gone is no folder that can be written to"),
        ("rows.csv", "rows.csv", "rows.csv: is there already; name a new file"),
        ("rows.json", "scored.json", "can be written to a file that ends in .jsonl\n"),
    ],
)
def test_where_scores_cannot_be_written_is_said_before_anything_is_scored(rein, tmp_path, file, to, message):
    done = rein("not looked for", written(tmp_path, file, ROWS), "--to", tmp_path / to)
    assert done.returncode == 1 and "ConfigError: " in done.stderr and message in done.stderr
