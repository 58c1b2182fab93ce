"""A conversation has the same tokens in every stage, and in what is exported: as its turns in the tokenizer's template."""

import json
import os
from pathlib import Path

import pytest

from labeling.exporters.tables import export_pairs
from labeling.feedback import Feedback
from labeling.sources.read_source import read_prompts
from models.network.dialogue import decode_completion, encode_completion, encode_prompt
from models.records import Pair
from models.rewards.pairwise import encode_for_score, group_pairs
from models.settings.labels import PairFile
from models.settings.sources import TextFile
from models.training.causal_lm import encode_demonstrations
from tests.labeling.importers.feedback_files import read, write_lines
from tests.models.network.strangers_tokenizers import KINDS

ROWS = [
    {
        "prompt": "\n\nHuman: My house is too hot. \n\nAssistant: Open a window.\n\nHuman: It is open!\n\nAssistant:",
        "chosen": " Then close the door.\n",
        "rejected": "  Wait: 7 < 8\n\n, then look",
    },
    {"prompt": "\n\nHuman: How are you?\n\nAssistant:", "chosen": " Fine, thanks.", "rejected": " What?"},
    {
        "prompt": [
            {"role": "system", "content": "Answer as <|assistant|> does."},
            {"role": "user", "content": " What is\nwrong with the lamp? "},
            {"role": "assistant", "content": "the bulb"},
            {"role": "user", "content": "?"},
        ],
        "chosen": [{"role": "assistant", "content": "Change the bulb"}],
        "rejected": [{"role": "assistant", "content": " the fuse "}],
    },
]
LONG = 10**6
LOSES_NOTHING = ("SmolLM2", "Llama 3")
"""Kinds in which a text, as tokens and again as text, is the same."""


def require_the_same_tokens(kind: str, feedback: Feedback, folder: Path) -> None:
    """The oracle is what TRL does with its conversational form: the tokenizer's own template over prompt and reply."""
    stranger = KINDS[kind]()
    pairs = [
        Pair(prompt_id=one.prompt_id, chosen=one.levels[0][0], rejected=one.levels[1][0]) for one in feedback.rankings
    ]
    export_pairs(pairs, feedback, folder)
    lines = (folder / "pairs_conversational.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    prompts = {one.id: one.text for one in feedback.prompts}
    completions = {one.id: one.text for one in feedback.completions}
    learned = {
        prompt_id: comparison
        for prompt_id in dict.fromkeys(one.prompt_id for one in pairs)
        for comparison in group_pairs(
            stranger, [one for one in feedback.prompts if one.id == prompt_id], feedback.completions, pairs, LONG
        )
    }
    seen: dict[str, int] = {}
    for pair, row in zip(pairs, rows, strict=True):
        place = seen[pair.prompt_id] = seen.get(pair.prompt_id, -1) + 1
        comparison, prompt = learned[pair.prompt_id], prompts[pair.prompt_id]
        asked = stranger.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=True)["input_ids"]
        assert encode_prompt(stranger, prompt) == asked
        for side, name, sequence in (
            ("chosen", pair.chosen, comparison.sequences[comparison.chosen[place]]),
            ("rejected", pair.rejected, comparison.sequences[comparison.rejected[place]]),
        ):
            whole = stranger.apply_chat_template(row["prompt"] + row[side], return_dict=True)["input_ids"]
            assert whole[: len(sequence)] == sequence, "reward training"
            assert stranger.decode(whole[len(sequence) :]).strip() == "", "a line break behind the end, at most"
            sampled = encode_completion(stranger, completions[name], ended=True)
            assert asked + sampled == sequence, "what the policy of PPO learns from"
            if kind in LOSES_NOTHING:
                assert encode_for_score(stranger, prompt, decode_completion(stranger, sampled)) == sequence, (
                    "and is scored"
                )
            (demonstration,) = encode_demonstrations(stranger, [(prompt, completions[name])], LONG)
            assert (demonstration.tokens, demonstration.learn_from) == (sequence, len(asked)), "SFT"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "BERT"])
def test_every_stage_and_the_export_read_the_same_tokens(tmp_path, kind):
    """BERT's tokenizer has no white space, and its template writes some that no reader would."""
    feedback = read(PairFile(path=str(write_lines(tmp_path / "rows.jsonl", ROWS))))
    require_the_same_tokens(kind, feedback, tmp_path)


@pytest.mark.parametrize("name", ["helpful_base", "harmless_base"])
def test_real_dialogues(tmp_path, name):
    data = os.environ.get("REIN_DATA")
    if not data:
        pytest.skip("REIN_DATA is not set: no folder with real dialogues")
    file = Path(data) / "pairs" / f"hh_{name}.test.jsonl"
    if not file.is_file():
        pytest.skip(f"REIN_DATA holds no pairs/{file.name}")
    path = write_lines(tmp_path / "rows.jsonl", file.read_text(encoding="utf-8").split("\n")[:40])
    feedback = read(PairFile(path=str(path)))
    assert sum(one.text.startswith("\x1e") for one in feedback.prompts) > 20, "most have several turns"
    asked = read_prompts(TextFile(path=str(path), column="prompt"), 0)
    assert {one.text for one in feedback.prompts} <= set(asked), "prompts to tune on are the same ones"
    for kind in LOSES_NOTHING:
        require_the_same_tokens(kind, feedback, tmp_path)
