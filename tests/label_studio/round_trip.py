"""There and back through a real Label Studio: `make test-label-studio` installs one beside .venv and runs this.

The name does not begin with test_, so that `make test` passes it by.
"""

import json
from pathlib import Path
from urllib.parse import urlencode

import pytest

from labeling.feedback import Feedback
from labeling.label_studio import export
from labeling.label_studio.client import TOKEN, LabelStudio, pull_annotations, push_tasks
from labeling.label_studio.export import rankings_as_shown
from labeling.sources.bad_rows import BadRows
from models.errors import ConfigError, DataError
from models.records import Completion, Prompt, Ranking
from models.settings.labels import LabelStudioExport
from models.settings.pipeline import SplitConfig
from tests.label_studio.server import PROGRAM, Person, running

CHROMIUM = Path("/usr/bin/chromium")
TITLE, INSTRUCTIONS = "Household & <garden>", 'Rank by "helpfulness".\nMark <harm> as unusable.'
PROMPTS = [
    Prompt.of(text, split)
    for text, split in [
        ("My sink drips.\n  What now? ", "train"),
        ("How do I defrost a <b>freezer</b>? {{x}} $y & 'z' \"q\"", "test"),
        ("Wie öle ich ein Türscharnier? 🚪", "validation"),
        ("The fuse blows. Why?", "train"),
        ("How do I clean an oven?", "train"),
        ("How do I descale a kettle?", "train"),
    ]
]
COMPLETIONS = [
    Completion.of(prompt.id, f" answer {index}\n\n<i>to</i> {prompt.text}\t", ended=index != 1)
    for prompt in PROMPTS
    for index in range(3)
]
IDS = [[one.id for one in COMPLETIONS if one.prompt_id == prompt.id] for prompt in PROMPTS]


def levels(number: int, *tied: str, unusable: str = "", left: str = "") -> dict:
    """A Ranker's value for a prompt: what stands on levels 1, 2 and 3, as indices of completions."""
    names = {str(level): text for level, text in enumerate((*tied, "", "", "")[:3], start=1)}
    lists = names | {"unusable": unusable, "_": left}
    return {name: [IDS[number][int(index)] for index in text] for name, text in lists.items()}


def ranked(number: int, who: Person, *tied: str, unusable: str = "") -> Ranking:
    value = [sorted(IDS[number][int(index)] for index in text) for text in (*tied, unusable)]
    return Ranking.of(PROMPTS[number].id, who.email, "helpfulness", value[:-1], value[-1])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    assert PROGRAM.exists(), "run it by `make test-label-studio`, which installs Label Studio"
    with running(tmp_path_factory.mktemp("label-studio")) as started:
        yield started


@pytest.fixture
def client(server, monkeypatch):
    url, token = server
    monkeypatch.setenv(TOKEN, token)
    with LabelStudio(url) as opened:
        yield opened


@pytest.fixture(scope="module")
def people(server):
    both = Person(server[0], "ann"), Person(server[0], "bob")
    yield both
    for one in both:
        one.api.close()


def push(client: LabelStudio, num_prompts: int, title: str = TITLE, instructions: str = INSTRUCTIONS) -> int:
    some = PROMPTS[:num_prompts], COMPLETIONS[: 3 * num_prompts]
    return push_tasks(client, title, "helpfulness", instructions, *some, 2, seed=1)


def read(tasks: list[dict], file: Path, bad: BadRows) -> Feedback:
    file.write_text(json.dumps(tasks), encoding="utf-8")
    return export.read(LabelStudioExport(path=str(file)), SplitConfig(), 0, bad)


def test_what_two_people_said_comes_back(client, people, tmp_path):
    ann, bob = people
    project = push(client, 5)
    assert push(client, 5) == project and push(client, 6) == project
    task = {one["data"]["prompt_id"]: one["id"] for one in pull_annotations(client, project)}
    assert len(task) == len(pull_annotations(client, project)) == 6
    task = [task[prompt.id] for prompt in PROMPTS]

    ann.submit(project, task[0], levels(0, "2", "01"))
    bob.submit(project, task[0], levels(0, "0", "", "2", unusable="1"))
    edited = ann.submit(project, task[1], levels(1, "0", "1", "2"))
    ann.update(edited, levels(1, "2", "1", "0"))
    bob.submit(project, task[1], {"1": ["c_nobody", IDS[1][0]], "_": []})
    ann.skip(project, task[2])
    bob.submit(project, task[2], levels(2, unusable="012"))
    ann.delete(ann.submit(project, task[3], levels(3, "0", "1", "2")))
    bob.submit(project, task[3], levels(3, left="012"), seconds=1.1)
    taken_over = ann.submit(project, task[4], levels(4, "0", "1", "2"))
    bob.update(taken_over, levels(4, "2", "1", "0"))
    bob.leave_draft(project, task[5], levels(5, "0", "1", "2"))

    bad = BadRows()
    pulled = pull_annotations(client, project)
    feedback = read(pulled, tmp_path / "export.json", bad)
    assert feedback.prompts == PROMPTS
    assert feedback.completions == COMPLETIONS
    assert sorted(feedback.rankings, key=lambda one: one.id) == sorted(
        [
            ranked(0, ann, "2", "01"),
            ranked(0, bob, "0", "2", unusable="1"),
            ranked(1, ann, "2", "1", "0"),
            ranked(2, bob, unusable="012"),
        ],
        key=lambda one: one.id,
    )
    with pytest.raises(DataError) as caught:
        bad.refuse("export.json")
    complaints = str(caught.value).splitlines()[1:]
    assert [number for number, line in enumerate(complaints) if "annotation" in line] == [0, 1, 2]
    assert "the task shows no completion 'c_nobody'" in complaints[0]
    assert "nothing was ranked" in complaints[1]
    assert "changed what user" in complaints[2]
    again = read(pull_annotations(client, project), tmp_path / "again.json", BadRows())
    assert again == feedback


def test_a_project_is_not_changed_under_its_labelers(client):
    project = push(client, 2, title="Garden")
    with pytest.raises(DataError, match=f"projects/{project}: .* another expert_instruction;"):
        push(client, 2, title="Garden", instructions="Rank the other way round.")
    more = Completion.of(PROMPTS[0].id, "a fourth")  # takes a fourth level on the page
    with pytest.raises(DataError, match="another label_config;"):
        push_tasks(client, "Garden", "helpfulness", INSTRUCTIONS, PROMPTS[:2], [*COMPLETIONS[:6], more], 2)


def test_a_personal_token_does_as_well(client, people, monkeypatch):
    project = push(client, 2, title="Cellar")
    monkeypatch.setenv(TOKEN, people[0].personal_token)
    with LabelStudio(client.url) as personal:
        assert pull_annotations(personal, project) == pull_annotations(client, project)


def test_refusals(client, monkeypatch):
    with pytest.raises(DataError, match=r"projects/999999/export: not there \(404\)"):
        pull_annotations(client, 999999)
    with pytest.raises(DataError, match="at least 3 characters"):
        push(client, 2, title="ab")
    monkeypatch.setenv(TOKEN, "0" * 40)
    with LabelStudio(client.url) as stranger, pytest.raises(ConfigError, match=r"is refused \(401\)"):
        pull_annotations(stranger, 1)


@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs {CHROMIUM}")
def test_the_page_in_a_browser(client, people, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    ann = people[0]
    project = push(client, 1, title="Kitchen")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(f"{client.url}/user/login/?{urlencode({'next': f'/projects/{project}/data?labeling=1'})}")
        page.fill("input[name=email]", ann.email)
        page.fill("input[name=password]", ann.password)
        page.click("button[type=submit]")
        page.wait_for_selector(f'[data-ranker-id="{IDS[0][0]}"]')
        assert page.get_by_text("Mark <harm> as unusable.").is_visible()
        page.keyboard.press("Escape")
        page.wait_for_selector("text=Mark <harm> as unusable.", state="hidden")
        assert "What now?" in page.locator(".lsf-richtext").first.inner_text()
        shown = [one.inner_text() for one in page.locator(".htx-ranker-item").all()]
        assert sorted(text.strip() for text in shown) == sorted(one.text.strip() for one in COMPLETIONS[:3])
        list_box, level_box = (_box(page, f'[data-rbd-droppable-id="{name}"]') for name in ("_", "1"))
        assert level_box["x"] > list_box["x"] + list_box["width"] - 1, "levels stand right of the list"
        for index, bucket in [(2, "1"), (0, "1"), (1, "unusable")]:
            _drag(page, IDS[0][index], bucket)
        with page.expect_response(lambda answer: "/annotations" in answer.url and answer.request.method == "POST"):
            page.get_by_text("Submit", exact=True).last.click()
        browser.close()
    file = tmp_path / "export.json"
    feedback = read(pull_annotations(client, project), file, BadRows())
    assert feedback.rankings == [ranked(0, ann, "02", unusable="1")]
    assert rankings_as_shown(LabelStudioExport(path=str(file))) == []


def _box(page, selector: str) -> dict:
    return page.locator(selector).first.bounding_box()


def _drag(page, completion_id: str, bucket: str) -> None:
    item, target = f'[data-ranker-id="{completion_id}"]', f'[data-rbd-droppable-id="{bucket}"]'
    start, end = _box(page, item), _box(page, target)
    page.mouse.move(start["x"] + 20, start["y"] + 10)
    page.mouse.down()
    page.mouse.move(start["x"] + 30, start["y"] + 20, steps=4)
    page.mouse.move(end["x"] + 40, end["y"] + max(8, end["height"] - 6), steps=15)
    page.mouse.up()
    page.wait_for_selector(f"{target} {item}")
    page.wait_for_selector("[data-rbd-drag-handle-context-id]:not([style*=fixed])")
