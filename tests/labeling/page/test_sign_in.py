"""Who gets in, and for how long."""

import pytest

from labeling.page import access
from labeling.page.rate_limit import MAX_ADDRESSES, MAX_FAILURES, WINDOW_SECONDS, FailureLimit
from labeling.store.accounts import withdraw
from tests.labeling.page.site import NOW, Site


def test_a_token_opens_the_page_and_the_cookie_is_kept_from_scripts_and_other_sites(site: Site):
    token = site.add("Ada")
    client = site.client()
    assert client.get("/batches").headers["location"] == "/sign-in?next=/batches"
    answer = client.post("/sign-in", data={"token": f" {token}\n"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and "path=/;" in cookie
    assert "secure" not in cookie, "over plain HTTP the browser would not send it back"
    assert "Ada" in client.get("/batches").text


def test_an_unknown_token_and_a_withdrawn_labelers_get_the_same_clear_message(site: Site):
    token = site.add("Ada")
    with site.store.write() as session:
        withdraw(session, "Ada", "asked to", NOW)
    client = site.client()
    answers = [client.post("/sign-in", data={"token": one}) for one in (token, "rein_guess", "")]
    assert [one.status_code for one in answers] == [401, 401, 401]
    assert all("No one has this token" in one.text and "set-cookie" not in one.headers for one in answers)


def test_after_signing_out_the_cookie_is_worth_nothing(site: Site):
    client = site.sign_in("Ada")
    cookie = client.cookies[access.COOKIE]
    assert client.post("/sign-out").headers["location"] == "/sign-in"
    client.cookies.set(access.COOKIE, cookie, domain="127.0.0.1")
    assert client.get("/batches").status_code == 303
    answer = client.post("/api/batches/b/next")
    assert (answer.status_code, answer.json()) == (401, {"error": "You are signed out."})


def test_a_sign_in_ends_by_itself(site: Site, monkeypatch: pytest.MonkeyPatch):
    client = site.sign_in("Ada")
    assert client.get("/batches").status_code == 200
    late = access.utc_now().replace(year=access.utc_now().year + 1)
    monkeypatch.setattr(access, "utc_now", lambda: late)
    assert client.get("/batches").status_code == 303


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/batches/b_1", "/batches/b_1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
    ],
)
def test_after_signing_in_nobody_is_sent_to_another_site(site: Site, given: str, path: str):
    client = site.client()
    answer = client.post("/sign-in", data={"token": site.add("Ada"), "next": given})
    assert answer.headers["location"] == path


def test_ten_wrong_tokens_in_five_minutes_are_enough(site: Site):
    token = site.add("Ada")
    client = site.client()
    for _ in range(10):
        assert client.post("/sign-in", data={"token": "wrong"}).status_code == 401
    answer = client.post("/sign-in", data={"token": token})
    assert answer.status_code == 429
    assert 290 < int(answer.headers["retry-after"]) <= 300


def test_a_forwarded_address_does_not_get_around_the_limit(site: Site):
    client = site.client()
    codes = [
        client.post("/sign-in", data={"token": "wrong"}, headers={"X-Forwarded-For": f"10.0.0.{n}"}).status_code
        for n in range(11)
    ]
    assert codes == [401] * 10 + [429]


def test_the_limit_ends_when_the_oldest_failure_is_old():
    limit = FailureLimit()
    for second in range(MAX_FAILURES):
        limit.note_failure("1.2.3.4", second)
    assert limit.seconds_to_wait("1.2.3.4", 20.0) == WINDOW_SECONDS - 20
    assert limit.seconds_to_wait("1.2.3.4", WINDOW_SECONDS) == 0
    assert limit.seconds_to_wait("5.6.7.8", 20.0) == 0


def test_the_limit_does_not_grow_without_end():
    limit = FailureLimit()
    for number in range(MAX_ADDRESSES + 5):
        for second in range(MAX_FAILURES):
            limit.note_failure(f"address {number}", second)
    assert len(limit._failures) == MAX_ADDRESSES
    assert limit.seconds_to_wait("address 4", 20.0) == 0, "the oldest are forgotten"
    assert limit.seconds_to_wait("address 5", 20.0) > 0
