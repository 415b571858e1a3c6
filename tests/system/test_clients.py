"""contrib/clients against the real daemon: both do the same."""

import ast
import http.server
import json
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from harness import BUILD, PATIENCE, TOP, job, wait_for

HERE = Path(__file__).parent
CLIENTS = TOP / "contrib" / "clients"
NOBODY = {"labels": ["nobody"]}
METHODS = ["submitJob", "getJobStatus", "listJobs", "cancelJob", "streamLogs",
           "waitForCompletion", "getCacheStats", "getMetrics", "getDashboardUrl"]
BUILDER = ["repo", "commit", "branch", "step", "env", "cache", "timeout", "priority",
           "build"]
TSC = ["--strict", "--erasableSyntaxOnly", "--noUncheckedIndexedAccess",
       "--exactOptionalPropertyTypes", "--noUnusedLocals", "--noUnusedParameters",
       "--target", "es2022", "--module", "nodenext", "--verbatimModuleSyntax",
       "--lib", "es2022,dom,dom.iterable", "--skipLibCheck"]


@pytest.fixture(scope="session")
def typescript(tmp_path_factory):
    """slipway.ts, type-checked, with its types stripped: (its path, node's version)."""
    for program in ("node", "npm"):
        if not shutil.which(program):
            pytest.skip(f"no {program}")
    dir = BUILD / "tests" / "typescript"
    dir.mkdir(parents=True, exist_ok=True)
    (dir / "package.json").write_text('{"private": true, "type": "module"}')
    tsc = dir / "node_modules" / ".bin" / "tsc"
    if not tsc.exists():
        run = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "typescript@5.9"],
                             cwd=dir, capture_output=True, text=True, timeout=300)
        if run.returncode:
            pytest.skip(f"npm: {run.stderr[-500:]}")
    source = dir / "slipway.ts"
    source.write_text((CLIENTS / "slipway.ts").read_text())
    run = subprocess.run([tsc, *TSC, "--outDir", dir / "out", source], cwd=dir,
                         capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout
    return dir / "out" / "slipway.js"


class Driver:
    """One client, a process per call."""

    def __init__(self, name, argv):
        self.name, self.argv = name, argv

    def popen(self, url, method, *args, **env):
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **env}
        return subprocess.Popen([*map(str, self.argv), url, method, json.dumps(args)],
                                stdout=subprocess.PIPE, text=True, env=env)

    def lines(self, url, method, *args, **env):
        p = self.popen(url, method, *args, **env)
        out, _ = p.communicate(timeout=PATIENCE)
        assert p.returncode == 0
        return [json.loads(line) for line in out.splitlines()]

    def __call__(self, url, method, *args, **env):
        return self.lines(url, method, *args, **env)[-1]["result"]

    def error(self, url, method, *args, **env):
        return self.lines(url, method, *args, **env)[-1]["error"]

    def ms(self, value):
        """A time-out of this client."""
        return value if self.name == "ts" else value / 1000


@pytest.fixture(params=["py", "ts"])
def client(request):
    if request.param == "py":
        return Driver("py", [sys.executable, "-B", HERE / "client_driver.py",
                             CLIENTS / "slipway.py"])
    stripped = request.getfixturevalue("typescript")
    return Driver("ts", ["node", HERE / "client_driver.mjs", stripped])


# --- what they are made of


def test_python_of_old_is_enough():
    source = (CLIENTS / "slipway.py").read_text()
    tree = ast.parse(source, feature_version=(3, 9))
    modules = {a.name.partition(".")[0] for n in ast.walk(tree)
               if isinstance(n, ast.Import) for a in n.names}
    assert modules <= sys.stdlib_module_names
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    assert "match " not in source.splitlines()


def test_python_has_both_spellings():
    sys.path.insert(0, str(CLIENTS))
    try:
        sys.dont_write_bytecode = True
        import slipway
    finally:
        sys.path.pop(0)
    for name in METHODS:
        snake = re.sub("([A-Z])", lambda m: "_" + m[1].lower(), name)
        assert getattr(slipway.SlipwayClient, snake) is getattr(slipway.SlipwayClient, name)
    assert all(hasattr(slipway.JobBuilder, name) for name in BUILDER)


def test_typescript_needs_nothing_else(typescript):
    source = (CLIENTS / "slipway.ts").read_text()
    assert not re.search(r"^\s*import|require\(|await import", source.split("*/", 1)[1], re.M)
    for name in METHODS + BUILDER:
        assert re.search(rf"^  (async )?\*?{name}[<(]", source, re.M), name


def node_strips_types():
    run = subprocess.run(["node", "--experimental-strip-types", "-e", "0"],
                         capture_output=True)
    return run.returncode == 0


def test_typescript_runs_as_it_is(typescript, shared):
    """Where node can strip types itself; else the compiler did no more than that."""
    if node_strips_types():
        driver = Driver("ts", ["node", "--experimental-strip-types",
                               HERE / "client_driver.mjs", CLIENTS / "slipway.ts"])
        assert isinstance(driver(shared.client.base, "listJobs"), list)
        return
    plain = typescript.read_text()
    assert "__" not in plain, "no helpers of an older target"
    assert "#token" in plain and "async *streamLogs" in plain


# --- jobs


def test_a_job_from_the_builder_to_its_end(client, shared):
    url = shared.client.base
    spec = client(url, "builder", ["repo", str(shared.repo)], ["commit", shared.repo.head],
                  ["branch", "main"], ["env", "A", "1"], ["env", {"B": "2"}],
                  ["step", "one", 'echo "$A$B$C"', {"env": {"C": "3"}, "timeout": 20}],
                  ["step", "two", "echo end"], ["cache", "a.lock", "b.lock"],
                  ["timeout", 60], ["priority", 7], ["set", "network", "none"])
    assert spec == {"repo": str(shared.repo), "commit": shared.repo.head, "branch": "main",
                    "env": {"A": "1", "B": "2"}, "cacheKeys": ["a.lock", "b.lock"],
                    "timeout": 60, "priority": 7, "network": "none", "steps": [
                        {"name": "one", "run": 'echo "$A$B$C"', "env": {"C": "3"},
                         "timeout": 20}, {"name": "two", "run": "echo end"}]}
    submitted = client(url, "submitJob", spec)
    id = submitted["jobId"]
    lines = client.lines(url, "waitForCompletion", id)
    status = lines[-1]["result"]
    assert (status["id"], status["status"]) == (id, "success")
    progress = [l["progress"] for l in lines if "progress" in l]
    assert progress[-1] == "success"
    assert client(url, "getJobStatus", id)["status"] == "success"
    events = client.lines(url, "streamLogs", id)
    assert "".join(e["text"] for e in events if "text" in e) == "123\nend\n"
    assert [e["event"] for e in events if e.get("event") in ("step", "end")] == \
        ["step"] * 4 + ["end"]
    assert events[-2]["data"]["status"] == "success"


def test_a_builder_that_lacks_something_says_so(client, shared):
    error = client.error(shared.client.base, "builder", ["repo", "x"], ["step", "a", "b"])
    assert (error["code"], error["field"], error["status"]) == ("invalid", "commit", 0)
    error = client.error(shared.client.base, "builder", ["repo", "x"], ["commit", "y"])
    assert error["field"] == "steps"


def test_lists(client, daemon):
    api, url = daemon.client, daemon.client.base
    for i in range(205):
        api.submit(job("/srv/a&b.git" if i % 2 else "/srv/other.git", "true",
                       id=f"j{i:03}", branch=f"b{i % 3}", **NOBODY))
    newest = [f"j{i:03}" for i in reversed(range(205))]
    assert [j["id"] for j in client(url, "listJobs")] == newest[:50]
    few = client(url, "listJobs", {"repo": "/srv/a&b.git", "branch": "b1", "limit": 3,
                                   "status": "queued"})
    wanted = [id for id in newest if int(id[1:]) % 2 and int(id[1:]) % 3 == 1]
    assert [j["id"] for j in few] == wanted[:3]
    every = [l["job"] for l in client.lines(url, "eachJob") if "job" in l]
    assert every == newest
    every = [l["job"] for l in client.lines(url, "eachJob", {"branch": "b1", "limit": 7})
             if "job" in l]
    assert every == [id for id in newest if int(id[1:]) % 3 == 1]


def test_cancel_and_retry(client, daemon, repo):
    api, url = daemon.client, daemon.client.base
    id = api.submit(job(repo, f"echo on; {wait_for()}"))
    api.wait_output(id, "on")
    assert client(url, "cancelJob", id) == {"cancelled": True}
    again = client(url, "cancelJob", id)
    assert not again["cancelled"] and "already" in again["reason"]
    assert client(url, "waitForCompletion", id)["status"] == "cancelled"
    assert client(url, "retryJob", id)["jobId"] == id
    api.wait(id, lambda s: s.get("currentStep") == 0)
    daemon.poke(id, attempt=2)
    assert client(url, "waitForCompletion", id)["attempt"] == 2


def test_waiting_ends_in_time(client, shared):
    id = shared.client.submit(job(shared.repo, "true", **NOBODY))
    began = time.monotonic()
    error = client.error(shared.client.base, "waitForCompletion", id,
                         {"timeout": client.ms(1500)})
    assert (error["code"], error["status"]) == ("timeout", 0)
    assert id in error["message"] and "queued" in error["message"]
    assert time.monotonic() - began > 1.4
    shared.client.cancel(id)


def test_validate(client, shared):
    url = shared.client.base
    assert client(url, "validateJob", job(shared.repo, "true"))["valid"] is True
    assert client.error(url, "validateJob", {"repo": "x"})["code"] == "invalid"


# --- errors


def test_errors_have_code_and_field(client, shared):
    url = shared.client.base
    bad = job(shared.repo, "true")
    bad["steps"][0]["ran"] = 1
    error = client.error(url, "submitJob", bad)
    assert (error["status"], error["code"], error["field"]) == \
        (400, "invalid", "steps[0].ran")
    assert "steps[0].ran" in error["message"]
    error = client.error(url, "getJobStatus", "nobody")
    assert (error["status"], error["code"], error["field"]) == (404, "not_found", "id")
    for call in (["streamLogs", "nobody"], ["waitForCompletion", "nobody"]):
        error = client.error(url, *call)
        assert (error["status"], error["code"]) == (404, "not_found")
    error = client.error(url, "listJobs", {"limit": 201})
    assert (error["status"], error["field"]) == (400, "limit")


def test_what_is_not_there_yet_is_told_as_such(client, shared):
    """The day these answer, this test wants new ones."""
    for method in ("getCacheStats", "getMetrics"):
        error = client.error(shared.client.base, method)
        assert (error["status"], error["code"]) == (404, "not_found")
        assert error["message"]


def test_a_server_that_is_not_there_is_told(client):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    for method in ("listJobs", "getMetrics"):
        error = client.error(f"http://127.0.0.1:{port}", method)
        assert (error["status"], error["code"]) == (0, "unreachable")
        assert f"127.0.0.1:{port}" in error["message"]
    error = client.error(f"http://127.0.0.1:{port}", "waitForCompletion", "x",
                         {"timeout": client.ms(300), "pollInterval": client.ms(100)})
    assert error["code"] == "unreachable"
    error = client.error(f"http://127.0.0.1:{port}", "streamLogs", "x",
                         {"patience": client.ms(300)})
    assert error["code"] == "unreachable"


class Fake(http.server.BaseHTTPRequestHandler):
    """Notes what it was asked; answers with what the test wants."""

    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers)))
        status, headers, body = self.server.answers.pop(0)
        self.send_response(status)
        for h in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(*h)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def fake():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fake)
    server.seen, server.answers = [], []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_token_and_the_prefix_are_sent(client, fake):
    fake.answers = [(200, {}, b"[]")]
    assert client(fake.url + "/ci/", "listJobs", SLIPWAY_TOKEN="tok_123") == []
    path, headers = fake.seen[0]
    assert path == "/ci/jobs"
    assert headers["Authorization"] == "Bearer tok_123"


def test_no_token_sends_none_and_the_environment_has_the_address(client, fake):
    fake.answers = [(200, {}, b"[]")]
    assert client("", "listJobs", SLIPWAY_URL=fake.url) == []
    assert "Authorization" not in fake.seen[0][1]
    assert client(fake.url + "/x/", "getDashboardUrl") == fake.url + "/x/dashboard"
    assert client(fake.url, "getDashboardUrl", "a/b") == fake.url + "/dashboard/jobs/a%2Fb"


def test_a_token_that_is_refused_is_told(client, fake):
    body = b'{"error": "the token has expired", "code": "unauthorized"}'
    fake.answers = [(401, {}, body)] * 2
    for call in (["listJobs"], ["streamLogs", "x"]):
        error = client.error(fake.url, *call, SLIPWAY_TOKEN="old")
        assert (error["status"], error["code"], error["message"]) == \
            (401, "unauthorized", "the token has expired")


@pytest.mark.parametrize("status, body", [(200, b"<html>"), (502, b"<html>bad"), (200, b"")])
def test_an_answer_that_makes_no_sense_is_told(client, fake, status, body):
    fake.answers = [(status, {}, body)]
    error = client.error(fake.url, "listJobs")
    assert (error["status"], error["code"]) == (status, "protocol")


def test_a_busy_server_is_asked_again(client, fake):
    done = json.dumps({"id": "x", "status": "success"}).encode()
    busy = b'{"error": "slow down", "code": "busy"}'
    fake.answers = [(429, {"Retry-After": "1"}, busy), (503, {}, busy), (502, {}, b"proxy"),
                    (200, {}, done)]
    began = time.monotonic()
    status = client(fake.url, "waitForCompletion", "x", {"pollInterval": client.ms(50)})
    assert status["status"] == "success"
    assert len(fake.seen) == 4 and time.monotonic() - began > 1
    end = b'event: end\ndata: {"status":"success"}\n\n'
    fake.answers = [(503, {}, busy), (200, {}, end)]
    assert client.lines(fake.url, "streamLogs", "x")[0]["event"] == "end"


def test_a_stream_is_parsed_as_the_standard_says(client, fake):
    fake.answers = [(200, {"Content-Type": "text/event-stream"}, (
        ": comment\n\nid: 1-16\ndata: ä\ndata:  two\ndata:\n\n: partial\nid: 1-20\n"
        "data: half\n\nid: 1-30\nevent: step\ndata: {\"index\":0}\n\nretry: 5\n\n"
        "event: end\ndata: {\"status\":\"success\"}\n\ndata: never\n\n").encode())]
    events = client.lines(fake.url, "streamLogs", "x")[:-1]
    assert [(e["event"], e["text"], e["id"], e["partial"]) for e in events] == [
        ("message", "ä\n two\n\n", "1-16", False), ("message", "half", "1-20", True),
        ("step", "", "1-30", False), ("end", "", "1-30", False)]
    assert events[2]["data"] == {"index": 0}


# --- cuts


class Cutter:
    """A way to the daemon that breaks after so many bytes of each answer."""

    def __init__(self, port, sizes):
        self.port, self.sizes = port, sizes
        self.cuts = 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while True:
            try:
                s, _ = self.server.accept()
            except OSError:
                return
            self.one(s, next(self.sizes))

    def one(self, s, left):
        with s, socket.create_connection(("127.0.0.1", self.port)) as d:
            while left > 0:
                ready, _, _ = select.select([s, d], [], [], PATIENCE)
                if not ready:
                    return
                for r in ready:
                    data = r.recv(65536 if r is s else left)
                    if not data:
                        return
                    (d if r is s else s).sendall(data)
                    left -= len(data) if r is d else 0
            self.cuts += 1
            if self.cuts % 2:  # by a reset as well as by a clean end
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join()


def test_cuts_lose_and_repeat_nothing(client, shared):
    api = shared.client
    line = "x" * 100 + " ü "
    # Frames have up to 64 KiB; a connection that ends within the first makes no progress.
    id = api.submit(job(shared.repo, f"seq -f '{line}%g' 1 9000",
                        "for i in $(seq 9001 9020); do printf \"part \"; sleep 0.02; "
                        "echo \"$i\"; done", "seq 9021 9600"))
    api.wait(id)
    whole = client.lines(api.base, "streamLogs", id)
    sizes = (80000 + (i * 13100) % 90000 for i in range(10000))
    cutter = Cutter(shared.port, sizes)
    try:
        events = client.lines(cutter.url, "streamLogs", id)
    finally:
        cutter.close()
    assert cutter.cuts > 6

    def told(lines):
        return [(e["event"], e["data"], e["id"]) for e in lines
                if e.get("event") in ("message", "step", "note", "end")]

    # A note that lies in no log, and so has no id, may come again.
    ids = [e["id"] for e in events if e.get("event") == "message"]
    assert len(set(ids)) == len(ids)
    assert [t for t in told(events) if t[0] != "note"] == \
        [t for t in told(whole) if t[0] != "note"]
    assert "".join(e.get("text", "") for e in events) == \
        "".join(f"{line}{i}\n" for i in range(1, 9001)) + \
        "".join(f"part {i}\n" for i in range(9001, 9021)) + \
        "".join(f"{i}\n" for i in range(9021, 9601))


def test_a_stream_survives_the_daemons_death(client, daemon, repo):
    id = daemon.client.submit(job(repo, f"seq 1 20; {wait_for('mid')}; seq 21 40; "
                                        f"{wait_for()}; seq 41 60"))
    follow = client.popen(daemon.client.base, "streamLogs", id)
    waiter = client.popen(daemon.client.base, "waitForCompletion", id,
                          {"pollInterval": client.ms(100)})
    text = ""
    while not text.endswith("20\n"):
        text += json.loads(follow.stdout.readline()).get("text", "")
    daemon.kill9()
    daemon.poke(id, "mid")
    daemon.start()
    while not text.endswith("40\n"):
        text += json.loads(follow.stdout.readline()).get("text", "")
    daemon.restart()
    daemon.poke(id)
    out, _ = follow.communicate(timeout=PATIENCE)
    events = [json.loads(l) for l in out.splitlines()]
    assert events[-2]["event"] == "end" and events[-1] == {"result": None}
    text += "".join(e.get("text", "") for e in events)
    assert text == "".join(f"{i}\n" for i in range(1, 61))
    out, _ = waiter.communicate(timeout=PATIENCE)
    assert json.loads(out.splitlines()[-1])["result"]["status"] == "success"


def test_what_is_there_now_without_following(client, daemon, repo):
    id = daemon.client.submit(job(repo, f"seq 1 5; {wait_for()}"))
    daemon.client.wait_output(id, "5")
    url = daemon.client.base
    lines = client.lines(url, "streamLogs", id, {"follow": False})
    assert "".join(e.get("text", "") for e in lines) == "1\n2\n3\n4\n5\n"
    assert lines[-1] == {"result": None} and lines[-2]["event"] != "end"
    last = [e["id"] for e in lines if e.get("event") == "message"][-1]
    daemon.poke(id)
    daemon.client.wait(id)
    lines = client.lines(url, "streamLogs", id, {"lastEventId": last})
    assert "".join(e.get("text", "") for e in lines) == ""
    assert lines[-2]["event"] == "end"
    lines = client.lines(url, "streamLogs", id, {"tail": 2, "step": "step0"})
    assert "".join(e.get("text", "") for e in lines) == "4\n5\n"


def test_python_talks_to_the_unix_socket(daemon):
    driver = Driver("py", [sys.executable, "-B", HERE / "client_driver.py",
                           CLIENTS / "slipway.py"])
    assert driver(f"unix:{daemon.socket}", "listJobs") == []
    error = driver.error("unix:/nowhere/sock", "listJobs")
    assert error["code"] == "unreachable" and "/nowhere/sock" in error["message"]
