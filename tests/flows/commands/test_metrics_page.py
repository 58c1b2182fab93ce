"""Every figure of a report and every curve of its trainings has its line on the page of figures."""

import re
from pathlib import Path

from models.records import StepMetrics, read_records
from tasks.running.storage import STEPS
from tests.flows.conftest import PROJECT

PAGE = (PROJECT / "docs" / "metrics.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([\w/.<>…-]+)`", PAGE))
JUDGES = re.compile(r"^(household_rule|own_reward)/")
ENDS = re.compile(r"(_low|_high)$")


def is_told(name: str) -> bool:
    plain = ENDS.sub("", JUDGES.sub("<judge>/", name))
    return bool({name, plain, plain.removeprefix("<judge>/")} & NAMED)


def test_every_figure_of_a_report_is_told(first_report):
    assert not [name for name in first_report if not is_told(name)]


def test_every_curve_is_told(first_report):
    folders = map(Path, first_report["artifacts"].values())
    curves = {name for folder in folders for step in steps(folder) for name in step.values}
    assert len(curves) > 20 and not sorted(name for name in curves if not is_told(name))


def steps(folder: Path) -> list[StepMetrics]:
    return read_records(folder / STEPS, StepMetrics) if (folder / STEPS).is_file() else []
