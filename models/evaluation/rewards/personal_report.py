"""How well the personal scores foretell what each person says on held-out prompts, beside the score that all share."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from models.errors import DataError
from models.evaluation.paired import Paired
from models.evaluation.reward_report import strict_preferences
from models.records import Completion, Prompt, Ranking, Record
from models.rewards.scorer import People


class OnePerson(Record):
    """The share of a labeler's own strict preferences whose preferred completion has the higher score."""

    person: str
    num_preferences: int
    shared: float
    personal: float


class PersonalReport(Record):
    """The same over all people, with the 95 % interval, over prompts, of what the personal scores gain. Equal scores count one half.

    Only those count who were learned from: of the others the personal score is the shared one.
    """

    num_preferences: int
    shared_accuracy: float
    personal_accuracy: float
    gain: float
    gain_low: float
    gain_high: float
    people: tuple[OnePerson, ...]

    @property
    def figures(self) -> dict[str, float]:
        """Those over all people, by the names that they have in a run's report."""
        named = ("num_preferences", "shared_accuracy", "personal_accuracy", "gain", "gain_low", "gain_high")
        return {f"personal_{name.removeprefix('personal_')}": getattr(self, name) for name in named}


def report_people(
    people: People, prompts: Sequence[Prompt], completions: Sequence[Completion], rankings: Sequence[Ranking]
) -> PersonalReport:
    """From the rankings of held-out prompts among these. Raises DataError where nobody who was learned from prefers anything there."""
    asked = {one.id: one.text for one in prompts if one.split == "test"}
    judged = [one for one in completions if one.prompt_id in asked]
    own = [one for one in rankings if one.prompt_id in asked and one.labeler in people.vectors]
    texts = {one.id: one.text for one in judged}
    preferences = [(one, *pair) for one in own for pair in strict_preferences(one, texts)]
    if not preferences:
        raise DataError("nobody whom the reward has learned from prefers anything on a held-out prompt")
    shared, features = people.read([asked[one.prompt_id] for one in judged], [one.text for one in judged])
    place = {one.id: number for number, one in enumerate(judged)}
    better, worse = ([place[row[side]] for row in preferences] for side in (1, 2))
    lead = (shared[better] - shared[worse]).double().numpy()
    apart = (features[better] - features[worse]).double().numpy()
    vectors = np.stack([people.vectors[one.labeler].double().numpy() for one, *_ in preferences])
    right = np.stack([_right(lead), _right(lead + (apart * vectors).sum(axis=1))])

    def by(name: str) -> dict[str, tuple[int, float, float]]:
        rows: dict[str, list[int]] = defaultdict(list)
        for number, (one, *_) in enumerate(preferences):
            rows[getattr(one, name)].append(number)
        return {key: (len(own), *right[:, own].mean(axis=1).tolist()) for key, own in sorted(rows.items())}

    counts, *accuracies = zip(*by("prompt_id").values(), strict=True)
    paired = Paired.of(*accuracies, weights=counts)
    return PersonalReport(
        num_preferences=len(preferences),
        shared_accuracy=paired.champion,
        personal_accuracy=paired.challenger,
        gain=paired.difference,
        gain_low=paired.low,
        gain_high=paired.high,
        people=tuple(
            OnePerson(person=name, num_preferences=count, shared=before, personal=after)
            for name, (count, before, after) in by("labeler").items()
        ),
    )


def _right(leads: np.ndarray) -> np.ndarray:
    """1 for each lead above zero, one half for none."""
    return (leads > 0) + 0.5 * (leads == 0)
