"""What a row of each kind of feedback file means, said a second time and as plainly as possible: the judge in test_mutated_rows."""

import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple
from unicodedata import normalize

from labeling.feedback import Feedback
from models.records import Completion, Prompt
from models.settings.labels import AnnotatedFile, FeedbackFiles, FeedbackFolder, PairFile, ThumbFile

Meaning = list[tuple] | None
"""What a row adds, as plain values; None where it must be refused."""

PROMPTS = [Prompt.of(f"Prompt {number}", "train") for number in range(20)]
COMPLETIONS = [[Completion.of(one.id, f"Reply {index}") for index in range(3)] for one in PROMPTS]
IDS = {prompt.id: [one.id for one in shown] for prompt, shown in zip(PROMPTS, COMPLETIONS, strict=True)}
MARKERS = ("\n\nHuman:", "\n\nAssistant:")


class Kind(NamedTuple):
    """A kind of file: a good row by number, what a row means, and what feedback says in the same words."""

    config: FeedbackFiles
    row: Callable[[int], dict[str, Any]]
    meaning: Callable[[dict[str, Any]], Meaning]
    said: Callable[[Feedback], list[tuple]]


def is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def name_of(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if is_name(value) else None


def is_name(value: Any) -> bool:
    return is_text(value) and value == value.strip() and value.isprintable() and value == normalize("NFC", value)


# --- lines of a folder


def ranking_row(number: int) -> dict[str, Any]:
    a, b, c = IDS[PROMPTS[number].id]
    said = {"prompt_id": PROMPTS[number].id, "labeler": "ann", "criterion": "helpfulness"}
    return said | {"levels": [[b], [a]], "unusable": [c]}


def ranking_meaning(row: dict[str, Any]) -> Meaning:
    texts = [row.get(name) for name in ("prompt_id", "labeler", "criterion")]
    levels, unusable = row.get("levels"), row.get("unusable", [])
    if row.keys() - {"prompt_id", "labeler", "criterion", "levels", "unusable", "id"} or row.get("id") is not None:
        return None
    if not all(isinstance(one, str) for one in texts) or not isinstance(levels, list) or not isinstance(unusable, list):
        return None
    if not all(isinstance(level, list) and level for level in levels):
        return None
    if not is_name(texts[1]):
        return None
    named = [name for level in (*levels, unusable) for name in level]
    if not named or not all(isinstance(name, str) for name in named) or len(set(named)) < len(named):
        return None
    if texts[2] != "helpfulness":
        return []
    if not set(named) <= set(IDS.get(texts[0], [])):
        return None
    return [(*texts[:2], [sorted(level) for level in levels], sorted(unusable))]


def rating_row(number: int) -> dict[str, Any]:
    prompt = PROMPTS[number].id
    said = {"prompt_id": prompt, "completion_id": IDS[prompt][0], "labeler": "ann"}
    return said | {"criterion": "helpfulness", "wanted": number % 2 == 0}


def rating_meaning(row: dict[str, Any]) -> Meaning:
    names = ("prompt_id", "completion_id", "labeler", "criterion")
    texts = [row.get(name) for name in names]
    if row.keys() - {*names, "wanted", "id"} or row.get("id") is not None or not isinstance(row.get("wanted"), bool):
        return None
    if not all(isinstance(one, str) for one in texts) or not is_name(texts[2]):
        return None
    if texts[3] != "helpfulness":
        return []
    return [(*texts[:3], row["wanted"])] if texts[1] in IDS.get(texts[0], []) else None


def rankings_said(feedback: Feedback) -> list[tuple]:
    return [
        (one.prompt_id, one.labeler, [list(x) for x in one.levels], list(one.unusable)) for one in feedback.rankings
    ]


def ratings_said(feedback: Feedback) -> list[tuple]:
    return [(one.prompt_id, one.completion_id, one.labeler, one.wanted) for one in feedback.ratings]


# --- annotated rows


def annotated_row(number: int) -> dict[str, Any]:
    annotations = [{"annotator": "w1", "scores": [1, 2.5, 1]}, {"annotator": 2, "scores": [number, 0, -1]}]
    return {"prompt": f"Prompt {number}", "completions": ["a", "b", "c"], "annotations": annotations}


def annotated_meaning(row: dict[str, Any]) -> Meaning:
    prompt, texts, annotations = (row.get(name) for name in ("prompt", "completions", "annotations"))
    asked = asked_in(prompt)
    if not asked or not isinstance(texts, list) or not isinstance(annotations, list) or not annotations:
        return None
    if len(texts) < 2 or not all(isinstance(one, str) for one in texts):
        return None
    meaning: list[tuple] = []
    for said in annotations:
        scores = said.get("scores") if isinstance(said, dict) else None
        labeler = name_of(said.get("annotator")) if isinstance(said, dict) else None
        if labeler is None or not isinstance(scores, list) or len(scores) != len(texts):
            return None
        if not all(type(one) is int or (type(one) is float and math.isfinite(one)) for one in scores):
            return None
        if labeler in [other for _, other, _ in meaning]:
            return None
        given = list(zip(texts, scores, strict=True))
        if any(text == other and score != another for text, score in given for other, another in given):
            return None
        levels = [sorted({text for text, score in given if score == best}) for best in descending(scores)]
        meaning.append((prompt_of(asked), labeler, levels))
    return meaning


def descending(scores: list) -> list:
    return sorted(set(scores), reverse=True)


def levels_said(feedback: Feedback) -> list[tuple]:
    prompts = {one.id: one.text for one in feedback.prompts}
    texts = {one.id: one.text for one in feedback.completions}
    return [
        (prompts[one.prompt_id], one.labeler, [sorted(texts[name] for name in level) for level in one.levels])
        for one in feedback.rankings
    ]


# --- pairs and thumbs


def pair_row(number: int) -> dict[str, Any]:
    return {"prompt": f"Prompt {number}", "chosen": "a", "rejected": "b", "who": "ann"}


def talk_row(number: int) -> dict[str, Any]:
    prompt = [{"role": "user", "content": f"Prompt {number}"}]
    chosen, rejected = ([*prompt, {"role": "assistant", "content": text}] for text in "ab")
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, "who": "ann"}


def pair_meaning(row: dict[str, Any]) -> Meaning:
    read = turn_of(row, "chosen", "rejected")
    who = name_of(row.get("who"))
    if read is None or who is None or read[1].strip() == read[2].strip():
        return None
    return [(read[0], who, [[read[1]], [read[2]]])]


def thumb_row(number: int) -> dict[str, Any]:
    return {"prompt": f"Prompt {number}", "completion": "a", "label": number % 2 == 0, "who": "ann"}


def thumb_meaning(row: dict[str, Any]) -> Meaning:
    read, who, label = turn_of(row, "completion"), name_of(row.get("who")), row.get("label")
    is_answer = isinstance(label, bool | int | float) and label in (0, 1)
    return None if read is None or who is None or not is_answer else [(*read, who, bool(label))]


def csv_thumb_meaning(row: dict[str, Any]) -> Meaning:
    words = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
    return thumb_meaning(row | {"label": words.get(str(row.get("label")).lower())})


def turn_of(row: dict[str, Any], *fields: str) -> tuple[str, ...] | None:
    """(prompt, replies) of a row without or with messages."""
    asked, replies = asked_in(row.get("prompt")), [row.get(field) for field in fields]
    if all(isinstance(one, list) for one in replies):
        talks = [message_texts(one) for one in replies]
        if None in talks:
            return None
        if "prompt" not in row:
            asked = askable(talks[0][:-1]) if all(one and one[:-1] == talks[0][:-1] for one in talks) else None
        replies = [reply_after(asked, one) for one in talks] if asked else [None]
    good = asked and all(is_text(one) and not any(mark in one for mark in MARKERS) for one in replies)
    return (prompt_of(asked), *replies) if good else None


def asked_in(said: Any) -> list[tuple[str, str]] | None:
    """The turns of a prompt: a text, the first of several, or messages. Dialogues in one text are not made here."""
    if isinstance(said, list) and said and all(isinstance(one, str) for one in said):
        said = said[0]
    return askable([("user", said)] if isinstance(said, str) else message_texts(said))


def askable(talk: list[tuple[str, str]] | None) -> list[tuple[str, str]] | None:
    good = talk and talk[-1][0] == "user" and all(is_text(content) for _, content in talk)
    return talk if good and "system" not in [role for role, _ in talk[1:]] else None


def prompt_of(talk: list[tuple[str, str]]) -> str:
    messages = [{"role": role, "content": content} for role, content in talk]
    return talk[0][1] if len(talk) == 1 else "\x1e" + json.dumps(messages, ensure_ascii=False, separators=(",", ":"))


def message_texts(said: Any) -> list[tuple[str, str]] | None:
    if not isinstance(said, list):
        return None
    good = all(
        isinstance(one, dict)
        and isinstance(one.get("content"), str)
        and one.get("role") in ["system", "user", "assistant"]
        for one in said
    )
    return [(one["role"], one["content"]) for one in said] if good else None


def reply_after(asked: list[tuple[str, str]], said: list[tuple[str, str]]) -> str | None:
    rest = said[len(asked) :] if said[: len(asked)] == asked else said
    return rest[0][1] if len(rest) == 1 and rest[0][0] == "assistant" else None


def thumbs_said(feedback: Feedback) -> list[tuple]:
    prompts = {one.id: one.text for one in feedback.prompts}
    texts = {one.id: one.text for one in feedback.completions}
    return [(prompts[one.prompt_id], texts[one.completion_id], one.labeler, one.wanted) for one in feedback.ratings]


def kinds(folder: str) -> dict[str, Kind]:
    """Every kind, its file in `folder`."""
    who = {"labeler_column": "who"}
    annotated = AnnotatedFile(path=f"{folder}/rows.jsonl", criterion="helpfulness", by="scores")
    pairs, pair_table = (PairFile(path=f"{folder}/rows.{ending}", **who) for ending in ("jsonl", "csv"))
    thumbs, thumb_table = (ThumbFile(path=f"{folder}/rows.{ending}", **who) for ending in ("jsonl", "csv"))
    return {
        "rankings": Kind(FeedbackFolder(path=folder), ranking_row, ranking_meaning, rankings_said),
        "ratings": Kind(FeedbackFolder(path=folder), rating_row, rating_meaning, ratings_said),
        "annotated": Kind(annotated, annotated_row, annotated_meaning, levels_said),
        "pairs": Kind(pairs, pair_row, pair_meaning, levels_said),
        "talks": Kind(pairs, talk_row, pair_meaning, levels_said),
        "thumbs": Kind(thumbs, thumb_row, thumb_meaning, thumbs_said),
        "pairs in CSV": Kind(pair_table, pair_row, pair_meaning, levels_said),
        "thumbs in CSV": Kind(thumb_table, thumb_row, csv_thumb_meaning, thumbs_said),
    }
