"""A labeler who withdraws is forgotten exactly: what is learned afterwards is, byte for byte, what a world without them learns."""

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from models.settings.presets import load_config
from tasks.running.storage import content_digest, folder_digests
from tests.flows.conftest import PROJECT, SMOKE, Workplace

E2E = PROJECT / "deployments" / "e2e.yaml"
EVERY_STAGE = (
    *(
        "sft.source={kind: feedback}",
        "reward={kind: ensemble, num_members: 2, num_epochs: 1, batch_size: 8}",
        "tuning.num_updates=1",
    ),
    "evaluation.judges=[{kind: household_rule}, {kind: held_out_reward, reward: {num_epochs: 1, batch_size: 8}}, {kind: own_reward}]",
)
"""Everything that can learn from what people said: demonstrations, an ensemble of draws of labelers, a judge that is a reward model."""
OF_THEM = {
    "demonstrations",
    "sft",
    "feedback",
    "consensus",
    "pairs",
    "pairs-of-draws",
    "reward",
    "reward-report",
    "held-out-pairs",
    "tuning",
}


def digests(report: dict) -> dict[str, str]:
    """Stage -> digest of all that it made, weights among them."""
    return {stage: content_digest(folder_digests(Path(place))) for stage, place in report["artifacts"].items()}


def ask(place: Workplace, *arguments: str) -> str:
    done = place.rein(*arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def require_forgotten(
    met: Workplace, never_met: Workplace, take_in: Callable[[Workplace, bool], None], labeler: str, asked: Sequence[str]
) -> dict:
    """The report of what was learned again. In one place the labeler is taken in, learned from and withdraws; in the other they never were."""
    take_in(met, True)
    take_in(never_met, False)
    before = met.report("learn", *asked)
    printed = ask(met, "withdraw", labeler)
    assert all(before["artifacts"][stage] in printed for stage in ("reward", "tuning")), "said to know them still"
    after, without = met.report("learn", *asked), never_met.report("learn", *asked)
    assert digests(after) == digests(without)
    assert {"texts", "base-model", "pretraining"} <= set(after["stages_cached"]), "what was shared stays"
    changed = {stage for stage, digest in digests(after).items() if digest != digests(before)[stage]}
    assert changed >= {"feedback", "pairs", "reward", "tuning"}, "they had been heard"
    assert changed <= set(after["stages_run"])
    assert f'"{labeler}"' in ask(met, "lineage", before["artifacts"]["tuning"], "--json")
    return after


def test_learning_again_after_a_withdrawal_is_learning_without_them(workplace: Workplace, first_report, tmp_path):
    """Cat likes the shortest, and one prompt nobody else has ranked."""
    shown: dict[str, list[dict]] = {}
    for line in Path(first_report["artifacts"]["completions"], "completions.jsonl").read_text("utf-8").splitlines():
        shown.setdefault(json.loads(line)["prompt_id"], []).append(json.loads(line))
    prompts = Path(first_report["artifacts"]["prompts"], "prompts.jsonl").read_text("utf-8")
    of_cat = sorted(shown)[0]

    def take_in(place: Workplace, with_cat: bool) -> None:
        folder = place.folder / "said"
        folder.mkdir(parents=True)
        (folder / "prompts.jsonl").write_text(prompts, encoding="utf-8")
        (folder / "completions.jsonl").write_text(lines(one for own in shown.values() for one in own), encoding="utf-8")
        rows = [
            ranking(name, prompt, own)
            for prompt, own in shown.items()
            for name in ("ann", "ben", "cat")
            if (name == "cat" and with_cat) or (name != "cat" and prompt != of_cat)
        ]
        (folder / "rankings.jsonl").write_text(lines(rows), encoding="utf-8")
        ask(place, "import", "folder", str(folder))

    met, never_met = (Workplace(tmp_path / name, workplace.prefect_url) for name in ("met", "never-met"))
    after = require_forgotten(met, never_met, take_in, "cat", (str(SMOKE), "labels={kind: store}", *EVERY_STAGE))
    assert '"cat"' not in ask(met, "lineage", after["artifacts"]["tuning"], "--json")


def ranking(name: str, prompt: str, shown: Sequence[dict]) -> dict:
    """Ann: longest first; ben ties the two longest; cat: shortest first."""
    longest, second, *rest = [[one["id"]] for one in sorted(shown, key=lambda one: (-len(one["text"]), one["id"]))]
    top = [longest + second] if name == "ben" else [longest, second]
    levels = [*top, *rest][:: -1 if name == "cat" else 1]
    return {"prompt_id": prompt, "labeler": name, "criterion": "helpfulness", "levels": levels}


def lines(rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.nightly
@pytest.mark.skipif("REIN_DATA" not in os.environ, reason="REIN_DATA names no folder with the E2E rankings")
def test_a_worker_of_a_hundred_rankings_of_the_e2e_challenge_is_forgotten(workplace: Workplace, tmp_path):
    """The one with 92. Which system wrote a text is nothing that they said: it would stay, and is not read here."""
    source = Path(os.environ["REIN_DATA"], "rankings", "e2e_quality.jsonl")
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    counts = Counter(said["annotator"] for row in rows for said in row["annotations"])
    held_out = load_config(E2E, ()).consensus.held_out_labelers
    worker = min(set(counts) - set(held_out), key=lambda name: (abs(counts[name] - 100), name))

    def take_in(place: Workplace, with_them: bool) -> None:
        kept = [
            row | {"annotations": [one for one in row["annotations"] if with_them or one["annotator"] != worker]}
            for row in rows
        ]
        place.folder.mkdir(parents=True)
        (place.folder / "said.jsonl").write_text(lines(row for row in kept if row["annotations"]), encoding="utf-8")
        how = ("criterion=quality", "identical_texts=mean", "held_out_column=mr_id")
        ask(place, "import", "annotated", str(place.folder / "said.jsonl"), *how)

    met, never_met = (Workplace(tmp_path / name, workplace.prefect_url) for name in ("met", "never-met"))
    small = (
        *(str(E2E), "labels={kind: store, criterion: quality}"),
        "base={kind: scratch, vocab_size: 1024, hidden_size: 32, num_layers: 1, num_heads: 2, context_length: 256}",
        *("pretraining.num_epochs=0.1", "sft.num_epochs=0.02", "reward.num_epochs=0.1", "tuning.min_reward_accuracy=0"),
        *("tuning.num_updates=1", "tuning.batch_size=8", "tuning.num_minibatches=1", "evaluation.references=null"),
        *("evaluation.num_prompts=4", "evaluation.judges=[{kind: restaurant_facts}, {kind: own_reward}]"),
    )
    after = require_forgotten(met, never_met, take_in, worker, small)
    # the demonstrations came from the cache: they had asked the first snapshot on which side a prompt stands, and nothing else
    assert "demonstrations" in after["stages_cached"]
    assert f'"{worker}"' not in ask(met, "lineage", after["artifacts"]["tuning"], "--json")
