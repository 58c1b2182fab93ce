"""Simulated labelers: each behaves as its name says, and always the same way."""

import pytest

from labeling.labelers import simulated
from labeling.labelers.labeler import rank_completions
from models.errors import DataError
from models.records import Completion, Prompt, Ranking
from models.settings.labels import SimulatedLabeler, SimulatedLabels

PROMPT = Prompt.of("My house is too hot.", "train")
GOOD = "You could switch on the fan and drink cold water."  # 3
FAIR = "You could switch on the fan. That should help soon."  # 2
ALSO_FAIR = "I would turn down the heater. It costs very little."  # 2
BESIDE = "I would wipe the wet walls. That should help soon."  # -1
BAD = "It helps to turn up the heater. That should help soon."  # -3
UNUSABLE = "The house the house."  # None


def of(prompt: Prompt, *texts: str) -> list[Completion]:
    return [Completion.of(prompt.id, text) for text in texts]


def labels(*behaviours: str, name: str | None = None) -> SimulatedLabels:
    labelers = tuple(SimulatedLabeler(name=name or behaviour, behaviour=behaviour) for behaviour in behaviours)
    return SimulatedLabels(labelers=labelers, criterion="helpfulness")


def rank(behaviour: str, completions: list[Completion], seed: int = 0, name: str = "Ada") -> Ranking:
    """The one ranking of one labeler; the name decides the draws, so two behaviours of one name share them."""
    (ranking,) = rank_completions(labels(behaviour, name=name), [PROMPT], completions, seed)
    return ranking


def texts_of(ranking: Ranking, completions: list[Completion]) -> list[list[str]]:
    text = {completion.id: completion.text for completion in completions}
    return [sorted(text[name] for name in level) for level in ranking.levels]


@pytest.fixture
def no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "NOISE_SD", dict.fromkeys(simulated.NOISE_SD, 0.0))


ALL = of(PROMPT, BAD, FAIR, UNUSABLE, GOOD, BESIDE, ALSO_FAIR)


@pytest.mark.usefixtures("no_noise")
@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        # 3 | 2, 2 | -1 | -3
        ("careful", [[GOOD], [ALSO_FAIR, FAIR], [BESIDE], [BAD]]),
        ("upside_down", [[BAD], [BESIDE], [ALSO_FAIR, FAIR], [GOOD]]),
        # 3 - 2 < 1.5, 3 + 1 >= 1.5, -1 + 3 >= 1.5
        ("ties", [[ALSO_FAIR, GOOD, FAIR], [BESIDE], [BAD]]),
    ],
)
def test_order_without_noise(behaviour: str, expected: list[list[str]]) -> None:
    ranking = rank(behaviour, ALL)
    assert texts_of(ranking, ALL) == [sorted(level) for level in expected]
    assert ranking.unusable == (ALL[2].id,)
    assert (ranking.prompt_id, ranking.labeler, ranking.criterion) == (PROMPT.id, "Ada", "helpfulness")


@pytest.mark.usefixtures("no_noise")
def test_ties_measures_from_the_best_of_the_level() -> None:
    """3, 2, 1, -1: 1 is within 1.5 of its neighbour 2 but 2 below the best, so it begins a level, as does -1."""
    mixed = "Try to switch on the fan and wipe the wet walls."  # 2 - 1
    completions = of(PROMPT, GOOD, FAIR, mixed, BESIDE)
    assert texts_of(rank("ties", completions), completions) == [sorted([GOOD, FAIR]), [mixed], [BESIDE]]


@pytest.mark.usefixtures("no_noise")
def test_ties_at_exactly_the_width_are_told_apart() -> None:
    """2.5 - 1 = 1.5 is not below 1.5."""
    placed = "For your house, you could switch on the fan."  # 2.5
    mixed = "Try to switch on the fan and wipe the wet walls."  # 1
    completions = of(PROMPT, mixed, placed)
    assert texts_of(rank("ties", completions), completions) == [[placed], [mixed]]


@pytest.mark.parametrize("seed", range(20))
def test_upside_down_is_the_careful_order_reversed(seed: int) -> None:
    careful, reverse = rank("careful", ALL, seed), rank("upside_down", ALL, seed)
    assert reverse.levels == careful.levels[::-1]
    assert reverse.unusable == careful.unusable == (ALL[2].id,)


@pytest.mark.parametrize("behaviour", ["careful", "noisy", "ties", "upside_down"])
@pytest.mark.parametrize("seed", range(10))
def test_every_completion_stands_once(behaviour: str, seed: int) -> None:
    ranking = rank(behaviour, ALL, seed)
    named = [name for level in ranking.levels for name in level] + list(ranking.unusable)
    assert sorted(named) == sorted(completion.id for completion in ALL)


def test_careful_errs_rarely_and_noisy_often() -> None:
    """GOOD is 1 above FAIR: noise of .25 on each reverses them with p < .01, noise of 1.5 with p ~ .3."""
    completions = of(PROMPT, FAIR, GOOD)
    wrong = {
        behaviour: sum(rank(behaviour, completions, seed).levels[0] == (completions[0].id,) for seed in range(300))
        for behaviour in ("careful", "noisy")
    }
    assert wrong["careful"] <= 9
    # P(N(0, 1.5 * sqrt 2) < -1) = P(z < -.471) = .319, less about half of the ties (p ~ .09): .27 * 300 = 82 +- 3 * 7.7
    assert 55 <= wrong["noisy"] <= 110


def test_equal_completions_are_often_tied() -> None:
    """Both stay on their step with p = P(|z| < 1)^2 = .466, both move the same way with p = 2 * .159^2 = .05."""
    completions = of(PROMPT, FAIR, ALSO_FAIR)
    num_tied = sum(len(rank("careful", completions, seed).levels) == 1 for seed in range(400))
    assert abs(num_tied - 0.516 * 400) < 3 * (400 * 0.516 * 0.484) ** 0.5


def test_noisy_forgets_some_marks() -> None:
    completions = of(PROMPT, GOOD, UNUSABLE, BAD)
    rankings = [rank("noisy", completions, seed) for seed in range(400)]
    forgotten = [ranking for ranking in rankings if not ranking.unusable]
    assert abs(len(forgotten) - 80) < 3 * (400 * 0.2 * 0.8) ** 0.5
    assert all(completions[1].id in ranking.levels[-1] for ranking in forgotten)
    assert all(rank("careful", completions, seed).unusable == (completions[1].id,) for seed in range(100))


@pytest.mark.parametrize("behaviour", ["careful", "ties", "upside_down"])
def test_nothing_usable(behaviour: str) -> None:
    completions = of(PROMPT, UNUSABLE, "", "Your house will soon be better.")
    ranking = rank(behaviour, completions)
    assert ranking.levels == ()
    assert set(ranking.unusable) == {completion.id for completion in completions}


def test_noisy_with_nothing_usable_may_still_make_a_level() -> None:
    completions = of(PROMPT, UNUSABLE, "")
    levels = {rank("noisy", completions, seed).levels for seed in range(200)}
    first, second = completions[0].id, completions[1].id
    assert levels == {(), ((first,),), ((second,),), (tuple(sorted((first, second))),)}


OTHER = Prompt.of("My kitchen is too damp.", "test")
OTHERS = of(
    OTHER,
    "I would wipe the wet walls.",
    "I would kick the old pipe.",
    "Try to drink cold water.",
    "Tighten the loose nut.",
)


def test_one_ranking_per_prompt_and_labeler() -> None:
    rankings = rank_completions(labels("careful", "noisy"), [OTHER, PROMPT], ALL + OTHERS, seed=0)
    assert [(ranking.prompt_id, ranking.labeler) for ranking in rankings] == [
        (OTHER.id, "careful"),
        (OTHER.id, "noisy"),
        (PROMPT.id, "careful"),
        (PROMPT.id, "noisy"),
    ]


def test_draws_do_not_depend_on_order_or_company() -> None:
    config = labels("careful", "noisy", "ties", "upside_down")
    turned = SimulatedLabels(labelers=config.labelers[::-1])
    expected = {ranking.id for ranking in rank_completions(config, [PROMPT, OTHER], ALL + OTHERS, seed=4)}
    shuffled = rank_completions(turned, [OTHER, PROMPT], [*reversed(ALL), *reversed(OTHERS)], seed=4)
    assert {ranking.id for ranking in shuffled} == expected
    alone = [
        ranking.id
        for labeler in config.labelers
        for prompt, completions in ((PROMPT, ALL), (OTHER, OTHERS))
        for ranking in rank_completions(SimulatedLabels(labelers=(labeler,)), [prompt], completions, seed=4)
    ]
    assert set(alone) == expected


@pytest.mark.parametrize("behaviour", ["careful", "noisy"])
def test_draws_depend_on_seed_and_name(behaviour: str) -> None:
    assert rank(behaviour, ALL, seed=1) == rank(behaviour, ALL, seed=1)
    assert len({rank(behaviour, ALL, seed).levels for seed in range(30)}) > 1
    assert len({rank(behaviour, ALL, name=f"Ada {number}").levels for number in range(30)}) > 1


def test_two_prompts_are_drawn_apart() -> None:
    """The same problem in two places and the same completions: if the noise were shared, all orders would agree."""
    twin = Prompt.of("My cabin is too hot.", "train")
    texts = (GOOD, FAIR, ALSO_FAIR, BESIDE)
    here, there = of(PROMPT, *texts), of(twin, *texts)
    differ = 0
    for seed in range(20):
        one, other = rank_completions(labels("noisy"), [PROMPT, twin], here + there, seed)
        differ += texts_of(one, here) != texts_of(other, there)
    assert differ > 10


@pytest.mark.parametrize("texts", [(), (GOOD,)])
def test_too_few_completions(texts: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=rf"prompt {PROMPT.id} has {len(texts)} completion"):
        rank_completions(labels("careful"), [PROMPT], of(PROMPT, *texts), seed=0)


def test_a_completion_without_its_prompt() -> None:
    with pytest.raises(DataError, match=f"{OTHERS[0].id} belongs to {OTHER.id}"):
        rank_completions(labels("careful"), [PROMPT], ALL + OTHERS, seed=0)


def test_a_foreign_prompt() -> None:
    foreign = Prompt.of("What is the capital of France?", "train")
    with pytest.raises(DataError, match="does not know the prompt"):
        rank_completions(labels("careful"), [foreign], of(foreign, "Paris.", "Rome."), seed=0)


def test_one_that_goes_by_brevity_likes_the_fewer_words_and_cannot_use_none() -> None:
    """A word is half a step: 1, 4 and 10 words stand 1.5 and 3 apart, far more than a careful labeler errs by (.25)."""
    completions = of(PROMPT, "turn up the heater", "wait", GOOD, "")
    config = SimulatedLabels(labelers=(SimulatedLabeler(name="Ada", goes_by="brevity"),), criterion="brevity")
    (ranking,) = rank_completions(config, [PROMPT], completions, seed=0)
    assert texts_of(ranking, completions) == [["wait"], ["turn up the heater"], [GOOD]]
    assert ranking.criterion == "brevity" and len(ranking.unusable) == 1
