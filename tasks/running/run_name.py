"""What a run is called: by what it does otherwise than its preset, and by a name that no other has."""

import re
import textwrap
from collections.abc import Sequence

from models.settings.pipeline import PLACES

LONGEST = 120


def name_by_changes(preset: str, changes: Sequence[str]) -> str:
    """`tiny: seed 1, tuning.kl.coef 0.1 (calm-owl)`, or `tiny (calm-owl)`, of this flow run and its `key=value` changes.

    In parentheses stands what it was called before: two words of Prefect's, or what a person called it.
    """
    import prefect.runtime  # here: the command says first what Prefect goes by

    told = ", ".join(one.replace("=", " ", 1) for one in changes if not one.startswith(PLACES))
    said = textwrap.shorten(f"{preset}: {told}" if told else preset, LONGEST, placeholder=" …")
    before = str(prefect.runtime.flow_run.name)
    is_named = before.startswith((f"{preset}: ", f"{preset} ("))  # one that is tried again
    return f"{said} ({own_name(before) if is_named else before})"


def own_name(name: str) -> str:
    """The part of a run's name that no other run shares: what stands in parentheses at its end, or else all of it."""
    found = re.search(r" \(([^()]+)\)$", name)
    return found[1] if found else name
