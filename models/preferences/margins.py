"""By how much people prefer one completion to another, where they said so. Loads no torch."""

from collections import defaultdict
from collections.abc import Iterable

from models.degrees import MARGINS
from models.preferences.vote_table import Name
from models.records import Ranking


def mean_margins(rankings: Iterable[Ranking]) -> dict[Name, dict[str, float]]:
    """(prompt, criterion, completion) -> each completion that it was said to be better than by a degree, with the mean of the margins.

    Only those who said a degree count, and only the ones who preferred this completion: whoever preferred the other says how far that one
    leads. The order of the rankings changes nothing.
    """
    told: dict[Name, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in rankings:
        if one.degree is not None:
            (better,), (worse,) = one.levels
            told[one.prompt_id, one.criterion, better][worse].append(MARGINS[one.degree])
    return {
        name: {worse: sum(sorted(margins)) / len(margins) for worse, margins in sorted(of.items())}
        for name, of in told.items()
    }
