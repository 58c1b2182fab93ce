"""Label Studio over HTTP: pushes what labelers are to rank, and pulls what they said, as the export that labeling/label_studio/export.py reads.

On the page the completions stand in a list, in shuffled order, and are dragged to the levels 1 (best), 2, … or to "Unusable".
Completions on one level are tied; empty levels do not matter. A Ranker without levels could say neither a tie nor unusable, and
submitted untouched it would save the order shown as if it were meant.
"""

import html
import os
import random
from collections.abc import Generator, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

import httpx

from labeling.label_studio.tasks import is_whole_number
from models.conversation import transcript, turns
from models.errors import ConfigError, DataError, PipelineError
from models.records import Completion, Prompt

TOKEN = "LABEL_STUDIO_TOKEN"
TIMEOUT = httpx.Timeout(10, read=120)
TASKS_PER_REQUEST = 200

# The levels stand below each other, right of the list. Where the board's class is renamed they stand side by side as by default.
STYLE = """
[class^=board-] { display: grid; grid-template-columns: 1fr 1fr; grid-auto-rows: min-content; row-gap: 4px; }
.htx-ranker-column { min-height: 84px; padding: 4px 8px; }
.htx-ranker-column:first-child { grid-row: 1 / span 12; }
.htx-ranker-item p { white-space: pre-wrap; }
.htx-ranker-item p:last-child { display: none; }
"""


class LabelStudio:
    """A Label Studio server, spoken to with the token that LABEL_STUDIO_TOKEN holds: a legacy or a personal access token.

    Raises ConfigError where there is no token or it is refused, DataError where the server has no such thing or refuses what it
    is sent, and PipelineError where it does not answer. Messages name the address, never the token.
    """

    def __init__(self, url: str) -> None:
        token = os.environ.get(TOKEN, "").strip()
        if not token:
            raise ConfigError(f"{TOKEN} is not set; in Label Studio it stands under Account & Settings")
        self.url = url.rstrip("/")
        if httpx.URL(url).userinfo:
            raise ConfigError("the address of Label Studio must not hold a name or password")
        auth = _PersonalToken(self.url, token) if token.count(".") == 2 else _LegacyToken(token)
        self._http = httpx.Client(base_url=self.url, auth=auth, timeout=TIMEOUT)

    def __enter__(self) -> "LabelStudio":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **params: str | int) -> Any:
        """What the server answers, taken from JSON."""
        return self._answer("GET", path, params=params)

    def post(self, path: str, content: Any) -> Any:
        """Sends JSON; what the server answers, taken from JSON."""
        return self._answer("POST", path, json=content)

    def _answer(self, method: str, path: str, **more: Any) -> Any:
        address = f"{self.url}{path}"
        try:
            response = self._http.request(method, path, **more)
        except httpx.TimeoutException:
            raise PipelineError(f"{address}: no answer in time; is Label Studio overloaded?") from None
        except httpx.TransportError as error:
            raise PipelineError(f"{address}: cannot be reached ({error}); is Label Studio running there?") from None
        status = response.status_code
        if status in (401, 403):
            raise ConfigError(
                f"{address}: the token in {TOKEN} is refused ({status}); make a new one, or enable its kind"
            )
        if response.is_redirect:
            raise ConfigError(f"{address}: it has moved to {response.headers['location']}; use the address there")
        if status == 404:
            raise DataError(f"{address}: not there (404); check the address and the number of the project")
        if status >= 500:
            raise PipelineError(f"{address}: Label Studio failed ({status}); its log says why")
        if status >= 400:
            raise DataError(f"{address}: refused ({status}): {response.text[:500]}")
        try:
            return response.json()
        except ValueError:
            raise DataError(f"{address}: the answer is not JSON; is this Label Studio?") from None


class _LegacyToken(httpx.Auth):
    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Token {self._token}"
        yield request


class _PersonalToken(httpx.Auth):
    """Exchanges the personal token for one that lasts minutes, and again when that is refused."""

    requires_response_body = True

    def __init__(self, url: str, token: str) -> None:
        self._refresh = httpx.Request("POST", f"{url}/api/token/refresh/", json={"refresh": token})
        self._access = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        for _ in range(2):
            if not self._access:
                answer = yield self._refresh
                if answer.status_code != 200:
                    return
                self._access = answer.json()["access"]
            request.headers["Authorization"] = f"Bearer {self._access}"
            response = yield request
            if response.status_code != 401:
                return
            self._access = ""


def push_tasks(
    client: LabelStudio,
    title: str,
    criterion: str,
    instructions: str,
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    labelers_per_prompt: int,
    seed: int = 0,
) -> int:
    """The id of the project with this title, which then holds one task for each prompt: its completions, to be ranked.

    The project is made if it is not there; tasks that it holds already are not pushed again. `seed` shuffles the completions;
    all labelers of a task see the same order. Raises DataError for completions that cannot be ranked there, for a project of this
    title with another page, other instructions or another number of labelers, and where two projects have it.
    """
    tasks = _tasks_of(criterion, prompts, completions, seed)
    if not tasks:
        raise DataError(f"project {title!r}: there are no prompts to rank")
    settings = {
        "label_config": page(criterion, max(len(task["items"]) for task in tasks)),
        "expert_instruction": html.escape(instructions).replace("\n", "<br>"),
        "maximum_annotations": labelers_per_prompt,
    }
    project = _project(client, title, settings)
    present = {_key(task["data"]) for task in _export(client, project)}
    missing = [{"data": task} for task in tasks if _key(task) not in present]
    for start in range(0, len(missing), TASKS_PER_REQUEST):
        client.post(f"/api/projects/{project}/import", missing[start : start + TASKS_PER_REQUEST])
    return project


def pull_annotations(client: LabelStudio, project: int) -> list[dict]:
    """The JSON export of a project, all tasks, with the email beside the number of who annotated."""
    emails = {user["id"]: user["email"] for user in client.get("/api/users/")}
    tasks = _export(client, project)
    for task in tasks:
        for annotation in task["annotations"]:
            number = annotation["completed_by"]
            if number in emails:
                annotation["completed_by"] = {"id": number, "email": emails[number]}
    return tasks


def page(criterion: str, num_levels: int) -> str:
    """The labelling page: the prompt, the list of completions, the levels from best to worst and the place for unusable ones."""
    names = ["1 (best)", *(str(level) for level in range(2, num_levels + 1))]
    buckets = [f'<Bucket name="{level}" title="{name}"/>' for level, name in enumerate(names, start=1)]
    asked = f"Rank by {criterion}: drag each completion to a level. Equally good ones go to the same level."
    lines = [
        "<View>",
        f"<Style>{html.escape(STYLE, quote=False)}</Style>",
        f'<Header value={quoteattr(asked)} size="5"/>',
        '<Text name="prompt" value="$prompt"/>',
        '<List name="completions" value="$items" title="Completions"/>',
        '<Ranker name="ranking" toName="completions">',
        *buckets,
        '<Bucket name="unusable" title="Unusable"/>',
        "</Ranker>",
        "</View>",
    ]
    return "\n".join(lines)


def _tasks_of(criterion: str, prompts: Sequence[Prompt], completions: Sequence[Completion], seed: int) -> list[dict]:
    of_prompt: dict[str, list[Completion]] = {prompt.id: [] for prompt in prompts}
    for one in completions:
        if one.prompt_id not in of_prompt:
            raise DataError(f"completion {one.id}: its prompt {one.prompt_id} is not among the prompts")
        if is_whole_number(one.id):
            raise DataError(f"completion {one.id}: Label Studio would sort ids that are whole numbers; give it another")
        of_prompt[one.prompt_id].append(one)
    tasks = []
    for prompt in prompts:
        shuffled = sorted(of_prompt[prompt.id], key=lambda completion: completion.id)
        if len(shuffled) < 2:
            raise DataError(f"prompt {prompt.id}: has {len(shuffled)} completion(s); a task needs 2")
        random.Random(f"{seed}:{prompt.id}").shuffle(shuffled)
        items = [{"id": one.id, "title": "", "body": one.text, "ended": one.ended} for one in shuffled]
        texts = {"prompt_id": prompt.id, "prompt": transcript(prompt.text), "messages": turns(prompt.text)}
        tasks.append(texts | {"split": prompt.split, "criterion": criterion, "items": items})
    return tasks


def _key(task: dict) -> tuple[Any, frozenset]:
    """What makes two tasks the same: the prompt and its completions, in any order."""
    items = task.get("items", [])
    return task.get("prompt_id"), frozenset(str(one.get("id")) for one in items)


def _project(client: LabelStudio, title: str, settings: dict) -> int:
    found = [one for one in _projects(client, title) if one["title"] == title]
    if not found:
        return client.post("/api/projects/", {"title": title, "show_instruction": True, **settings})["id"]
    if len(found) > 1:
        raise DataError(f"{client.url}: {len(found)} projects have the title {title!r}; choose another")
    differ = [name for name, value in settings.items() if found[0][name] != value]
    if differ:
        raise DataError(
            f"{client.url}/projects/{found[0]['id']}: project {title!r} is there with another {' and '.join(differ)}; "
            "labelers of one project should all be asked the same, so choose another title"
        )
    return found[0]["id"]


def _projects(client: LabelStudio, title: str) -> list[dict]:
    projects, number = [], 1
    while True:
        answer = client.get("/api/projects/", title=title, page=number, page_size=100)
        projects += answer["results"]
        if not answer["next"]:
            return projects
        number += 1


def _export(client: LabelStudio, project: int) -> list[dict]:
    return client.get(f"/api/projects/{project}/export", exportType="JSON", download_all_tasks="true")
