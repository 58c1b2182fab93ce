"""Demonstrations and prompts from tasks in the form of Self-Instruct: an instruction, and instances of it with input and output.

A prompt is the instruction, and below a blank line the input where there is one; the completion is the output. That is one of the
templates of Wang et al. 2022 ("Self-Instruct"), which join the two with or without words and with different numbers of line breaks.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from labeling.sources.bad_rows import BadRows, Row, shown
from labeling.sources.columns import read_text, with_columns
from labeling.sources.row_files import read_rows
from models.errors import DataError
from models.settings.sources import SelfInstruct


class _Instance(NamedTuple):
    row: Row
    field: str  # where it stands in the row
    prompt: str
    values: dict[str, Any]


def demonstrations(source: SelfInstruct, seed: int, feedback: Path | None) -> list[tuple[str, str]]:
    """One of each instance."""
    bad = BadRows()
    found = []
    for one in _instances(source, bad):
        output = one.values.get("output")
        if not isinstance(output, str) or not output.strip():
            bad.add(one.row, f"{one.field}output", f"expected text, found {shown(output)}")
        found.append((one.prompt, output))
    if bad:
        bad.refuse(source.path)
    return found


def prompts(source: SelfInstruct, seed: int, bad: BadRows) -> list[str]:
    """One of each instance, whether or not it has an output."""
    return [one.prompt for one in _instances(source, bad)]


def _instances(source: SelfInstruct, bad: BadRows) -> Iterator[_Instance]:
    """Those of the good rows. A row without `instances` is one itself. Raises DataError for a file that cannot be read or holds no rows."""
    is_empty = True
    for row in with_columns(source.path, read_rows(Path(source.path), bad), {"kind self_instruct": "instruction"}):
        is_empty = False
        instruction = read_text(row, "instruction", bad)
        given = row.values.get("instances")
        if given is None:
            found = [("", row.values)]
        elif isinstance(given, list) and given:
            found = [(f"instances.{number}.", one) for number, one in enumerate(given)]
        else:
            bad.add(row, "instances", f"expected a list of {{input, output}}, found {shown(given)}")
            continue
        read = [_Instance(row, field, _prompt(row, instruction, field, one, bad), one) for field, one in found]
        if row not in bad:
            yield from read
    if is_empty and not bad:
        raise DataError(f"{source.path}: the dataset is empty")


def _prompt(row: Row, instruction: str, field: str, instance: Any, bad: BadRows) -> str:
    given = instance.get("input") if isinstance(instance, dict) else instance
    if not isinstance(instance, dict) or not isinstance(given, str | None):
        expected = "expected text, or nothing" if isinstance(instance, dict) else "expected {input, output}"
        bad.add(row, f"{field}input", f"{expected}, found {shown(given)}")
        return ""
    return f"{instruction}\n\n{given}" if given and given.strip() else instruction
