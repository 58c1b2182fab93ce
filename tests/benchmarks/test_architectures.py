"""The table of architectures: a row of each kind by hand, the page has them all, and the lines that load a reward model do."""

import re

import pytest
import torch
from transformers import AutoModelForSequenceClassification
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from benchmarks.architectures import __main__ as architectures
from benchmarks.architectures.checkpoints import SHAPES, tiny_network
from models.network.networks import RewardModel, save_policy, train_tokenizer

PAGE = architectures.PAGE.read_text(encoding="utf-8")
PLAIN = "AutoModelForSequenceClassification"


@pytest.mark.parametrize(
    ("name", "sequences", "opens"),
    [
        ("Gemma 2", "padded", PLAIN),
        ("Cohere", "packed", "the lines above"),
        ("T5", "refused: t5 has an encoder", ""),
        ("Llama 4", "refused: Llama4ForCausalLM has no body that a reward model could be built on", ""),
    ],
)
def test_what_becomes_of_an_architecture(name, sequences, opens, tmp_path, monkeypatch):
    monkeypatch.setattr(
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, "_extra_content", {}
    )  # what transformers knows by itself
    row = architectures.try_architecture(name, tmp_path)
    assert (row.sequences, row.reward) == (sequences, opens)
    if opens:
        assert row.policy == "AutoModelForCausalLM" and row.logprobs < 1e-4 and row.scores < 1e-4


def test_the_page_has_a_row_of_each_and_says_of_none_that_it_differs():
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == list(SHAPES)
    assert "differs by" not in PAGE


def test_the_table_is_written_between_its_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{architectures.BEGIN}\nold\n{architectures.END}\nafter\n")
    architectures.write_table(
        page, [architectures.Row("A", "packed", 2e-6, 1e-7, "x", "y"), architectures.Row("B", "refused: no")]
    )
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| A | packed | 2e-06 | 1e-07 | x | y |\n| B | refused: no |  |  |  |  |\n" in text


def test_the_lines_on_the_page_load_a_reward_model(tmp_path, monkeypatch):
    monkeypatch.setattr(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, "_extra_content", {})
    tokenizer = train_tokenizer(architectures.CORPUS, 300)
    save_policy(tmp_path / "base", tiny_network("Granite"), tokenizer)
    reward_model = RewardModel.start(tmp_path / "base", seed=0, zero_head=False)
    reward_model.save(tmp_path / "reward", tokenizer)
    monkeypatch.setattr(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, "_extra_content", {})
    with pytest.raises(ValueError, match="Unrecognized configuration class"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path / "reward")
    (lines,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(lines.strip().splitlines()) <= 13
    names = {"folder": tmp_path / "reward"}
    exec(lines, names)
    loaded = names["reward_model"]
    assert torch.equal(loaded.score.weight, reward_model.model.score.weight)
    for name, weight in reward_model.model.base_model.named_parameters():
        assert torch.equal(loaded.base_model.get_parameter(name), weight)
