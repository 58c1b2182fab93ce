"""What others can read: feedback as this project's own files, consensus and pairs as JSON Lines and Parquet."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from labeling.feedback import Feedback
from labeling.sources.exchanges import dialogue_text
from models.conversation import turns
from models.errors import DataError
from models.preferences.elo import elo_ratings, head_to_heads, meetings_of_systems
from models.records import Authorship, Consensus, Pair, Ranking, write_records


class ExportedPairs(NamedTuple):
    """How many pairs were written, and how many ties were left out."""

    num_pairs: int
    num_ties: int


def export_raw(feedback: Feedback, folder: Path) -> None:
    """Writes prompts.jsonl, completions.jsonl, and, as far as there are any, rankings.jsonl, ratings.jsonl, systems.jsonl (which
    system wrote which completion) and class_votes.jsonl, all of which `kind: folder` reads back exactly."""
    write_records(folder / "prompts.jsonl", feedback.prompts)
    write_records(folder / "completions.jsonl", feedback.completions)
    for name in ("rankings", "ratings", "systems", "class_votes"):
        file = folder / f"{name}.jsonl"
        if records := getattr(feedback, name):
            write_records(file, records)
        else:
            file.unlink(missing_ok=True)  # `datasets` reads no empty file


def export_elo(rankings: Sequence[Ranking], folder: Path) -> None:
    """Writes elo.jsonl: of each completion the Elo rating among those of its prompt, with its 95 % interval (models/preferences/elo.py)."""
    of_prompt: dict[str, list[Ranking]] = {}
    for one in rankings:
        of_prompt.setdefault(one.prompt_id, []).append(one)
    with (folder / "elo.jsonl").open("w", encoding="utf-8") as file:
        for prompt_id, own in sorted(of_prompt.items()):
            matches = head_to_heads(own)
            for rating in elo_ratings(matches) if matches else ():
                row = {"prompt_id": prompt_id, "completion_id": rating.name} | rating.model_dump(exclude={"name"})
                file.write(json.dumps(row) + "\n")


def export_standings(rankings: Sequence[Ranking], systems: Sequence[Authorship], folder: Path) -> None:
    """Writes standings.jsonl: the Elo rating of each system that wrote completions, best first; no file where none is known."""
    if matches := meetings_of_systems(rankings, systems):
        write_records(folder / "standings.jsonl", elo_ratings(matches))


def export_consensus(agreed: Sequence[Consensus], folder: Path) -> None:
    """Writes consensus.jsonl and consensus.parquet with the fields of `Consensus`; in Parquet strengths are a list of {completion_id,
    strength} and margins one of {better_id, worse_id, margin}, which `datasets` reads, as it reads no map."""
    import pyarrow as pa

    write_records(folder / "consensus.jsonl", agreed)
    schema = pa.schema(
        {
            "prompt_id": pa.string(),
            "criterion": pa.string(),
            "levels": pa.list_(pa.list_(pa.string())),
            "unusable": pa.list_(pa.string()),
            "strengths": pa.list_(pa.struct({"completion_id": pa.string(), "strength": pa.float64()})),
            "confidence": pa.float64(),
            "num_labelers": pa.int64(),
            "margins": pa.list_(pa.struct({"better_id": pa.string(), "worse_id": pa.string(), "margin": pa.float64()})),
        }
    )
    rows = [
        one.model_dump()
        | {"strengths": [{"completion_id": name, "strength": value} for name, value in one.strengths.items()]}
        | {
            "margins": [
                {"better_id": better, "worse_id": worse, "margin": margin}
                for better, margins in one.margins.items()
                for worse, margin in margins.items()
            ]
        }
        for one in agreed
    ]
    _write_parquet(folder / "consensus.parquet", rows, schema)


def export_pairs(pairs: Sequence[Pair], feedback: Feedback, folder: Path) -> ExportedPairs:
    """Writes pairs.{jsonl,parquet}, and pairs_conversational.{jsonl,parquet} with lists of messages in place of texts.

    The first three columns, `prompt`, `chosen` and `rejected`, are what TRL's RewardTrainer and DPOTrainer read (the rest they
    leave aside): label, weight, margin (which RewardTrainer reads, too), split and the three ids. As messages a template makes of them the tokens that are learned from here;
    as texts, conversations are dialogues in one text. Ties are left out: the form has no word for them.
    Raises DataError for a pair of prompts or completions that the feedback does not hold.
    """
    strict = [one for one in pairs if one.label > 0.5]
    rows = list(_pair_rows(strict, feedback))
    texts = [row | {"prompt": dialogue_text(row["prompt"])} for row in rows]
    _write_both(folder / "pairs", texts, is_conversational=False)
    _write_both(folder / "pairs_conversational", [_conversational(row) for row in rows], is_conversational=True)
    return ExportedPairs(len(strict), len(pairs) - len(strict))


def _pair_rows(pairs: Iterable[Pair], feedback: Feedback) -> Iterator[dict[str, Any]]:
    prompts = {one.id: one for one in feedback.prompts}
    completions = {one.id: one for one in feedback.completions}
    for pair in pairs:
        for known, name in ((prompts, pair.prompt_id), (completions, pair.chosen), (completions, pair.rejected)):
            if name not in known:
                raise DataError(f"a pair of prompt {pair.prompt_id} names {name}, which the feedback does not hold")
        prompt = prompts[pair.prompt_id]
        yield {
            "prompt": prompt.text,
            "chosen": completions[pair.chosen].text,
            "rejected": completions[pair.rejected].text,
            "label": pair.label,
            "weight": pair.weight,
            "margin": pair.margin,
            "split": prompt.split,
            "prompt_id": prompt.id,
            "chosen_id": pair.chosen,
            "rejected_id": pair.rejected,
        }


def _conversational(row: dict[str, Any]) -> dict[str, Any]:
    """Completions without their outer white space, as they are learned from (models/network/dialogue.py)."""
    replies = {name: [{"role": "assistant", "content": row[name].strip()}] for name in ("chosen", "rejected")}
    return row | {"prompt": turns(row["prompt"])} | replies


def _write_both(path: Path, rows: list[dict[str, Any]], is_conversational: bool) -> None:
    import pyarrow as pa

    with path.with_suffix(".jsonl").open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    message = pa.struct({"role": pa.string(), "content": pa.string()})
    said = pa.list_(message) if is_conversational else pa.string()
    columns = dict.fromkeys(("prompt", "chosen", "rejected"), said)
    columns |= dict.fromkeys(("label", "weight", "margin"), pa.float64())
    columns |= dict.fromkeys(("split", "prompt_id", "chosen_id", "rejected_id"), pa.string())
    _write_parquet(path.with_suffix(".parquet"), rows, pa.schema(columns))


def _write_parquet(path: Path, rows: list[dict[str, Any]], schema: Any) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    write_table(pa.Table.from_pylist(rows, schema=schema), path)
