"""Tasks in the form of Self-Instruct as demonstrations and as prompts."""

import json
import os
from pathlib import Path

import pytest

from labeling.sources.read_source import read_demonstrations, read_prompts
from models.errors import DataError
from models.settings.sources import SelfInstruct


def task(instruction: str, *instances: dict | str, **more) -> dict:
    return {"id": "seed_task_0", "instruction": instruction, "instances": list(instances)} | more


def source(tmp_path: Path, *rows) -> SelfInstruct:
    (tmp_path / "tasks.json").write_text(json.dumps(rows), encoding="utf-8")
    return SelfInstruct(path=str(tmp_path / "tasks.json"))


BIRD = task("Name a bird.", {"input": "", "output": "An owl."})
RHYMES = task("Find a rhyme.", {"input": "owl\n", "output": " Howl"}, {"input": "sand", "output": "Hand", "x": 1})


def test_an_instance_is_the_instruction_with_its_input_and_the_output(tmp_path):
    config = source(tmp_path, BIRD, RHYMES)
    prompts = ["Name a bird.", "Find a rhyme.\n\nowl\n", "Find a rhyme.\n\nsand"]
    assert read_demonstrations(config, 0, None) == list(zip(prompts, ["An owl.", " Howl", "Hand"], strict=True))
    assert read_prompts(config, 0) == prompts


def test_a_row_may_be_its_own_instance(tmp_path):
    """As in Alpaca (Taori et al. 2023)."""
    rows = [{"instruction": "Add.", "input": "1, 2", "output": "3"}, {"instruction": "Sing.", "output": "La."}]
    expected = [("Add.\n\n1, 2", "3"), ("Sing.", "La.")]
    assert read_demonstrations(source(tmp_path, *rows), 0, None) == expected
    (tmp_path / "tasks.tsv").write_text("instruction\tinput\toutput\nAdd.\t1, 2\t3\nSing.\t \tLa.\n", encoding="utf-8")
    assert read_demonstrations(SelfInstruct(path=str(tmp_path / "tasks.tsv")), 0, None) == expected


def test_prompts_need_no_output(tmp_path):
    assert read_prompts(source(tmp_path, {"instruction": "Sing."}, task("Add.", {"input": "1"})), 0) == [
        "Sing.",
        "Add.\n\n1",
    ]


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (task(" ", {"input": "", "output": "a"}), "instruction: expected text, found ' '"),
        (task("Sing."), "instances: expected a list of {input, output}, found []"),
        (task("Sing.", instances="a"), "instances: expected a list of {input, output}, found 'a'"),
        (task("Sing.", "a"), "instances.0.input: expected {input, output}, found 'a'"),
        (task("Sing.", {"input": ["a"], "output": "b"}), "instances.0.input: expected text, or nothing, found ['a']"),
        (task("Sing.", {"input": "a", "output": "b"}, {"output": " "}), "instances.1.output: expected text, found ' '"),
        ({"instruction": "Sing."}, "output: expected text, found None"),
    ],
)
def test_a_bad_task_is_named(tmp_path, bad, complaint):
    config = source(tmp_path, BIRD, bad)
    with pytest.raises(DataError) as caught:
        read_demonstrations(config, 0, None)
    assert f"  {config.path}:2: {complaint}" in str(caught.value)


def test_a_bad_prompt_is_set_aside_whole(tmp_path):
    config = source(tmp_path, task("Sing.", {"input": "a"}, {"input": 5}), BIRD)
    assert read_prompts(config, 0, tmp_path / "rejected.jsonl") == ["Name a bird."]


def test_a_file_of_something_else_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"no column 'instruction'; there are 'prompt', 'output'$"):
        read_demonstrations(source(tmp_path, {"prompt": "Sing.", "output": "La."}), 0, None)
    with pytest.raises(DataError, match=r"tasks\.json: the dataset is empty"):
        read_prompts(source(tmp_path), 0)


def test_the_seed_tasks_of_self_instruct():
    data = os.environ.get("REIN_DATA")
    if not data:
        pytest.skip("REIN_DATA is not set: no folder with real tasks")
    file = Path(data) / "prompts" / "self_instruct_seed_tasks.jsonl"
    if not file.is_file():
        pytest.skip("REIN_DATA holds no prompts/self_instruct_seed_tasks.jsonl")
    config = SelfInstruct(path=str(file))
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    read = read_demonstrations(config, 0, None)
    assert len(read) == sum(len(row["instances"]) for row in rows) and len(rows) == 175
    assert read[0][0] == rows[0]["instruction"], "no input"
    assert read[1] == (
        "What is the relation between the given pairs?\n\nNight : Day :: Right : Left",
        "The relation between the given pairs is that they are opposites.",
    )
    assert read_prompts(config, 0) == [prompt for prompt, _ in read]
