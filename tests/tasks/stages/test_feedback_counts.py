"""What a snapshot of feedback counts, so that nothing is left out unseen."""

from labeling.feedback import Feedback
from models.records import Completion, Prompt, Ranking, Rating
from tasks.running.stage import Work
from tasks.stages.labels import write_feedback


def test_choices_degrees_and_single_ratings_are_counted(tmp_path):
    prompt, other = Prompt.of("It is dark.", "train"), Prompt.of("It is cold.", "train")
    a, b, c = (Completion.of(prompt.id, text) for text in ("One.", "Two.", "Three."))
    alone = Completion.of(other.id, "Four.")
    said = ("ann", [[a.id], [b.id]], "better"), ("bob", [[b.id], [a.id]], None), ("cem", [[a.id], [b.id], [c.id]], None)
    rankings = [Ranking.of(prompt.id, name, "helpful", levels, degree=degree) for name, levels, degree in said]
    rated = [("ann", a), ("ann", b), ("bob", a), ("ann", alone)]
    ratings = [Rating.of(one.prompt_id, one.id, name, "helpful", True) for name, one in rated]
    work = Work("feedback", tmp_path, None, tmp_path)
    assert write_feedback(work, Feedback([prompt, other], [a, b, c, alone], rankings, ratings)) == 3
    counts = {name: work.metrics[name] for name in ("rankings", "choices", "degrees", "ratings", "single_ratings")}
    assert counts == {"rankings": 3, "choices": 2, "degrees": 1, "ratings": 4, "single_ratings": 2}
