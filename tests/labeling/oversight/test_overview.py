"""What the overseer reads of a batch: worked by hand, or that of models/preferences/agreement.py on the same rankings."""

import math
from datetime import date, timedelta

import pytest

from labeling.feedback import Feedback
from labeling.oversight import overview
from labeling.oversight.labeler_pairs import LabelerPairs, points_in_time
from labeling.store import accounts
from labeling.store.counted import rankings_of, ratings_of, read_counted
from labeling.store.intake import take_in
from labeling.store.schema import Batch, Task
from labeling.store.snapshots import take_snapshot
from models.preferences.agreement_report import Agreement
from models.preferences.consensus import agree
from models.preferences.vote_table import VoteTable
from models.records import Ranking, Rating
from models.settings.batch import ThumbsTask
from models.settings.pipeline import ConsensusConfig
from tests.labeling.oversight.overseen import THREE, a_week, figures, of, progress, says
from tests.labeling.people import COMPLETIONS, NOW, PROMPTS, People
from tests.tolerances import close


@pytest.fixture
def week(store) -> People:
    return a_week(store)


def test_agreement_over_time_is_that_of_the_rankings_until_then(week):
    with week.store.read() as session:
        said = read_counted(session, week.batch_id)
    found = figures(week).agreement
    assert [(one.label, one.num_judgements) for one in found] == [
        ("2026-11-20", 6),
        ("2026-11-21", 9),
        ("2026-11-22", 12),
    ]
    for one, day in zip(found, (20, 21, 22), strict=True):
        until = [said for said in said if said.created_at.date() <= date(2026, 11, day)]
        _, report = agree(rankings_of(until, "helpfulness"), ConsensusConfig())
        assert close((one.alpha, one.tau_b), (report.krippendorff_alpha, report.mean_tau_b))
    assert found[0].alpha != found[-1].alpha


def test_points_in_time():
    moments = [NOW + timedelta(minutes=n) for n in range(25)]  # all on one day: the ends of its tenths, rounded up
    assert [end for _, _, end in points_in_time(moments)] == [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]
    assert points_in_time(moments)[0][:2] == ("12:02", moments[2].timestamp())
    assert [end for _, _, end in points_in_time(moments[:2])] == [1, 2]
    days = [NOW + timedelta(days=n) for n in range(60)]
    assert [label for label, _, _ in points_in_time(days)][-2:] == ["2027-01-15", "2027-01-18"]  # every third of 60
    assert len(points_in_time(days)) == 20
    assert points_in_time([]) == []


def test_withdrawn_labelers_are_marked_and_left_out_of_what_others_are_compared_with(week):
    before = figures(week)
    with week.store.write() as session:
        accounts.withdraw(session, "cleo", "asked to", week.now)
    after = figures(week)
    assert [(one.labeler, one.is_withdrawn) for one in after.labelers] == [
        ("ann", False),
        ("bob", False),
        ("cleo", True),
    ]
    cleo = after.labelers[-1]
    assert (cleo.num_judgements, cleo.agreement, cleo.reliability, cleo.tie_rate) == (4, None, None, None)
    assert cleo.median_seconds == 60
    # ann and bob: one prompt alike, one that bob ties, two with 1 2 3 against 1 2 2: tau-b 2 / sqrt(3 * 2)
    assert close(after.agreement[-1].tau_b, (1 + 2 * 2 / math.sqrt(6)) / 3)
    assert after.agreement[-1].tau_b > before.agreement[-1].tau_b
    assert (progress(week).num_judgements, progress(week).num_labelers, progress(week).num_prompts_done) == (8, 2, 0)
    assert all("cleo" not in one.labelers for one in after.disagreements)


def test_the_last_revision_counts_unless_it_takes_back(store):
    people = People(store, THREE)
    for name in ("ann", "bob"):
        given = says(people, name, [[0], [1], [2]])
    people.says("bob", given, [[one for one, _ in given.completions]])
    assert (of(people, "bob").tie_rate, figures(people).agreement[-1].num_judgements) == (1, 2)
    people.takes_back("bob")
    assert [one.labeler for one in figures(people).labelers] == ["ann"]
    assert progress(people).num_judgements == 1


def test_progress_counts_prompts_and_judgements(week):
    found = progress(week, days=0)
    assert (found.num_prompts, found.num_prompts_done, found.num_judgements, found.num_wanted) == (4, 4, 12, 12)
    assert (found.num_labelers, found.num_active, found.last_at.date()) == (3, 3, date(2026, 11, 22))
    assert progress(week, days=20).num_active == 0
    assert [(one.day.day, one.num_judgements, one.num_labelers) for one in figures(week).days] == [
        (20, 6, 3),
        (21, 3, 3),
        (22, 3, 3),
    ]
    with week.store.read() as session:
        assert [one.batch.id for one in overview.all_progress(session, NOW)] == [week.batch_id]


def test_the_sharpest_contradiction_of_reliable_labelers_comes_first():
    def ranked(prompt: str, labeler: str, order: str) -> Ranking:
        return Ranking.of(prompt, labeler, "helpfulness", [list(level) for level in order.split()])

    rankings = [
        *(ranked("p1", "ann", "a b c"), ranked("p1", "bob", "a c b")),  # 1 of 3 pairs, both reliable: 1/3
        *(ranked("p2", "ann", "a b c"), ranked("p2", "cleo", "c b a")),  # 3 of 3, but cleo counts half: 1/2
        *(ranked("p3", "ann", "a b c"), ranked("p3", "bob", "b c a"), ranked("p3", "cleo", "a b c")),  # 2 of 3: 2/3
        *(ranked("p4", "ann", "a b c"), ranked("p4", "bob", "ab c")),  # a tie contradicts nothing
        *(ranked("p5", "ada", "a b c"), ranked("p5", "bob", "c b a")),  # 3 of 3, but ada counts a tenth: 1/10
    ]
    pairs = LabelerPairs(VoteTable(rankings))
    found = pairs.disagreements({"ada": 0.1, "ann": 1.0, "bob": 1.0, "cleo": 0.5})
    assert [(one.prompt_id, one.labelers, one.num_reversed, one.num_compared) for one in found] == [
        ("p3", ("ann", "bob"), 2, 3),
        ("p2", ("ann", "cleo"), 3, 3),
        ("p1", ("ann", "bob"), 1, 3),
        ("p5", ("ada", "bob"), 3, 3),
    ]
    found = pairs.disagreements({"ada": 0.1, "ann": 1.0, "bob": 1.0, "cleo": 0.5}, {"ann", "cleo"})
    assert [(one.prompt_id, one.is_of_reliable) for one in found] == [
        ("p2", True),
        ("p3", False),
        ("p1", False),
        ("p5", False),
    ]
    nobody = pairs.disagreements(dict.fromkeys(["ada", "ann", "bob", "cleo"], 0.0))
    assert [one.num_reversed for one in nobody] == [3, 3, 2, 1]


def test_a_disagreement_stands_side_by_side_with_notes(store):
    people = People(store, THREE)
    says(people, "ann", [[0], [1], [2]], note="the first is polite")
    says(people, "bob", [[0], [1], [2]])
    says(people, "cleo", [[2], [1]], unusable=[0])
    with store.read() as session:
        found = figures(people).disagreements
        [shown] = overview.side_by_side(session, people.batch_id, found)
    assert shown.prompt == "Problem 0?"
    assert shown.completions == sorted((one.id, one.text) for one in COMPLETIONS[:3])
    assert [one.labeler for one in shown.opinions] == ["ann", "cleo", "bob"]  # the two who contradict each other first
    assert shown.opinions[0].note == "the first is polite"
    assert shown.opinions[1].unusable == {COMPLETIONS[0].id: "wrong"}
    assert [shown.opinions[1].places[one.id] for one in COMPLETIONS[:3]] == [3, 2, 1]


def test_ratings_have_a_nominal_alpha_and_shares(store):
    people = People(store, THREE.model_copy(update={"task": ThumbsTask(), "labelers_per_prompt": 2}))
    with store.write() as session:  # one completion per prompt, so that both see the same
        for task in session.query(Task).filter(Task.position >= 4):
            session.delete(task)
    for ann, bob in ((True, True), (False, False), (True, False)):
        people.judges("ann", wanted=ann), people.judges("bob", wanted=bob)
    found = figures(people)
    # coincidences o_10 = o_01 = 1 of n = 6, n_0 = n_1 = 3: 1 - (6 - 1) * 2 / (2 * 3 * 3)
    assert close(found.agreement[-1].alpha, 1 - 5 * 2 / 18)
    assert found.agreement[-1].tau_b is None
    assert found.together.krippendorff_alpha == found.agreement[-1].alpha
    assert close((found.together.percent_agreement, found.together.leave_one_out_agreement), (2 / 3, 2 / 3))
    assert close([of(people, name).wanted_rate for name in ("ann", "bob")], [2 / 3, 1 / 3])
    assert close(of(people, "ann").agreement, 2 / 3)
    assert of(people, "ann").tie_rate is None
    [one] = found.disagreements
    assert (one.prompt_id, one.labelers) == (PROMPTS[2].id, ("ann", "bob"))


def test_what_counts_is_what_a_snapshot_holds(store):
    people = People(store, THREE)
    for name in ("ann", "bob"):
        says(people, name, [[2], [0, 1]])
    says(people, "ann", [[0]], unusable=[1, 2])
    people.takes_back("bob")
    a, b, c = (one.id for one in COMPLETIONS[:3])
    pairs = [Ranking.of(PROMPTS[0].id, "dan", "helpfulness", levels) for levels in ([[a], [b]], [[c], [b]])]
    repeated = [Ranking.of(PROMPTS[0].id, "dan", "helpfulness", [[b], [a], [c]])]
    thumbs = [Rating.of(PROMPTS[1].id, COMPLETIONS[3].id, "dan", "helpfulness", True)]
    with store.write() as session:
        take_in(session, Feedback(PROMPTS, COMPLETIONS, pairs + repeated, thumbs), "file", False, NOW)
    with store.read() as session:
        batches = [one.batch for one in overview.all_progress(session, NOW)]
        assert len(batches) == 3
        for batch in batches:
            held = take_snapshot(session, "helpfulness", [batch.id])
            learned = [one for one in read_counted(session, batch.id) if one.is_learned_from]
            assert {one.model_dump_json() for one in rankings_of(learned, "helpfulness")} == {
                one.model_dump_json() for one in held.rankings
            }
            assert set(ratings_of(learned, "helpfulness")) == set(held.ratings)
            overview.batch_figures(session, batch)


def test_figures_are_kept_until_somebody_judges_or_withdraws(week):
    cache = overview.FigureCache()
    with week.store.read() as session:
        batch = session.get_one(Batch, week.batch_id)
        first = cache.figures(session, batch)
        assert cache.figures(session, batch) is first
    week.takes_back("ann")
    with week.store.read() as session:
        second = cache.figures(session, batch)
        assert second.agreement[-1].num_judgements == 11
    with week.store.write() as session:
        accounts.withdraw(session, "bob", "asked to", week.now)
    with week.store.read() as session:
        assert cache.figures(session, batch).agreement[-1].num_judgements == 7


def test_an_empty_batch_has_no_figures(people):
    nothing = Agreement(krippendorff_alpha=None, mean_tau_b=None, percent_agreement=None, leave_one_out_agreement=None)
    assert figures(people) == overview.BatchFigures([], nothing, [], [], [])
    with people.store.read() as session:
        assert overview.batch_consensus(session, session.get_one(Batch, people.batch_id)) == []
