"""The HTTP layer: what passes, what every route answers, lists, waiting, logs."""

import json
import re
import signal
import socket
import threading
import time

import pytest
from harness import PATIENCE, ApiError, at_once, job, sse, wait_for

ROUTES = [
    ("/", "GET, HEAD"), ("/health", "GET, HEAD"), ("/health/ready", "GET, HEAD"),
    ("/jobs", "GET, HEAD"), ("/jobs/status", "GET, HEAD"), ("/jobs/logs", "GET, HEAD"),
    ("/jobs/submit", "POST"), ("/jobs/validate", "POST"), ("/jobs/cancel", "POST"),
    ("/jobs/retry", "POST"), ("/dashboard", "GET, HEAD"), ("/ui/x/app.css", "GET, HEAD"),
    ("/health/stream", "GET, HEAD"), ("/openapi.json", "GET, HEAD"), ("/worker", "POST"),
    ("/admin/status", "GET, HEAD"), ("/admin/pause", "POST"), ("/admin/drain", "POST"),
    ("/admin/resume", "POST"), ("/admin/reload", "POST"), ("/admin/maintenance", "POST"),
    ("/jobs/lines", "GET, HEAD"), ("/dashboard/changes", "GET, HEAD"),
]
NOBODY = {"labels": ["nobody"]}  # a job with these stays in the queue


class Answer:
    def __init__(self, data):
        head, _, self.body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1]) if first else 0
        self.headers = dict(line.lower().split(": ", 1) for line in lines)

    @property
    def json(self):
        return json.loads(self.body)


def connect(daemon):
    return socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE)


def raw(daemon, head, body=b"", close="Connection: close\r\n"):
    """Send these bytes, read to the end."""
    with connect(daemon) as s:
        s.sendall((head + close).encode("latin-1") + b"\r\n" + body)
        return Answer(read_all(s))


def read_all(s):
    data = b""
    while chunk := s.recv(65536):
        data += chunk
    return data


# --- routes and methods


@pytest.mark.parametrize("path", ["/nothing", "/jobs/", "/jobs/nothing", "/Health",
                                  "/dashboard/x", "/favicon.ico"])
def test_an_unknown_path_is_404_in_json(shared, path):
    r = shared.client.request("GET", path)
    assert r.status_code == 404
    assert r.headers["Content-Type"].startswith("application/json")
    assert r.json()["code"] == "not_found" and r.json()["error"]
    assert shared.client.request("POST", path).status_code == 404


@pytest.mark.parametrize("target", ["/../etc/passwd", "//health", "/jobs/../health",
                                    "/%2e%2e/x", "/health%00", "/a%2fb", "/%zz", "/%ff"])
def test_a_crooked_path_is_refused(shared, target):
    r = raw(shared, f"GET {target} HTTP/1.1\r\nHost: localhost\r\n")
    assert r.status == 400, r.body
    assert r.json["code"] == "invalid"


@pytest.mark.parametrize("path, allow", ROUTES)
def test_a_wrong_method_is_told_the_right_ones(shared, path, allow):
    for method in ("DELETE", "PUT", "OPTIONS", "PATCH", "POST" if "GET" in allow else "GET"):
        r = shared.client.request(method, path)
        assert r.status_code == 405, method
        assert r.headers["Allow"] == allow
        assert r.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/", "/health", "/jobs", "/dashboard", "/ui/x/app.css",
                                  "/dashboard/jobs/one", "/dashboard/jobs/nobody",
                                  "/nothing", "/jobs/status?id=nobody",
                                  "/jobs/lines?id=one",
                                  "/jobs/logs?id=one", "/jobs/logs?id=one&format=text",
                                  "/jobs/status?id=one", "/jobs/submit"])
def test_head_is_get_without_the_body(shared, path):
    api = shared.client
    api.post("/jobs/submit", job(shared.repo, "echo hello", id="one"))
    api.wait("one")
    get = raw(shared, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n")
    head = raw(shared, f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n")
    assert head.status == get.status
    assert head.body == b""
    if "logs" not in path:
        for header in ("content-type", "content-length"):
            # Lengths of what holds a time of day may differ between two calls.
            assert header in head.headers
        assert get.body


def test_head_of_a_log_that_goes_on_ends(shared):
    id = shared.client.submit(job(shared.repo, "true", **NOBODY))
    r = raw(shared, f"HEAD /jobs/logs?id={id} HTTP/1.1\r\nHost: localhost\r\n")
    assert (r.status, r.body) == (200, b"")
    assert r.headers["content-type"].startswith("text/event-stream")
    shared.client.cancel(id)


def test_the_root_is_a_page_for_browsers_and_a_line_for_others(shared):
    api = shared.client
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    r = api.request("GET", "/", headers=browser, allow_redirects=False)
    assert (r.status_code, r.headers["Location"]) == (302, "/dashboard")
    r = api.request("GET", "/", headers={"Accept": "*/*"})
    assert r.status_code == 200
    assert re.fullmatch(r"slipway \d+\.\d+\S*\n", r.text)
    assert "Accept" in r.headers["Vary"]


# --- who may send what


@pytest.mark.parametrize("type", ["text/plain", "text/plain; x=application/json", "",
                                  "application/x-www-form-urlencoded",
                                  "multipart/form-data", "application/jsonp"])
@pytest.mark.parametrize("origin", [None, "http://localhost"])
@pytest.mark.parametrize("path", ["/jobs/submit", "/jobs/cancel"])
def test_a_change_must_be_json(shared, type, origin, path):
    headers = {"Content_Type": type, **({"Origin": origin} if origin else {})}
    r = shared.client.post_raw(path, json.dumps({"jobId": "x"}), **headers)
    assert (r.status_code, r.json()["code"]) == (415, "unsupported_media_type")


def test_json_may_tell_its_charset(shared):
    r = shared.client.post_raw("/jobs/cancel", b'{"jobId": "x"}',
                               Content_Type="application/json; charset=utf-8")
    assert r.status_code == 200


@pytest.mark.parametrize("host, status", [
    ("localhost", 200), ("127.0.0.1", 200), ("LOCALHOST:1", 200), ("localhost:99", 200),
    ("extra.example", 200), ("ci.example.org:443", 200), ("evil.example", 403),
    ("localhost.evil.example", 403), ("127.0.0.1.evil.example", 403), ("10.0.0.1", 403),
    ("localhost:x", 403), ("local host", 403), ("a@localhost", 403), ("", 403),
])
def test_host_must_be_one_of_the_servers_names(named, host, status):
    for head in ("GET /health", "GET /jobs", "POST /jobs/cancel"):
        body = b'{"jobId": "x"}' if "POST" in head else b""
        r = raw(named, f"{head} HTTP/1.1\r\nHost: {host}\r\n"
                       f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n",
                body)
        assert r.status == status, r.body
        if status == 403:
            assert r.json["code"] == "forbidden"


@pytest.fixture(scope="module")
def named(shared, tmp_path_factory):
    """A server with names of its own."""
    import harness
    place = harness.Workplace()
    d = harness.Slipwayd(place.path, options={"http.hosts": "extra.example",
                                              "public_url": "https://ci.example.org/ci/"})
    yield d.start()
    try:
        d.close()
    finally:
        place.remove()


@pytest.mark.parametrize("hosts, status", [([], 400), (["localhost", "localhost"], 400),
                                           (["localhost", "evil.example"], 400)])
def test_there_must_be_one_host(shared, hosts, status):
    head = "GET /health HTTP/1.1\r\n" + "".join(f"Host: {h}\r\n" for h in hosts)
    r = raw(shared, head)
    assert (r.status, r.json["code"]) == (status, "invalid")


@pytest.mark.parametrize("origin, status", [
    ("http://localhost:3000", 200), ("https://127.0.0.1", 200), ("http://evil.example", 403),
    ("null", 403), ("file://", 403), ("http://localhost.evil.example", 403), ("", 403),
    ("http://localhost@evil.example", 403), ("chrome-extension://abc", 403),
])
def test_origin_of_a_change_must_be_one_of_the_servers_names(shared, origin, status):
    r = shared.client.post_raw("/jobs/cancel", b'{"jobId": "x"}', Origin=origin)
    assert r.status_code == status
    if status == 403:
        assert r.json()["code"] == "forbidden"


def test_no_other_site_is_allowed_to_read(shared):
    r = shared.client.request("GET", "/jobs", headers={"Origin": "http://evil.example"})
    assert not [h for h in r.headers if h.lower().startswith("access-control")]


def test_the_unix_socket_takes_any_host(shared):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(PATIENCE)
        s.connect(str(shared.socket))
        s.sendall(b"GET /health HTTP/1.1\r\nHost: whatever\r\nConnection: close\r\n\r\n")
        assert Answer(read_all(s)).status == 200


@pytest.mark.parametrize("lines, status", [
    ("Content-Length: 2\r\nContent-Length: 3\r\n", 400),
    ("Content-Length: 1048577\r\n", 413),
    ("Transfer-Encoding: chunked\r\n", 411), ("Expect: miracles\r\nContent-Length: 2\r\n", 417),
    ("Bad Name: x\r\n", 400),
])
def test_a_message_without_a_clear_end_is_refused(shared, lines, status):
    r = raw(shared, "POST /jobs/submit HTTP/1.1\r\nHost: localhost\r\n"
                    "Content-Type: application/json\r\n" + lines)
    assert r.status == status, r.body
    assert r.json["error"] and r.json["code"]


@pytest.mark.parametrize("length", ["x", "-1", "0x10", "99999999999999999999999"])
def test_a_length_that_is_none_is_refused(shared, length):
    r = raw(shared, "POST /jobs/cancel HTTP/1.1\r\nHost: localhost\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {length}\r\n",
            b'{"jobId": "x"}')
    assert (r.status, r.json["code"]) == (400, "invalid")


@pytest.mark.parametrize("line, status", [("GET /health HTTP/1.0", 200),
                                          ("FROB /health HTTP/1.1", 501)])
def test_versions_and_methods(shared, line, status):
    assert raw(shared, f"{line}\r\nHost: localhost\r\n").status == status


def test_expect_continue_is_answered_before_the_body(shared):
    body = b'{"jobId": "x"}'
    with connect(shared) as s:
        s.sendall(b"POST /jobs/cancel HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                  b"Content-Type: application/json\r\nExpect: 100-continue\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(body))
        assert s.recv(4096).startswith(b"HTTP/1.1 100 ")
        s.sendall(body)
        assert Answer(read_all(s)).status == 200


def test_a_connection_serves_request_after_request(shared):
    with connect(shared) as s:
        for _ in range(3):
            s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            data = b""
            while b"\n" not in data.partition(b"\r\n\r\n")[2]:
                chunk = s.recv(4096)
                assert chunk
                data += chunk
            assert data.startswith(b"HTTP/1.1 200 ")


# --- queries


@pytest.mark.parametrize("path, field", [
    ("/health?x=1", "x"), ("/?x=", "x"), ("/jobs?stat=queued", "stat"),
    ("/jobs?status=done", "status"), ("/jobs?status=", "status"), ("/jobs?limit=0", "limit"),
    ("/jobs?limit=201", "limit"), ("/jobs?limit=-1", "limit"), ("/jobs?limit=1e2", "limit"),
    ("/jobs?limit=", "limit"), ("/jobs?limit=5&limit=5", "limit"), ("/jobs?since=x", "since"),
    ("/jobs?cursor=x", "cursor"), ("/jobs?cursor=99999999999999999999", "cursor"),
    ("/jobs?repo=", "repo"), ("/jobs?repo=" + "x" * 1025, "repo"), ("/jobs?branch=", "branch"),
    ("/jobs?repo=a%00b", None), ("/jobs?repo=%ff", None), ("/jobs?repo=%zz", None),
    ("/jobs?=x", None), ("/jobs/status", "id"), ("/jobs/status?id=", "id"),
    ("/jobs/status?id=one&id=two", "id"), ("/jobs/status?id=one&wait=61", "wait"),
    ("/jobs/status?id=one&wait=-1", "wait"), ("/jobs/status?id=one&wait=x", "wait"),
    ("/jobs/logs", "id"), ("/jobs/logs?id=one&follow=maybe", "follow"),
    ("/jobs/logs?id=one&format=xml", "format"), ("/jobs/logs?id=one&tail=-1", "tail"),
    ("/jobs/logs?id=one&tail=100001", "tail"), ("/jobs/logs?id=one&offset=x", "offset"),
    ("/jobs/logs?id=one&offset=5&tail=5", "tail"), ("/jobs/logs?id=one&offset=0-5", "offset"),
    ("/jobs/logs?id=one&offset=2-5", "offset"), ("/jobs/logs?id=one&step=1", "step"),
    ("/jobs/logs?id=one&step=nothing", "step"), ("/jobs/logs?id=one&step=", "step"),
    ("/jobs/logs?id=one&attempt=0", "attempt"), ("/jobs/logs?id=one&attempt=2", "attempt"),
    ("/jobs/logs?id=one&attempt=x", "attempt"), ("/dashboard?status=x", "status"),
    ("/dashboard?cursor=x", "cursor"), ("/jobs/submit?x=1", "x"), ("/jobs/cancel?x=1", "x"),
])
def test_a_bad_query_is_refused_with_its_field(shared, path, field):
    api = shared.client
    api.post("/jobs/submit", job(shared.repo, "echo hello", id="one"))
    post = "submit" in path or "cancel" in path
    # Not by requests: it mends what it is given.
    r = raw(shared, f"{'POST' if post else 'GET'} {path} HTTP/1.1\r\nHost: localhost\r\n"
                    "Content-Type: application/json\r\n" +
                    ("Content-Length: 2\r\n" if post else ""), b"{}" if post else b"")
    assert (r.status, r.json["code"]) == (400, "invalid"), r.body
    assert r.json.get("field") == field
    assert r.json["error"]


@pytest.mark.parametrize("id", ["rubbish", "1-", "-5", "1-x", "2-16", "0-16", "1-16-16",
                                "99999999999999999999", "1-99999999999999999999", "é"])
def test_a_last_event_id_that_is_none_is_refused(shared, id):
    shared.client.post("/jobs/submit", job(shared.repo, "echo hello", id="one"))
    r = shared.client.request("GET", "/jobs/logs?id=one",
                              headers={"Last-Event-ID": id.encode()})
    assert (r.status_code, r.json().get("field")) == (400, "Last-Event-ID")


@pytest.mark.parametrize("id", ["1-17", "1-99999", "1-0", "0", "5"])
def test_a_last_event_id_between_events_does_not_make_rubbish(shared, id):
    """Never the middle of a frame: what comes is a suffix of the events."""
    api = shared.client
    api.post("/jobs/submit", job(shared.repo, "echo hello", id="one"))
    api.wait("one")
    lines = [e.data for e in api.events("one", last_id=id) if e.name == "message"]
    assert lines in (["hello"], [])


# --- lists


@pytest.fixture(scope="module")
def crowd(shared):
    """300 queued jobs, among them two repositories, three branches, some cancelled."""
    import harness
    place = harness.Workplace()
    d = harness.Slipwayd(place.path).start()
    api = d.client
    for i in range(300):
        api.submit(job("/srv/a&b ü.git".replace(" ", "+") if i % 3 else "/srv/other.git",
                       "true", id=f"j{i:03}", branch=("main", "dev/x", None)[i % 3],
                       **NOBODY))
    for i in range(0, 300, 10):
        api.cancel(f"j{i:03}")
    d.ids = [f"j{i:03}" for i in reversed(range(300))]
    yield d
    try:
        d.close()
    finally:
        place.remove()


def pages(api, **params):
    """All ids, page by page along the links, and the pages' sizes."""
    r = api.get("/jobs", **params)
    ids, sizes = [], []
    while True:
        sizes.append(len(r.json()))
        ids += [j["id"] for j in r.json()]
        if "next" not in r.links:
            return ids, sizes
        url = r.links["next"]["url"]
        assert url.startswith(api.base + "/jobs?")
        r = api.get(url[len(api.base):])


def number(id):
    return int(id[1:])


@pytest.mark.parametrize("params, wanted", [
    ({}, lambda n: True),
    ({"limit": 7}, lambda n: True),
    ({"limit": 200}, lambda n: True),
    ({"limit": 100, "status": "cancelled"}, lambda n: n % 10 == 0),
    ({"limit": 10, "status": "queued"}, lambda n: n % 10 != 0),
    ({"status": "running"}, lambda n: False),
    ({"limit": 9, "repo": "/srv/other.git"}, lambda n: n % 3 == 0),
    ({"limit": 9, "repo": "/srv/a&b+ü.git"}, lambda n: n % 3 != 0),
    ({"limit": 9, "branch": "dev/x"}, lambda n: n % 3 == 1),
    ({"limit": 4, "branch": "main", "status": "cancelled", "repo": "/srv/other.git"},
     lambda n: n % 30 == 0),
    ({"branch": "nobody"}, lambda n: False),
])
def test_lists_are_filtered_and_paged(crowd, params, wanted):
    ids, sizes = pages(crowd.client, **params)
    assert ids == [id for id in crowd.ids if wanted(number(id))]
    limit = params.get("limit", 50)
    assert all(n <= limit for n in sizes)
    assert all(n == limit for n in sizes[:-1])


def test_a_list_since_a_time(crowd):
    api = crowd.client
    since = api.status("j200")["queuedAt"]
    ids, _ = pages(api, since=since, limit=33)
    times = {id: api.status(id)["queuedAt"] for id in ("j199", "j200", "j299")}
    assert ids[0] == "j299" and "j200" in ids
    assert ("j199" in ids) == (times["j199"] >= since)
    assert "j000" not in ids
    assert api.list(since=times["j299"] + 1) == []


def test_jobs_that_come_while_paging_do_not_shift_the_pages(crowd):
    api = crowd.client
    first = api.get("/jobs", limit=100)
    late = api.submit(job("/srv/other.git", "true", id="late", **NOBODY))
    ids = [j["id"] for j in first.json()]
    r = first
    while "next" in r.links:
        r = api.get(r.links["next"]["url"][len(api.base):])
        ids += [j["id"] for j in r.json()]
    assert ids == crowd.ids
    api.cancel(late)
    crowd.ids.insert(0, "late")
    crowd.ids.remove("late")
    assert api.list(limit=1)[0]["id"] == "late"


def test_rows_of_a_list_are_status_objects_without_output(shared):
    api = shared.client
    api.post("/jobs/submit", job(shared.repo, "echo hello", id="one"))
    status = api.wait("one")
    row = next(j for j in api.list() if j["id"] == "one")
    assert row["steps"][0].pop("output", None) is None
    status["steps"][0].pop("output")
    status.pop("attempts")
    row.pop("attempts", None)
    assert row == status


# --- status


def test_a_wait_answers_at_the_change(daemon, repo):
    api = daemon.client
    id = api.submit(job(repo, wait_for("a"), wait_for("b")))
    api.wait(id, lambda s: s.get("currentStep") == 0)
    # With the ETag the change may even come before the wait.
    seen = {"If-None-Match": api.get("/jobs/status", id=id).headers["ETag"]}
    answers = []
    t = threading.Thread(target=lambda: answers.append(api.request(
        "GET", f"/jobs/status?id={id}&wait=60", headers=seen).json()))
    t.start()
    daemon.poke(id, "a")
    t.join(PATIENCE)
    assert answers[0]["status"] == "running"
    # Perhaps a moment before the next step begins.
    assert answers[0].get("currentStep", 1) == 1
    assert answers[0]["steps"][0]["status"] == "success"
    before = time.monotonic()
    daemon.poke(id, "b")
    while api.status(id, wait=60)["status"] == "running":
        pass
    assert time.monotonic() - before < 30
    assert api.status(id, wait=60)["status"] == "success", "no wait for what is over"
    assert time.monotonic() - before < 30


def test_a_wait_with_an_old_etag_has_missed_a_change(daemon, repo):
    api = daemon.client
    id = api.submit(job(repo, wait_for()))
    old = {"If-None-Match": '"1-0-0--1.0"'}
    api.wait(id, lambda s: s.get("currentStep") == 0)
    before = time.monotonic()
    r = api.request("GET", f"/jobs/status?id={id}&wait=60", headers=old)
    assert r.json()["currentStep"] == 0
    assert time.monotonic() - before < 30
    daemon.poke(id)
    api.wait(id, "success")


def test_a_wait_ends_at_its_time_out(shared):
    api = shared.client
    id = api.submit(job(shared.repo, "true", **NOBODY))
    before = time.monotonic()
    r = api.get("/jobs/status", id=id, wait=1)
    assert r.json()["status"] == "queued"
    assert time.monotonic() - before >= 0.99
    r = api.request("GET", f"/jobs/status?id={id}&wait=1",
                    headers={"If-None-Match": r.headers["ETag"]})
    assert (r.status_code, r.content) == (304, b"")
    assert api.get("/jobs/status", id=id, wait=0).json()["status"] == "queued"
    api.cancel(id)


def test_a_wait_answers_a_cancel_of_a_queued_job(shared):
    api = shared.client
    id = api.submit(job(shared.repo, "true", **NOBODY))
    answers = []
    t = threading.Thread(target=lambda: answers.append(api.status(id, wait=60)))
    t.start()
    api.cancel(id)
    t.join(PATIENCE)
    assert answers[0]["status"] == "cancelled"


def test_an_etag_is_of_one_state(shared):
    api = shared.client
    id = api.submit(job(shared.repo, "true", **NOBODY))
    etag = api.get("/jobs/status", id=id).headers["ETag"]

    def ask(value):
        return api.request("GET", f"/jobs/status?id={id}", headers={"If-None-Match": value})

    for value in (etag, "*", f"W/{etag}", f'"other", {etag}'):
        r = ask(value)
        assert (r.status_code, r.content, r.headers["ETag"]) == (304, b"", etag), value
    assert ask('"other"').status_code == 200
    api.cancel(id)
    r = ask(etag)
    assert r.status_code == 200 and r.headers["ETag"] != etag
    assert r.json()["status"] == "cancelled"


def test_the_etag_changes_as_the_log_grows(daemon, repo):
    """Steps' output is part of the answer."""
    api = daemon.client
    id = api.submit(job(repo, f"echo one; {wait_for()}; echo two; {wait_for('end')}"))
    api.wait_output(id, "one")
    first = api.get("/jobs/status", id=id)
    daemon.poke(id)
    api.wait_output(id, "two")
    r = api.request("GET", f"/jobs/status?id={id}",
                    headers={"If-None-Match": first.headers["ETag"]})
    assert r.status_code == 200
    assert r.json()["steps"][0]["output"] == "one\ntwo\n"
    daemon.poke(id, "end")
    api.wait(id, "success")


def test_output_in_the_status_is_the_end_of_it(shared):
    api = shared.client
    status = api.run(job(shared.repo, "seq 20000", "seq 100000 120000; printf end"))
    for step, last in zip(status["steps"], ("20000\n", "120000\nend")):
        assert len(step["output"]) <= 65536
        assert step["output"].endswith(last)
        assert len(step["output"]) > 60000


def test_one_answer_holds_a_mebibyte_of_output_at_most(shared):
    api = shared.client
    steps = ["head -c 70000 /dev/zero | tr '\\0' x"] * 30
    r = api.get("/jobs/status", id=api.run(job(shared.repo, *steps))["id"])
    outputs = [s.get("output") for s in r.json()["steps"]]
    assert outputs == [None] * 14 + ["x" * 65536] * 16, "the last ones are worth most"
    assert len(r.content) < (1 << 20) + 65536


# --- logs


@pytest.fixture(scope="module")
def told(shared):
    """A finished job of two attempts with some lines in each of its steps."""
    api = shared.client
    api.post("/jobs/submit", job(
        shared.repo,
        {"name": "build", "run": 'for i in $(seq 50); do echo "b$i.$SLIPWAY_ATTEMPT"; done'},
        {"name": "1", "run": "seq 1000 1020; printf part"},
        {"name": "build", "run": "echo again; [ $SLIPWAY_ATTEMPT = 2 ]"},
        {"name": "report", "run": "echo report", "when": "always"}, id="told"))
    api.wait("told", "failure")
    api.retry("told")
    api.wait("told", lambda s: s["attempt"] == 2 and s["status"] == "success")
    return api


B = [f"b{i}.2" for i in range(1, 51)]
N = [str(i) for i in range(1000, 1021)] + ["part"]


def printed(api, **params):
    return "\n".join(e.data for e in api.events("told", **params)
                     if e.name == "message").split("\n")


@pytest.mark.parametrize("params, lines", [
    ({}, B + N + ["again", "report"]), ({"follow": 0}, B + N + ["again", "report"]),
    ({"step": 0}, B), ({"step": 1}, N), ({"step": 2}, ["again"]), ({"step": "build"}, B),
    ({"step": "report"}, ["report"]), ({"step": 3}, ["report"]),
    ({"tail": 1}, ["report"]), ({"tail": 3}, ["part", "again", "report"]),
    ({"tail": 10}, (B + N + ["again", "report"])[-10:]),
    ({"tail": 73}, (B + N + ["again", "report"])[-73:]),
    ({"tail": 74}, B + N + ["again", "report"]),
    ({"tail": 100000}, B + N + ["again", "report"]),
    ({"tail": 5, "step": 0}, B[-5:]), ({"tail": 500, "step": "build"}, B),
    ({"attempt": 2, "step": 0}, B),
    ({"attempt": 1}, [b.replace(".2", ".1") for b in B] + N + ["again", "report"]),
    ({"attempt": 1, "step": 0, "tail": 2}, ["b49.1", "b50.1"]),
])
def test_parts_of_a_log(told, params, lines):
    assert printed(told, **params) == lines
    body = told.text("told", **params)
    shown = [l for l in body.split("\n")
             if l and not l.startswith("* ") and not re.fullmatch(r"\[[a-z0-9]+\]", l)]
    assert shown == lines


def test_a_retry_keeps_the_attempts(told):
    status = told.status("told")
    assert [(a["number"], a["status"], a.get("reason")) for a in status["attempts"]] == \
        [(1, "failure", "step_failed"), (2, "success", None)]
    first = status["attempts"][0]
    assert first["startedAt"] <= first["finishedAt"] <= status["attempts"][1]["startedAt"]
    end = list(told.events("told", attempt=1))[-1]
    assert (end.name, end.json["status"], end.json["attempt"]) == ("end", "failure", 1)


def test_an_offset_goes_on_behind_it(told):
    def in_log(**params):
        return [(e.name, e.data, e.id) for e in told.events("told", **params)
                if e.name in ("message", "step", "note")]

    events = in_log()
    for at, (_, _, id) in enumerate(events):
        rest = events[at + 1:]
        assert in_log(offset=id) == rest
        assert in_log(offset=id.split("-")[1]) == rest
        # The header of a client that was cut off says more than the URL it began with.
        assert in_log(last_id=id, tail=1000) == rest


def test_who_was_at_an_earlier_attempt_gets_the_present_one(told):
    last = [e for e in told.events("told", attempt=1) if e.id][-1]
    assert last.id.startswith("1-")
    whole = [e.data for e in told.events("told") if e.name == "message"]
    assert [e.data for e in told.events("told", last_id=last.id)
            if e.name == "message"] == whole


@pytest.mark.parametrize("accept, params, type", [
    ("text/plain", {}, "text/plain"), ("text/event-stream", {}, "text/event-stream"),
    ("*/*", {}, "text/event-stream"), ("text/plain", {"format": "sse"}, "text/event-stream"),
    ("text/event-stream", {"format": "text"}, "text/plain"),
    ("text/plain, text/event-stream", {}, "text/event-stream"),
    ("text/html,text/plain;q=0.5", {}, "text/plain"),
])
def test_the_form_of_a_log(told, accept, params, type):
    r = told.request("GET", "/jobs/logs", params={"id": "told", **params},
                     headers={"Accept": accept})
    assert r.headers["Content-Type"].startswith(type)
    assert r.headers["Cache-Control"] == "no-cache"
    assert r.headers["X-Accel-Buffering"] == "no"
    assert ("[build]\nb1.2\n" in r.text) == (type == "text/plain")


def test_a_log_without_follow_is_what_is_there_now(daemon, repo):
    api = daemon.client
    id = api.submit(job(repo, f"echo one; {wait_for()}; echo two"))
    api.wait_output(id, "one")
    events = list(api.events(id, follow=0))
    assert [e.data for e in events if e.name == "message"] == ["one"]
    assert "end" not in [e.name for e in events]
    assert "one\n" in api.text(id), "text does not follow unless it is told to"
    with connect(daemon) as s:
        s.sendall(f"GET /jobs/logs?id={id}&format=text&follow=1 HTTP/1.0\r\n"
                  "Host: localhost\r\n\r\n".encode())
        data = b""
        while b"one\n" not in data:
            data += s.recv(4096)
        daemon.poke(id)
        data += read_all(s)
    assert data.endswith(b"one\ntwo\n")
    api.wait(id, "success")


def test_the_log_of_a_queued_job_begins_when_it_starts(slipwayd, repo):
    daemon = slipwayd(options={"queue.max_concurrent": 1})
    api = daemon.client
    first = api.submit(job(repo, wait_for()))
    api.wait(first, lambda s: s.get("phase") == "steps")
    second = api.submit(job(repo, "echo hello"))
    assert [e.data for e in api.events(second, follow=0) if e.name != "status"] == []
    assert api.text(second) == ""
    stream = api.events(second)
    status = next(stream)
    assert (status.name, status.json["status"]) == ("status", "queued")
    assert status.json["waitReason"] and status.json["queuePosition"] == 1
    daemon.poke(first)
    rest = list(stream)
    assert [e.data for e in rest if e.name == "message"] == ["hello"]
    assert rest[-1].name == "end"
    states = [e.json["status"] for e in rest if e.name == "status"]
    assert states[0] == "running" and states[-1] in ("running", "success")


def test_the_log_of_a_cancelled_queued_job_ends(shared):
    api = shared.client
    id = api.submit(job(shared.repo, "true", **NOBODY))
    stream = api.events(id)
    assert next(stream).json["status"] == "queued"
    api.cancel(id)
    end = list(stream)[-1]
    assert (end.name, end.json["status"]) == ("end", "cancelled")


def test_a_following_reader_sees_the_next_attempt(slipwayd, repo):
    daemon = slipwayd(options={"queue.backoff": "0s"})
    api = daemon.client
    id = api.submit(job(repo, 'echo "attempt $SLIPWAY_ATTEMPT"; [ $SLIPWAY_ATTEMPT = 2 ]',
                        retry={"on": ["failure"], "limit": 1}))
    events = list(api.events(id))
    assert [e.data for e in events if e.name == "message"] == ["attempt 1", "attempt 2"]
    assert [e.name for e in events].count("end") == 1
    assert events[-1].json["status"] == "success"
    assert {e.id.split("-")[0] for e in events if e.name == "message"} == {"1", "2"}


def test_readers_that_go_away_leave_nothing(daemon, repo):
    api = daemon.client
    id = api.submit(job(repo, f"echo hello; {wait_for()}"))
    api.wait_output(id, "hello")
    readers = [api.events(id) for _ in range(10)]
    for r in readers:
        next(e for e in r if e.name == "message")
    waiter = connect(daemon)
    waiter.sendall(f"GET /jobs/status?id={id}&wait=60 HTTP/1.1\r\n"
                   "Host: localhost\r\n\r\n".encode())

    def dump():
        before = daemon.log().count("queue: ")
        daemon.signal(signal.SIGUSR1)
        deadline = time.monotonic() + PATIENCE
        while daemon.log().count("queue: ") == before or not daemon.log().endswith("\n"):
            assert time.monotonic() < deadline, daemon.log()
            api.get("/health")
        return daemon.log()[daemon.log().rindex("queue: "):]

    deadline = time.monotonic() + PATIENCE
    while "request status" not in dump():
        assert time.monotonic() < deadline
    assert re.search(r"streams=10 .*\n.*log job=\S+ attempt=1 readers=10\n", dump())
    waiter.close()
    for r in readers:
        r.close()
    while "request " in dump() or "streams=0 " not in dump():
        assert time.monotonic() < deadline
    daemon.poke(id)
    api.wait(id, "success")


def test_two_hundred_readers_get_every_line_once(daemon, repo):
    api = daemon.client
    id = api.submit(job(repo, f"seq 1 500; {wait_for()}; seq 501 1000"))
    ready = threading.Semaphore(0)

    def read(i):
        with connect(daemon) as s:
            s.sendall(f"GET /jobs/logs?id={id} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            data = b""
            while b"\ndata: 500\n" not in data and b"\nevent: end" not in data:
                data += s.recv(65536)
            ready.release()
            data += read_all(s)
        events = list(sse(data.split(b"\r\n\r\n", 1)[1].split(b"\n")))
        return ("\n".join(e.data for e in events if e.name == "message"), events[-1].name)

    def poke():
        for _ in range(200):
            assert ready.acquire(timeout=PATIENCE)
        daemon.poke(id)

    poker = threading.Thread(target=poke)
    poker.start()
    answers = at_once(200, read)
    poker.join()
    whole = "\n".join(str(i) for i in range(1, 1001))
    assert all(a == (whole, "end") for a in answers)


# --- health and the page


def test_health_tells_what_there_is(slipwayd, repo):
    daemon = slipwayd(options={"queue.max_concurrent": 3, "runners.local.capacity": 5})
    api = daemon.client
    running = api.submit(job(repo, wait_for()))
    api.wait(running, lambda s: s.get("phase") == "steps")
    api.submit(job(repo, "true", **NOBODY))
    health = api.get("/health").json()
    assert health["status"] == "ok" and health["service"] == "slipway"
    assert health["mode"] == "dev" and health["version"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", health["timestamp"])
    assert (health["queued"], health["running"], health["slots"]) == (1, 1, 3)
    assert 0 <= health["store"]["fill"] < 100
    assert health["uptime"] >= 0
    daemon.poke(running)
    api.wait(running, "success")


@pytest.mark.parametrize("how, word", [
    ({"options": {"limits.disk_reserve": "1TiB"}}, "disk"),
    ({"env": {"PATH": "/nonexistent"}}, "bubblewrap"),
])
def test_health_is_503_when_no_job_could_run(slipwayd, repo, how, word):
    daemon = slipwayd(**how)
    daemon.allow_log("bwrap|bubblewrap")
    api = daemon.client
    r = api.request("GET", "/health")
    assert (r.status_code, r.json()["status"]) == (503, "unavailable")
    assert word in r.json()["reason"]
    assert word in api.get("/dashboard").text
    if word == "disk":
        refused = api.request("POST", "/jobs/submit", json=job(repo, "true"))
        assert (refused.status_code, refused.json()["code"]) == (503, "no_space")
        assert api.list() == []
    else:
        id = api.submit(job(repo, "true"))
        assert word in api.status(id)["waitReason"]


HOSTILE = "<script>alert(1)</script>\"'&"


def test_the_dashboard_escapes_what_jobs_say(slipwayd):
    api = slipwayd().client
    id = api.submit(job(f"/srv/{HOSTILE}", {"name": HOSTILE, "run": "true"},
                        branch="<b>\"'&", commit="<i>x</i>"))
    api.wait(id, "failure")
    waits = api.submit(job("/srv/x", "true", runner="nobody", branch="<img/src=x>"))
    r = api.get("/dashboard")
    for bad in ("<script>", "<b>", "<i>", "<img"):
        assert bad not in r.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;" in r.text
    assert waits in r.text
    csp = r.headers["Content-Security-Policy"]
    assert "default-src 'none'" in csp and "frame-ancestors 'none'" in csp
    assert "base-uri 'none'" in csp and "unsafe" not in csp
    assert r.headers["X-Content-Type-Options"] == "nosniff"
    assert r.headers["Content-Type"] == "text/html; charset=utf-8"
    text = api.request("GET", f"/jobs/logs?id={id}&format=text")
    assert text.headers["X-Content-Type-Options"] == "nosniff"
    assert text.headers["Content-Type"].startswith("text/plain")


def test_the_dashboard_pages_and_filters(crowd):
    api = crowd.client
    first = api.get("/dashboard").text
    assert first.count("<tr") == 51, "a head and fifty rows"
    older = re.search(r'rel="next" href="([^"]+)"', first)[1].replace("&amp;", "&")
    second = api.get("/" + older).text
    ids = re.findall(r'"id">([^<]+)<', first + second)
    assert len(ids) == len(set(ids)) == 100
    numbered = [id for id in ids if re.fullmatch(r"j\d{3}", id)]
    assert len(numbered) >= 99 and numbered == sorted(numbered, reverse=True)
    newest = re.search(r'rel="first" href="([^"]+)"', second)[1]
    assert "rel=\"first\"" not in first and newest == "dashboard"
    cancelled = api.get("/dashboard?status=cancelled").text
    assert set(re.findall(r'"id">(j\d{3})<', cancelled)) == {f"j{i:03}" for i in
                                                           range(0, 300, 10)}
    assert "No jobs match" in api.get("/dashboard?status=success").text


def test_links_begin_with_the_public_url(named):
    api = named.client
    r = api.post("/jobs/submit", job("/srv/x", "true", id="linked", **NOBODY))
    assert r.json()["url"] == "https://ci.example.org/ci/jobs/status?id=linked"
    assert r.headers["Location"] == "/jobs/status?id=linked"
    status = api.status("linked")
    assert status["logUrl"] == "https://ci.example.org/ci/jobs/logs?id=linked"
    for i in range(2):
        api.submit(job("/srv/x", "true", **NOBODY))
    link = api.get("/jobs", limit=1).links["next"]["url"]
    assert link.startswith("https://ci.example.org/ci/jobs?")
    with pytest.raises(ApiError):
        api.status("nobody")


def test_lines_of_text_can_have_their_times(shared, repo):
    api = shared.client
    id = api.run(job(repo, "echo one; printf 'two\\nthree'"))["id"]
    lines = api.text(id, timestamps="1").splitlines()
    stamped = [l for l in lines if not l.startswith("[")]
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", l) for l in stamped)
    assert [l.split(" ", 1)[1] for l in stamped][-3:] == ["one", "two", "three"]
    with pytest.raises(ApiError) as e:
        list(api.events(id, timestamps="1"))
    assert e.value.field == "timestamps"
