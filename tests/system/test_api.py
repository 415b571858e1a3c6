"""The description of the API against what the daemon answers; pause, drain, /admin."""

import json
import re
import time

import pytest
from harness import PATIENCE, ApiError, job, sse, raw_lines, wait_for
from jsonschema import Draft202012Validator

NOBODY = {"labels": ["nobody"]}


# --- the description


@pytest.fixture(scope="module")
def doc(shared):
    return shared.client.get("/openapi.json").json()


def resolve(doc, ref):
    node = doc
    assert ref.startswith("#/"), ref
    for part in ref[2:].split("/"):
        node = node[part]
    return node


def closed(node):
    """The same schemas, where no object may have a field that is not described."""
    if isinstance(node, list):
        return [closed(n) for n in node]
    if not isinstance(node, dict):
        return node
    out = {k: closed(v) for k, v in node.items()}
    if out.get("type") == "object" and "properties" in out:
        out.setdefault("additionalProperties", False)
    return out


def validator(doc, schema):
    return Draft202012Validator({**closed(schema), "components": closed(doc["components"])})


def operations(doc):
    for path, item in doc["paths"].items():
        for method, op in item.items():
            yield path, method, op


def check(doc, method, path, response):
    """Is this answer as described?"""
    answers = doc["paths"][path][method]["responses"]
    described = answers.get(str(response.status_code), answers["default"])
    if "$ref" in described:
        described = resolve(doc, described["$ref"])
    type = response.headers.get("Content-Type", "").partition(";")[0]
    content = described.get("content", {})
    if not content:
        assert response.content == b""
        return
    assert type in content, (path, response.status_code, type)
    if type == "application/json":
        errors = list(validator(doc, content[type]["schema"]).iter_errors(response.json()))
        assert not errors, (method, path, errors)


def test_the_document_is_well_formed(shared, doc):
    assert doc["openapi"] == "3.1.0"
    assert doc["info"]["title"] == "slipway"
    assert re.fullmatch(r"\d+\.\d+\S*", doc["info"]["version"])
    assert doc["servers"] == [{"url": shared.client.base}]
    for name, schema in doc["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert schema["description"], name
    names = [op["operationId"] for _, _, op in operations(doc)]
    assert len(set(names)) == len(names) > 15
    for path, method, op in operations(doc):
        assert path.startswith("/") and method in ("get", "post", "put", "delete")
        assert op["summary"] and "default" in op["responses"]
        assert op["security"] in ([], [{"token": ["read"]}], [{"token": ["submit"]}],
                                  [{"token": ["admin"]}])
        in_path = re.findall(r"{(\w+)}", path)
        for p in op.get("parameters", []):
            assert p["name"] and p["description"]
            assert p["in"] == ("path" if p["name"] in in_path else "query")
            Draft202012Validator.check_schema(p["schema"])
        for status, answer in op["responses"].items():
            assert status == "default" or 200 <= int(status) < 600
            answer = resolve(doc, answer["$ref"]) if "$ref" in answer else answer
            assert answer["description"]


def test_every_schema_is_there_and_used(doc):
    text = json.dumps(doc)
    refs = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert refs == set(doc["components"]["schemas"])


FORM = "application/x-www-form-urlencoded"


def body_of(op):
    """An empty body of the type that this takes."""
    content = op.get("requestBody", {}).get("content", {})
    if FORM in content:
        return {"data": "", "headers": {"Content-Type": FORM}}
    return {"json": {}} if content else {}


def test_every_parameter_is_taken_and_no_other(shared, doc):
    """A parameter of the description is never "unknown", an invented one always is."""
    for path, method, op in operations(doc):
        place = path.replace("{rest}", "one")
        body = body_of(op)
        if path == "/dashboard/jobs/{rest}" and method == "post":
            body["headers"]["Origin"] = shared.client.base
        for p in op.get("parameters", []):
            if p["in"] == "path":
                continue
            r = shared.client.request(method.upper(), place, params={p["name"]: "@"}, **body)
            assert "unknown" not in r.text, (path, p["name"])
        r = shared.client.request(method.upper(), place, params={"inventory": "1"}, **body)
        assert (r.status_code, r.json().get("field")) == (400, "inventory"), path


def limits(schema):
    """Values just inside and just outside of a schema's bounds."""
    kind = schema.get("type")
    if kind == "integer":
        if "maximum" in schema:
            yield schema["maximum"], True
            yield schema["maximum"] + 1, False
        yield schema["minimum"], True
        yield schema["minimum"] - 1, False
    elif kind == "string" and "maxLength" in schema:
        yield "x" * schema["maxLength"], True
        yield "x" * (schema["maxLength"] + 1), False
    if "enum" in schema:
        for word in schema["enum"]:
            yield word, True
        yield schema["enum"][0] + "x", False


def test_limits_of_parameters_are_as_described(shared, doc):
    shared.client.post("/jobs/submit", job(shared.repo, "echo hello", id="one"))
    shared.client.wait("one")
    seen = 0
    for path, method, op in operations(doc):
        for p in op.get("parameters", []):
            schema = p["schema"]
            schema = resolve(doc, schema["$ref"]) if "$ref" in schema else schema
            if p["name"] in ("id", "attempt", "offset", "step") or p["in"] == "path":
                continue  # these depend on the job
            for value, good in limits(schema):
                params = {p["name"]: value}
                if path.startswith("/jobs/"):
                    params["id"] = "one"
                if p["name"] == "timestamps":
                    params["format"] = "text"
                r = shared.client.request(method.upper(), path.replace("{rest}", "one"),
                                          params=params, **body_of(op))
                seen += 1
                if good:
                    assert r.ok, (path, params, r.text)
                else:
                    assert (r.status_code, r.json()["field"]) == (400, p["name"]), \
                        (path, params, r.text)
    assert seen > 20


def test_answers_are_as_described(slipwayd, repo):
    daemon = slipwayd()
    api = daemon.client
    doc = api.get("/openapi.json").json()
    spec = job(repo, {"name": "one", "run": "echo hello", "env": {"A": "b"}},
               {"name": "two", "run": "exit 3", "continueOnError": True, "shell": "bash"},
               {"name": "three", "run": "echo last", "when": "always", "timeout": 5},
               id="full", branch="main", priority=7, timeout=60, env={"X": "y"},
               retry={"on": ["failure"], "limit": 0}, resources={"cpus": 1, "pids": 500})
    calls = [
        ("get", "/", {}, None), ("get", "/health", {}, None),
        ("get", "/health/ready", {}, None), ("get", "/health/stream", {}, None),
        ("get", "/openapi.json", {}, None), ("get", "/dashboard/changes", {}, None),
        ("post", "/jobs/validate", {}, spec), ("post", "/jobs/validate", {}, {}),
        ("post", "/jobs/submit", {}, spec), ("post", "/jobs/submit", {}, spec),
        ("post", "/jobs/submit", {}, {**spec, "commit": "other"}),
        ("post", "/jobs/submit", {}, {**spec, "steps": [{"name": "x", "ran": "y"}]}),
        ("get", "/jobs/status", {"id": "full"}, None),
        ("get", "/jobs/logs", {"id": "full"}, None),
        ("get", "/jobs/logs", {"id": "full", "format": "text"}, None),
        ("get", "/jobs/logs", {"id": "nobody"}, None), ("get", "/jobs/logs", {}, None),
        ("get", "/jobs/status", {"id": "full"}, None),
        ("get", "/jobs/status", {"id": "nobody"}, None),
        ("get", "/jobs/status", {}, None),
        ("post", "/jobs/retry", {}, {"jobId": "full"}),
        ("post", "/jobs/retry", {}, {"jobId": "nobody"}),
        ("post", "/jobs/submit", {}, job(repo, "true", id="waits", **NOBODY)),
        ("post", "/jobs/retry", {}, {"jobId": "waits"}),
        ("get", "/jobs/status", {"id": "waits"}, None),
        ("get", "/jobs", {}, None), ("get", "/jobs", {"limit": "0"}, None),
        ("post", "/jobs/cancel", {}, {"jobId": "waits"}),
        ("post", "/jobs/cancel", {}, {"jobId": "waits"}), ("post", "/jobs/cancel", {}, {}),
        ("get", "/jobs/status", {"id": "waits"}, None),
        ("post", "/worker", {}, {}), ("post", "/worker", {}, {"x": 1}),
        ("get", "/admin/status", {}, None),
        ("post", "/admin/pause", {}, {"reason": "why not"}),
        ("get", "/health", {}, None), ("get", "/admin/status", {}, None),
        ("post", "/admin/drain", {}, {}), ("get", "/health", {}, None),
        ("post", "/jobs/submit", {}, job(repo, "true")),
        ("post", "/admin/resume", {}, {}), ("post", "/admin/resume", {}, {"reason": "x"}),
        ("post", "/admin/reload", {}, {}),
        ("post", "/admin/maintenance", {}, {}),
        ("post", "/admin/maintenance", {"dryRun": 1}, {}),
        ("get", "/dashboard", {}, None), ("get", "/dashboard", {"status": "x"}, None),
        ("get", "/jobs/lines", {"id": "full"}, None),
        ("get", "/jobs/lines", {"id": "full", "find": "hello"}, None),
        ("get", "/jobs/lines", {"id": "full", "find": "nowhere"}, None),
        ("get", "/jobs/lines", {"id": "nobody"}, None),
        ("get", "/jobs/lines", {"id": "full", "tail": 1, "from": 1}, None),
        ("get", "/dashboard/changes", {"id": "full"}, None),
        ("get", "/dashboard/changes", {"id": "nobody"}, None),
        ("post", "/admin/tokens", {}, {"name": "new", "scopes": ["read"], "expires": "1d"}),
        ("post", "/admin/tokens", {}, {"name": "new", "scopes": ["read"]}),
        ("post", "/admin/tokens", {}, {"name": "old", "scopes": ["admin", "read"]}),
        ("post", "/admin/tokens", {}, {"name": "x"}), ("get", "/admin/tokens", {}, None),
        ("post", "/admin/tokens/revoke", {}, {"name": "nobody"}),
        ("post", "/admin/tokens/revoke", {}, {"name": "old"}),
        ("get", "/admin/audit", {}, None), ("get", "/admin/audit", {"limit": 1001}, None),
        ("get", "/login", {}, None), ("get", "/login", {"error": "1", "next": "/jobs"}, None),
    ]
    seen = set()
    for method, path, params, body in calls:
        if (method, path) == ("get", "/jobs/logs") and params.get("id") == "full":
            api.wait("full")
        r = api.request(method.upper(), path, params=params, json=body)
        check(doc, method, path, r)
        seen.add((method, path))
    own = {"Origin": api.base}
    token = api.post("/admin/tokens", {"name": "me", "scopes": ["read"]}).json()["token"]
    ui = re.search(r'src="ui/([^"]+)"', api.get("/login").text)[1]
    places = [
        ("get", "/dashboard/jobs/", "full", None, {}),
        ("get", "/dashboard/jobs/", "nobody", None, {}),
        ("post", "/dashboard/jobs/", "full/cancel", {}, own),
        ("post", "/dashboard/jobs/", "full/cancel", {}, {}),
        ("post", "/dashboard/jobs/", "nobody/retry", {}, own),
        ("get", "/ui/", ui, None, {}), ("get", "/ui/", "0/nothing", None, {}),
        ("post", "/login", "", {"token": "wrong"}, own),
        ("post", "/login", "", {"token": token, "next": "/jobs"}, own),
        ("post", "/logout", "", {}, own),
    ]
    for method, path, rest, form, headers in places:
        r = api.request(method.upper(), path + rest, data=form, headers=headers,
                        allow_redirects=False)
        path += "{rest}" if rest else ""
        check(doc, method, path, r)
        seen.add((method, path))
    assert seen == {(m, p) for p, m, _ in operations(doc)}, "each route has an example"
    r = api.request("GET", "/", headers={"Accept": "text/html"}, allow_redirects=False)
    check(doc, "get", "/", r)
    etag = api.get("/jobs/status", id="full").headers["ETag"]
    r = api.request("GET", "/jobs/status?id=full", headers={"If-None-Match": etag})
    assert r.status_code == 304
    check(doc, "get", "/jobs/status", r)


def test_jobs_that_the_daemon_takes_are_as_described(shared, doc):
    """Full and minimal jobs; what it refuses is not."""
    v = validator(doc, {"$ref": "#/components/schemas/JobSpec"})
    good = [job(shared.repo, "true"),
            job(shared.repo, "true", retry={"on": []}, depth=0, submodules=False,
                cacheKeys=["a.lock"], labels=["x"], runner="local", environment="prod",
                resources={"memory": "512MiB", "gpus": 0}),
            job(shared.repo, "true", resources={"memory": 1 << 20}, image="debian")]
    for spec in good:
        assert shared.client.validate(spec)["valid"]
        assert not list(v.iter_errors(spec)), spec
    for change in ({"x": 1}, {"steps": []}, {"priority": 11}, {"network": "some"},
                   {"retry": {"limit": 11}}, {"commit": 5}, {"id": ""}, {"depth": 2}):
        spec = {**job(shared.repo, "true"), **change}
        with pytest.raises(ApiError):
            shared.client.validate(spec)
        assert list(v.iter_errors(spec)), spec


# --- streams that tell about proxies


def test_the_health_stream_comes_one_by_one(shared):
    at, data = [], []
    r = shared.client.request("GET", "/health/stream", stream=True)
    assert r.headers["Content-Type"].startswith("text/event-stream")
    assert r.headers["X-Accel-Buffering"] == "no"
    for e in sse(raw_lines(r)):
        at.append(time.monotonic())
        data.append(e.json)
        assert e.name == "beat"
    assert [d["number"] for d in data] == [1, 2, 3]
    assert at[-1] - at[0] > data[0]["every"] / 1000


# --- pause, drain, resume


def test_a_paused_queue_accepts_and_starts_nothing(slipwayd, repo):
    daemon = slipwayd()
    api = daemon.client
    runs = api.submit(job(repo, f"echo on; {wait_for()}"))
    api.wait_output(runs, "on")
    state = api.post("/admin/pause", {"reason": "the disk is swapped"}).json()
    assert state["state"] == "paused" and state["reason"] == "the disk is swapped"
    waits = api.submit(job(repo, "echo later"))
    api.post("/worker", {})
    status = api.status(waits)
    assert status["status"] == "queued" and "etaMs" not in status
    assert re.fullmatch(r"paused by api \(.*\): the disk is swapped", status["waitReason"])
    health = api.get("/health")
    assert health.json()["status"] == "paused"
    assert "the disk is swapped" in health.json()["reason"]
    assert api.get("/health/ready").ok
    daemon.poke(runs)
    api.wait(runs, "success")
    assert api.status(waits)["status"] == "queued", "also with every slot free"
    assert api.post("/admin/resume", {}).json()["state"] == "open"
    api.wait(waits, "success")
    assert api.get("/health").json()["status"] == "ok"


def test_a_drained_queue_refuses_and_starts_nothing(slipwayd, repo):
    daemon = slipwayd(options={"queue.max_concurrent": 1})
    api = daemon.client
    done = api.run(job(repo, "true"))["id"]
    spec = job(repo, f"echo on; {wait_for()}", id="runs")
    runs = api.submit(spec)
    waits = api.submit(job(repo, "true"))
    api.wait_output(runs, "on")
    assert api.post("/admin/drain", {}).json()["state"] == "draining"
    with pytest.raises(ApiError) as e:
        api.submit(job(repo, "true"))
    assert (e.value.status, e.value.code) == (503, "draining")
    with pytest.raises(ApiError) as e:
        api.retry(done)
    assert (e.value.status, e.value.code) == (503, "draining")
    assert api.submit(spec) == runs, "what was accepted stays so"
    assert api.validate(job(repo, "true"))["valid"]
    health = api.request("GET", "/health/ready")
    assert (health.status_code, health.json()["status"]) == (503, "draining")
    daemon.poke(runs)
    api.wait(runs, "success")
    assert "draining" in api.status(waits)["waitReason"]
    api.post("/admin/resume", {})
    api.wait(waits, "success")


@pytest.mark.parametrize("verb, state", [("pause", "paused"), ("drain", "draining")])
@pytest.mark.parametrize("end", ["stop", "kill9"])
def test_a_hold_survives_restarts(slipwayd, repo, verb, state, end):
    daemon = slipwayd()
    api = daemon.client
    waits = api.submit(job(repo, "true", **NOBODY)) if verb == "drain" else None
    before = api.post(f"/admin/{verb}", {"reason": "upgrade"}).json()
    if verb == "pause":
        waits = api.submit(job(repo, "true"))
    getattr(daemon, end)()
    daemon.start()
    after = daemon.client.get("/admin/status").json()
    for key in ("state", "by", "reason", "since"):
        assert after[key] == before[key]
    assert after["state"] == state
    assert daemon.client.status(waits)["status"] == "queued"
    health = daemon.client.request("GET", "/health")
    assert health.status_code == (200 if verb == "pause" else 503)
    assert "upgrade" in health.json()["reason"]
    daemon.client.post("/admin/resume", {})
    if verb == "pause":
        daemon.client.wait(waits, "success")
    daemon.restart()
    assert daemon.client.get("/admin/status").json()["state"] == "open"


def test_the_last_word_counts(daemon):
    api = daemon.client
    for verb, state in (("pause", "paused"), ("drain", "draining"), ("pause", "paused"),
                        ("resume", "open"), ("resume", "open"), ("drain", "draining")):
        assert api.post(f"/admin/{verb}", {}).json()["state"] == state
        assert api.get("/admin/status").json()["state"] == state
    api.post("/admin/resume", {})


@pytest.mark.parametrize("body, field", [
    ({"reason": "x" * 201}, "reason"), ({"reason": 5}, "reason"), ({"reason": None}, "reason"),
    ({"reason": "two\nlines"}, "reason"), ({"why": "x"}, "why"), ([], None), ("x", None),
])
def test_a_bad_reason_is_refused(shared, body, field):
    for verb in ("pause", "drain"):
        r = shared.client.request("POST", f"/admin/{verb}", json=body)
        assert (r.status_code, r.json().get("field")) == (400, field)
    assert shared.client.get("/admin/status").json()["state"] == "open"


def test_the_longest_reason_is_told_whole(daemon):
    reason = "ü" * 100
    daemon.client.post("/admin/pause", {"reason": reason})
    assert reason in daemon.client.get("/health").json()["reason"]
    daemon.client.post("/admin/resume", {})


def test_a_body_may_be_left_out(shared):
    r = shared.client.post_raw("/admin/resume", b"")
    assert (r.status_code, r.json()["state"]) == (200, "open")


def test_changes_must_be_json_and_of_this_site(shared):
    for path in ("/admin/pause", "/admin/drain", "/admin/resume", "/admin/reload",
                 "/admin/maintenance", "/worker"):
        assert shared.client.post_raw(path, b"{}", Content_Type="text/plain") \
            .status_code == 415
        assert shared.client.post_raw(path, b"{}", Origin="http://evil.example") \
            .status_code == 403
    assert shared.client.get("/admin/status").json()["state"] == "open"


# --- maintenance, reload


def test_maintenance_tells_what_it_deletes(slipwayd, repo):
    daemon = slipwayd(config="retention:\n  jobs: 7d\n")
    api = daemon.client
    old = [api.run(job(repo, "true"))["id"] for _ in range(3)]
    waits = api.submit(job(repo, "true", **NOBODY))
    nothing = api.post("/admin/maintenance", {}).json()
    assert nothing == {"dryRun": False, "jobs": {"deleted": 0, "ids": []}}
    daemon.stop()
    # Not by a reload, which would begin by itself.
    daemon.config = "retention:\n  jobs: 0\n  keep: 1\n"
    daemon.start()
    api = daemon.client
    dry = api.post("/admin/maintenance?dryRun=1", {}).json()
    assert dry == {"dryRun": True, "jobs": {"deleted": 3, "ids": old}} or \
        dry == {"dryRun": True, "jobs": {"deleted": 2, "ids": old[:2]}}
    assert {j["id"] for j in api.list()} == {*old, waits}
    done = api.post("/admin/maintenance", {}).json()
    assert done["jobs"] == dry["jobs"] and not done["dryRun"]
    assert {j["id"] for j in api.list()} == {waits, *old} - set(done["jobs"]["ids"])
    again = api.post("/admin/maintenance", {}).json()
    assert again["jobs"]["deleted"] == 0


def test_many_ask_for_maintenance_at_once(daemon):
    from harness import at_once
    answers = at_once(20, lambda i: daemon.client.request(
        "POST", "/admin/maintenance", json={}).status_code)
    assert set(answers) <= {200, 503} and answers.count(200) >= 16


def test_more_jobs_than_are_named_are_deleted(slipwayd):
    daemon = slipwayd(config="retention:\n  jobs: 7d\n")
    for i in range(130):
        daemon.client.submit(job("/srv/x.git", "true", id=f"j{i:03}", **NOBODY))
        daemon.client.cancel(f"j{i:03}")
    daemon.stop()
    daemon.config = "retention:\n  jobs: 0\n  keep: 0\n"
    daemon.start()
    jobs = daemon.client.post("/admin/maintenance", {}).json()["jobs"]
    assert jobs == {"deleted": 130, "ids": [f"j{i:03}" for i in range(100)]}
    assert daemon.client.list() == []


def test_a_reload_takes_the_new_configuration_or_tells_why_not(slipwayd):
    daemon = slipwayd(config="queue:\n  max_depth: 5\n")
    api, file = daemon.client, daemon.dir / "slipway.yaml"
    file.write_text("queue:\n  max_depth: 1\nhttp:\n  max_connections: 99\n")
    assert api.post("/admin/reload", {}).json() == {
        "reloaded": True, "restartNeeded": ["http.max_connections"]}
    api.submit(job("/srv/x.git", "true", **NOBODY))
    with pytest.raises(ApiError) as e:
        api.submit(job("/srv/x.git", "true", **NOBODY))
    assert e.value.code == "queue_full"
    file.write_text("queue:\n  max_dept: 1\n")
    daemon.allow_log("not reloaded")
    with pytest.raises(ApiError) as e:
        api.post("/admin/reload", {})
    assert (e.value.status, e.value.code) == (409, "conflict")
    assert "max_dept" in e.value.body["error"]


def test_a_reload_is_over_when_it_is_answered(slipwayd):
    daemon = slipwayd(config="queue:\n  max_depth: 5\n")
    for _ in range(5):
        assert daemon.client.post("/admin/reload", {}).json()["reloaded"]
    from harness import at_once
    answers = at_once(10, lambda i: daemon.client.request("POST", "/admin/reload", json={}))
    assert {r.status_code for r in answers} <= {200, 409}
    assert any(r.ok for r in answers)
    for r in answers:
        assert r.ok or r.json()["error"] == "another reload is under way"
    assert daemon.client.post("/admin/reload", {}).json()["reloaded"]


# --- how long it will take


def test_a_queued_job_tells_when_it_will_start_about(slipwayd, repo):
    daemon = slipwayd(options={"queue.max_concurrent": 1})
    api = daemon.client
    first = api.submit(job(repo, wait_for()))
    second = api.submit(job(repo, "true"))
    assert "etaMs" not in api.status(second), "nothing is known yet"
    api.wait(first, lambda s: s["status"] == "running")
    api.wait(first, lambda s: s.get("phase") == "steps")
    daemon.poke(first)
    api.wait(second)
    took = [api.status(id)["duration"] for id in (first, second)]
    blocks = api.submit(job(repo, wait_for()))
    queued = [api.submit(job(repo, "true")) for _ in range(3)]
    never = api.submit(job(repo, "true", **NOBODY))
    api.wait(blocks, lambda s: s.get("phase") == "steps")
    mean = sum(took) // 2
    for place, id in enumerate(queued, 1):
        assert api.status(id)["etaMs"] == mean * place
    assert "etaMs" not in api.status(never)
    assert "etaMs" not in api.status(blocks)
    daemon.restart()
    assert daemon.client.status(queued[0])["etaMs"] == mean, "the store knows"
    daemon.poke(blocks)
    for id in queued:
        daemon.client.wait(id)
