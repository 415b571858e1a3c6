"""Who may: tokens, sessions, proxies, the audit log, limits, other sites' scripts."""

import contextlib
import http.client
import json
import os
import re
import socket
import time

import pytest
import requests
from harness import PATIENCE, TOP, job

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
OPEN = {("GET", "/health"), ("GET", "/health/ready"), ("GET", "/health/stream"),
        ("GET", "/login"), ("POST", "/login"), ("POST", "/logout"), ("GET", "/ui/")}
NOBODY = {"labels": ["nobody"]}  # a job with these stays in the queue


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self.path)


def over_socket(d, method, path, body=None, **headers):
    """(status, JSON or text) by the unix socket."""
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    if body is not None:
        headers["Content-Type"] = "application/json"
    with contextlib.closing(UnixConnection(d.socket)) as c:
        c.request(method, path, json.dumps(body) if body is not None else None, headers)
        r = c.getresponse()
        text = r.read()
        with contextlib.suppress(ValueError):
            return r.status, json.loads(text)
        return r.status, text.decode()


def make(d, name, *scopes, **fields):
    status, answer = over_socket(d, "POST", "/admin/tokens",
                                 {"name": name, "scopes": list(scopes), **fields})
    assert status == 201, answer
    assert re.fullmatch(r"slw_[0-9A-Za-z]{43}", answer["token"])
    return answer["token"]


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def get(d, path, token=None, **headers):
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    return d.client.request("GET", path, allow_redirects=False,
                            headers={**headers, **(bearer(token) if token else {})})


def post(d, path, body, token=None, **headers):
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    return d.client.request("POST", path, allow_redirects=False, json=body,
                            headers={**headers, **(bearer(token) if token else {})})


def login(d, token, next=None, **headers):
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    form = {"token": token, **({"next": next} if next is not None else {})}
    return d.client.request("POST", "/login", data=form, headers=headers,
                            allow_redirects=False)


def cookie_of(r):
    m = re.match(r"(slipway_session=[^;]+); ", r.headers["Set-Cookie"])
    return {"Cookie": m[1]}


def audit(d, want):
    """The audit log's entries, once want(entries) holds."""
    deadline = time.monotonic() + PATIENCE
    path = d.state / "audit.log"
    while True:
        text = path.read_text() if path.exists() else ""
        entries = [json.loads(line) for line in text.splitlines(True) if line.endswith("\n")]
        if want(entries):
            return entries
        assert time.monotonic() < deadline, text
        time.sleep(0.01)


@pytest.fixture
def locked(slipwayd):
    """A daemon with a token of each scope."""
    d = slipwayd(options={"http.auth": "true"})
    d.tokens = {s: make(d, s, s) for s in ("read", "submit", "admin")}
    return d


# --- what each route needs


def route_table():
    text = (TOP / "src/web/web.c").read_text()
    table = text[text.index("web_routes[] = {"):]
    table = table[:table.index("};")]
    rows = re.findall(r'\{ HTTP_(\w+), "([^"]+)",\s*([^,]+?),\s*(\w+),\s*(WEB_\w+) \}', table)
    assert len(rows) == table.count("{ HTTP_") >= 19, "a row this test does not understand"
    return [(method, path, flags, needs) for method, path, flags, _, needs in rows]


def call(d, method, path, flags, token=None):
    path += "x" if "PREFIX" in flags else ""
    headers = bearer(token) if token else {}
    if "FORM" in flags:
        headers["Origin"] = d.client.base  # as browsers do
        return d.client.request(method, path, data={"x": "y"}, headers=headers,
                                allow_redirects=False)
    return d.client.request(method, path, json={} if "CHANGES" in flags else None,
                            headers=headers, allow_redirects=False)


def test_every_route_asks_for_what_its_row_says(locked):
    scopes = ["read", "submit", "admin"]
    for method, path, flags, needs in route_table():
        where = f"{method} {path}"
        r = call(locked, method, path, flags)
        if (method, path) in OPEN:
            assert needs == "WEB_OPEN" and r.status_code not in (401, 403, 429), where
            continue
        assert needs in ("WEB_READ", "WEB_SUBMIT", "WEB_ADMIN"), where
        assert (r.status_code, r.json()["code"]) == (401, "unauthorized"), where
        assert r.headers["WWW-Authenticate"] == 'Bearer realm="slipway"'
        assert r.headers["Cache-Control"] == "no-store"
        level = scopes.index(needs[4:].lower())
        for i, scope in enumerate(scopes):
            r = call(locked, method, path, flags, locked.tokens[scope])
            if i < level:
                assert (r.status_code, r.json()["code"]) == (403, "forbidden"), (where, scope)
                assert scopes[level] in r.json()["error"] and scope in r.json()["error"]
            else:
                assert r.status_code not in (401, 403, 429), (where, scope)


def test_the_names_of_routes_are_no_secret_but_nothing_else_is_told(locked):
    assert get(locked, "/nothing").status_code == 404
    r = get(locked, "/jobs/status?id=nobody")
    assert r.status_code == 401 and "nobody" not in r.text


# --- tokens


def test_a_token_is_shown_once_and_kept_as_a_hash(locked):
    token = make(locked, "deploy", "read", "submit", expires="30d")
    r = get(locked, "/admin/tokens", locked.tokens["admin"])
    rows = {t["name"]: t for t in r.json()}
    assert list(rows) == sorted(rows)
    deploy = rows["deploy"]
    assert deploy["scopes"] == ["read", "submit"] and "lastUsedAt" not in deploy
    assert abs(deploy["expiresAt"] - time.time() * 1000 - 30 * 86400000) < 60000
    for text in [r.text, locked.log()] + [
            p.read_bytes().decode("latin-1") for p in locked.state.rglob("*") if p.is_file()]:
        assert token not in text and token[4:] not in text


def test_wrong_tokens_open_nothing_anywhere(slipwayd):
    d = slipwayd(options={"http.auth": "true"})
    token = make(d, "a", "admin")
    wrong = [token[:-1], token + "x", token[:-1] + ("a" if token[-1] != "a" else "b"),
             token.upper(), "", "x", "slw_", token[4:], f"{token} {token}", "é" * 10]
    for text in wrong:
        d.restart()  # so many from one address are slowed, which is another test's matter
        for path in ("/jobs", "/health"):
            r = d.client.request("GET", path, headers={
                "Authorization": f"Bearer {text}".encode()})
            assert r.status_code == 401, text
            assert 'error="invalid_token"' in r.headers["WWW-Authenticate"]
    assert get(d, "/jobs", token).status_code == 200


def test_a_wrong_token_is_refused_where_none_is_needed(slipwayd):
    for options in ({}, {"http.auth": "true"}):
        d = slipwayd(options=options)
        assert get(d, "/jobs").status_code == 200
        assert get(d, "/jobs", "slw_wrong").status_code == 401
        assert over_socket(d, "GET", "/jobs", Authorization="Bearer x")[0] == 401


def test_other_schemes_are_for_a_proxy(slipwayd):
    d = slipwayd(options={"http.auth": "true"})
    basic = {"Authorization": "Basic dTpw"}
    assert d.client.request("GET", "/jobs", headers=basic).status_code == 200
    make(d, "a", "admin")
    assert d.client.request("GET", "/jobs", headers=basic).status_code == 401


def test_two_credentials_are_none(locked):
    c = http.client.HTTPConnection("127.0.0.1", locked.port, timeout=PATIENCE)
    c.putrequest("GET", "/jobs")
    c.putheader("Authorization", f"Bearer {locked.tokens['admin']}")
    c.putheader("Authorization", "Bearer x")
    c.endheaders()
    assert c.getresponse().status in (400, 401)
    c.close()


def test_a_revoked_token_opens_nothing(locked):
    token = make(locked, "old", "admin")
    assert get(locked, "/jobs", token).status_code == 200
    assert over_socket(locked, "POST", "/admin/tokens/revoke", {"name": "old"}) == (
        200, {"revoked": True})
    assert get(locked, "/jobs", token).status_code == 401
    assert over_socket(locked, "POST", "/admin/tokens/revoke", {"name": "old"})[0] == 404
    locked.restart()
    assert get(locked, "/jobs", token).status_code == 401
    assert get(locked, "/jobs", locked.tokens["read"]).status_code == 200


def test_a_token_ends_when_it_expires(locked):
    token = make(locked, "short", "read", expires="1500ms")
    assert get(locked, "/jobs", token).status_code == 200
    expires = next(t for t in get(locked, "/admin/tokens", locked.tokens["admin"]).json()
                   if t["name"] == "short")["expiresAt"]
    time.sleep(max(0, expires / 1000 - time.time()))
    r = get(locked, "/jobs", token)
    assert r.status_code == 401 and "expired" in r.json()["error"]
    locked.restart()
    assert get(locked, "/jobs", token).status_code == 401
    rows = {t["name"]: t for t in get(locked, "/admin/tokens", locked.tokens["admin"]).json()}
    assert rows["short"]["expired"] is True and rows["short"]["lastUsedAt"] > 0


def test_a_name_is_taken_once(locked):
    status, answer = over_socket(locked, "POST", "/admin/tokens",
                                 {"name": "read", "scopes": ["read"]})
    assert (status, answer["code"], answer["field"]) == (409, "conflict", "name")


@pytest.mark.parametrize("body, field", [
    ({}, "name"), ({"name": "a"}, "scopes"), ({"name": "a", "scopes": []}, "scopes"),
    ({"name": "a", "scopes": "read"}, "scopes"), ({"name": "a", "scopes": [1]}, "scopes"),
    ({"name": "a", "scopes": ["write"]}, "scopes"), ({"name": "", "scopes": ["read"]}, "name"),
    ({"name": "a b", "scopes": ["read"]}, "name"), ({"name": 1, "scopes": ["read"]}, "name"),
    ({"name": "a" * 65, "scopes": ["read"]}, "name"),
    ({"name": "a", "scopes": ["read"], "expires": "soon"}, "expires"),
    ({"name": "a", "scopes": ["read"], "expires": "0s"}, "expires"),
    ({"name": "a", "scopes": ["read"], "expires": "3651d"}, "expires"),
    ({"name": "a", "scopes": ["read"], "expires": 5}, "expires"),
    ({"name": "a", "scopes": ["read"], "scope": "x"}, "scope"),
])
def test_a_malformed_wish_is_told_its_field(shared, body, field):
    r = shared.client.post_raw("/admin/tokens", json.dumps(body))
    assert (r.status_code, r.json()["code"], r.json()["field"]) == (400, "invalid", field)


def test_tokens_survive_a_kill_and_so_does_their_use(locked):
    token = make(locked, "kept", "submit")
    locked.kill9()
    locked.start()
    assert get(locked, "/jobs", token).status_code == 200
    locked.restart()
    rows = {t["name"]: t for t in get(locked, "/admin/tokens", locked.tokens["admin"]).json()}
    assert abs(rows["kept"]["lastUsedAt"] - time.time() * 1000) < 60000


# --- without tokens


def test_without_tokens_loopback_is_open_but_not_through_a_proxy(slipwayd):
    d = slipwayd(options={"http.auth": "true"})
    assert get(d, "/jobs").status_code == 200
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Host",
                   "X-Forwarded-Proto", "Via"):
        r = d.client.request("GET", "/jobs", headers={header: "1.2.3.4"})
        assert r.status_code == 401, header
        assert "slipway token create" in r.json()["error"]
        assert over_socket(d, "GET", "/jobs", **{header: "1.2.3.4"})[0] == 401
    assert get(d, "/health", X_Forwarded_For="1.2.3.4").status_code == 200
    make(d, "first", "read")
    assert get(d, "/jobs").status_code == 401
    # Who was careful once is not careless again by itself.
    over_socket(d, "POST", "/admin/tokens/revoke", {"name": "first"})
    assert get(d, "/jobs").status_code == 401
    d.restart()
    assert get(d, "/jobs").status_code == 401
    assert over_socket(d, "GET", "/jobs")[0] == 200


def test_authentication_can_be_switched_off_on_loopback_only(slipwayd):
    d = slipwayd()
    make(d, "a", "read")
    assert get(d, "/jobs").status_code == 200
    assert get(d, "/jobs", X_Forwarded_For="1.2.3.4").status_code == 200
    d.stop()
    d.options["http.listen"] = "0.0.0.0:0"
    d.spawn()
    assert d.wait_exit() == 78
    assert "http.auth: false" in d.log()


def test_beyond_loopback_a_live_token_is_needed(slipwayd):
    d = slipwayd(options={"http.auth": "true"})
    make(d, "short", "admin", expires="1s")
    d.stop()
    d.options["http.listen"] = f"0.0.0.0:{d.port}"
    time.sleep(1.1)

    def refused():
        d.allow_log("web: .*slipway token create")
        d.spawn()
        assert d.wait_exit() == 69
        assert "`slipway token create" in d.log() and "0.0.0.0" in d.log()

    refused()
    d.options["http.listen"] = f"127.0.0.1:{d.port}"
    d.start()
    token = make(d, "long", "read")
    d.stop()
    d.options["http.listen"] = f"0.0.0.0:{d.port}"
    d.spawn()
    assert d.read_line().startswith(b"slipwayd ready")
    assert get(d, "/jobs", token, Host="localhost").status_code == 200
    assert get(d, "/jobs", Host="localhost").status_code == 401
    over_socket(d, "POST", "/admin/tokens/revoke", {"name": "long"})
    d.stop()
    refused()


def test_the_socket_is_for_user_and_group(locked):
    assert os.stat(locked.socket).st_mode & 0o777 == 0o660


# --- wrong attempts, and who is who behind a proxy


def wrong(d, n=1, **headers):
    r = None
    for _ in range(n):
        r = get(d, "/jobs", "slw_" + "0" * 43, **headers)
    return r


def test_wrong_tokens_are_slowed_by_address(locked):
    known, fresh = locked.tokens["read"], locked.tokens["submit"]
    assert get(locked, "/jobs", known).status_code == 200
    assert wrong(locked, 5).status_code == 401
    r = wrong(locked)
    assert (r.status_code, r.json()["code"]) == (429, "too_many_requests")
    assert 1 <= int(r.headers["Retry-After"]) <= 5
    # A good one from the same address is not told from a bad one meanwhile, but who was
    # here before goes on undisturbed.
    assert get(locked, "/jobs", fresh).status_code == 429
    assert get(locked, "/jobs", known).status_code == 200
    assert get(locked, "/health").status_code == 200
    assert get(locked, "/jobs").status_code == 401
    assert over_socket(locked, "GET", "/jobs")[0] == 200
    r = login(locked, fresh)
    assert r.status_code == 429 and "too many" in r.text and "Set-Cookie" not in r.headers
    assert int(r.headers["Retry-After"]) >= 1


def test_spoofed_addresses_help_nobody_and_hurt_nobody(locked):
    for i in range(5):
        assert wrong(locked, X_Forwarded_For=f"192.0.2.{i}").status_code == 401
    assert wrong(locked, X_Forwarded_For="192.0.2.99").status_code == 429
    entries = audit(locked, lambda all: len(all) >= 3)
    assert all(e["address"] in ("unix", "127.0.0.1") for e in entries)


def test_behind_a_trusted_proxy_each_client_is_itself(slipwayd):
    d = slipwayd(options={"http.auth": "true",
                          "http.trusted_proxies": "127.0.0.1,10.0.0.0/8"})
    token = make(d, "a", "submit")
    for i in range(5):
        # The left part is what the attacker wrote itself.
        assert wrong(d, X_Forwarded_For=f"198.51.100.{i}, 192.0.2.66").status_code == 401
    assert wrong(d, X_Forwarded_For="192.0.2.66, 10.1.1.1").status_code == 429
    assert wrong(d, X_Forwarded_For="198.51.100.1, 192.0.2.67").status_code == 401
    assert get(d, "/jobs", token, X_Forwarded_For="192.0.2.66, 192.0.2.1").status_code == 200
    assert wrong(d, X_Forwarded_For="2001:db8::1", ).status_code == 401
    for i in range(4):
        assert wrong(d, X_Forwarded_For=f"2001:db8::{i + 2}").status_code == 401
    assert wrong(d, X_Forwarded_For="2001:db8::ffff:1").status_code == 429
    assert wrong(d, X_Forwarded_For="2001:db8:0:1::1").status_code == 401
    post(d, "/jobs/cancel", {"jobId": "x"}, token, X_Forwarded_For="6.6.6.6, 192.0.2.5")
    entries = audit(d, lambda all: all and all[-1]["path"] == "/jobs/cancel")
    assert entries[-1]["address"] == "192.0.2.5"


def test_two_lines_of_a_proxy_header_are_one_list(slipwayd):
    d = slipwayd(options={"http.auth": "true", "http.trusted_proxies": "127.0.0.1"})
    token = make(d, "a", "submit")
    c = http.client.HTTPConnection("127.0.0.1", d.port, timeout=PATIENCE)
    c.putrequest("POST", "/jobs/cancel")
    c.putheader("Content-Type", "application/json")
    c.putheader("Authorization", f"Bearer {token}")
    c.putheader("X-Forwarded-For", "198.51.100.1")
    c.putheader("X-Forwarded-For", "192.0.2.5")
    body = b'{"jobId": "x"}'
    c.putheader("Content-Length", str(len(body)))
    c.endheaders(body)
    assert c.getresponse().status == 200
    c.close()
    entries = audit(d, lambda all: all and all[-1]["path"] == "/jobs/cancel")
    assert entries[-1]["address"] == "192.0.2.5"


def test_a_proxy_may_name_its_user(slipwayd):
    d = slipwayd(options={"http.auth": "true", "http.trusted_proxies": "unix",
                          "http.user_header": "X-Forwarded-User"})
    make(d, "a", "admin")
    user = {"X_Forwarded_User": "alice", "X_Forwarded_For": "192.0.2.1"}
    assert over_socket(d, "GET", "/jobs", **user)[0] == 200
    status, answer = over_socket(d, "POST", "/jobs/cancel", {"jobId": "x"}, **user)
    assert status == 403 and "alice" in answer["error"]
    assert over_socket(d, "GET", "/jobs", X_Forwarded_For="192.0.2.1")[0] == 401
    # From elsewhere the header says nothing.
    assert get(d, "/jobs", X_Forwarded_User="alice").status_code == 401
    d.stop()
    d.options["http.user_scopes"] = "submit"
    d.start()
    body = {"jobId": "x"}
    assert over_socket(d, "POST", "/jobs/cancel", body, **user)[0] == 403
    user["Origin"] = "http://localhost"
    assert over_socket(d, "POST", "/jobs/cancel", body, **user)[0] == 200
    entries = audit(d, lambda all: all and all[-1]["status"] == 200)
    assert (entries[-1]["who"], entries[-1]["via"]) == ("alice", "proxy")
    assert entries[-1]["address"] == "192.0.2.1"


# --- browsers


def test_a_browser_logs_in_and_out(locked):
    r = get(locked, "/dashboard?status=failure", **HTML)
    assert r.status_code == 303
    assert r.headers["Location"] == "/login?next=%2Fdashboard%3Fstatus%3Dfailure"
    form = get(locked, r.headers["Location"], **HTML)
    assert form.status_code == 200
    assert 'name="next" value="/dashboard?status=failure"' in form.text
    assert "default-src 'none'" in form.headers["Content-Security-Policy"]
    r = login(locked, locked.tokens["read"] + "\n", "/dashboard?status=failure")
    assert (r.status_code, r.headers["Location"]) == (303, "/dashboard?status=failure")
    flags = r.headers["Set-Cookie"].split("; ")[1:]
    assert {"Path=/", "HttpOnly", "SameSite=Strict"} <= set(flags) and "Secure" not in flags
    age = next(int(f[8:]) for f in flags if f.startswith("Max-Age="))
    assert 0 < age <= 12 * 3600
    cookie = cookie_of(r)
    assert get(locked, "/dashboard", **cookie).status_code == 200
    assert get(locked, "/login?next=/jobs", **cookie).headers["Location"] == "/jobs"
    assert locked.tokens["read"] not in r.headers["Set-Cookie"]
    r = locked.client.request("POST", "/logout", headers=cookie, allow_redirects=False)
    assert (r.status_code, r.headers["Location"]) == (303, "/login")
    assert "slipway_session=;" in r.headers["Set-Cookie"] and "Max-Age=0" in r.headers[
        "Set-Cookie"]


def test_a_failed_login_goes_back_to_the_form(locked):
    r = login(locked, "slw_wrong", "/dashboard")
    assert r.status_code == 303 and "Set-Cookie" not in r.headers
    assert r.headers["Location"] == "/login?error=1&next=%2Fdashboard"
    assert "not valid" in get(locked, r.headers["Location"]).text
    assert login(locked, "").status_code == 303
    r = locked.client.request("POST", "/login", data="token=a&token=b", allow_redirects=False,
                              headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert r.headers["Location"].startswith("/login?error=1")


@pytest.mark.parametrize("next", ["//evil.example", "https://evil.example", "/\\evil.example",
                                  "\\\\evil.example", "/\t/evil.example", "evil", "",
                                  "/\r\nSet-Cookie: a=b", "javascript:alert(1)"])
def test_a_login_leads_to_no_other_site(locked, next):
    r = login(locked, locked.tokens["read"], next)
    assert (r.status_code, r.headers["Location"]) == (303, "/dashboard")
    form = get(locked, "/login?" + requests.compat.urlencode({"next": next}))
    assert 'name="next" value="/dashboard"' in form.text
    cookie = cookie_of(r)
    r = get(locked, "/login?" + requests.compat.urlencode({"next": next}), **cookie)
    assert r.headers["Location"] == "/dashboard"


def test_the_form_shows_text_as_text(locked):
    form = get(locked, "/login?next=/%22%3E%3Cscript%3E")
    ours = re.findall(r'<script type="module" src="ui/\w+/app.js"></script>', form.text)
    assert len(ours) == form.text.count("<script") == 1 and "&lt;script" in form.text


def test_only_pages_are_sent_to_the_login(locked):
    assert get(locked, "/dashboard").status_code == 401
    assert get(locked, "/dashboard", Accept="*/*").status_code == 401
    assert get(locked, "/dashboard", "wrong", **HTML).status_code == 401
    assert get(locked, "/jobs", locked.tokens["read"], **HTML).status_code == 200
    assert post(locked, "/jobs/cancel", {"jobId": "x"}, **HTML).status_code == 401


def test_a_link_on_another_site_gets_a_second_chance(locked):
    """A Strict cookie does not come along with it, nor through redirections."""
    r = get(locked, "/login?next=/dashboard", Sec_Fetch_Site="cross-site")
    assert '<meta http-equiv="refresh" content="0;url=login?next=%2Fdashboard">' in r.text
    assert "<form" not in r.text
    r = get(locked, "/login?next=/dashboard", Sec_Fetch_Site="same-origin")
    assert "<form" in r.text


def test_a_session_dies_with_its_token(locked):
    token = make(locked, "mine", "submit")
    cookie = cookie_of(login(locked, token))
    assert get(locked, "/jobs", **cookie).status_code == 200
    locked.restart()
    assert get(locked, "/jobs", **cookie).status_code == 200
    over_socket(locked, "POST", "/admin/tokens/revoke", {"name": "mine"})
    assert get(locked, "/jobs", **cookie).status_code == 401
    make(locked, "mine", "submit")
    assert get(locked, "/jobs", **cookie).status_code == 401


def test_a_session_ends_with_its_token(locked):
    r = login(locked, make(locked, "short", "read", expires="90s"))
    assert 0 < int(re.search(r"Max-Age=(\d+)", r.headers["Set-Cookie"])[1]) <= 90


def test_a_forged_session_opens_nothing(locked):
    cookie = cookie_of(login(locked, locked.tokens["admin"]))["Cookie"]
    name, value = cookie.split("=")
    id, until, mac = value.split(".")
    for forged in (f"{id}.{int(until) + 1}.{mac}", f"{id[::-1]}.{until}.{mac}",
                   f"{id}.{until}.{mac[::-1]}", f"{id}.{until}.", f"{id}.{until}", "", "x",
                   f"{id}.{until}.{mac}0", f"{id}.{until}.{mac[:-1]}"):
        assert get(locked, "/jobs", Cookie=f"{name}={forged}").status_code == 401, forged
    # What else is in the header does not hide a good one.
    assert get(locked, "/jobs", Cookie=f"{name}=x; a=b; {cookie}").status_code == 200


@pytest.mark.parametrize("origin, status", [
    (None, 403), ("own", 200), ("http://localhost:1", 403), ("http://evil.example", 403),
    ("null", 403), ("http://127.0.0.1", 403),
])
def test_a_change_by_cookie_needs_the_page_of_this_server(locked, origin, status):
    cookie = cookie_of(login(locked, locked.tokens["submit"]))
    if origin == "own":
        origin = locked.client.base
    headers = {**cookie, **({"Origin": origin} if origin else {})}
    r = post(locked, "/jobs/cancel", {"jobId": "x"}, **headers)
    assert r.status_code == status, r.text
    # With a token it may come from any of the server's names, or from no page at all.
    if origin is None or "evil" not in origin and origin != "null":
        r = post(locked, "/jobs/cancel", {"jobId": "x"}, locked.tokens["submit"], **headers)
        assert r.status_code == 200, r.text


def test_the_public_url_is_an_own_page_and_https_makes_the_cookie_secure(slipwayd):
    d = slipwayd(options={"http.auth": "true", "public_url": "https://ci.example.org:8443"})
    token = make(d, "a", "submit")
    r = login(d, token, Host="ci.example.org", Origin="https://ci.example.org:8443")
    assert "; Secure" in r.headers["Set-Cookie"]
    r = post(d, "/jobs/cancel", {"jobId": "x"}, Host="ci.example.org",
             Origin="https://ci.example.org:8443", **cookie_of(r))
    assert r.status_code == 200


def test_https_at_a_trusted_proxy_makes_the_cookie_secure(slipwayd):
    for proxies, secure in (("127.0.0.1", True), ("10.0.0.1", False)):
        d = slipwayd(options={"http.auth": "true", "http.trusted_proxies": proxies})
        r = login(d, make(d, "a", "read"), X_Forwarded_Proto="https")
        assert ("; Secure" in r.headers["Set-Cookie"]) is secure


def test_login_and_logout_are_not_for_other_sites(locked):
    evil = {"Origin": "http://evil.example"}
    assert login(locked, locked.tokens["read"], **evil).status_code == 403
    r = locked.client.request("POST", "/logout", headers=evil, allow_redirects=False)
    assert r.status_code == 403
    assert post(locked, "/login", {"token": locked.tokens["read"]}).status_code == 415
    assert login(locked, locked.tokens["read"], Host="evil.example").status_code == 403


def test_dns_rebinding_reaches_nothing_with_a_cookie_either(locked):
    cookie = cookie_of(login(locked, locked.tokens["admin"]))
    assert get(locked, "/jobs", Host="evil.example", **cookie).status_code == 403
    r = post(locked, "/jobs/cancel", {"jobId": "x"}, Host="evil.example",
             Origin="http://evil.example", **cookie)
    assert r.status_code == 403


# --- the audit log


def test_every_change_is_in_the_audit_log(locked, repo):
    submit = locked.tokens["submit"]
    assert post(locked, "/jobs/submit", job(repo, "true", id="one", **NOBODY),
                submit).status_code == 202
    assert post(locked, "/jobs/submit", job(repo, "true", **NOBODY, id="two"),
                locked.tokens["read"]).status_code == 403
    assert post(locked, "/jobs/validate", job(repo, "true"), submit).status_code == 200
    assert post(locked, "/jobs/cancel", {"jobId": "one"}).status_code == 401
    assert post(locked, "/jobs/cancel", {"jobId": "one"}, submit).status_code == 200
    assert get(locked, "/jobs/status?id=one", submit).json()["error"] == (
        "cancelled by api (token submit) while queued")
    assert post(locked, "/jobs/retry", {"jobId": "no"}, submit).status_code == 404
    assert post(locked, "/jobs/cancel", {}, submit, Origin="http://evil.example"
                ).status_code == 403
    assert login(locked, "slw_wrong").status_code == 303
    assert login(locked, submit).status_code == 303
    entries = audit(locked, lambda all: len(all) >= 11)
    assert [(e["who"], e["via"], e["path"], e.get("job"), e["status"]) for e in entries] == [
        ("root", "unix", "/admin/tokens", None, 201),
        ("root", "unix", "/admin/tokens", None, 201),
        ("root", "unix", "/admin/tokens", None, 201),
        ("submit", "token", "/jobs/submit", "one", 202),
        ("read", "token", "/jobs/submit", None, 403),
        ("", "none", "/jobs/cancel", None, 401),
        ("submit", "token", "/jobs/cancel", "one", 200),
        ("submit", "token", "/jobs/retry", "no", 404),
        ("", "none", "/jobs/cancel", None, 403),
        ("", "none", "/login", None, 401),
        ("submit", "session", "/login", None, 303),
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", e["time"]) for e in entries)
    assert all(e["method"] == "POST" for e in entries)
    assert (locked.state / "audit.log").stat().st_mode & 0o777 == 0o600
    read = get(locked, "/admin/audit?limit=2", locked.tokens["admin"]).json()
    assert read == [entries[-1], entries[-2]]
    text = (locked.state / "audit.log").read_text() + locked.log()
    for token in locked.tokens.values():
        assert token not in text


def test_the_audit_log_grows_over_restarts_and_is_turned(locked):
    path = locked.state / "audit.log"
    locked.restart()
    audit(locked, lambda all: len(all) == 3)
    with open(path, "a") as f:
        f.write("x" * (16 << 20))
    post(locked, "/jobs/cancel", {"jobId": "x"}, locked.tokens["admin"])
    entries = audit(locked, lambda all: len(all) == 1)
    assert entries[0]["path"] == "/jobs/cancel"
    assert path.with_name("audit.log.1").stat().st_size > 16 << 20


def test_an_audit_log_that_cannot_be_written_is_told(slipwayd):
    d = slipwayd(start=False, options={"http.auth": "true"})
    d.allow_log("the audit log cannot be written")
    (d.state / "audit.log").mkdir(parents=True)
    d.start()
    make(d, "a", "read")
    deadline = time.monotonic() + PATIENCE
    while (r := get(d, "/health/ready")).status_code != 503:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "audit log" in r.json()["reason"]
    assert get(d, "/health").status_code == 200
    assert get(d, "/health").json()["audit"] == "failing"
    (d.state / "audit.log").rmdir()
    audit(d, lambda all: len(all) == 1)
    while get(d, "/health/ready").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- limits


def test_requests_are_limited_per_token(slipwayd):
    d = slipwayd(options={"http.auth": "true", "limits.requests_per_minute": "60"})
    a, b, admin = make(d, "a", "read"), make(d, "b", "read"), make(d, "c", "admin")
    answers = [get(d, "/jobs", a) for _ in range(14)]
    assert [r.status_code for r in answers[:10]] == [200] * 10
    last = answers[-1]
    assert (last.status_code, last.json()["code"]) == (429, "too_many_requests")
    assert int(last.headers["Retry-After"]) >= 1
    assert get(d, "/jobs", b).status_code == 200
    assert {get(d, "/jobs", admin).status_code for _ in range(30)} == {200}
    cookie = cookie_of(login(d, a))
    assert get(d, "/jobs", **cookie).status_code == 429
    health = [get(d, "/health").status_code for _ in range(14)]
    assert health[0] == 200 and health[-1] == 429


def test_there_is_no_limit_in_development(shared):
    assert {get(shared, "/health").status_code for _ in range(300)} == {200}


# --- other sites' scripts


APP = "https://app.example.org"


@pytest.fixture
def cors(slipwayd):
    d = slipwayd(options={"http.auth": "true", "http.cors_origins": APP})
    d.token = make(d, "a", "submit")
    return d


def preflight(d, origin):
    return d.client.request("OPTIONS", "/jobs/submit", headers={
        "Origin": origin, "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type"})


def test_a_named_site_may_use_the_api_with_a_token(cors):
    r = preflight(cors, APP)
    assert r.status_code == 204
    assert r.headers["Access-Control-Allow-Origin"] == APP
    assert "POST" in r.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in r.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in r.headers
    r = post(cors, "/jobs/cancel", {"jobId": "x"}, cors.token, Origin=APP)
    assert r.status_code == 200 and r.headers["Access-Control-Allow-Origin"] == APP
    assert "Origin" in r.headers["Vary"]
    for path in ("/jobs", "/nothing", "/jobs/status"):
        r = get(cors, path, Origin=APP)
        assert r.headers["Access-Control-Allow-Origin"] == APP, path
    cookie = cookie_of(login(cors, cors.token))
    r = post(cors, "/jobs/cancel", {"jobId": "x"}, Origin=APP, **cookie)
    assert r.status_code == 403


@pytest.mark.parametrize("origin", ["https://evil.example", APP + ".evil.example",
                                    "http://app.example.org", APP + ":8443", "null", "*",
                                    "https://APP.example.org"])
def test_other_sites_may_not(cors, origin):
    r = preflight(cors, origin)
    assert not [h for h in r.headers if h.lower().startswith("access-control")]
    assert "Origin" in r.headers["Vary"]
    r = get(cors, "/health", Origin=origin)
    assert "Access-Control-Allow-Origin" not in r.headers
    if origin != "https://APP.example.org":
        r = post(cors, "/jobs/cancel", {"jobId": "x"}, cors.token, Origin=origin)
        assert r.status_code == 403


def test_without_sites_there_are_no_options(locked):
    r = preflight(locked, APP)
    assert (r.status_code, r.headers["Allow"]) == (405, "POST")
    assert "Vary" not in r.headers


# --- the command line


def test_tokens_by_the_command_line(slipwayd):
    d = slipwayd(options={"http.auth": "true"})
    url = {"SLIPWAY_URL": f"unix:{d.socket}"}
    r = d.cli("token", "create", "--name", "me", "--scope", "read,submit", "--expires", "30d",
              **url)
    assert r.returncode == 0 and re.fullmatch(r"slw_\w{43}\n", r.stdout) and not r.stderr
    token = r.stdout.strip()
    assert d.cli("list").returncode == 77
    assert "slipway token create" in d.cli("list").stderr
    assert d.cli("list", SLIPWAY_TOKEN=token).returncode == 0
    file = d.dir / "token"
    file.write_text(token + "\n")
    file.chmod(0o600)
    assert d.cli("--token-file", file, "list").returncode == 0
    assert d.cli("token", "list", SLIPWAY_TOKEN=token).returncode == 77
    r = d.cli("token", "list", **url)
    assert re.fullmatch(r"me +submit +created \S+ ago  expires in 29 days  used \S+ ago\n",
                        r.stdout)
    assert json.loads(d.cli("--json", "token", "list", **url).stdout)[0]["name"] == "me"
    assert d.cli("token", "create", "--name", "me", "--scope", "read", **url).returncode == 65
    r = d.cli("token", "revoke", "me", **url)
    assert (r.returncode, r.stdout, r.stderr) == (0, "", "")
    assert d.cli("list", SLIPWAY_TOKEN=token).returncode == 77
    r = d.cli("token", "revoke", "me", **url)
    assert r.returncode == 66 and "no token of that name" in r.stderr and "jobs" not in r.stderr


@pytest.mark.parametrize("args, told", [
    (["token"], "slipway token create"), (["token", "make"], "slipway token revoke NAME"),
    (["token", "create"], "--name NAME"), (["token", "create", "--name", "a"], "--scope"),
    (["token", "revoke"], "one argument"), (["token", "list", "x"], "no arguments"),
    (["token", "list", "--name", "x"], "takes no --name"),
])
def test_token_is_told_how_to_be_used(shared, args, told):
    r = shared.cli(*args)
    assert (r.returncode, r.stdout) == (64, "") and told in r.stderr


def test_a_bad_scope_is_told(shared):
    r = shared.cli("token", "create", "--name", "a", "--scope", "write")
    assert r.returncode == 65 and "read, submit or admin" in r.stderr
