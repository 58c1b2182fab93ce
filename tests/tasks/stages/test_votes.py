"""Thumbs, yes and no, and votes for classes from files to a report, by the stages' bodies: what is learned from, reported and refused."""

import json
from pathlib import Path

import pytest

from models.errors import DataError
from models.network.networks import save_policy
from models.preferences.splits import assign_split
from models.records import Artifact, Completion, Prompt, Ranking, Rating, write_records
from models.settings.compute import Compute
from models.settings.labels import ClassVoteFile, FeedbackFiles, FeedbackFolder, ThumbFile
from models.settings.pipeline import ConsensusConfig, PairsConfig, SplitConfig
from models.settings.rewards import ClassifierReward, PairwiseReward, RewardKind, ThumbsReward
from models.stages import reward
from models.training.checkpoints import Checkpoints
from tasks.judging.reward_report import report_on_reward
from tasks.running.stage import Work
from tasks.stages.consensus import agree_on_rankings
from tasks.stages.labels import ingest_feedback, require_rankings
from tasks.stages.pairs import convert_to_pairs
from tasks.stages.reward import require_reward, require_votes
from tasks.stages.tuning import require_prompts
from tests.models.rank_examples import TOKENIZER, tiny_policy

COMPUTE = Compute(device="cpu", precision="float32")
ACTIONS = {"switch on the fan": True, "turn up the heater": False}
THUMBS = ThumbsReward(num_epochs=1)


def prompts_of(num: int) -> list[Prompt]:
    texts = [f"Room {n} is too hot." for n in range(num)]
    return [Prompt.of(text, assign_split(text, SplitConfig(), 0)) for text in texts]


class Bench:
    """Runs the bodies of stages, each into a folder of its own, and keeps the numbers that they leave."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.metrics = folder, {}
        save_policy(folder / "base" / "model", tiny_policy(), TOKENIZER)

    def handle(self, name: str) -> Artifact:
        return Artifact(kind=name, uri=str(self.folder / name), sha256="", rows=0, run_id="")

    def make(self, name: str, stage, *given, **inputs) -> Artifact:
        (self.folder / name).mkdir()
        work = Work(name, self.folder / name, tracked=None, checkpoint_folder=self.folder / "checkpoints")
        stage.__wrapped__(work, *given, **inputs)
        self.metrics |= work.metrics
        return self.handle(name)

    def read(self, config: RewardKind, labels: FeedbackFiles) -> Artifact:
        """The feedback, after what is asked of it before anything is trained."""
        base = self.handle("base")
        feedback = self.make("feedback", ingest_feedback, labels, SplitConfig(), base, max_new_tokens=8, seed=0)
        require_rankings(config, labels, feedback)
        require_reward(config, feedback)
        require_votes(config, feedback)
        return feedback

    def learn(self, config: RewardKind, labels: FeedbackFiles) -> dict:
        """From files of feedback to the figures of the report."""
        feedback = self.read(config, labels)
        votes = config.reads_votes
        consensus = self.make("consensus", agree_on_rankings, ConsensusConfig(), feedback=feedback, only_outright=votes)
        pairs = self.make("pairs", convert_to_pairs, PairsConfig(), consensus, feedback, needed=not votes)
        checkpoints = Checkpoints(self.folder / "checkpoints", every=99)
        folders = (self.folder / name for name in ("reward", "base", "feedback", "pairs"))
        folder, base, *given = folders
        list(reward.train(folder, config, base, *given, COMPUTE, 0, checkpoints, votes=feedback.folder))
        self.make("report", report_on_reward, self.handle("reward"), feedback, pairs, COMPUTE)
        return self.metrics


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


def thumbs(bench: Bench, num: int, always_up: bool = False) -> ThumbFile:
    """One completion a prompt, so that no ranking follows."""
    said = [list(ACTIONS)[number % 2] for number in range(num)]
    rows = [
        {"prompt": prompt.text, "completion": text, "label": ACTIONS[text] or always_up}
        for prompt, text in zip(prompts_of(num), said, strict=True)
    ]
    file = bench.folder / "thumbs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return ThumbFile(path=str(file))


def test_single_thumbs_make_a_reward_model(bench):
    report = bench.learn(THUMBS, thumbs(bench, 40))
    assert (report["ratings"], report["rankings"], report["pairs_num_pairs"]) == (40, 0, 0)
    assert report["class_held_out_texts"] == sum(one.split == "test" for one in prompts_of(40))
    for name in ("accuracy", "macro_f1", "auroc", "calibration_error", "ngrams_accuracy"):
        assert 0 <= report[f"class_{name}"] <= 1, name
    assert report["class_ngrams_macro_f1"] == 1.0, "the words tell"
    assert report["reward_accuracy"] == report["class_accuracy"]
    assert "reward_labeler_accuracy" not in report and "reward_held_out_pairs" not in report


def test_a_reward_that_needs_rankings_says_who_does_not(bench):
    labels = thumbs(bench, 40)
    said = "none of its 40 ratings can be learned from by reward.kind pairwise: .*; reward.kind thumbs learns from single ones"
    with pytest.raises(DataError, match=said):
        bench.read(PairwiseReward(), labels)


def test_thumbs_that_all_say_the_same_are_refused_before_anything_is_trained(bench):
    num_learned = sum(one.split == "train" for one in prompts_of(40))
    said = f"of {num_learned} thumbs on completions of training prompts none is down"
    with pytest.raises(DataError, match=said):
        bench.read(THUMBS, thumbs(bench, 40, always_up=True))


def test_rankings_and_thumbs_of_one_snapshot_are_learned_from_together(bench):
    """Ann ranks the completions of even prompts, ben and cy rate those of odd ones, which makes rankings of what they say, too."""
    prompts = prompts_of(40)
    completions = {one.id: [Completion.of(one.id, text) for text in ACTIONS] for one in prompts}
    rankings = [
        Ranking.of(one.id, "ann", "helpfulness", [[good.id], [bad.id]])
        for one in prompts[::2]
        for good, bad in [completions[one.id]]
    ]
    ratings = [
        Rating.of(one.id, shown.id, labeler, "helpfulness", ACTIONS[shown.text])
        for one in prompts[1::2]
        for shown in completions[one.id]
        for labeler in ("ben", "cy")
    ]
    snapshot = bench.folder / "snapshot"
    snapshot.mkdir()
    records = {"prompts": prompts, "completions": [one for own in completions.values() for one in own]}
    for name, rows in (records | {"rankings": rankings, "ratings": ratings}).items():
        write_records(snapshot / f"{name}.jsonl", rows)
    report = bench.learn(THUMBS, FeedbackFolder(path=str(snapshot)))
    assert (report["rankings"], report["ratings"]) == (20 + 40, 80)
    assert report["pairs_num_pairs"] == 20, "one of each prompt that was ranked outright"
    held_out = [one.split == "test" for one in prompts]
    assert report["reward_held_out_pairs"] == sum(held_out[::2])
    assert report["class_held_out_texts"] == 2 * sum(held_out[1::2])
    assert 0 <= report["reward_labeler_accuracy"] <= 1, "of everybody, also where it follows from thumbs"


def test_votes_for_classes_of_texts_without_prompts_make_a_classifier(bench):
    """Nobody voted for every sixth text."""
    rows = [f"{n % 3},{(n + 1) % 2 * 3},{'you fool' if n % 2 else 'dear friend'} {n}" for n in range(60)]
    (bench.folder / "votes.csv").write_text("\n".join(["bad,good,said", *rows]), encoding="utf-8")
    labels = ClassVoteFile(
        path=str(bench.folder / "votes.csv"),
        columns={"text": "said"},
        votes={"rude": "bad", "polite": "good"},
        bad_rows="set_aside",
    )
    report = bench.learn(ClassifierReward(wanted="polite", reads_prompt=False, num_epochs=1), labels)
    assert report["rejected_rows"] == 10
    shares = json.loads((bench.folder / "report" / "class_report.json").read_text(encoding="utf-8"))["shares"]
    assert shares.keys() == {"rude", "polite"}
    assert 0 <= report["class_macro_f1"] <= 1 and report["reward_accuracy"] == report["class_accuracy"]
    feedback = bench.handle("feedback")
    with pytest.raises(DataError, match=r"set reward\.reads_prompt=false"):
        require_votes(ClassifierReward(wanted="polite"), feedback)
    with pytest.raises(DataError, match=r"reward\.wanted: no training text is of class 'kind'; there are polite, rude"):
        require_votes(ClassifierReward(wanted="kind", reads_prompt=False), feedback)
    with pytest.raises(
        DataError, match=r"votes\.csv: it holds votes for classes and no rankings; take reward.kind classifier"
    ):
        require_rankings(PairwiseReward(), labels, feedback)
    with pytest.raises(DataError, match="this feedback has no prompts to tune a policy on"):
        require_prompts(feedback)
