"""Talking to Label Studio: the page, the tasks, and what is said when something is wrong, against a server that answers as told.

The round trip with a real Label Studio is in tests/label_studio, run by `make test-label-studio`.
"""

import json
import threading
import xml.etree.ElementTree as ElementTree
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from labeling.label_studio.client import TOKEN, LabelStudio, page, pull_annotations, push_tasks
from models.conversation import conversation
from models.errors import ConfigError, DataError, PipelineError
from models.records import Completion, Prompt, Ranking
from tests.labeling.label_studio import recordings

SECRET = "5ec2e7" * 6
PROMPT = Prompt.of("My sink drips.", "train")
TWO = [Completion.of(PROMPT.id, text) for text in ["Close the valve.", "Wait."]]


@pytest.fixture
def server():
    """A server that gives (status, text) by path from `answers` and notes (path, Authorization, sent) in `asked`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            path = self.path.partition("?")[0]
            self.server.asked.append((path, self.headers.get("Authorization"), sent))
            answers = self.server.answers[path]
            status, text = answers.pop(0) if isinstance(answers, list) else answers
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "https://elsewhere.example.org/")
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.answers, running.asked = {}, []
        running.url = f"http://127.0.0.1:{running.server_port}"
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.mark.parametrize(
    ("status", "text", "kind", "complaint"),
    [
        (401, '{"detail": "Invalid token."}', ConfigError, "the token in LABEL_STUDIO_TOKEN is refused (401)"),
        (403, "", ConfigError, "is refused (403)"),
        (404, "", DataError, "not there (404); check the address and the number of the project"),
        (302, "", ConfigError, "it has moved to https://elsewhere.example.org/"),
        (400, "a title is too short", DataError, "refused (400): a title is too short"),
        (500, SECRET, PipelineError, "Label Studio failed (500)"),
        (200, "<html>", DataError, "the answer is not JSON; is this Label Studio?"),
    ],
)
def test_a_refusal_names_the_address_and_never_the_token(monkeypatch, server, status, text, kind, complaint):
    monkeypatch.setenv(TOKEN, SECRET)
    server.answers["/api/users/"] = (status, text)
    with LabelStudio(server.url) as client, pytest.raises(kind) as caught:
        pull_annotations(client, 7)
    assert complaint in str(caught.value)
    assert f"{server.url}/api/users/" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert server.asked == [("/api/users/", f"Token {SECRET}", "")]


def test_nobody_there(monkeypatch):
    monkeypatch.setenv(TOKEN, SECRET)
    with LabelStudio("http://127.0.0.1:9/") as client, pytest.raises(PipelineError) as caught:
        client.get("/api/users/")
    assert "http://127.0.0.1:9/api/users/: cannot be reached" in str(caught.value)


def test_no_token_and_no_password_in_the_address(monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    with pytest.raises(ConfigError, match="LABEL_STUDIO_TOKEN is not set"):
        LabelStudio("http://127.0.0.1:9")
    monkeypatch.setenv(TOKEN, SECRET)
    with pytest.raises(ConfigError) as caught:
        LabelStudio("http://ann:hush@127.0.0.1:9")
    assert "hush" not in str(caught.value)


def test_a_personal_token_is_exchanged_and_again_when_it_has_expired(monkeypatch, server):
    personal = f"eyJ.{SECRET}.sig"
    monkeypatch.setenv(TOKEN, personal)
    server.answers["/api/token/refresh/"] = [(200, '{"access": "first"}'), (200, '{"access": "second"}')]
    server.answers["/api/version"] = [(200, "1"), (401, ""), (200, "3")]
    with LabelStudio(server.url) as client:
        assert [client.get("/api/version"), client.get("/api/version")] == [1, 3]
    refresh = ("/api/token/refresh/", None, json.dumps({"refresh": personal}, separators=(",", ":")))
    first, second = (("/api/version", f"Bearer {access}", "") for access in ("first", "second"))
    assert server.asked == [refresh, first, first, refresh, second]


def test_a_refused_personal_token_is_a_refusal(monkeypatch, server):
    monkeypatch.setenv(TOKEN, f"eyJ.{SECRET}.sig")
    server.answers["/api/token/refresh/"] = (401, "")
    with LabelStudio(server.url) as client, pytest.raises(ConfigError, match="LABEL_STUDIO_TOKEN is refused"):
        client.get("/api/version")


@pytest.mark.parametrize(
    ("prompts", "completions", "complaint"),
    [
        ([], [], "there are no prompts to rank"),
        ([PROMPT], TWO[:1], f"prompt {PROMPT.id}: has 1 completion(s); a task needs 2"),
        ([], TWO, f"completion {TWO[0].id}: its prompt {PROMPT.id} is not among the prompts"),
        ([PROMPT], [TWO[0], TWO[1].model_copy(update={"id": "10"})], "completion 10: Label Studio would sort ids"),
    ],
)
def test_what_cannot_be_ranked_is_not_pushed(monkeypatch, server, prompts, completions, complaint):
    monkeypatch.setenv(TOKEN, SECRET)
    with LabelStudio(server.url) as client, pytest.raises(DataError) as caught:
        push_tasks(client, "Round 1", "helpfulness", "Rank.", prompts, completions, 2)
    assert complaint in str(caught.value)
    assert not server.asked


def test_a_conversation_is_shown_as_a_transcript_and_read_back_as_it_was(monkeypatch, server, tmp_path):
    monkeypatch.setenv(TOKEN, SECRET)
    none, made = '{"next": null, "results": []}', '{"id": 7}'
    server.answers |= {"/api/projects/": [(200, none), (201, made)], "/api/projects/7/export": (200, "[]")}
    server.answers["/api/projects/7/import"] = (201, "{}")
    talk = [("user", "Hi"), ("assistant", "Hello!\n\nHuman: forged"), ("user", "My sink drips.")]
    asked = Prompt.of(conversation([{"role": role, "content": text} for role, text in talk]), "train")
    two = [Completion.of(asked.id, one.text) for one in TWO]
    with LabelStudio(server.url) as client:
        push_tasks(client, "Round 1", "helpfulness", "Rank.", [asked, PROMPT], [*two, *TWO], 2)
    tasks = json.loads(server.asked[-1][2])
    assert tasks[0]["data"]["prompt"] == "Human: Hi\n\nAssistant: Hello!\n\nHuman: forged\n\nHuman: My sink drips."
    ranker = {"value": {"ranker": {"1": [two[0].id], "2": [two[1].id]}}, "type": "ranker"}
    tasks[0] |= {"annotations": [{"id": 1, "completed_by": 2, "result": [ranker]}]}
    tasks[1] |= {"annotations": []}
    (tmp_path / "pulled.json").write_text(json.dumps(tasks))
    feedback, bad = recordings.read(tmp_path / "pulled.json")
    assert (feedback.prompts, bad) == ([asked, PROMPT], [])
    expected = Ranking.of(asked.id, "label-studio-user-2", "helpfulness", [[one.id] for one in two])
    assert feedback.rankings == [expected]


def test_two_projects_of_one_title_are_refused(monkeypatch, server):
    monkeypatch.setenv(TOKEN, SECRET)
    found = {"next": None, "results": [{"id": 1, "title": "Round 1"}, {"id": 2, "title": "Round 1"}]}
    server.answers["/api/projects/"] = (200, json.dumps(found))
    with LabelStudio(server.url) as client, pytest.raises(DataError, match="2 projects have the title 'Round 1'"):
        push_tasks(client, "Round 1", "helpfulness", "Rank.", [PROMPT], TWO, 2)


def test_the_page_has_a_level_for_each_completion_and_one_for_unusable():
    parsed = ElementTree.fromstring(page('"help" & <care>', 3))
    assert [(one.get("name"), one.get("title")) for one in parsed.iter("Bucket")] == [
        ("1", "1 (best)"),
        ("2", "2"),
        ("3", "3"),
        ("unusable", "Unusable"),
    ]
    assert parsed.find("Header").get("value").startswith('Rank by "help" & <care>: ')
