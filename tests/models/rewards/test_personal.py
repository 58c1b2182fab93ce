"""The personal reward: its loss against arithmetic, two opposite tastes, what is written of one person, and what is refused."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from labeling.labelers.simulated import open_labeler
from models.errors import DataError
from models.evaluation.rewards.personal_report import report_people
from models.preferences.own_pair import OwnPair
from models.preferences.pairs import make_own_pairs
from models.records import Completion, Prompt, Ranking
from models.rewards import personal
from models.rewards.kind_file import write_kind
from models.rewards.pairwise import encode_for_score
from models.rewards.personal import OwnComparison, PersonalRewardModel, own_loss, require_own_pairs
from models.rewards.scorer import RewardTask, Scorer, load_scorer
from models.settings.labels import SimulatedLabeler
from models.settings.pipeline import PairsConfig
from models.settings.rewards import PersonalReward
from models.training.checkpoints import Checkpoints
from tests.tolerances import close

CONFIG = PersonalReward(num_epochs=12, batch_size=8, learning_rate=3e-3, rank=2)
TASTES = {"ann": "careful", "ben": "careful", "cem": "upside_down", "dan": "upside_down"}
"""Two who like it short, and two who like it long: half of all judgements says the opposite of the other half."""
WORDS = ("turn", "the", "water", "off", "bulb", "nut", "fuse")


def test_a_pair_costs_the_mean_of_the_shared_and_of_the_own_loss_and_what_the_person_adds(reward_model):
    """Two prompts. Of the first: ann prefers completion 0 to 1, ben 1 to 0 by a margin of .7; of the second, ann has a tie."""
    torch.manual_seed(0)
    model = PersonalRewardModel(reward_model.model, num_people=2, rank=3)
    torch.nn.init.normal_(model.people.weight)
    one = OwnComparison(
        sequences=[[1, 20, 30, 2], [1, 20, 40, 2]],
        chosen=[0, 1],
        rejected=[1, 0],
        label=[1.0, 1.0],
        weight=[1.0, 1.0],
        margin=[0.0, 0.7],
        person=[0, 1],
        num_own=[2, 1],
    )
    other = OwnComparison([[1, 70, 2], [1, 71, 2]], [0], [1], [0.5], [1.0], [0.0], person=[0], num_own=[2])
    with torch.no_grad():
        hidden = [
            model.model.model(torch.tensor([tokens])).last_hidden_state[0, -1].numpy()
            for tokens in (*one.sequences, *other.sequences)
        ]
    head = model.model.score.weight[0].detach().numpy()
    own = [vector @ model.features.weight.detach().numpy() for vector in model.people.weight.detach().numpy()]
    s = [h @ head for h in hidden]

    def softplus(x: float) -> float:
        return math.log1p(math.exp(x))

    def cost(lead: float, added: float, c: float, r: float, num_own: int, margin: float = 0.0) -> float:
        fits = (softplus(margin - lead) + softplus(margin - lead - added)) / 2
        return fits + 0.1 * (c + r) ** 2 + 0.4 * added**2 / num_own

    def tied(lead: float) -> float:
        return (softplus(lead) + softplus(-lead)) / 2

    of_ann, of_ben = own[0] @ (hidden[0] - hidden[1]), own[1] @ (hidden[1] - hidden[0])
    first = cost(s[0] - s[1], of_ann, s[0], s[1], 2) + cost(s[1] - s[0], of_ben, s[0], s[1], 1, margin=0.7)
    lead, of_tie = s[2] - s[3], own[0] @ (hidden[2] - hidden[3])
    second = (tied(lead) + tied(lead + of_tie)) / 2 + 0.1 * (s[2] + s[3]) ** 2 + 0.4 * of_tie**2 / 2
    found = own_loss(model, [one, other], centering=0.1, shrinkage=0.4)
    assert close(found.loss.item(), first / 2 + second, 1e-4)
    right = ((s[0] - s[1] + of_ann > 0) + (s[1] - s[0] + of_ben > 0)) / 2
    assert close(found.right, right + 0.5)


# training


@pytest.fixture(scope="module")
def world() -> tuple[list[Prompt], list[Completion], list[Ranking]]:
    """Sixty prompts, a third of them held out, with four completions of 1 to 10 words each, and what four people say of them."""
    rng = np.random.default_rng(0)
    prompts = [Prompt.of(f"lamp {number}", "test" if number % 3 == 0 else "train") for number in range(60)]
    completions = [
        Completion.of(prompt.id, " ".join(rng.choice(WORDS, length)))
        for prompt in prompts
        for length in rng.choice(np.arange(1, 11), 4, replace=False)
    ]
    labelers = [
        open_labeler(SimulatedLabeler(name=name, behaviour=taste, goes_by="brevity"), "taste", seed=0)
        for name, taste in TASTES.items()
    ]
    rankings = [
        labeler.label(prompt, [one for one in completions if one.prompt_id == prompt.id])
        for labeler in labelers
        for prompt in prompts
    ]
    return prompts, completions, rankings


def task_of(world, base: Path, folder: Path, compute) -> RewardTask:
    prompts, completions, rankings = world
    learned = [one for one in prompts if one.split == "train"]
    own = make_own_pairs(
        [one for one in rankings if one.prompt_id in {p.id for p in learned}], completions, PairsConfig()
    )
    checkpoints = Checkpoints(folder / "checkpoints", every=50)
    return RewardTask(folder / "model", base, learned, completions, [], [], [], compute, 0, checkpoints, own_pairs=own)


def trained(task: RewardTask, config: PersonalReward) -> Scorer:
    write_kind(task.folder, config)
    list(personal.train(task, config))
    return load_scorer(task.folder, task.compute)


@pytest.fixture(scope="module")
def everybody(world, base_folder_once, tmp_path_factory):
    from models.settings.compute import Compute

    compute = Compute(device="cpu", precision="float32")
    task = task_of(world, base_folder_once, tmp_path_factory.mktemp("everybody"), compute)
    return task, trained(task, CONFIG)


def test_of_opposite_tastes_the_shared_score_knows_nothing_and_the_personal_one_each(everybody, world):
    _, scorer = everybody
    report = report_people(scorer.people, *world)
    assert 0.4 < report.shared_accuracy < 0.6, "half of the people say the opposite of the others"
    assert report.personal_accuracy > 0.85
    assert {one.person for one in report.people} == set(TASTES)
    assert all(one.personal > 0.85 for one in report.people)


def test_what_is_written_is_an_ordinary_checkpoint_with_the_shared_logit_and_a_number_for_each_person(everybody):
    task, scorer = everybody
    asked = [task.prompts[0].text] * 3
    texts = [one.text for one in task.completions[:3]]
    assert close(ordinary_logits(task.folder, asked, texts), scorer.logits(scorer.score(asked, texts)), 1e-4)
    shared, features = scorer.people.read(asked, texts)
    assert close(scorer.logits(scorer.score(asked, texts)), shared, 1e-4) and features.shape == (3, CONFIG.rank)
    assert scorer.speaks_for == () and set(scorer.people.vectors) == set(TASTES)


def ordinary_logits(folder: Path, prompts: list[str], texts: list[str]) -> torch.Tensor:
    """As transformers gives them, without Rein."""
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = [torch.tensor([encode_for_score(tokenizer, *one)]) for one in zip(prompts, texts, strict=True)]
    with torch.no_grad():
        return torch.cat([model(one).logits.flatten() for one in asked])


def test_the_reward_of_one_person_is_taken_out_of_that_of_everybody_without_a_step(everybody, tmp_path):
    task, scorer = everybody
    of_cem = replace(task, folder=tmp_path / "model", parts={"everybody": task.folder.parent})
    config = CONFIG.model_copy(update={"person": "cem"})
    assert config.made_of["everybody"].reward == CONFIG
    write_kind(of_cem.folder, config)
    assert list(personal.train(of_cem, config)) == []
    alone = load_scorer(of_cem.folder, task.compute)
    prompts, texts = task.training_texts
    shared, features = scorer.people.read(prompts, texts)
    wanted = shared + features @ scorer.people.vectors["cem"]
    scores = alone.score(prompts, texts)
    assert close(alone.logits(scores), wanted, 1e-4) and not close(wanted, shared, 1.0)
    assert close(ordinary_logits(of_cem.folder, prompts[:3], texts[:3]), wanted[:3], 1e-4)
    assert close(scores.mean(), 0, 1e-4) and close(scores.std(unbiased=False), 1, 1e-4), "normalised anew"
    assert alone.speaks_for == ("cem",) and alone.people is None


def test_a_group_is_one_person_and_so_is_everyone_else(world, base_folder_once, compute, tmp_path):
    config = CONFIG.model_copy(update={"num_epochs": 1, "groups": {"terse": ("ann", "ben")}})
    scorer = trained(task_of(world, base_folder_once, tmp_path, compute), config)
    vectors = scorer.people.vectors
    assert set(vectors) == {*TASTES, "terse"}
    assert close(vectors["ann"], vectors["ben"], 0) and close(vectors["ann"], vectors["terse"], 0)
    assert not close(vectors["cem"], vectors["dan"], 1e-4)


def test_who_has_withdrawn_is_not_in_it(world, base_folder_once, compute, tmp_path):
    prompts, completions, rankings = world
    left = [one for one in rankings if one.labeler != "dan"]
    config = CONFIG.model_copy(update={"num_epochs": 1})
    scorer = trained(task_of((prompts, completions, left), base_folder_once, tmp_path, compute), config)
    assert set(scorer.people.vectors) == set(TASTES) - {"dan"}
    assert b"dan" not in (tmp_path / "model" / "people.json").read_bytes()


# what is refused


def pair(labeler: str, prompt: str) -> OwnPair:
    return OwnPair(prompt_id=prompt, chosen="c1", rejected="c2", labeler=labeler)


SIDES = {"seen": "train", "tested": "test"}
BOTH = [pair("ann", "seen"), pair("ben", "seen"), pair("ann", "tested")]


@pytest.mark.parametrize(
    ("pairs", "settings", "said"),
    [
        ([pair("ann", "seen"), pair("ann", "tested")], {}, r"reward.kind personal: all 1 pairs of training prompts are ann's, .* pairwise"),
        ([pair("ann", "tested")], {}, "reward.kind personal: there is no pair of a training prompt"),
        ([*BOTH, pair("eve", "tested")], {"person": "eve"}, r"reward.person: 'eve' has ranked no training prompt; .* \['ben', 'ann'\]"),
        (BOTH, {"person": "bne"}, r"reward.person: 'bne' .* \['ben', 'ann'\]"),
        (BOTH, {"groups": {"team": ["ann", "ben"]}}, "reward.kind personal: all 2 pairs of training prompts are team's"),
        (BOTH, {"groups": {"team": ["bne"]}}, "reward.groups: nobody in team has ranked a training prompt"),
        ([*BOTH, pair("cem", "seen")], {"groups": {"ben": ["ann"]}}, "reward.groups: ben is also a labeler"),
        ([*BOTH[:2], pair("eve", "tested")], {}, "reward.kind personal: nobody .* on no held-out prompt"),
        (BOTH, {"person": "ben"}, "reward.kind personal: ben has preferences on no held-out prompt"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_is_said_before_anything_is_trained(pairs, settings, said):
    require_own_pairs(PersonalReward(), BOTH, SIDES)
    require_own_pairs(PersonalReward(person="ann", groups={"team": ["ann"]}), BOTH, SIDES)
    with pytest.raises(DataError, match=said):
        require_own_pairs(PersonalReward(**settings), pairs, SIDES)


def test_nobody_is_in_two_groups():
    with pytest.raises(ValidationError, match="groups: ann stands in more than one group"):
        PersonalReward(groups={"one": ["ann"], "two": ["ben", "ann"]})
