"""Rankings, choices between two, thumbs and files of pairs in one snapshot: everything is learned from, nothing is dropped unseen."""

from pathlib import Path

import pytest

from labeling.exporters.tables import export_raw
from labeling.feedback import Feedback, in_order
from labeling.importers.read_feedback import read_feedback
from labeling.store.batches import publish
from labeling.store.database import FeedbackStore
from labeling.store.intake import take_in
from labeling.store.snapshots import take_snapshot
from models.preferences.consensus import agree
from models.preferences.pairs import make_pairs
from models.records import Ranking, Rating
from models.settings.batch import BatchConfig, ChoiceTask, RankingTask, ThumbsTask
from models.settings.labels import FeedbackFolder, PairFile
from models.settings.pipeline import ConsensusConfig, PairsConfig, SplitConfig
from tests.labeling.importers.feedback_files import write_lines
from tests.labeling.people import COMPLETIONS, NOW, PROMPTS, People

pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)

TEXTS = {one.id: one.text for one in COMPLETIONS}
RANKED, CHOSEN, RATED, FILED = (one.id for one in PROMPTS)


@pytest.fixture
def mixed(store: FeedbackStore, tmp_path: Path) -> Feedback:
    """Ann ranks three completions of one prompt, chooses between two of another and rates three of a third, best first in the order of
    their texts; a file says of a fourth that the second is better than the first. Bob rates one completion."""
    people = People(store, BatchConfig(labelers_per_prompt=2))
    for task, prompt in ((RankingTask(), PROMPTS[0]), (ChoiceTask(), PROMPTS[1]), (ThumbsTask(), PROMPTS[2])):
        own = [one for one in COMPLETIONS if one.prompt_id == prompt.id]
        shown = own[:2] if task.kind == "choice" else own
        with store.write() as session:
            config = BatchConfig(task=task, labelers_per_prompt=2)
            people.batch_id = publish(session, config, task.kind, "Judge.", [prompt], shown, (), NOW)
        while given := people.given("ann"):
            in_order_of_text = sorted(given.completions, key=lambda one: one[1])
            if task.kind == "thumbs":
                people.says("ann", given, wanted=in_order_of_text[0][1] == "Advice 0.")
            else:
                people.says("ann", given, [[name] for name, _ in in_order_of_text])
    people.judges("bob", wanted=True)
    file = tmp_path / "pairs.jsonl"
    write_lines(file, [{"prompt": PROMPTS[3].text, "chosen": "Advice 1.", "rejected": "Advice 0."}])
    pairs = read_feedback(PairFile(path=str(file)), SplitConfig(), seed=0)
    known = [one for one in PROMPTS if one.id == FILED]
    with store.write() as session:
        take_in(session, pairs._replace(prompts=known), "pairs", is_complete=True, now=NOW)
    with store.read() as session:
        return take_snapshot(session, "helpfulness")


def pairs_of(feedback: Feedback) -> set[tuple[str, str, str]]:
    """(prompt, the chosen one's text, the rejected one's) of strict pairs."""
    agreed, _ = agree(feedback.rankings, ConsensusConfig(tie_width=0), feedback.ratings)
    pairs, _ = make_pairs(agreed, feedback.completions, PairsConfig())
    return {(one.prompt_id, TEXTS[one.chosen], TEXTS[one.rejected]) for one in pairs if one.label > 0.5}


EXPECTED = {
    *((RANKED, f"Advice {a}.", f"Advice {b}.") for a, b in ((0, 1), (0, 2), (1, 2))),
    (CHOSEN, "Advice 0.", "Advice 1."),
    *((RATED, "Advice 0.", f"Advice {b}.") for b in (1, 2)),  # the other two are tied
    (FILED, "Advice 1.", "Advice 0."),
}


def test_one_snapshot_gives_pairs_of_everything_that_was_said(mixed):
    assert pairs_of(mixed) == EXPECTED
    assert len(mixed.rankings) == 4 and len(mixed.ratings) == 4, "bob's one thumb has no ranking, and is kept"


def test_the_folder_of_such_a_snapshot_says_the_same(mixed, tmp_path):
    export_raw(mixed, tmp_path)
    again = read_feedback(FeedbackFolder(path=str(tmp_path)), SplitConfig(), seed=0)
    assert again == in_order(mixed)


def test_a_folder_whose_rankings_leave_the_ratings_out_learns_from_both(mixed, tmp_path):
    """As people write it by hand: rankings.jsonl holds what was ranked, ratings.jsonl what was rated."""
    outright = [one for one in mixed.rankings if one.prompt_id != RATED]
    export_raw(mixed._replace(rankings=outright), tmp_path)
    again = read_feedback(FeedbackFolder(path=str(tmp_path)), SplitConfig(), seed=0)
    assert again == in_order(mixed) and pairs_of(again) == EXPECTED


def test_what_somebody_ranked_outright_goes_before_what_follows_from_ratings(mixed, tmp_path):
    a, b, c = (one.id for one in COMPLETIONS if one.prompt_id == RATED)
    outright = Ranking.of(RATED, "ann", "helpfulness", [[c], [b], [a]])
    rated = [Rating.of(RATED, name, "ann", "helpfulness", name == a) for name in (a, b, c)]
    export_raw(mixed._replace(rankings=[outright], ratings=rated), tmp_path)
    again = read_feedback(FeedbackFolder(path=str(tmp_path)), SplitConfig(), seed=0)
    assert again.rankings == [outright] and len(again.ratings) == 3
