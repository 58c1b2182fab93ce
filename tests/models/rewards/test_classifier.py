"""The classifier: its loss against numpy, what votes teach, how it scores, and the checkpoint that transformers reads."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from models.class_votes import ClassVotes
from models.errors import DataError
from models.network.networks import Classifier, ValueModel
from models.network.packing import PackedBatch
from models.rewards.classifier import Labelled, labelled_loss, labelled_texts, load, soft_cross_entropy, train
from models.rewards.scorer import RewardTask, load_scorer
from models.settings.compute import Compute
from models.settings.rewards import ClassifierReward
from models.stages import reward
from models.training.checkpoints import Checkpoints
from tests.models.conftest import with_random_head
from tests.tolerances import close

COMPUTE = Compute(device="cpu", precision="float32")
CONFIG = ClassifierReward(wanted="polite", reads_prompt=False, num_epochs=40, batch_size=3, learning_rate=3e-3)
ASK = "my sink is leaking, what can I do?"


def vote(text: str, split: str = "train", prompt: str | None = None, **votes: int) -> ClassVotes:
    return ClassVotes(prompt=prompt, text=text, split=split, votes=votes)


VOTES = [
    vote("tighten the nut", polite=3),
    vote("what is wrong?", rude=2),
    vote("look at the fuse", odd=2, polite=1),
]


def task(folder: Path, base: Path, votes: list[ClassVotes]) -> RewardTask:
    checkpoints = Checkpoints(folder / "checkpoints", every=50)
    return RewardTask(folder, base, [], [], [], [], [], COMPUTE, 0, checkpoints, votes=votes)


@pytest.fixture(scope="module")
def trained(base_folder_once, tmp_path_factory) -> Path:
    """Of three classes: odd, polite and rude."""
    folder = tmp_path_factory.mktemp("classifier")
    steps = list(train(task(folder, base_folder_once, VOTES), CONFIG))
    assert steps[0].values["loss"] == pytest.approx(math.log(3)), "the head begins at zero"
    assert steps[-1].values["accuracy"] == 1.0
    return folder


def test_the_loss_is_the_cross_entropy_with_the_shares_of_votes():
    logits, shares = np.array([[1.0, 0.0, -2.0], [0.5, 0.5, 3.0]]), np.array([[0.0, 1.0, 0.0], [0.5, 0.25, 0.25]])
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -(shares * np.log(softmax)).sum(axis=1)
    assert close(soft_cross_entropy(torch.tensor(logits), torch.tensor(shares)), expected, tolerance=1e-9)


def test_each_text_counts_once_and_is_read_at_its_end(base_folder_once):
    classifier = with_random_head(Classifier.of_classes(base_folder_once, 0, ("a", "b", "c"), "b", True))
    rows = [Labelled([[1, 20, 30, 2]], [0.0, 1.0, 0.0]), Labelled([[1, 40, 2]], [0.5, 0.0, 0.5])]
    with torch.no_grad():
        body, head = classifier.model.model, classifier.model.score.weight
        logits = torch.stack([head @ body(torch.tensor(row.sequences)).last_hidden_state[0, -1] for row in rows])
        assert close(
            classifier.class_logits(PackedBatch.of([row.sequences[0] for row in rows])), logits, tolerance=1e-5
        )
        found = labelled_loss(classifier, rows)
    expected = soft_cross_entropy(logits, torch.tensor([row.shares for row in rows]))
    assert close(found.loss, expected.sum(), tolerance=1e-5)
    likeliest = logits.argmax(dim=1).tolist()
    assert found.right == (likeliest[0] == 1) + (likeliest[1] in (0, 2))


def test_votes_teach_as_shares(trained):
    """Where two of three said odd and one said polite, the probabilities are near 2/3 and 1/3."""
    scorer = load(trained, COMPUTE)
    assert scorer.classes.names == ("odd", "polite", "rude")
    odd, polite, rude = scorer.classes.probabilities([None] * 3, [one.text for one in VOTES]).T.tolist()
    assert polite[0] > 0.8 and rude[1] > 0.8
    assert abs(odd[2] - 2 / 3) < 0.2 and abs(polite[2] - 1 / 3) < 0.2


def test_the_score_is_the_wanted_classs_logit_normalised_over_the_training_texts(trained):
    classifier, tokenizer = Classifier.load(trained)
    rows = labelled_texts(tokenizer, VOTES, classifier.names, False, 96)
    with torch.no_grad():
        logits = classifier.class_logits(PackedBatch.of([row.sequences[0] for row in rows])).double().numpy()[:, 1]
    expected = (logits - logits.mean()) / logits.std()
    scorer = load(trained, COMPUTE)
    texts = [one.text for one in VOTES]
    assert close(scorer.score([ASK] * 3, texts), expected, tolerance=1e-4)
    assert scorer.logit_std == pytest.approx(logits.std(), rel=1e-4)
    assert close(scorer.score([""] * 3, texts), expected, tolerance=1e-4), "completions are read by themselves"


def test_of_two_classes_the_logit_is_the_log_odds_of_the_wanted_one(base_folder_once, tmp_path):
    """As of every other reward, whose logit says how likely it is that a completion is good: sigmoid of it is the class's probability."""
    list(train(task(tmp_path, base_folder_once, VOTES[:2]), CONFIG.model_copy(update={"num_epochs": 10})))
    scorer, texts = load(tmp_path, COMPUTE), [VOTES[0].text, VOTES[1].text, "so"]
    probabilities = scorer.classes.probabilities([None] * 3, texts)[:, 0]
    assert close(torch.sigmoid(scorer.logits(scorer.score([""] * 3, texts))), probabilities, tolerance=1e-4)


def test_with_prompts_completions_are_read_behind_them(base_folder_once, tmp_path):
    """The same words are fine here and rude there, which nothing but the prompt tells."""
    both = [
        vote("look at the fuse", prompt="the lamp does not light", polite=1),
        vote("look at the fuse", prompt=ASK, rude=1),
    ]
    config = CONFIG.model_copy(update={"reads_prompt": True, "batch_size": 2})
    list(train(task(tmp_path, base_folder_once, both), config))
    fine, rude = load(tmp_path, COMPUTE).score([one.prompt for one in both], [one.text for one in both])
    assert fine > 0.5 > -0.5 > rude


def test_plain_transformers_reads_the_checkpoint_with_its_labels(trained):
    model = AutoModelForSequenceClassification.from_pretrained(trained)
    assert model.config.id2label == {0: "odd", 1: "polite", 2: "rude"} and model.config.wanted_class == 1
    tokenizer = AutoTokenizer.from_pretrained(trained)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": ""}], add_generation_prompt=True, tokenize=False
    )
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)
    told = {
        one["label"]: one["score"] for one in classify([prompt + "tighten the nut</s>"], add_special_tokens=False)[0]
    }
    ours = load(trained, COMPUTE).classes.probabilities([None], ["tighten the nut"])[0].tolist()
    assert close([told[name] for name in ("odd", "polite", "rude")], ours, tolerance=1e-4)
    assert "single_label_classification" in (trained / "config.json").read_text(encoding="utf-8")


def test_a_value_model_starts_from_the_wanted_logit(trained):
    """Read at the last token of a text it is the score."""
    scorer = load(trained, COMPUTE)
    tokens = labelled_texts(scorer.tokenizer, VOTES[:1], ("odd", "polite", "rude"), False, 96)[0].sequences[0]
    value_model = ValueModel.from_reward(scorer.network).eval()
    batch = PackedBatch.of([[*tokens, 0]])
    with torch.no_grad():
        value = value_model(batch, torch.tensor([len(tokens)]))
    assert close(value, scorer.score([""], [VOTES[0].text]), tolerance=1e-4)


def test_the_kind_is_kept_beside_the_weights(base_folder_once, tmp_path):
    """From the folders of a base and of feedback that holds votes and nothing else, as the stage does it."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "model").symlink_to(base_folder_once)
    for name in ("prompts", "completions", "pairs"):
        (tmp_path / f"{name}.jsonl").touch()
    lines = [one.model_dump_json() for one in [*VOTES, vote("so", split="test", rude=1)]]
    (tmp_path / "class_votes.jsonl").write_text("\n".join(lines), encoding="utf-8")
    given = (tmp_path / "base", tmp_path, tmp_path, COMPUTE, 0, Checkpoints(tmp_path / "checkpoints", every=50))
    votes = {"votes": tmp_path}
    steps = list(reward.train(tmp_path / "made", CONFIG.model_copy(update={"num_epochs": 2}), *given, **votes))
    assert len(steps) == 2, "three training texts a step"
    assert load_scorer(tmp_path / "made" / "model", COMPUTE).classes.names == ("odd", "polite", "rude")


def test_a_text_that_is_too_long_is_named(tokenizer):
    with pytest.raises(DataError, match="the reward model reads 96: 'look look"):
        labelled_texts(tokenizer, [vote("look " * 200, polite=1)], ("polite", "rude"), False, 96)


HELD_OUT = vote("so", split="test", rude=1)
ASKED = vote("so", prompt=ASK, rude=1)


@pytest.mark.parametrize(
    ("votes", "changed", "said"),
    [
        ([], {}, "this feedback has none"),
        (
            [*VOTES, HELD_OUT],
            {"wanted": "kind"},
            "reward.wanted: no training text is of class 'kind'; there are odd, polite, rude",
        ),
        ([VOTES[0], HELD_OUT], {}, "every training text is polite, so that nothing tells classes apart"),
        ([*VOTES, vote("so", split="test", grim=1)], {}, "class 'grim' is that of held-out texts alone"),
        (VOTES, {}, "none of 3 texts with votes is held out"),
        ([*VOTES, HELD_OUT, ASKED], {"reads_prompt": True}, "set reward.reads_prompt=false"),
    ],
)
def test_votes_that_teach_nothing_are_refused(votes, changed, said):
    with pytest.raises(DataError, match=said):
        CONFIG.model_copy(update=changed).require_votes(votes)


def test_votes_of_each_side_are_enough():
    CONFIG.require_votes([*VOTES, HELD_OUT, ASKED])
    thumbs = [vote("a", prompt=ASK, wanted=1), vote("b", prompt=ASK, unwanted=1), vote("c", "test", ASK, wanted=1)]
    ClassifierReward().require_votes(thumbs)
