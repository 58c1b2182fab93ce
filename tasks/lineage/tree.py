"""A provenance as a person reads it: the answer first, then the trees, for the terminal and as Markdown."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.text import Text
from rich.tree import Tree

from models.plain_text import plain, printable
from tasks.lineage.makings import FEEDBACK, inputs_of, texts_read_by
from tasks.lineage.origin import Origin
from tasks.lineage.provenance import Provenance, release_of
from tasks.running.storage import Content, Manifest

MAX_NAMES = 20
MAX_VALUE_CHARACTERS = 60
SPLITS = ("train", "validation", "test")


@dataclass
class Branch:
    """A line, lines of detail below it, and what hangs from it."""

    title: str
    details: list[str] = field(default_factory=list)
    children: list["Branch"] = field(default_factory=list)


def answer(found: Provenance) -> list[str]:
    """The few sentences that most people ask for: whose judgements are behind it, and which models learned from it."""
    lines = []
    if found.labeler is not None:
        lines.append(f"Feedback artifacts and snapshots with judgements of {found.labeler}: {len(found.subjects)}")
    elif found.labelers:
        lines.append(f"Labelers behind it (judgements): {_listed(found.labelers, *found.origins.values())}")
    else:
        lines.append("No labeler's judgement is behind it.")
    for content, one in found.models.items():
        lines.append(f"Learned from it: {_short(content)}, {_versions(content, found)}, in {one.artifact.uri}")
    if not found.models and {one.kind for one in found.subjects} != {"policy"}:
        lines.append("No reward model or policy has learned from it.")
    for content in found.also_without:
        lines.append(f"Not counted: {_short(content)} was also made from it, and the same bytes without it.")
    if len(found.releases) == 1:
        lines.append(f"All of it was made by {found.releases[0]}.")
    return [printable(line) for line in lines]


def branches_behind(found: Provenance) -> list[Branch]:
    """What an artifact was made from: each content is opened once, and referred to after. Nothing for a labeler."""
    if found.labeler is not None:
        return []
    opened: set[Content] = set()
    return [_back("", one, found, opened) for one in found.subjects]


def branches_after(found: Provenance) -> list[Branch]:
    """What was made from it: each content once, below the first that leads to it."""
    children: dict[Content, list[Content]] = {}
    for child, one in found.after.items():
        for content in inputs_of(one).values():
            children.setdefault(content, []).append(child)
    opened: set[Content] = set()
    branches = [_forward(one, found, children, opened) for one in found.subjects]
    return [branch for branch in branches if branch.children]


def as_tree(branches: list[Branch], heading: str) -> Tree:
    """The branches for a terminal."""
    tree = Tree(Text(heading, style="bold"))
    for branch in branches:
        _hang(branch, tree)
    return tree


def as_markdown(found: Provenance) -> str:
    """The answer and what it was made from, as a page. Names and settings are untrusted and shown as they are."""
    answered = "\n".join(f"- {plain(line)}" for line in answer(found))
    tree = "\n".join(line for branch in branches_behind(found) for line in _bullets(branch, 0))
    return f"# Lineage\n\n{answered}\n\n## What it was made from\n\n{tree}\n"


def _back(role: str, content: Content, found: Provenance, opened: set[Content]) -> Branch:
    manifest = found.behind.get(content)
    title = _title(role, content, found)
    if manifest is None:
        return Branch(f"{title}: not below this folder (made elsewhere, or removed)")
    if content in opened:
        return Branch(f"{title}: as above")
    opened.add(content)
    texts = [f"{name}: {_short(one)}, no judgement of it" for name, one in texts_read_by(manifest).items()]
    branch = Branch(title, [_making(manifest, found), *_settings(manifest), *_alike(content, found), *texts])
    if content.kind == FEEDBACK:
        branch.children += _origin(found.origins[content.sha256], manifest.metrics)
    for name, one in sorted(inputs_of(manifest).items(), key=lambda item: _place(item[1], found)):
        branch.children.append(_back(name, one, found, opened))
    return branch


def _forward(
    content: Content, found: Provenance, children: dict[Content, list[Content]], opened: set[Content]
) -> Branch:
    opened.add(content)
    manifest = found.after.get(content) or found.behind.get(content)
    branch = Branch(_title("", content, found), [_making(manifest, found)] if manifest else [])
    for child in children.get(content, ()):
        if child not in opened:
            branch.children.append(_forward(child, found, children, opened))
    return branch


def _place(content: Content, found: Provenance) -> tuple[bool, float]:
    """Where an input stands among others: what leads to feedback first, then the newest, so that the way to people is on top."""
    manifest = found.behind.get(content)
    return not _leads_to_feedback(content, found, set()), -manifest.made.created_at.timestamp() if manifest else 0.0


def _leads_to_feedback(content: Content, found: Provenance, seen: set[Content]) -> bool:
    seen.add(content)
    manifest = found.behind.get(content)
    inputs = inputs_of(manifest).values() if manifest else ()
    return content.kind == FEEDBACK or any(one not in seen and _leads_to_feedback(one, found, seen) for one in inputs)


def _title(role: str, content: Content, found: Provenance) -> str:
    named = _short(content) if content.kind.startswith(role) else f"{role}: {_short(content)}"
    manifest = found.behind.get(content) or found.after.get(content)
    parts = [named, _size(manifest) if manifest else "", *found.versions.get(content.sha256, ())]
    return ", ".join(part for part in parts if part)


def _short(content: Content) -> str:
    return f"{content.kind} {content.sha256[:12]}"


def _versions(content: Content, found: Provenance) -> str:
    return ", ".join(found.versions.get(content.sha256, ["not registered"]))


def _size(manifest: Manifest) -> str:
    return f"{manifest.artifact.rows} {manifest.made.unit}"


def _making(manifest: Manifest, found: Provenance) -> str:
    made = manifest.made
    release = f", {release_of(manifest)}" if len(found.releases) > 1 else ""  # else it is said once for all
    return f"by stage {made.stage}, {_moment(made.created_at)}, code {made.code_sha256[:12]}{release}"


def _settings(manifest: Manifest) -> list[str]:
    """One line with the settings that are not as they are by default."""
    shown = []
    for name in manifest.made.chosen:
        value: Any = manifest.made.settings
        for part in name.split("."):
            value = value[part]
        shown.append(f"{name.removeprefix('config.')}={_value(value)}")
    return [", ".join(shown)] if shown else []


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_VALUE_CHARACTERS else text[: MAX_VALUE_CHARACTERS - 1] + "…"


def _alike(content: Content, found: Provenance) -> list[str]:
    return [
        f"the same bytes came also from {', '.join(_short(source) for source in inputs_of(one).values())}, by "
        f"{one.made.stage}, {_moment(one.made.created_at)}"
        for one in found.alike.get(content, [])
    ]


def _origin(origin: Origin, metrics: Mapping[str, Any]) -> list[Branch]:
    simulated = "simulated " if metrics.get("simulated_labelers") else ""
    people = [
        Branch(f"{simulated}labelers (judgements): {_listed(origin.judgements, origin)}"),
        Branch(f"prompts: {', '.join(f'{origin.prompts.get(split, 0)} {split}' for split in SPLITS)}"),
    ]
    if models := metrics.get("ai_labelers"):
        people.insert(1, Branch(f"of these language models, not people: {', '.join(models)}"))
    if origin.taken_at is None:
        return people
    return [
        Branch(f"snapshot of the feedback store, {_moment(origin.taken_at)}, by {origin.criterion}", children=people)
    ]


def _listed(judgements: dict[str, int], *origins: Origin) -> str:
    withdrawn = {name: at for origin in origins for name, at in origin.withdrawn.items()}
    shown = [
        f"{name} ({number})" + (f", withdrawn {_moment(withdrawn[name])}" if name in withdrawn else "")
        for name, number in list(judgements.items())[:MAX_NAMES]
    ]
    more = len(judgements) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _hang(branch: Branch, tree: Tree) -> None:
    text = Text(printable(branch.title))
    for line in branch.details:
        text.append(f"\n{printable(line)}", style="dim")
    below = tree.add(text)
    for child in branch.children:
        _hang(child, below)


def _bullets(branch: Branch, depth: int) -> Iterator[str]:
    below = "".join(f"<br>{plain(line)}" for line in branch.details)
    yield f"{'  ' * depth}- **{plain(branch.title)}**{below}"
    for child in branch.children:
        yield from _bullets(child, depth + 1)
