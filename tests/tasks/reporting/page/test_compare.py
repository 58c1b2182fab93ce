"""Several runs side by side: how a run is named, and what of them is told."""

import json

import pytest
import yaml

from models.errors import DataError
from tasks.reporting.page.compare import (
    find_report,
    first_figures,
    other_figures,
    plot_runs,
    read_told,
    write_comparison,
)


def leave(root, name: str, run_id: str, settings: dict, **figures):
    """The report folder of a run whose artifacts are not there any more."""
    folder = root / "reports" / run_id
    folder.mkdir(parents=True)
    report = {
        **{"prefect_flow_run_name": name, "flow": "learn", "result": f"NOT SHOWN by {name}", "artifacts": {}},
        **{"simulated_labelers": False, **figures},
    }
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return folder


def test_a_run_is_found_by_its_folder_its_page_its_name_and_the_start_of_its_id(tmp_path):
    owl, hare = (
        leave(tmp_path, name, run_id, {}) for name, run_id in (("tiny: seed 1 (calm-owl)", "ab12"), ("hare", "ab99"))
    )
    for named in (str(owl), str(owl / "report.html"), "tiny: seed 1 (calm-owl)", "calm-owl", "ab1"):
        (owl / "report.html").touch()
        assert find_report(named, tmp_path) == owl
    assert find_report("hare", tmp_path) == hare
    with pytest.raises(DataError, match=r"ab: 2 runs are called so; give the folder of one; the newest below .*: "):
        find_report("ab", tmp_path)
    with pytest.raises(DataError, match=r"calm-ow: no report of such a run; the newest below .*calm-owl"):
        find_report("calm-ow", tmp_path)
    with pytest.raises(DataError, match=r"the newest below .*: none"):
        find_report("calm-owl", tmp_path / "elsewhere")


def test_what_differs_is_told_and_places_are_not(tmp_path):
    first = {"tuning": {"kl": {"coef": 0.1}}, "seed": 1, "storage": {"root": "a"}, "prompts": {"num_prompts": 9}}
    second = {"tuning": {"kl": {"coef": 0.2}}, "seed": 1, "storage": {"root": "b"}}
    judges = {"rule": {"win_rate": 0.75}, "own_reward": {"win_rate": 0.9}}
    told = {"win_rate": 0.75, "kl_nats": 2.0, "rankings": 9523, "labelers": 5, "judges": judges, "judge": "rule"}
    one = leave(tmp_path, "calm-owl", "1", first, **told)
    two = leave(tmp_path, "<b>hare</b>", "2", second, rankings=10, labelers=5)
    runs = [read_told(folder) for folder in (one, two)]
    assert first_figures(runs) == [
        ("preferred to the base", [0.75, None]),
        ("KL to the base, nats", [2.0, None]),
        ("preferred to the base, by rule", [0.75, None]),
        ("preferred to the base, by own_reward", [0.9, None]),
    ]
    assert other_figures(runs) == [("rankings", [9523, 10])]
    page = tmp_path / "compare.html"
    write_comparison([one, two], page)
    text = page.read_text(encoding="utf-8")
    assert "<td>tuning.kl.coef</td><td>0.1</td><td>0.2</td>" in text
    assert "<td>prompts.num_prompts</td><td>9</td><td>–</td>" in text
    assert "storage.root" not in text and "<td>seed</td>" not in text
    assert '<td class="number">9,523</td><td class="number">10</td>' in text
    assert "preferred to the base, by own_reward" in text and "<td>labelers</td>" not in text
    assert "<b>hare" not in text and "&lt;b&gt;hare" in text


def test_a_run_keeps_its_colour_where_another_has_no_curve():
    lines = {"a": [], "b": [(0, 1.0), (1, 2.0)], "c": [(0, 3.0), (1, 4.0)]}
    (axes,) = plot_runs(lines, "update", "score").axes
    (alone,) = plot_runs({"x": [], "b": lines["b"]}, "update", "score").axes
    assert [line.get_label() for line in axes.lines] == ["b", "c"]
    assert alone.lines[0].get_color() == axes.lines[0].get_color() != axes.lines[1].get_color()


def test_long_names_of_runs_stand_whole_below_the_curves(tmp_path):
    names = [
        f"tiny: tuning.kl.coef 0.{place}, labels {{kind: folder, path: /data/of/this/team}} (calm-owl)"
        for place in (1, 2)
    ]
    figure = plot_runs({name: [(0, 1.0), (2, 2.0)] for name in names}, "update", "score")
    figure.savefig(tmp_path / "drawn.svg")
    (legend,) = figure.legends
    texts = [one.get_window_extent() for one in legend.get_texts()]
    assert [one.get_text() for one in legend.get_texts()] == names
    assert all(one.x1 <= figure.bbox.x1 for one in texts) and texts[0].y0 > texts[1].y0
