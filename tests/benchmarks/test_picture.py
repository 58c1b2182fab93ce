"""The picture of versions beside people: what is drawn of one report, and over seeds."""

import json
import math

import pytest

from benchmarks.e2e import REPORTED, keep, row_of
from benchmarks.picture import draw, gather, read_reports
from models.errors import DataError
from models.evaluation.references import FIGURE
from tasks.reporting.plots import plot_preferred_to_reference
from tests.tolerances import close

JUDGES = {
    "rule": {"independent": True, "learned_from": "nothing"},
    "own_reward": {"independent": False, "learned_from": "the rankings: optimistic"},
}


def report(policy: float, best_of: int = 16) -> dict:
    shares = {"sft": 0.3, "best_of_n": 0.5, "policy": policy}
    figures = {
        f"preferred_to_reference/{version}/{judge}{end}": share + gap
        for judge in JUDGES
        for version, share in shares.items()
        for end, gap in (("", 0), ("_low", -0.1), ("_high", 0.05))
    }
    return figures | {"judges": JUDGES, "best_of": best_of, "reference_prompts_asked": 40}


def test_of_one_report_its_own_intervals_of_several_those_over_seeds():
    shares, bars = gather([report(0.6)])
    assert close(shares["rule"]["policy"], (0.6, 0.5, 0.65)) and "over 40 held-out prompts" in bars
    shares, bars = gather([report(0.5), report(0.6), report(0.7)])
    half = 4.302653 * 0.1 / math.sqrt(3)  # Student's t of 2; standard deviation .1
    assert close(shares["rule"]["policy"], (0.6, 0.6 - half, 0.6 + half), tolerance=1e-6)
    assert close(shares["own_reward"]["sft"], (0.3, 0.3, 0.3)) and bars.startswith("mean of 3 seeds")


def test_the_rows_of_the_benchmark_of_real_people_have_what_is_drawn(tmp_path):
    said = {"win_rate": 0.7, "win_rate_low": 0.6, "win_rate_high": 0.8}
    judges = {name: said | {"learned_from": "x"} for name in ("restaurant_facts", "held_out_reward", "own_reward")}
    trial = dict.fromkeys(REPORTED, 0.4) | {"seed": 5, "wall_seconds": 9.0, "judges": judges, "best_of": 16}
    keep(tmp_path / "e2e.json", [row_of(trial), row_of(trial | {"seed": 6, f"{FIGURE}/policy/restaurant_facts": 0.6})])
    reports = read_reports(tmp_path / "e2e.json")
    shares, _ = gather(reports)
    assert list(shares) == list(judges) and reports[0]["best_of"] == 16
    assert close(shares["restaurant_facts"]["policy"][0], 0.5) and close(shares["own_reward"]["policy"][0], 0.4)


def test_reports_that_do_not_go_together_are_refused():
    with pytest.raises(DataError, match=r"other judges, versions or evaluation\.best_of"):
        gather([report(0.5), report(0.5, best_of=8)])
    with pytest.raises(DataError, match=r"its run needs evaluation\.references"):
        gather([{"judges": JUDGES}])


def test_a_colour_for_each_judge_and_what_it_has_learned_from(tmp_path):
    shares, bars = gather([report(0.6)])
    figure = plot_preferred_to_reference(shares, JUDGES, best_of=16, bars=bars)
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == "Preferred to what people wrote\nrule has learned from nothing"
    assert [label.get_text().split()[0] for label in axes.get_xticklabels()] == ["fine-tuned", "best", "tuned"]
    handles, labels = axes.get_legend_handles_labels()
    assert labels == ["rule: has learned from nothing", "own_reward: has learned from the rankings: optimistic"]
    points, _, ends = handles[0].lines
    assert close(points.get_ydata(), [0.3, 0.5, 0.6])
    (segments,) = (one.get_segments() for one in ends)
    assert close([segment[:, 1].tolist() for segment in segments], [[0.2, 0.35], [0.4, 0.55], [0.5, 0.65]])
    assert points.get_color() != handles[1].lines[0].get_color()
    assert any(list(line.get_ydata()) == [0.5, 0.5] for line in axes.lines), "the human reference"
    (tmp_path / "report.json").write_text(json.dumps(report(0.6)))
    for name, begin in (("a.svg", b"<?xml"), ("deeper/a.png", b"\x89PNG")):
        draw([tmp_path / "report.json"], tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(begin)
