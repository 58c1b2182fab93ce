"""Which feedback the texts of a page come from."""

from tasks.reporting.page.page import _feedback_of
from tasks.running.storage import read_manifest_in
from tests.tasks.hand_made import make


def test_the_feedback_that_was_read_or_where_a_stage_came_from_the_cache_the_runs_own(tmp_path):
    whole, part, earlier = (make(tmp_path, f"labels-{n}", "feedback", holds=str(n)) for n in range(3))
    of_part = make(tmp_path, "consensus-1", "consensus", part)
    cached = make(tmp_path, "consensus-2", "consensus", earlier)
    made = {name: read_manifest_in(one.folder) for name, one in {"labels": whole, "brief/labels": part}.items()}
    assert _feedback_of(made, read_manifest_in(of_part.folder)) == part.folder
    assert _feedback_of(made, read_manifest_in(cached.folder)) == whole.folder
