"""report.html: what report.json and a run's artifacts say, as one page that people read. Model output and names are untrusted: all are escaped."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from models.conversation import transcript
from models.evaluation.metrics import Match, Meeting
from models.evaluation.references import share_lines, shares_told
from models.records import Completion, Consensus, Prompt, Ranking, StepMetrics, read_records
from models.written_numbers import FILTERS
from tasks.lineage.makings import FEEDBACK
from tasks.reporting.page.labels import examples_of
from tasks.reporting.page.samples import Sample, chosen_samples
from tasks.reporting.page.svg import inline_svg
from tasks.reporting.page.warning_signs import warning_signs
from tasks.reporting.plots import (
    CURVES,
    bars_of,
    kl_by_update,
    marks_of,
    plot_against_kl,
    plot_calibration,
    plot_checks,
    plot_preferred_to_reference,
    plot_updates,
)
from tasks.running.storage import Manifest, read_manifest_in, read_steps

NAME = "report.html"
Plot = tuple[str, Markup]
"""Title and drawing."""
Made = Mapping[str, Manifest]
"""Stage -> what it has left."""


def environment() -> Environment:
    """The templates of pages: everything is escaped but what is marked as safe, and a name that is not there is a fault."""
    found = Environment(
        loader=PackageLoader("tasks.reporting.page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    found.filters |= FILTERS
    return found


def write_page(folder: Path) -> Path:
    """The page of the run whose report.json and config.yaml lie in this folder. Parts whose artifacts the run did not make are left out."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    manifests = {name: read_manifest_in(Path(place)) for name, place in report["artifacts"].items()}
    made = {name.rpartition("/")[2]: one for name, one in manifests.items()}  # of several rounds or parts the last
    settings = (folder / "config.yaml").read_text(encoding="utf-8")
    seed = yaml.safe_load(settings)["seed"]
    page = environment().get_template("report.html.j2")
    text = page.render(
        report=report,
        samples=_samples(report, made, seed),
        signs=warning_signs(_matches(made)) if "matches" in made else [],
        plots=_plots(report, made),
        labels=_labels(manifests, made),
        card=_reward_card(manifests, made),
        beside_people=share_lines(report) if "judges" in report else [],
        stages=[
            {"name": name, "made": one, "cached": name in report["stages_cached"]} for name, one in manifests.items()
        ],
        settings=settings,
        again=f"rein {report['flow']} {folder / 'config.yaml'}",
    )
    path = folder / NAME
    path.write_text(text, encoding="utf-8")
    return path


def _matches(made: Made) -> list[Match]:
    return read_records(_folder(made, "matches") / "samples.jsonl", Match)


def _folder(made: Made, stage: str) -> Path:
    return made[stage].artifact.folder


def _feedback_of(manifests: Made, stage: Manifest) -> Path:
    """The feedback that a stage has read. One that came from the cache may have read another of the same words: then the run's own, which stands first."""
    found = [one for one in manifests.values() if one.content.kind == FEEDBACK]
    return next((one for one in found if one.content == stage.made.inputs["feedback"]), found[0]).artifact.folder


def _samples(report: Mapping[str, Any], made: Made, seed: int) -> dict[str, list[Sample]]:
    if "matches" not in made:
        return {}
    judged = read_records(_folder(made, "evaluation") / "meetings.jsonl", Meeting, may_be_missing=True)
    results = {one.prompt: one.result for one in judged if one.judge == report["judge"]}
    return chosen_samples(_matches(made), results, seed)


def steps_of(made: Made, stage: str) -> list[StepMetrics]:
    """The curves that a stage has left; none where it left none."""
    return read_steps(made[stage].artifact) if stage in made else []


def _plots(report: Mapping[str, Any], made: Made) -> list[Plot]:
    updates, checks = steps_of(made, "tuning"), steps_of(made, "evaluation")
    kl, plots = kl_by_update(updates), []
    if shares := shares_told(report) if "judges" in report else None:
        drawn = plot_preferred_to_reference(shares, report["judges"], report["best_of"], bars_of(report))
        plots.append(("Beside what people wrote", drawn))
    if checks:
        marks = marks_of(report)
        plots.append(("Score and judges by update", plot_checks(checks, kl, report["judges"], marks)))
        if sum(one.step in kl for one in checks) > 1:
            drawn = plot_against_kl(checks, kl, report["judges"], marks.get("kept"))
            plots.append(("Score and judges by distance", drawn))
    if updates and CURVES.keys() <= updates[0].values.keys():
        plots.append(("Every update", plot_updates(updates)))
    return [(title, inline_svg(figure, title)) for title, figure in plots]


def _labels(manifests: Made, made: Made) -> dict[str, Any] | None:
    """The report on agreement, with examples; None where nobody ranked anything."""
    if "consensus" not in made or not (told := _folder(made, "consensus") / "agreement.json").is_file():
        return None
    feedback = _feedback_of(manifests, made["consensus"])
    examples = examples_of(
        read_records(told.with_name("consensus.jsonl"), Consensus),
        read_records(feedback / "rankings.jsonl", Ranking),
        read_records(feedback / "prompts.jsonl", Prompt),
        read_records(feedback / "completions.jsonl", Completion),
    )
    return {**json.loads(told.read_text(encoding="utf-8")), "examples": examples}


def _reward_card(manifests: Made, made: Made) -> dict[str, Any] | None:
    """The report of the reward on held-out prompts, its calibration drawn, its worst mistakes as texts; None where there is none."""
    if "reward-report" not in made or not (told := _folder(made, "reward-report") / "reward_report.json").is_file():
        return None
    card = json.loads(told.read_text(encoding="utf-8"))
    drawn = inline_svg(plot_calibration(card["bands"]), "Calibration of the reward model") if card["bands"] else None
    feedback = _feedback_of(manifests, made["reward-report"])
    prompts = {one.id: transcript(one.text) for one in read_records(feedback / "prompts.jsonl", Prompt)}
    texts = {one.id: one.text for one in read_records(feedback / "completions.jsonl", Completion)}
    mistakes = [
        one | {"prompt": prompts[one["prompt_id"]], "preferred": texts[one["preferred"]], "other": texts[one["other"]]}
        for one in card["mistakes"]
    ]
    return {**card, "calibration": drawn, "mistakes": mistakes}
