"""The page that a run leaves: whole, self-contained, and harmless whatever a model or a labeler wrote."""

import html
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tasks.reporting.page.page import write_page

EVIL = "<script>alert(1)</script><img src=http://evil.example/x.png onerror=alert(2)>"

VOID = ("meta", "img", "br", "link")


class Reader(HTMLParser):
    """Tags that are opened and not closed, headings, and everything that a browser would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.loads += [f"{tag} {name}" for name in given if name in ("src", "onerror", "onload", "onclick")]
        self.loads += [tag] if tag in ("script", "link", "iframe", "img") else []
        self.loads += [given[name] for name in ("href", "xlink:href") if given.get(name, "#")[0] != "#"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open = self.open[:-1] if tag not in VOID else self.open

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


@pytest.fixture
def copied(first_report, tmp_path) -> Path:
    """The report folder, with artifacts that may be changed."""
    folder = tmp_path / "report"
    folder.mkdir()
    report = dict(first_report)
    artifacts = {}
    for stage, place in report["artifacts"].items():
        artifacts[stage] = str(tmp_path / "artifacts" / stage)
        shutil.copytree(place, artifacts[stage])
    (folder / "report.json").write_text(json.dumps(report | {"artifacts": artifacts}), encoding="utf-8")
    shutil.copy(Path(first_report["path"]).with_name("config.yaml"), folder)
    return folder


def test_a_run_leaves_a_page_that_needs_nothing_else(first_report, workplace):
    page = Path(first_report["page"])
    text = page.read_text(encoding="utf-8")
    reader = read(text)
    assert reader.loads == []
    assert reader.headings == [
        *("Who says so", "Before and after", "Warning signs", "On the way"),
        *("The reward model", "Who said what", "How it was made"),
    ]
    assert first_report["result"] in html.unescape(text)
    assert "The labelers of this run were simulated" in text
    for stage in first_report["artifacts"]:
        assert f"<td>{stage}</td>" in text
    assert f"rein rlhf {page.with_name('config.yaml')}" in text
    assert text.count("<svg") >= 3 and "var(--accent)" in text
    mlflow = MlflowClient(workplace.tracking_uri)
    assert "report.html" in {one.path for one in mlflow.list_artifacts(first_report["mlflow_run_id"])}
    told = mlflow.get_run(first_report["mlflow_run_id"]).data
    assert told.metrics["result/win_rate"] == first_report["win_rate"], (
        "what runs are compared by is a group of its own"
    )
    made = json.loads((Path(first_report["artifacts"]["pairs"]) / "manifest.json").read_text(encoding="utf-8"))
    assert told.params["count/pairs"] == str(made["artifact"]["rows"]), "counts are compared as settings are"


def test_the_page_says_the_same_when_it_is_written_again(first_report, copied):
    again = write_page(copied).read_text(encoding="utf-8")
    before = Path(first_report["page"]).read_text(encoding="utf-8")
    assert again.replace(str(copied), str(Path(first_report["page"]).parent)) == before


def test_what_a_model_or_a_labeler_wrote_is_shown_and_never_obeyed(copied):
    report = json.loads((copied / "report.json").read_text(encoding="utf-8"))
    for stage, file, field in (
        ("matches", "samples.jsonl", "policy_completion"),
        ("labels", "completions.jsonl", "text"),
    ):
        path = Path(report["artifacts"][stage], file)
        rows = [json.loads(line) | {field: EVIL} for line in path.read_text(encoding="utf-8").splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    agreement = Path(report["artifacts"]["consensus"], "agreement.json")
    told = json.loads(agreement.read_text(encoding="utf-8"))
    told["labelers"][0]["labeler"] = EVIL
    agreement.write_text(json.dumps(told), encoding="utf-8")
    text = write_page(copied).read_text(encoding="utf-8")
    assert read(text).loads == []
    assert text.count("&lt;script&gt;alert(1)") > 5


def test_runs_are_laid_side_by_side(first_report, copied, workplace):
    before = Path(first_report["path"]).parent
    report = json.loads((copied / "report.json").read_text(encoding="utf-8"))
    (copied / "report.json").write_text(json.dumps(report | {"prefect_flow_run_name": "calm-owl"}), encoding="utf-8")
    settings = (copied / "config.yaml").read_text(encoding="utf-8")
    (copied / "config.yaml").write_text(settings.replace("seed: 0", "seed: 7"), encoding="utf-8")
    page = copied.parent / "compare.html"
    done = workplace.rein("compare", str(before), str(copied), "--to", str(page))
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    reader = read(text)
    assert reader.loads == []
    assert reader.headings == ["Set otherwise", "Figures", "On the way", "The same prompts", "Where each comes from"]
    assert "<td>seed</td><td>0</td><td>7</td>" in text
    # not by distance: so few updates leave the KL of one check alone
    assert text.count("<svg") == 3 and text.count('<span class="role">calm-owl</span>') >= 1
