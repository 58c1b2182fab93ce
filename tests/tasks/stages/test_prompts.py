"""Stage `prompts`: what is no prompt for the model stops it, or is set aside with its reasons."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, PreTrainedTokenizerFast

from models.errors import DataError
from models.records import Artifact
from models.settings.generation import PromptsConfig
from models.settings.pipeline import SplitConfig
from models.settings.sources import TextFile
from tasks.running.stage import Work
from tasks.stages.prompts import sample_prompts, sample_tuning_prompts

GOOD = [f"prompt {number}" for number in range(20)]
LONG = "word " * 8 + "word"


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Artifact:
    """A base of 12 tokens, each word one: beside 4 new ones a prompt has room for 8."""
    folder = tmp_path_factory.mktemp("base")
    words = Tokenizer(models.WordLevel({"<unk>": 0, "<eos>": 1}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    special = {"unk_token": "<unk>", "eos_token": "<eos>", "chat_template": template}
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder / "model")
    GPT2Config(n_positions=12).save_pretrained(folder / "model")
    return Artifact(kind="model", uri=str(folder), sha256="", rows=0, run_id="")


def sampled(folder: Path, base: Artifact, texts: list, **settings) -> tuple[Work, list[str]]:
    """What the stage's body leaves, and the prompts in order, without a flow around it."""
    folder.mkdir()
    source = folder.with_suffix(".jsonl")
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    config = PromptsConfig(source=TextFile(path=str(source)), **settings)
    work = Work("prompts", folder, tracked=None, checkpoint_folder=folder)
    sample_prompts.__wrapped__(work, config, SplitConfig(), base, max_new_tokens=4, seed=0)
    return work, [json.loads(line)["text"] for line in (folder / "prompts.jsonl").read_text().splitlines()]


def test_bad_prompts_are_set_aside_and_counted(tmp_path, base):
    work, expected = sampled(tmp_path / "good", base, GOOD, num_prompts=20)
    assert "rejected_prompts" not in work.metrics
    mixed = [LONG, *GOOD[:9], " ", None, *GOOD[9:], LONG]
    work, prompts = sampled(tmp_path / "mixed", base, mixed, num_prompts=20, bad_rows="set_aside")
    assert prompts == expected
    assert work.metrics["rejected_prompts"] == 3, "LONG is one prompt, wherever it stands"
    assert work.notes == ["3 bad rows were set aside in rejected.jsonl, each with its reasons."]
    lines = [json.loads(line) for line in (tmp_path / "mixed" / "rejected.jsonl").read_text().splitlines()]
    assert [(one["line"], one["row"], one["reasons"][0]["reason"]) for one in lines] == [
        (11, {"text": " "}, "expected text, found ' '"),
        (12, {"text": None}, "expected text, found None"),
        (None, {"prompt": LONG}, "the prompt has 9 tokens; 8 are left beside max_new_tokens=4"),
    ]
    work, prompts = sampled(tmp_path / "whole", base, GOOD, num_prompts=20, bad_rows="set_aside")
    assert prompts == expected and "rejected_prompts" not in work.metrics
    assert not (tmp_path / "whole" / "rejected.jsonl").exists()


def test_bad_prompts_stop_the_stage_unless_set_aside(tmp_path, base):
    for number, (bad, complaint) in enumerate(
        [
            (" ", r"\(bad rows: 1\):\n .*\.jsonl:21: text: expected text"),
            (LONG, "1 prompts are longer than the 8 tokens"),
        ]
    ):
        with pytest.raises(DataError, match=complaint):
            sampled(tmp_path / str(number), base, [*GOOD, bad], num_prompts=21)
    with pytest.raises(DataError, match="num_prompts is 21, but the source has 20 different prompts"):
        sampled(tmp_path / "few", base, [*GOOD, LONG], num_prompts=21, bad_rows="set_aside")


def test_prompts_to_tune_on_are_set_aside_too(tmp_path, base):
    source = tmp_path / "prompts.txt"
    source.write_bytes(b"one\n\xff\ntwo\n")
    config = PromptsConfig(source=TextFile(path=str(source)), num_prompts=2, bad_rows="set_aside")
    work = Work("tuning-prompts", tmp_path, tracked=None, checkpoint_folder=tmp_path)
    assert sample_tuning_prompts.__wrapped__(work, config, SplitConfig(), base, None, max_new_tokens=4, seed=0) == 2
    assert work.metrics["rejected_prompts"] == 1
    assert json.loads((tmp_path / "rejected.jsonl").read_text())["line"] == 2
