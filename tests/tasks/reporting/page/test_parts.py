"""The parts of a run's page: which samples, which warnings, which examples of labels, and numbers as people write them."""

import pytest
from matplotlib.figure import Figure

from models.evaluation.metrics import Match
from models.records import Completion, Consensus, Prompt, Ranking
from models.written_numbers import duration, figure, nats, percent
from tasks.reporting.page.labels import examples_of
from tasks.reporting.page.samples import chosen_samples
from tasks.reporting.page.svg import inline_svg
from tasks.reporting.page.warning_signs import repeats_itself, warning_signs


def match(prompt: str, gain: float, base: str = "Open it.", policy: str = "Close it.", ended: bool = True) -> Match:
    return Match(
        **{"prompt": prompt, "base_completion": base, "policy_completion": policy, "kl_nats": 2.0},
        **{"base_score": 0.0, "policy_score": gain, "base_ended": True, "policy_ended": ended},
    )


def test_the_largest_gain_and_loss_are_shown_and_some_drawn_without_looking():
    matches = [match(f"prompt {number}", number - 6.0) for number in range(20)]
    shown = chosen_samples(matches, {"prompt 19": 1.0, "prompt 0": 0.0}, seed=3)
    assert list(shown) == ["Drawn blindly", "Score rose most", "Score fell most"]
    drawn = {one.prompt for one in shown["Drawn blindly"]}
    assert len(drawn) == 3 and drawn == {one.prompt for one in chosen_samples(matches, {}, seed=3)["Drawn blindly"]}
    assert drawn != {one.prompt for one in chosen_samples(matches, {}, seed=4)["Drawn blindly"]}
    rest = [one.prompt for one in matches if one.prompt not in drawn]
    assert [one.prompt for one in shown["Score rose most"]] == rest[::-1][:3]
    assert [one.prompt for one in shown["Score fell most"]] == rest[:3]
    said = {one.prompt: one.judged for own in shown.values() for one in own}
    assert said.get("prompt 19", "better") == "better" and said.get("prompt 0", "worse") == "worse"
    assert chosen_samples([match("alone", 1.0)], {}, seed=0).keys() == {"Drawn blindly"}, "nothing twice"


def test_of_several_samples_of_a_prompt_the_first_is_shown():
    (one,) = chosen_samples([match("a", 1.0, policy="first"), match("a", 9.0, policy="second")], {}, 0)["Drawn blindly"]
    assert one.policy == "first"


@pytest.mark.parametrize(
    "text, repeats",
    [
        ("open the window and open the window and open the window", True),
        ("open the window and open the window", False),
        ("no no no no no", True),
        ("", False),
    ],
)
def test_three_words_three_times(text, repeats):
    assert repeats_itself(text) is repeats


def test_what_looks_wrong_is_said_and_what_does_not_is_left_alone():
    steady = {one.name: one.warning for one in warning_signs([match("a", 1), match("b", 1, "Shut it.", "Turn it.")])}
    assert not any(steady.values())
    loop = "and so on " * 4
    bad = warning_signs([match(str(n), 1, base=f"text {n}", policy=loop, ended=False) for n in range(10)])
    assert [(one.base, one.policy) for one in bad] == [(2.0, 12.0), (0.0, 1.0), (0.0, 1.0), (1.0, 0.1)]
    assert bad[0].warning.startswith("500% longer") and all(one.warning for one in bad)


def test_examples_are_the_surest_and_the_least_sure_of_those_that_most_people_ranked():
    prompts = [Prompt.of(f"Prompt {number}", "train") for number in range(3)]
    completions = {one.id: [Completion.of(one.id, text) for text in "xyz"] for one in prompts}
    rankings, agreed = [], []
    for confidence, num, prompt in zip((0.6, 0.9, 0.99), (2, 2, 1), prompts, strict=True):
        x, y, z = (one.id for one in completions[prompt.id])
        for name in ("ann", "ben")[:num]:
            rankings.append(Ranking.of(prompt.id, name, "quality", [[y], [x]] if name == "ann" else [[x, y]], [z]))
        agreed.append(
            Consensus(
                **{"prompt_id": prompt.id, "criterion": "quality", "levels": ((y,), (x,)), "unusable": (z,)},
                **{"strengths": {}, "confidence": confidence, "num_labelers": num},
            )
        )
    texts = [one for own in completions.values() for one in own]
    most, least = examples_of(agreed, rankings, prompts, texts)
    assert (most.prompt, least.prompt) == ("Prompt 1", "Prompt 0"), "one person alone is no example of agreement"
    assert most.texts == {"A": "y", "B": "x", "C": "z"} and most.agreed == "A > B, unusable: C"
    assert most.orders == {"ann": "A > B, unusable: C", "ben": "A = B, unusable: C"}
    assert examples_of(agreed[2:], rankings, prompts, texts) == []


@pytest.mark.parametrize(
    "value, shown",
    [(9523, "9,523"), (9523.4, "9,523"), (0.12345, "0.123"), (True, "yes"), (None, "–"), (float("nan"), "–")],
)
def test_numbers_as_people_write_them(value, shown):
    assert figure(value) == shown


def test_shares_and_times():
    assert (percent(0.636), percent(None)) == ("64 %", "–")
    assert (nats(3.26), nats(-0.04), nats(-0.06)) == ("3.3", "0.0", "-0.1")
    assert (figure(-0.0), figure(-0.25), percent(-0.001)) == ("0", "-0.25", "0 %")
    assert (duration(8.4), duration(250), duration(7500)) == ("8 s", "4 min 10 s", "2 h 5 min")


def test_a_plot_takes_the_colours_and_the_width_of_its_page():
    drawn = Figure(figsize=(4, 3))
    axes = drawn.subplots()
    axes.plot([0, 1], [1, 0], color="#1f4e79")
    axes.set_title("a < b")
    text = inline_svg(drawn, 'Title "quoted"')
    assert text.startswith('<svg role="img" aria-label="Title &#34;quoted&#34;"')
    head = text.partition(">")[0]
    assert "viewBox" in head and " width=" not in head and " height=" not in head
    assert "var(--accent)" in text and "#1f4e79" not in text and "a &lt; b" in text
    assert "<metadata" not in text and "#000000" not in text
