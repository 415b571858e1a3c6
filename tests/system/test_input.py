"""Submissions: what is refused, by which field, at which limit, and that nothing of it
is queued; what the queue takes, and in which order it gives."""

import json

import pytest
from harness import ApiError, at_once, job, wait_for

MIB = 1 << 20
JOB = {"repo": "https://git.example.org/a/b.git", "commit": "main"}
STEP = {"name": "s", "run": "true"}


def text(change=None, step=None):
    """A job as JSON, with a change to it or to its only step; "..." removes a field."""
    body = {**JOB, "steps": [{**STEP, **(step or {})}], **(change or {})}
    body["steps"] = [
        {k: v for k, v in s.items() if v is not ...} if isinstance(s, dict) else s
        for s in body["steps"]] if isinstance(body["steps"], list) else body["steps"]
    return json.dumps({k: v for k, v in body.items() if v is not ...}).encode()


def refuse(api, body, field, status=400, code="invalid"):
    """Both doors refuse it alike, and nothing is in the queue after."""
    answers = []
    for path in ("/jobs/validate", "/jobs/submit"):
        r = api.post_raw(path, body)
        assert r.status_code == status, r.text
        assert r.headers["Content-Type"].startswith("application/json")
        answer = r.json()
        assert answer["code"] == code
        assert answer["error"].strip()
        assert answer.get("field") == field, answer
        answers.append(answer)
    assert answers[0] == answers[1]
    assert api.list() == []
    return answers[0]["error"]


def accept(api, body):
    r = api.post_raw("/jobs/validate", body)
    assert r.status_code == 200, r.text
    return r.json()["plan"]


LONG_ENV = {f"V{i:03}": "" for i in range(513)}
BIG_ENV = {f"B{i}": "x" * 32768 for i in range(9)}

BAD_JOB = [
    # identity and source
    ({"id": ""}, "id"), ({"id": 7}, "id"), ({"id": "../up"}, "id"),
    ({"id": "a/../b"}, "id"), ({"id": "a..b"}, "id"), ({"id": "a/b"}, "id"),
    ({"id": ".hidden"}, "id"), ({"id": "a b"}, "id"), ({"id": "a\nb"}, "id"),
    ({"id": "ä"}, "id"), ({"id": "x" * 129}, "id"),
    ({"repo": ...}, "repo"), ({"repo": ""}, "repo"), ({"repo": None}, "repo"),
    ({"repo": ["x"]}, "repo"), ({"repo": "ftp://example.org/x"}, "repo"),
    ({"repo": "ext::sh -c id"}, "repo"), ({"repo": "--upload-pack=id"}, "repo"),
    ({"repo": "https://git.example.org"}, "repo"), ({"repo": "relative/path"}, "repo"),
    ({"repo": "https://user:secret@git.example.org/x"}, "repo"),
    ({"repo": "ssh://-oProxyCommand=id/x"}, "repo"),
    ({"repo": "/srv/../etc"}, "repo"), ({"repo": "https://git.example.org/\u0001"}, "repo"),
    ({"repo": "https://git.example.org/" + "x" * 1024}, "repo"),
    ({"commit": ...}, "commit"), ({"commit": ""}, "commit"), ({"commit": 5}, "commit"),
    ({"commit": "-x"}, "commit"), ({"commit": "a..b"}, "commit"),
    ({"commit": "a b"}, "commit"), ({"commit": "HEAD~1"}, "commit"),
    ({"commit": "x" * 256}, "commit"), ({"branch": "../x"}, "branch"),
    ({"branch": None}, "branch"), ({"branch": "x.lock"}, "branch"),
    # steps
    ({"steps": ...}, "steps"), ({"steps": {}}, "steps"), ({"steps": []}, "steps"),
    ({"steps": [STEP] * 201}, "steps"), ({"steps": [1]}, "steps[0]"),
    ({"steps": [STEP, None]}, "steps[1]"),
    ({"steps": [STEP, STEP, {**STEP, "run": 1}]}, "steps[2].run"),
    # environment
    ({"env": []}, "env"), ({"env": {"A=B": "x"}}, "env.A=B"), ({"env": {"": "x"}}, "env."),
    ({"env": {"1A": "x"}}, "env.1A"), ({"env": {"A B": "x"}}, "env.A B"),
    ({"env": {"SLIPWAY_JOB_ID": "x"}}, "env.SLIPWAY_JOB_ID"),
    ({"env": {"SLIPWAY_": "x"}}, "env.SLIPWAY_"), ({"env": {"A": 1}}, "env.A"),
    ({"env": {"A": None}}, "env.A"), ({"env": {"A": "x" * 32769}}, "env.A"),
    ({"env": {"A" * 129: "x"}}, "env." + "A" * 129), ({"env": LONG_ENV}, "env"),
    ({"env": BIG_ENV}, "env.B7"),
    # numbers
    ({"priority": -1}, "priority"), ({"priority": 11}, "priority"),
    ({"priority": 5.5}, "priority"), ({"priority": "5"}, "priority"),
    ({"priority": True}, "priority"), ({"timeout": -1}, "timeout"),
    ({"timeout": 0.5}, "timeout"), ({"timeout": "60"}, "timeout"),
    ({"timeout": 21601}, "timeout"), ({"timeout": 1 << 64}, "timeout"),
    ({"depth": 2}, "depth"), ({"depth": -1}, "depth"), ({"submodules": 1}, "submodules"),
    # where it runs
    ({"image": ""}, "image"), ({"image": "-v"}, "image"), ({"image": "a b"}, "image"),
    ({"runner": "a b"}, "runner"), ({"runner": "x" * 64}, "runner"),
    ({"labels": "gpu"}, "labels"), ({"labels": [1]}, "labels[0]"),
    ({"labels": ["ok", "no way"]}, "labels[1]"), ({"labels": ["l"] * 17}, "labels"),
    ({"labels": ["l" * 129]}, "labels[0]"), ({"environment": "a;b"}, "environment"),
    ({"network": "all"}, "network"), ({"network": True}, "network"),
    ({"resources": []}, "resources"), ({"resources": {"cpu": 1}}, "resources.cpu"),
    ({"resources": {"cpus": 0}}, "resources.cpus"),
    ({"resources": {"cpus": "2"}}, "resources.cpus"),
    ({"resources": {"cpus": 1025}}, "resources.cpus"),
    ({"resources": {"memory": "5 apples"}}, "resources.memory"),
    ({"resources": {"memory": MIB - 1}}, "resources.memory"),
    ({"resources": {"memory": -1}}, "resources.memory"),
    ({"resources": {"pids": 0}}, "resources.pids"),
    ({"resources": {"gpus": 65}}, "resources.gpus"),
    # retry, caches, secrets
    ({"retry": []}, "retry"), ({"retry": {"times": 3}}, "retry.times"),
    ({"retry": {"on": ["success"]}}, "retry.on[0]"),
    ({"retry": {"on": ["failure", "failure"]}}, "retry.on[1]"),
    ({"retry": {"limit": 11}}, "retry.limit"), ({"retry": {"limit": -1}}, "retry.limit"),
    ({"retry": {"lost": "no"}}, "retry.lost"),
    ({"cacheKeys": {}}, "cacheKeys"), ({"cacheKeys": ["../x"]}, "cacheKeys[0]"),
    ({"cacheKeys": ["ok", "/etc/passwd"]}, "cacheKeys[1]"),
    ({"cacheKeys": ["k"] * 33}, "cacheKeys"),
    ({"secrets": "TOKEN"}, "secrets"), ({"secrets": ["../TOKEN"]}, "secrets[0]"),
    ({"secrets": {"A": {}}}, "secrets.A.name"),
    ({"secrets": {"A": {"name": "T", "fiel": True}}}, "secrets.A.fiel"),
    ({"secrets": {"A": {"name": "T", "file": 1}}}, "secrets.A.file"),
    ({"secrets": ["T", "T"]}, "secrets"),
    ({"secrets": ["T"], "env": {"T": "x"}}, "secrets.T"),
    ({"secrets": ["T"]}, "secrets"),  # none are configured here
    # what is no field, or none yet
    ({"prio": 5}, "prio"), ({"": 1}, ""), ({"Repo": "x"}, "Repo"),
    ({"artifacts": []}, "artifacts"), ({"cache": {}}, "cache"),
    ({"snapshot": "end"}, "snapshot"), ({"services": {}}, "services"),
    ({"matrix": {}}, "matrix"), ({"needs": []}, "needs"),
]

BAD_STEP = [
    ({"name": ...}, "name"), ({"name": ""}, "name"), ({"name": 1}, "name"),
    ({"name": "a\nb"}, "name"), ({"name": "\u001b[2J"}, "name"),
    ({"name": "n" * 129}, "name"), ({"run": ...}, "run"), ({"run": ""}, "run"),
    ({"run": ["true"]}, "run"), ({"run": "x" * 65537}, "run"),
    ({"workingDir": "../../etc"}, "workingDir"), ({"workingDir": "/etc"}, "workingDir"),
    ({"workingDir": "/workspace/../etc"}, "workingDir"),
    ({"workingDir": "/workspaces"}, "workingDir"), ({"workingDir": ""}, "workingDir"),
    ({"workingDir": "x" * 1025}, "workingDir"),
    ({"env": {"A=B": "x"}}, "env.A=B"), ({"env": {"SLIPWAY_ENV": "x"}}, "env.SLIPWAY_ENV"),
    ({"continueOnError": "yes"}, "continueOnError"), ({"continueOnError": 1}, "continueOnError"),
    ({"timeout": -1}, "timeout"), ({"timeout": 2592001}, "timeout"),
    ({"timeout": 1.5}, "timeout"), ({"when": "never"}, "when"), ({"when": True}, "when"),
    ({"shell": "-c"}, "shell"), ({"shell": "bin/sh"}, "shell"), ({"shell": "a b"}, "shell"),
    ({"secrets": {"A B": "T"}}, "secrets.A B"), ({"comand": "x"}, "comand"),
    ({"image": "x"}, "image"), ({"cache": {}}, "cache"),
]


def named(table):
    return [pytest.param(c, f, id=json.dumps(c, default=lambda _: "absent")[:60])
            for c, f in table]


@pytest.mark.parametrize("change, field", named(BAD_JOB))
def test_a_job_with_a_bad_field_is_refused(shared, change, field):
    refuse(shared.client, text(change), field or None)


@pytest.mark.parametrize("change, field", named(BAD_STEP))
def test_a_step_with_a_bad_field_is_refused(shared, change, field):
    refuse(shared.client, text(step=change), f"steps[0].{field}")


@pytest.mark.parametrize("change, step", [
    ({"id": "x" * 128}, {}), ({"id": "A.b_c-9"}, {}), ({"priority": 0}, {}),
    ({"priority": 10}, {}), ({"timeout": 21600}, {}), ({"timeout": 1}, {}),
    ({"steps": [STEP] * 200}, {}), ({"commit": "x" * 255}, {}),
    ({"env": {"A" * 128: "x" * 32768}}, {}),
    ({"env": dict(list(LONG_ENV.items())[:512])}, {}),
    ({"env": {"A": "", "_": "ä\n=", "slipway_": "x"}}, {}),
    ({"labels": [f"l{i}" for i in range(16)]}, {}), ({"labels": ["l", "l"]}, {}),
    ({"cacheKeys": ["**/package-lock.json"] * 32}, {}), ({"depth": 0}, {}),
    ({"resources": {"cpus": 0.5, "memory": "512MiB", "pids": 1000000, "gpus": 64}}, {}),
    ({"resources": {"memory": MIB}}, {}), ({"retry": {"on": [], "limit": 10}}, {}),
    ({"repo": "git@git.example.org:a/b.git"}, {}),
    ({"repo": "ssh://git@git.example.org:2222/a/b.git"}, {}),
    ({}, {"name": "n" * 128}), ({}, {"name": "日本語"}), ({}, {"run": "x" * 65536}),
    ({}, {"timeout": 0}), ({}, {"timeout": 2592000}), ({}, {"workingDir": ".."}),
    ({}, {"workingDir": "/workspace/home"}), ({}, {"shell": "/bin/bash"}),
    ({}, {"when": "on_success"}), ({}, {"env": {}}),
], ids=lambda v: json.dumps(v)[:60])
def test_at_the_limit_it_is_accepted(shared, change, step):
    accept(shared.client, text(change, step))


def test_what_is_accepted_at_the_limits_runs(api, repo):
    """Also through what comes after the parser: the store, the plan, execve."""
    env = {f"V{i:03}": str(i) for i in range(511)}
    steps = [{"name": f"{i:0128}", "run": f"echo {i}"} for i in range(198)]
    long = "true" + " " * (65536 - 4 - len("; echo end")) + "; echo end"
    steps += [{"name": "long", "run": long},
              {"name": "env", "run": 'echo "${#BIG} $V510 $SLIPWAY_JOB_ID"',
               "env": {"Z" * 128: ""}}]
    id = "i" * 128
    status = api.run(job(repo, *steps, id=id, env={**env, "BIG": "x" * 32768}))
    assert [s["output"] for s in status["steps"]] == \
        [f"{i}\n" for i in range(198)] + ["end\n", f"32768 510 {id}\n"]


def with_raw(key, value):
    """The job with a member that no JSON writer would write."""
    return text()[:-1] + b', "' + key + b'": ' + value + b"}"


def nested(depth):
    """Arrays in an unknown field: depth counts the job's object, too."""
    return with_raw(b"x", b"[" * (depth - 1) + b"]" * (depth - 1))


@pytest.mark.parametrize("body, field", [
    (b"", None), (b" ", None), (b"{", None), (b"[]", None), (b"null", None), (b"1", None),
    (b'"x"', None), (b"\xff\xfe", None), (b"\xef\xbb\xbf{}", None), (b"{}x", None),
    (b"{}{}", None), (b"[" * 5000, ...), (b'{"a":' * 5000, ...),
    (with_raw(b"env", b'{"A": NaN}'), "env.A"),
    (with_raw(b"timeout", b"NaN"), "timeout"),
    (with_raw(b"timeout", b"Infinity"), "timeout"),
    (with_raw(b"timeout", b"-Infinity"), "timeout"),
    (with_raw(b"timeout", b"0x10"), ...), (with_raw(b"timeout", b"+5"), "timeout"),
    (with_raw(b"timeout", b"007"), ...), (with_raw(b"timeout", b"5."), "timeout"),
    (with_raw(b"timeout", b"1e400"), "timeout"), (with_raw(b"timeout", b"TRUE"), "timeout"),
    (with_raw(b"branch", b"'x'"), "branch"), (with_raw(b"branch", b'"\xff"'), "branch"),
    (with_raw(b"branch", b'"\xc0\x80"'), "branch"),
    (with_raw(b"branch", b'"\xed\xa0\x80"'), "branch"),
    (with_raw(b"branch", b'"\\ud800"'), "branch"),
    (with_raw(b"branch", b'"\\udc00\\ud800"'), "branch"),
    (with_raw(b"branch", b'"a\\u0000b"'), "branch"), (with_raw(b"branch", b'"a\0b"'), "branch"),
    (with_raw(b"branch", b'"a\nb"'), "branch"), (with_raw(b"branch", b'"\\x41"'), "branch"),
    (with_raw(b"env", b'{"A\\u0000B": "x"}'), ...), (with_raw(b"a\xff", b"1"), ...),
    (with_raw(b"repo", b'"/x"'), "repo"),
    (with_raw(b"env", b'{"A": "1", "A": "2"}'), "env.A"),
    (with_raw(b"env", b'{"A": "1", "\\u0041": "2"}'), "env.A"),
    (with_raw(b"x", b"1 /* why */"), ...), (with_raw(b"x", b"[1,]"), ...),
    (text()[:-1] + b",}", ...), (nested(32), "x"), (nested(33), ...),
])
def test_a_body_that_is_not_strict_json_is_refused(shared, body, field):
    api = shared.client
    for path in ("/jobs/validate", "/jobs/submit"):
        r = api.post_raw(path, body)
        assert (r.status_code, r.json()["code"]) == (400, "invalid"), r.text
        assert r.json()["error"].strip()
        if field is not ...:
            assert r.json().get("field") == field, r.text
    assert api.list() == []


def test_nesting_is_counted_to_32(shared):
    assert "unknown field" in refuse(shared.client, nested(32), "x")
    error = shared.client.post_raw("/jobs/submit", nested(33)).json()["error"]
    assert "nested too deep" in error


def test_a_body_of_one_mebibyte_is_judged_and_one_byte_more_is_too_large(shared):
    body = text()
    padded = body + b" " * (MIB - len(body))
    accept(shared.client, padded)
    assert refuse(shared.client, padded + b" ", None, 413, "too_large")


def test_the_whole_error_is_bounded(shared):
    """A hostile name is told, but not at length."""
    r = shared.client.post_raw("/jobs/submit", text({"x" * 500000: 1}))
    assert r.status_code == 400
    assert r.json()["field"].startswith("xxx")
    assert len(r.content) < 2048


@pytest.mark.parametrize("repo", [
    "http://127.0.0.1/x", "http://[::1]/x", "http://169.254.169.254/x", "http://10.0.0.1/x",
    "git@192.168.0.1:x", "ssh://git@[fd00::1]/x", "http://2130706433/x", "http://0x7f.1/x",
    "http://localhost/x",
])
def test_private_addresses_are_denied(shared, repo):
    refuse(shared.client, text({"repo": repo}), "repo", 403, "denied")


def test_local_repositories_only_where_they_are_allowed(slipwayd, workplace, repo):
    api = slipwayd(options={"git.local_roots": workplace / "elsewhere"}).client
    refuse(api, text({"repo": str(repo)}), "repo", 403, "denied")
    refuse(api, text({"repo": f"file://{repo}"}), "repo", 403, "denied")
    accept(api, text({"repo": str(workplace / "elsewhere" / "x")}))


def test_hosts_are_allowed_by_the_list(slipwayd):
    api = slipwayd(options={"git.allow_hosts": "*.example.org"}).client
    accept(api, text({"repo": "https://git.example.org/x"}))
    refuse(api, text({"repo": "https://example.com/x"}), "repo", 403, "denied")
    refuse(api, text({"repo": "https://git.example.org.evil.com/x"}), "repo", 403, "denied")


def test_validate_shows_the_plan_and_warnings(shared):
    plan = accept(shared.client, text(
        {"env": {"KEY": "value-of-it"}, "timeout": 60, "labels": ["b", "a"], "id": "mine"},
        {"timeout": 100, "workingDir": "../home/x/..", "when": "always"}))
    assert plan["id"] == "mine"
    assert plan["timeout"] == 60
    assert plan["priority"] == 5
    assert plan["network"] == "isolated"
    assert plan["needs"]["labels"] == ["a", "b"]
    assert plan["env"] == ["KEY"] and "value-of-it" not in json.dumps(plan)
    step = plan["steps"][0]
    assert step["timeout"] == 60, "a step lives no longer than its job"
    assert step["workingDir"] == "/workspace/home"
    assert (step["shell"], step["when"]) == ("sh", "always")
    assert any('"main"' in w for w in plan["warnings"])
    exact = accept(shared.client, text({"commit": "0" * 40}))
    assert exact["warnings"] == []
    assert exact["steps"][0]["timeout"] == 300
    assert exact["timeout"] == 3600
    unset = accept(shared.client, text({"timeout": 0}))
    assert unset["timeout"] == 3600, "0 is the server's default"


@pytest.mark.parametrize("path", ["/jobs/cancel", "/jobs/retry"])
@pytest.mark.parametrize("body, field", [
    (b"", "jobId"), (b"[]", None), (b"{}", "jobId"), (b'{"jobId": 1}', "jobId"),
    (b'{"jobId": ""}', "jobId"), (b'{"jobId": "x", "jobId": "x"}', "jobId"),
    (b'{"jobId": "x", "force": true}', "force"), (b'{"id": "x"}', "id"),
    (b'{"jobId": "x\\u0000"}', "jobId"), (b'{"jobId": NaN}', "jobId"),
])
def test_a_verb_with_a_bad_body_is_refused(shared, path, body, field):
    r = shared.client.post_raw(path, body)
    assert r.status_code == 400, r.text
    assert r.json()["code"] == "invalid"
    assert r.json().get("field") == field


@pytest.mark.parametrize("id", ["../../etc/passwd", "x" * 129, "nobody", "a b"])
def test_verbs_on_jobs_that_are_not_there(shared, id):
    api = shared.client
    answer = api.cancel(id)
    assert answer["cancelled"] is False and answer["reason"]
    with pytest.raises(ApiError) as refused:
        api.retry(id)
    assert (refused.value.status, refused.value.field) == (404, "jobId")
    for path in ("/jobs/status", "/jobs/logs"):
        r = api.request("GET", path, params={"id": id})
        assert (r.status_code, r.json()["code"], r.json()["field"]) == \
            (404, "not_found", "id")


# --- the queue


def blocked(slipwayd, repo, **options):
    """A daemon with one slot, which a job holds until it is poked."""
    daemon = slipwayd(options={"queue.max_concurrent": 1, **options})
    first = daemon.client.submit(job(repo, wait_for(), id="first"))
    daemon.client.wait(first, lambda s: s.get("phase") == "steps")
    return daemon, daemon.client


def start_order(api, ids):
    for id in ids:
        api.wait(id, "success")
    return sorted(ids, key=lambda id: api.status(id)["startedAt"])


def test_the_same_submission_again_is_the_same_job(slipwayd, repo):
    daemon, api = blocked(slipwayd, repo)
    body = job(repo, "true", id="mine", env={"A": "1", "B": "2"})
    first = api.post("/jobs/submit", body)
    assert first.status_code == 202
    reordered = {**dict(reversed(body.items())), "env": {"B": "2", "A": "1"}}
    again = api.post("/jobs/submit", reordered)
    assert again.status_code == 200
    assert again.json() == first.json()
    with pytest.raises(ApiError) as other:
        api.submit({**body, "env": {"A": "1"}})
    assert (other.value.status, other.value.code) == (409, "conflict")
    assert other.value.field == "id"
    daemon.poke("first")
    api.wait("mine", "success")
    assert api.post("/jobs/submit", body).status_code == 200, "also when it is over"
    assert api.status("mine")["attempt"] == 1


def test_concurrent_identical_submissions_make_one_job(slipwayd, repo):
    daemon, api = blocked(slipwayd, repo)
    body = job(repo, "true", id="one")
    answers = at_once(20, lambda i: api.request("POST", "/jobs/submit", json=body))
    assert sorted(r.status_code for r in answers) == [200] * 19 + [202]
    assert {r.json()["jobId"] for r in answers} == {"one"}
    assert sorted(j["id"] for j in api.list()) == ["first", "one"]
    daemon.poke("first")
    assert api.wait("one", "success")["attempt"] == 1


def test_of_concurrent_different_bodies_with_one_id_one_wins(slipwayd, repo):
    daemon, api = blocked(slipwayd, repo)
    answers = at_once(10, lambda i: api.request(
        "POST", "/jobs/submit", json=job(repo, f"echo {i}", id="one")))
    assert sorted(r.status_code for r in answers) == [202] + [409] * 9
    winner = next(i for i, r in enumerate(answers) if r.status_code == 202)
    daemon.poke("first")
    assert api.wait("one", "success")["steps"][0]["output"] == f"{winner}\n"


def test_a_full_queue_refuses_and_a_drained_one_accepts(slipwayd, repo):
    daemon, api = blocked(slipwayd, repo, **{"queue.max_depth": 3})
    for i in range(3):
        assert api.post("/jobs/submit", job(repo, "true", id=f"q{i}")).status_code == 202
    r = api.request("POST", "/jobs/submit", json=job(repo, "true", id="late"))
    assert (r.status_code, r.json()["code"]) == (503, "queue_full")
    assert "queue.max_depth" in r.json()["error"]
    assert api.request("GET", "/jobs/status?id=late").status_code == 404
    again = api.request("POST", "/jobs/submit", json=job(repo, "true", id="q0"))
    assert again.status_code == 200, "what is queued already takes no new place"
    assert api.cancel("q1") == {"cancelled": True}
    api.submit(job(repo, "true", id="late"))
    daemon.poke("first")
    for id in ("q0", "q2", "late"):
        api.wait(id, "success")
    api.run(job(repo, "true", id="later"))


def test_a_full_queue_is_full_for_those_who_come_together_too(slipwayd, repo):
    daemon, api = blocked(slipwayd, repo, **{"queue.max_depth": 5})
    answers = at_once(30, lambda i: api.request(
        "POST", "/jobs/submit", json=job(repo, "true", labels=["nobody"])).status_code)
    assert sorted(answers) == [202] * 5 + [503] * 25
    daemon.poke("first")
    api.wait("first", "success")


def test_a_queue_full_of_bytes_refuses(slipwayd, repo):
    daemon, api = blocked(slipwayd, repo, **{"queue.max_bytes": "1MiB"})
    big = job(repo, *["x" * 65000 + "; true"] * 10)
    api.submit({**big, "id": "fits"})
    r = api.request("POST", "/jobs/submit", json={**big, "id": "late"})
    assert (r.status_code, r.json()["code"]) == (503, "queue_full")
    assert "queue.max_bytes" in r.json()["error"]
    api.cancel("fits")
    assert api.post("/jobs/submit", {**big, "id": "late"}).status_code == 202
    api.cancel("late")
    daemon.poke("first")


def test_priority_goes_first_and_within_a_level_who_came_first(slipwayd, repo):
    daemon, api = blocked(slipwayd, repo)
    for id, priority in [("a5", 5), ("b0", 0), ("c10", 10), ("d5", 5), ("e9", 9),
                         ("f10", 10), ("g0", 0), ("h", None)]:
        api.submit(job(repo, "true", id=id, priority=priority))
    expected = ["c10", "f10", "e9", "a5", "d5", "h", "b0", "g0"]
    positions = {id: api.status(id)["queuePosition"] for id in expected}
    assert sorted(positions, key=positions.get) == expected
    assert sorted(positions.values()) == list(range(1, 9))
    assert api.status("b0")["waitReason"] == "6 jobs ahead"
    assert api.status("c10")["waitReason"] == "all 1 slots are busy"
    daemon.poke("first")
    assert start_order(api, expected) == expected


def test_the_position_in_the_queue_moves_up(slipwayd, repo):
    daemon, api = blocked(slipwayd, repo)
    answers = [api.post("/jobs/submit", job(repo, "true", id=f"q{i}")).json()
               for i in range(4)]
    assert [a["queuePosition"] for a in answers] == [1, 2, 3, 4]
    api.cancel("q1")
    assert [api.status(f"q{i}")["queuePosition"] for i in (0, 2, 3)] == [1, 2, 3]
    assert "queuePosition" not in api.status("q1")
    daemon.poke("first")
    assert "queuePosition" not in api.wait("q3", "success")


def test_waiting_counts_as_priority(slipwayd, repo):
    """With a boost of 1 s per level, priority 0 overtakes a 1 that comes a second later,
    yet not one that comes at once."""
    daemon, api = blocked(slipwayd, repo, **{"queue.boost": "1s"})
    api.submit(job(repo, "true", id="old0", priority=0))
    api.submit(job(repo, "true", id="soon1", priority=1))
    # Time itself is what is tested here: the server's own timer tells when it is up.
    for _ in range(2):
        assert api.status("first", wait=1)["status"] == "running"
    api.submit(job(repo, "true", id="late1", priority=1))
    daemon.poke("first")
    order = ["soon1", "old0", "late1"]
    assert start_order(api, order) == order


@pytest.mark.parametrize("needs, reason", [
    ({"labels": ["gpu", "elsewhere"]}, "label"), ({"runner": "elsewhere"}, "elsewhere"),
    ({"image": "alpine:3"}, "no runner provides images"),
    ({"resources": {"gpus": 1}}, "GPU"),
])
def test_a_job_nobody_can_run_waits_with_its_reason_and_blocks_nobody(
        slipwayd, repo, needs, reason):
    api = slipwayd().client
    stuck = api.submit(job(repo, "true", priority=10, **needs))
    api.run(job(repo, "true", priority=0))
    status = api.status(stuck)
    assert status["status"] == "queued"
    assert reason.lower() in status["waitReason"].lower()
    assert status["queuePosition"] >= 1
    assert api.cancel(stuck) == {"cancelled": True}


def test_labels_of_a_runner_are_served(slipwayd, repo):
    api = slipwayd(config="runners:\n  - name: here\n    labels: [fast, linux]\n").client
    assert api.run(job(repo, "true", labels=["linux", "fast"]))["runner"] == "here"
    assert api.run(job(repo, "true", runner="here"))["runner"] == "here"
    stuck = api.submit(job(repo, "true", labels=["linux", "slow"]))
    assert "slow" in api.status(stuck)["waitReason"]


@pytest.mark.parametrize("options, at_once_n", [
    ({"queue.max_concurrent": 2, "runners.local.capacity": 4}, 2),
    ({"queue.max_concurrent": 10, "runners.local.capacity": 2}, 2),
    ({"queue.max_concurrent": 3, "runners.local.capacity": 3}, 3),
])
def test_no_more_run_at_once_than_there_are_slots(slipwayd, repo, options, at_once_n):
    daemon = slipwayd(options=options)
    api = daemon.client
    assert api.get("/health").json()["slots"] == at_once_n
    ids = [api.submit(job(repo, wait_for(), id=f"j{i}")) for i in range(at_once_n + 2)]
    for id in ids[:at_once_n]:
        api.wait(id, lambda s: s.get("phase") == "steps")
    assert len(api.list(status="running")) == at_once_n
    assert "busy" in api.status(ids[at_once_n])["waitReason"]
    for i, id in enumerate(ids):
        api.wait(id, lambda s: s.get("phase") == "steps")
        assert len(api.list(status="running")) <= at_once_n
        daemon.poke(id)
        api.wait(id, "success")
