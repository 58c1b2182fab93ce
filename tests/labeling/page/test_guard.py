"""What is refused whoever asks, and what goes with every answer."""

import http.client
import re

import httpx
import pytest

from labeling.page.guard import MAX_BODY_BYTES
from tests.labeling.page.site import Site, form_token

TEXTS = {"My house is too hot.": ["Open a window.", "Close it."]}


def raw(site: Site, method: str, path: str, headers: dict[str, str], body: object = None) -> tuple[int, bytes]:
    """A request that is sent exactly as written."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port)
    connection.request(method, path, body=body, headers=headers, encode_chunked=not isinstance(body, bytes | None))
    answer = connection.getresponse()
    result = answer.status, answer.read()
    connection.close()
    return result


@pytest.mark.parametrize(
    "path", ["/", "/sign-in", "/batches", "/health", "/nowhere", "/static/page.css", "/api/batches/b/next"]
)
def test_every_answer_carries_the_headers(site: Site, path: str):
    client = site.client()
    headers = (client.post(path) if path.startswith("/api") else client.get(path)).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "frame-ancestors 'none'" in policy and "unsafe" not in policy and "form-action 'self'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")
    assert "server" not in headers


def test_an_answer_to_a_broken_request_carries_them_too(site: Site, monkeypatch: pytest.MonkeyPatch):
    def broken() -> None:
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(site.store, "read", broken)
    client = site.client()
    answer = client.get("/health")
    assert answer.status_code == 500 and "content-security-policy" in answer.headers
    assert "database" not in answer.text


def test_the_database_answers(site: Site):
    assert httpx.get(f"{site.url}/health").text == "ok"


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_there_is_no_description_of_the_endpoints(site: Site, path: str):
    assert httpx.get(site.url + path).status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "testserver"])
def test_a_foreign_host_is_refused(site: Site, host: str):
    assert raw(site, "GET", "/sign-in", {"Host": host})[0] == 400


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]:8300"])
def test_this_machines_names_are_taken(site: Site, host: str):
    assert raw(site, "GET", "/sign-in", {"Host": host})[0] == 200


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Referer": "http://evil.example/x"}, {}]
)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/api/batches/b/next"])
def test_what_another_site_posts_is_refused(site: Site, path: str, headers: dict[str, str]):
    client = site.sign_in("Ada")
    del client.headers["Origin"]
    assert client.post(path, data={"token": site.tokens["Ada"]}, headers=headers).status_code == 403
    assert client.get("/batches").status_code == 200, "still signed in"


def test_a_referer_of_the_page_is_enough(site: Site):
    client = site.sign_in("Ada")
    del client.headers["Origin"]
    assert client.post("/sign-out", headers={"Referer": f"{site.url}/batches"}).status_code == 303


@pytest.mark.parametrize("given", ["", "wrong", "of Bo"])
def test_posting_needs_the_form_token_of_the_own_sign_in(site: Site, given: str):
    batch = site.publish(TEXTS)
    bo = site.sign_in("Bo")
    token = bo.headers["X-Form-Token"] if given == "of Bo" else given
    client = site.sign_in("Ada")
    assert client.post(f"/api/batches/{batch}/next").status_code == 200
    for path in (f"/api/batches/{batch}/next", f"/api/batches/{batch}/reopen", "/sign-out"):
        assert client.post(path, json={"submission": "a"}, headers={"X-Form-Token": token}).status_code == 403
    del client.headers["X-Form-Token"]
    assert client.post("/sign-out", data={"form_token": token}).status_code == 403
    assert client.post("/sign-out", data={"form_token": form_token(client.get("/batches").text)}).status_code == 303


def test_a_long_body_is_refused(site: Site):
    headers = {"Origin": site.url, "Content-Type": "application/x-www-form-urlencoded"}
    fitting = b"token=" + b"x" * (MAX_BODY_BYTES - 6)
    assert raw(site, "POST", "/sign-in", headers, fitting)[0] == 401
    assert raw(site, "POST", "/sign-in", headers, fitting + b"x")[0] == 413


def test_a_long_body_without_a_length_is_refused(site: Site):
    headers = {"Origin": site.url, "Content-Type": "application/x-www-form-urlencoded", "Transfer-Encoding": "chunked"}
    assert raw(site, "POST", "/sign-in", headers, iter([b"token=", b"x" * 1000]))[0] == 401
    assert raw(site, "POST", "/sign-in", headers, iter([b"x" * 60_000, b"x" * 60_000]))[0] == 413


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static//../app.py",
        "/static/%2e%2e%5capp.py",
        "/static/",
    ],
)
def test_nothing_beside_the_static_files_can_be_read(site: Site, path: str):
    status, body = raw(site, "GET", path, {})
    assert status == 404 and b"create_app" not in body


def test_the_pages_load_nothing_from_elsewhere(site: Site):
    batch = site.publish(TEXTS)
    client = site.labeler("Ada", batch)
    page = client.get(f"/batches/{batch}").text
    assert not re.findall(r'(?:src|href)="(?!/)[^"#]', page)
    assert not re.search(r"<style|style=|<script(?![^>]* src=)| on\w+=", page)
