"""Flows `collect` and `learn` for real: people stand between them. And what they refuse, before anything is trained."""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from flows.learn import learn
from flows.reward import reward
from flows.rlhf import rlhf
from models.errors import PipelineError
from models.settings.presets import load_config
from tests.flows.conftest import PROJECT, SMOKE, Workplace

RANKME = PROJECT / "deployments" / "rankme.yaml"
E2E = PROJECT / "deployments" / "e2e.yaml"
FOLDER = "batch to rank by other means: "
SHORT = ("sampling.max_new_tokens=4", "sampling.max_new_tokens=4")
BRIEF = (
    *("pretraining.num_epochs=0.1", "sft.num_epochs=0.1", "reward.num_epochs=0.2", "tuning.num_updates=1"),
    *("tuning.batch_size=4", "sampling.max_new_tokens=24", "tuning.min_reward_accuracy=0", "evaluation.num_prompts=2"),
)


@pytest.fixture(scope="module")
def batch(workplace: Workplace, first_report: dict) -> Path:
    """The folder that `collect` hands out; everything before it is cached from the first run of `rlhf`."""
    done = workplace.rein("collect", SMOKE)
    assert done.returncode == 0, done.stderr[-3000:]
    printed = [line for line in done.stdout.splitlines() if line.startswith(FOLDER)]
    return Path(printed[0].removeprefix(FOLDER))


def rank_by_length(batch: Path) -> list[dict]:
    """Two labelers who prefer long completions; a stand-in for people's rankings.jsonl."""
    completions: dict[str, list[dict]] = {}
    for line in (batch / "completions.jsonl").read_text(encoding="utf-8").splitlines():
        completion = json.loads(line)
        completions.setdefault(completion["prompt_id"], []).append(completion)
    return [
        {
            "prompt_id": prompt,
            "labeler": labeler,
            "criterion": "helpfulness",
            "levels": [[c["id"]] for c in sorted(own, key=lambda c: (-len(c["text"]), c["id"]))],
        }
        for labeler in ("ann", "ben")
        for prompt, own in completions.items()
    ]


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The message that a refused command ends with (the temporary server still says goodbye after it)."""
    return re.split(r"\n(?=(?:Config|Data|Training)Error: )", done.stderr)[-1]


def write_rankings(batch: Path, rows: list[dict]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (batch / "rankings.jsonl").write_text(text, encoding="utf-8")


def test_collect_then_people_then_learn(workplace, batch):
    assert {path.name for path in batch.iterdir()} >= {"instructions.md", "prompts.jsonl", "completions.jsonl"}
    write_rankings(batch, rank_by_length(batch))
    report = workplace.report("learn", SMOKE, f"labels={{kind: folder, path: {batch}}}")
    assert report["flow"] == "learn" and report["simulated_labelers"] is False
    assert report["rankings"] == 80 and report["krippendorff_alpha"] == pytest.approx(1.0)  # 2 labelers x 40 prompts
    # what was trained for `rlhf` is not trained again; another test may have made demonstrations of the same prompts
    assert set(report["stages_cached"]) - {"demonstrations"} == {"texts", "base-model", "pretraining", "sft"}


def test_a_reward_model_by_itself_asks_nothing_of_tuning_and_learn_goes_on_from_it(workplace, batch, tmp_path):
    shutil.copytree(batch, tmp_path / "batch")
    write_rankings(tmp_path / "batch", rank_by_length(batch)[:79])
    asked = (SMOKE, f"labels={{kind: folder, path: {tmp_path}/batch}}", "reward.learning_rate=2e-4")
    of_the_policy = (
        *("tuning.prompts={source: {kind: file, path: gone.txt}}", "tuning.min_reward_accuracy=1"),
        *("evaluation.judges=[{kind: held_out_reward}]", "evaluation.references={kind: file, path: gone.csv}"),
    )
    done = workplace.rein("reward", *asked, *of_the_policy)
    report = workplace.report_of(done)
    # another test may have made demonstrations of the same prompts
    cached, new = (
        [name for name in report[stages] if name != "demonstrations"] for stages in ("stages_cached", "stages_run")
    )
    assert cached == ["texts", "base-model", "pretraining", "sft"]
    assert new == ["feedback", "consensus", "pairs", "reward", "reward-report"]
    figures = ("labeler_accuracy", "labeler_ceiling", "length_rule", "ngrams", "accuracy", "calibration_error")
    assert report["reward_labeler_ceiling"] == 1.0, "ann and ben say the same"
    assert report["reward_length_rule"] > 0.9, "it is what they go by; only texts of one length are left to it"
    assert not any(words in done.stdout for words in ("ndependent judge", "win_rate", "let people vote"))
    assert Path(report["path"]).with_name("lineage.md").exists()
    learned = workplace.report("learn", *asked)
    assert learned["stages_run"] == ["tuning", "matches", "evaluation"]
    assert all(learned[f"reward_{name}"] == report[f"reward_{name}"] for name in figures)
    assert report["registered_versions"] == {"rein-reward": learned["registered_versions"]["rein-reward"]}


def test_what_a_held_out_labeler_says_is_learned_from_by_nothing(workplace, batch, tmp_path):
    shutil.copytree(batch, tmp_path / "batch")
    rows = rank_by_length(batch)
    of_olga = [row | {"labeler": "olga", "levels": row["levels"][::-1]} for row in rows if row["labeler"] == "ann"]
    named = {row["prompt_id"]: row for row in of_olga}
    alone = sorted(named)[0]  # a prompt that only olga ranks, the second time
    rest = [row for row in rows if row["prompt_id"] != alone]
    asked = (
        *("learn", SMOKE, f"labels={{kind: folder, path: {tmp_path}/batch}}", "consensus.held_out_labelers=[olga]"),
        *("sft.source={kind: feedback}", "sft.num_epochs=1"),
    )
    write_rankings(tmp_path / "batch", rest + of_olga[3:10])
    first = workplace.report(*asked)
    assert first["rankings"] == 78 + 7 and first["held_out_rankings"] == 7
    assert first["reward_labeler_accuracy"] < first["reward_accuracy"] or first["reward_accuracy"] < 0.5, (
        "olga is heard there"
    )
    write_rankings(tmp_path / "batch", rest + of_olga)
    again = workplace.report(*asked)
    assert again["stages_run"] == ["feedback", "hold-out", "reward-report"]
    assert again["held_out_rankings"] == 40


def test_a_reward_model_judges_that_learned_from_other_prompts_and_other_people(workplace, batch, tmp_path):
    shutil.copytree(batch, tmp_path / "batch")
    write_rankings(tmp_path / "batch", rank_by_length(batch))
    asked = (
        *("learn", SMOKE, f"labels={{kind: folder, path: {tmp_path}/batch}}"),
        "evaluation.judges=[{kind: held_out_reward, reward: {kind: regression, num_epochs: 1, batch_size: 4}}, {kind: own_reward}]",
    )
    same_people = workplace.report(*asked)
    assert same_people["judge"] == "held_out_reward" and same_people["judges"]["held_out_reward"]["independent"]
    assert same_people["win_rate"] == same_people["held_out_reward/win_rate"]
    other_people = workplace.report(*asked, "consensus.held_out_labelers=[ann]")
    for report, learned_by, told_by in ((same_people, 2, {"ann", "ben"}), (other_people, 1, {"ben"})):
        side = {row["id"]: row["split"] for row in rows_of(report, "feedback", "prompts.jsonl")}
        held_out = {name for name in side if side[name] != "train"}
        assert held_out == {row["prompt_id"] for row in rows_of(report, "held-out-pairs", "pairs.jsonl")}
        rankings = rows_of(report, "held-out-pairs", "rankings.jsonl")
        told = [row for row in rankings if row["prompt_id"] not in held_out]
        assert len({row["labeler"] for row in rankings if row["prompt_id"] in held_out}) == learned_by
        assert {row["prompt_id"] for row in told} == side.keys() - held_out
        assert {row["labeler"] for row in told} == told_by and report["held_out_reward_labelers"] == learned_by
        assert report["held_out_reward_rankings"] == learned_by * len(held_out)
        assert report["held_out_reward_preferences"] == 6 * len(told), "of four completions, all different"
        assert 0 <= report["held_out_reward_accuracy"] <= 1


def rows_of(report: dict, stage: str, file: str) -> list[dict]:
    text = Path(report["artifacts"][stage], file).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_no_demonstration_is_of_a_prompt_that_the_feedback_holds_out(workplace, batch, tmp_path):
    """Although by the text alone, as `split` has it, other prompts would be held out."""
    prompts = [json.loads(line) for line in (batch / "prompts.jsonl").read_text(encoding="utf-8").splitlines()]
    side = {one["text"]: ("test" if number % 3 else "train") for number, one in enumerate(prompts)}
    shutil.copytree(batch, tmp_path / "batch")
    text = "".join(json.dumps(one | {"split": side[one["text"]]}) + "\n" for one in prompts)
    (tmp_path / "batch" / "prompts.jsonl").write_text(text, encoding="utf-8")
    write_rankings(tmp_path / "batch", rank_by_length(batch))
    shown = "".join(json.dumps({"prompt": text, "completion": "So."}) + "\n" for text in [*side, "Another?"])
    (tmp_path / "shown.jsonl").write_text(shown, encoding="utf-8")
    report = workplace.report(
        *("learn", SMOKE, f"labels={{kind: folder, path: {tmp_path}/batch}}", "tuning.num_updates=1"),
        *(f"sft.source={{kind: file, path: {tmp_path}/shown.jsonl}}", "split.test=0", "split.validation=0.001"),
    )
    taught = Path(report["artifacts"]["demonstrations"], "demonstrations.jsonl").read_text(encoding="utf-8")
    asked = {json.loads(line)["prompt"] for line in taught.splitlines()}
    assert asked == {text for text in side if side[text] == "train"} | {"Another?"}


def test_the_printed_next_step_is_one_that_works(workplace, batch):
    write_rankings(batch, rank_by_length(batch))
    printed = workplace.rein("collect", SMOKE).stdout
    store, folder = (shlex.split(line)[-1] for line in re.findall(r"(?:learn|then): (\S*rein learn .*)", printed))
    assert store == "labels={kind: store, criterion: helpfulness}"
    assert folder == f'labels={{kind: folder, path: "{batch}"}}'  # what the test above learns from
    assert workplace.rein("learn", SMOKE, folder, "--check").returncode == 0


def test_handing_out_again_keeps_what_people_wrote(workplace, batch):
    write_rankings(batch, rank_by_length(batch))
    assert workplace.rein("collect", SMOKE).returncode == 0
    assert (batch / "rankings.jsonl").is_file()


def test_bad_rankings_are_named_before_training(workplace, batch):
    rows = rank_by_length(batch)
    rows[0]["levels"] = []
    rows[3]["levels"][0] = ["c_0000000000000000"]
    rows.append(rows[5])
    write_rankings(batch, rows)
    done = workplace.rein("learn", SMOKE, f"labels={{kind: folder, path: {batch}}}")
    assert done.returncode == 1
    message = refusal(done)
    assert "rankings.jsonl:1: " in message and "rankings.jsonl:4: " in message and "rankings.jsonl:81: " in message
    assert "c_0000000000000000" in message and "Traceback" not in message


def test_what_cannot_be_learned_from_is_said_before_anything_is_trained(workplace, batch, tmp_path):
    rows = rank_by_length(batch)
    held_out = {
        prompt["id"]
        for prompt in map(json.loads, (batch / "prompts.jsonl").read_text(encoding="utf-8").splitlines())
        if prompt["split"] == "test"
    }
    tied = [
        row | {"levels": [[name for (name,) in row["levels"]]]} if row["prompt_id"] in held_out else row for row in rows
    ]
    long = [json.loads(line) for line in (batch / "completions.jsonl").read_text(encoding="utf-8").splitlines()]
    long[7]["text"] = "and then " * 300
    trained = sorted((workplace.root / "artifacts").glob("pretraining-*"))
    for name, said, completions, override, expected in [
        ("tied", tied, None, "seed=0", f"no strict pair is of a held-out prompt ({len(held_out)} of 40 prompts"),
        ("long", rows, long, "seed=0", "1 completions are longer, with their prompts, than the"),
        ("unknown", rows, None, "consensus.held_out_labelers=[cy]", "held_out_labelers: cy ranked nothing of this"),
    ]:
        folder = tmp_path / name
        shutil.copytree(batch, folder)
        write_rankings(folder, said)
        if completions:
            text = "".join(json.dumps(one) + "\n" for one in completions)
            (folder / "completions.jsonl").write_text(text, encoding="utf-8")
        labels = f"labels={{kind: folder, path: {folder}}}"
        new_base = "pretraining.learning_rate=1.5e-3"  # which would have to be trained
        done = workplace.rein("learn", SMOKE, labels, override, new_base)
        assert done.returncode == 1 and expected in refusal(done), name
    thumbs = tmp_path / "thumbs.jsonl"
    thumbs.write_text(
        "".join(json.dumps({"prompt": f"Ask {n}", "completion": "So.", "label": n % 2}) + "\n" for n in range(3))
    )
    done = workplace.rein(
        "learn", SMOKE, f"labels={{kind: thumbs, path: {thumbs}}}", "pretraining.learning_rate=1.5e-3"
    )
    assert done.returncode == 1 and f"{thumbs}: none of its 3 ratings can be learned from" in refusal(done)
    assert sorted((workplace.root / "artifacts").glob("pretraining-*")) == trained


def test_what_is_too_long_is_set_aside_where_that_is_asked(workplace, batch, tmp_path):
    shutil.copytree(batch, tmp_path / "batch")
    completions = [json.loads(line) for line in (batch / "completions.jsonl").read_text(encoding="utf-8").splitlines()]
    completions[7]["text"] = "and then " * 300
    text = "".join(json.dumps(one) + "\n" for one in completions)
    (tmp_path / "batch" / "completions.jsonl").write_text(text, encoding="utf-8")
    write_rankings(tmp_path / "batch", rank_by_length(batch))
    report = workplace.report("learn", SMOKE, f"labels={{kind: folder, path: {tmp_path}/batch, bad_rows: set_aside}}")
    assert report["rankings"] == 78 and report["ranked_prompts"] == 39 and report["rejected_rows"] == 2
    rejected = Path(report["artifacts"]["feedback"], "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["row"]["labeler"] for line in rejected] == ["ann", "ben"]
    assert all("tokens with its prompt; the model reads" in line for line in rejected)


@pytest.mark.parametrize(
    ("flow", "overrides", "expected"),
    [
        (
            "rlhf",
            ["prompts.source={kind: file, path: gone.jsonl}"],
            "DataError: prompts.source.path: gone.jsonl: no such file",
        ),
        ("rlhf", ["prompts.num_prompts=6000", "prompts.source.num_rows=100"], "has 100 different prompts"),
        ("rlhf", ["base={kind: pretrained, model: docs}"], "ConfigError: base.model 'docs' cannot be loaded"),
        ("rlhf", ["sft.source={kind: file, path: gone.csv}"], "DataError: sft.source.path: gone.csv: no such file"),
        ("rlhf", ["base.context_length=40", "pretraining.sequence_length=32", *SHORT], "a demonstration has"),
        ("rlhf", ["sampling.max_new_tokens=90"], "leaves beside max_new_tokens=90"),
        ("learn", [], "ConfigError: labels.kind simulated has no rankings"),
        ("reward", [], "ConfigError: labels.kind simulated has no rankings"),
        ("rlhf", ["labels={kind: folder, path: .}"], "ConfigError: labels.kind folder cannot answer at once"),
    ],
)
def test_what_cannot_work_is_refused_before_training(workplace, first_report, flow, overrides, expected):
    """In this process, which has everything imported: what a refused command prints is tested above."""
    config = load_config(SMOKE, [*overrides, *workplace.where((flow,))])
    trained = sorted((workplace.root / "artifacts").glob("pretraining-*"))
    with workplace.prefect(), pytest.raises(PipelineError) as refused:
        {"learn": learn, "reward": reward, "rlhf": rlhf}[flow](config)
    assert expected in f"{type(refused.value).__name__}: {refused.value}"
    assert sorted((workplace.root / "artifacts").glob("pretraining-*")) == trained


def test_a_base_model_without_a_chat_template_is_refused(workplace, first_report, tmp_path):
    folder = Path(first_report["artifacts"]["base-model"]) / "model"
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "chat_template.jinja").unlink()
    done = workplace.rein("rlhf", SMOKE, f"base={{kind: pretrained, model: {tmp_path}}}")
    assert done.returncode == 1 and "set base.chat_template" in refusal(done)


@pytest.mark.skipif("REIN_DATA" not in os.environ, reason="REIN_DATA names no folder with the RankME rankings")
def test_learn_runs_on_real_human_rankings(workplace):
    report = workplace.report("learn", RANKME, *BRIEF)
    assert report["ranked_prompts"] == 100 and report["rankings"] == 600  # 100 meanings x 2 set-ups x 3 annotators
    held_out = yaml.safe_load(RANKME.read_text())["labels"].get("held_out_below", 3)
    assert held_out == 3 and report["simulated_labelers"] is False
    assert 0 < report["reward_labeler_accuracy"] < 1


@pytest.mark.nightly
@pytest.mark.skipif("REIN_DATA" not in os.environ, reason="REIN_DATA names no folder with the E2E rankings")
def test_the_e2e_preset_judges_by_facts_and_by_people_whom_nothing_else_has_heard(workplace):
    small = ("base.hidden_size=32", "base.num_layers=1", "tuning.sample_every=1", "evaluation.best_of=2")
    judges = "evaluation.judges=[{kind: restaurant_facts}, {kind: held_out_reward, reward: {num_epochs: 0.1}}]"
    report = workplace.report("learn", E2E, *BRIEF, *small, "sft.num_epochs=0.01", judges)
    assert (report["ranked_prompts"], report["rankings"], report["labelers"]) == (630, 2979, 112)
    assert report["judge"] == "restaurant_facts" and report["judges"]["held_out_reward"]["chose"]
    side = {row["id"]: row["split"] for row in rows_of(report, "feedback", "prompts.jsonl")}
    num = [*side.values()].count
    assert num("test") == 189 and 20 <= num("validation") <= 70, "a tenth of 441, give or take 3 deviations"
    held_out = set(yaml.safe_load(E2E.read_text())["consensus"]["held_out_labelers"])
    assert held_out.isdisjoint(row["labeler"] for row in rows_of(report, "hold-out", "rankings.jsonl"))
    told = [row for row in rows_of(report, "held-out-pairs", "rankings.jsonl") if side[row["prompt_id"]] == "train"]
    assert held_out.isdisjoint(row["labeler"] for row in told)
    assert 0 <= report["preferred_to_reference/policy/restaurant_facts"] <= 1
