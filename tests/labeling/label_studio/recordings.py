"""Exports of a real Label Studio (1.23.2), what they say, and how tests read them.

Recorded in a browser, with two labelers: levels.json (pushed by Rein and pulled), order.json (a Ranker without levels) and
answers.json (Label Studio's own template for preferences). Recorded over its API, which stores anything: traps.json.
"""

import json
from pathlib import Path

from labeling.feedback import Feedback
from labeling.label_studio import export
from labeling.sources.bad_rows import BadRows
from models.records import Completion, Prompt, Ranking
from models.settings.labels import LabelStudioExport
from models.settings.pipeline import SplitConfig

EXPORTS = Path(__file__).parent / "exports"
SPLIT = SplitConfig()
ANN, BOB = "ann@example.org", "bob@example.org"
SINK, FREEZER, FUSE, OVEN, HINGE = PROMPTS = [
    Prompt.of("My sink drips.\nWhat now?", "train"),
    Prompt.of("How do I defrost a <freezer>?", "test"),
    Prompt.of("The fuse blows. Why?", "train"),
    Prompt.of("How do I clean an oven?", "validation"),
    Prompt.of("How do I oil a hinge?", "train"),
]
TEXTS = [
    ["Close the valve.", "Wait.", "Sing."],
    ["Unplug it.\nThen wait.", "Use a hammer.", "Defrost it."],
    ["Too many devices.", "Magic.", "A short circuit."],
    ["With soda.", "With fire.", "With soap."],
    ["Gently.", "Never.", "With butter."],
]
COMPLETIONS = [
    Completion.of(prompt.id, text, ended=index != 2)
    for prompt, texts in zip(PROMPTS, TEXTS, strict=True)
    for index, text in enumerate(texts)
]


def ranked(prompt: Prompt, labeler: str, levels: list[str], unusable: str = "") -> Ranking:
    """`levels` names completions by their index: ["01", "2"] ties the first two above the third."""
    ids = [one.id for one in COMPLETIONS if one.prompt_id == prompt.id]
    by_index = [sorted(ids[int(index)] for index in level) for level in [*levels, unusable]]
    return Ranking.of(prompt.id, labeler, "helpfulness", by_index[:-1], by_index[-1])


def read(path: Path, criterion: str = "helpfulness") -> tuple[Feedback, list[tuple[int, str]]]:
    """The feedback, and (place of the task, `field: reason`) of what is bad."""
    bad = BadRows()
    feedback = export.read(LabelStudioExport(path=str(path), criterion=criterion), SPLIT, 0, bad)
    listed = path.with_name("bad.jsonl")
    bad.write(listed)
    rows = [json.loads(line) for line in listed.read_text().splitlines()]
    return feedback, [(row["line"], f"{one['field']}: {one['reason']}") for row in rows for one in row["reasons"]]


class Recorded:
    """Copies recordings, changed by a function, and reads them."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __call__(self, name: str, change=lambda tasks: None, **more):
        tasks = json.loads((EXPORTS / name).read_text(encoding="utf-8"))
        (self.folder / name).write_text(json.dumps(change(tasks) or tasks), encoding="utf-8")
        return read(self.folder / name, **more)
