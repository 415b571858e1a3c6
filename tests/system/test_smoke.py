"""The life of a job, as a user sees it."""

import json
import signal

import pytest
from harness import TOP, ApiError, job, wait_for


def test_a_job_runs_to_success_and_tells_all_about_it(api, repo):
    status = api.run(job(repo, "echo hello; cat README", "echo err >&2"))
    assert status["attempt"] == 1
    assert status["commit"] == repo.head
    assert status["repo"] == str(repo)
    assert status["startedAt"] <= status["finishedAt"]
    assert status["duration"] == status["finishedAt"] - status["startedAt"]
    assert [s["status"] for s in status["steps"]] == ["success", "success"]
    assert [s["exitCode"] for s in status["steps"]] == [0, 0]
    assert status["steps"][0]["output"] == "hello\nhello\n"
    assert status["steps"][1]["output"] == "err\n"
    assert "reason" not in status


def test_the_first_failing_step_ends_the_job(api, repo):
    status = api.run(job(repo, "exit 7", "echo never"), expect="failure")
    assert status["reason"] == "step_failed"
    assert [s["status"] for s in status["steps"]] == ["failure", "skipped"]
    assert status["steps"][0]["exitCode"] == 7
    assert "exitCode" not in status["steps"][1]


def test_continue_on_error_counts_as_a_warning(api, repo):
    status = api.run(job(repo,
                         {"name": "lint", "run": "exit 3", "continueOnError": True},
                         "echo on"))
    assert status["warnings"] == 1
    assert [s["status"] for s in status["steps"]] == ["failure", "success"]


def test_an_always_step_runs_after_a_failure(api, repo):
    status = api.run(job(repo, "false", "echo never",
                         {"name": "report", "run": "echo report", "when": "always"}),
                     expect="failure")
    assert [s["status"] for s in status["steps"]] == ["failure", "skipped", "success"]
    assert status["steps"][2]["output"] == "report\n"


def test_environment_of_job_and_step(api, repo):
    status = api.run(job(
        repo,
        {"name": "a", "run": 'echo "$A $B $CI $HOME $PWD"; echo "C=3" >>"$SLIPWAY_ENV"',
         "env": {"B": "step $(id)"}},
        {"name": "b", "run": 'echo "$A ${B-unset} $C $SLIPWAY_JOB_ID"'},
        env={"A": "job"}, id="env-1"))
    assert status["steps"][0]["output"] == \
        "job step $(id) true /workspace/home /workspace/repo\n"
    assert status["steps"][1]["output"] == "job unset 3 env-1\n"


def test_a_step_timeout_ends_the_job_as_timeout(api, repo):
    status = api.run(job(repo, {"name": "slow", "run": "sleep 1000", "timeout": 1}),
                     expect="timeout")
    assert status["reason"] == "step_timeout"


def test_the_log_streams_while_the_job_runs(daemon, api, repo):
    id = api.submit(job(repo, f"echo one; {wait_for()}; echo two"))
    stream = api.events(id)
    seen = []
    for event in stream:
        seen.append(event)
        if event.name == "message":
            assert event.data == "one"
            assert api.status(id)["status"] == "running"
            break
    daemon.poke(id)
    seen += stream
    names = [e.name for e in seen]
    assert names[-1] == "end"
    assert seen[-1].json["status"] == "success"
    assert [e.data for e in seen if e.name == "message"] == ["one", "two"]
    steps = [e.json for e in seen if e.name == "step"]
    assert [s["status"] for s in steps] == ["running", "success"]
    assert steps[0]["name"] == "step0" and steps[1]["exitCode"] == 0


def test_a_stream_goes_on_after_the_last_event_id(api, repo):
    id = api.submit(job(repo, "seq 1 300", "seq 301 400"))
    api.wait(id)
    whole = list(api.events(id))
    texts = [e.data for e in whole if e.name == "message"]
    assert "\n".join(texts).split() == [str(i) for i in range(1, 401)]
    for at, event in enumerate(whole[:-1]):
        if event.id is None or event.name != "message":
            continue
        rest = [e.data for e in api.events(id, last_id=event.id) if e.name == "message"]
        assert rest == [e.data for e in whole[at + 1:] if e.name == "message"]


def test_the_log_as_text(api, repo):
    id = api.submit(job(repo, {"name": "greet", "run": "echo hello"},
                        {"name": "part", "run": "printf bye"}))
    api.wait(id)
    text = api.text(id)
    assert "[greet]\nhello\n" in text
    assert "[part]\nbye" in text
    only = api.text(id, step="1")
    assert "bye" in only and "hello" not in only


def test_cancel_of_a_queued_job(slipwayd, repo):
    daemon = slipwayd(options={"queue.max_concurrent": 1})
    api = daemon.client
    first = api.submit(job(repo, wait_for()))
    api.wait(first, lambda s: s.get("phase") == "steps")
    second = api.submit(job(repo, "true"))
    status = api.status(second)
    assert status["status"] == "queued"
    assert status["queuePosition"] == 1
    assert status["waitReason"]
    assert api.cancel(second) == {"cancelled": True}
    assert api.status(second)["status"] == "cancelled"
    daemon.poke(first)
    api.wait(first, "success")


def test_cancel_of_a_running_job_ends_its_processes(daemon, api, repo):
    id = api.submit(job(repo, "echo started; sleep 1000 & wait",
                        {"name": "tidy", "run": "echo tidied", "when": "always"}))
    api.wait_output(id, "started")
    assert daemon.processes()
    assert api.cancel(id) == {"cancelled": True}
    assert daemon.processes() == {}
    status = api.wait(id, "cancelled")
    assert status["reason"] == "cancelled"
    assert status["steps"][1]["output"] == "tidied\n"
    again = api.cancel(id)
    assert again["cancelled"] is False and again["reason"]


def test_cancel_of_an_unknown_job_is_no_error(api):
    answer = api.cancel("nobody")
    assert answer["cancelled"] is False and answer["reason"]


def test_retry_keeps_the_id_and_counts_attempts(api, repo):
    id = api.submit(job(repo, 'echo "attempt $SLIPWAY_ATTEMPT"; [ $SLIPWAY_ATTEMPT = 2 ]'))
    api.wait(id, "failure")
    api.retry(id)
    status = api.wait(id, lambda s: s["attempt"] == 2 and s["status"] == "success")
    assert [a["status"] for a in status["attempts"]] == ["failure", "success"]
    assert status["steps"][0]["output"] == "attempt 2\n"


def test_an_attempt_names_its_sandbox_from_its_start_on(api, repo):
    status = api.run(job(repo, "true"))
    assert status["attempts"][0]["sandboxId"] == f"slipway-{status['id']}-1"
    never = api.run(dict(job(repo, "true"), commit="0" * 40), expect="failure")
    assert "sandboxId" not in never["attempts"][0]


def test_retry_of_a_running_job_is_refused(daemon, api, repo):
    id = api.submit(job(repo, wait_for()))
    api.wait(id, "running")
    with pytest.raises(ApiError) as refused:
        api.retry(id)
    assert refused.value.status == 409
    api.cancel(id)


def test_the_same_id_again(api, repo):
    body = job(repo, "true", id="mine")
    first = api.post("/jobs/submit", body)
    assert first.status_code == 202
    assert first.json()["jobId"] == "mine"
    assert first.headers["Location"].endswith("id=mine")
    again = api.post("/jobs/submit", body)
    assert again.status_code == 200
    assert again.json()["jobId"] == "mine"
    with pytest.raises(ApiError) as other:
        api.submit(job(repo, "false", id="mine"))
    assert other.value.status == 409
    api.wait("mine", "success")


def test_an_invalid_job_is_refused_with_its_field(api, repo):
    for path in ("/jobs/validate", "/jobs/submit"):
        with pytest.raises(ApiError) as refused:
            api.post(path, {**job(repo, "true"), "priority": 11})
        assert refused.value.status == 400
        assert (refused.value.code, refused.value.field) == ("invalid", "priority")
        assert refused.value.body["error"]
    assert api.list() == []


def test_validate_queues_nothing(api, repo):
    answer = api.validate(job(repo, "true"))
    assert answer["valid"] is True
    assert answer["plan"]
    assert api.list() == []


def test_list_is_newest_first_and_can_be_filtered_and_paged(api, repo):
    for i in range(5):
        api.run(job(repo, "true" if i % 2 else "false", id=f"j{i}"),
                expect="success" if i % 2 else "failure")
    assert [j["id"] for j in api.list()] == ["j4", "j3", "j2", "j1", "j0"]
    assert [j["id"] for j in api.list(status="success")] == ["j3", "j1"]
    assert all("output" not in s for j in api.list() for s in j.get("steps", []))
    r = api.get("/jobs", limit=2)
    ids = [j["id"] for j in r.json()]
    while "next" in r.links:
        url = r.links["next"]["url"]
        r = api.get(url[len(api.base):] if url.startswith(api.base) else url)
        ids += [j["id"] for j in r.json()]
    assert ids == ["j4", "j3", "j2", "j1", "j0"]


def test_small_pages_and_errors(api):
    assert api.get("/health").json()["service"] == "slipway"
    assert api.get("/health/ready").status_code == 200
    assert api.get("/").text.startswith("slipway ")
    assert "<html" in api.get("/dashboard").text
    for method, path, status, code in [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/jobs/status", 400, "invalid"),
        ("GET", "/jobs/status?id=nobody", 404, "not_found"),
        ("GET", "/jobs/logs?id=nobody", 404, "not_found"),
        ("DELETE", "/jobs", 405, "method_not_allowed"),
    ]:
        r = api.request(method, path)
        assert (r.status_code, r.json()["code"]) == (status, code), path
    assert "GET" in api.request("DELETE", "/jobs").headers["Allow"]


def test_a_web_page_cannot_submit(api, repo):
    body = json.dumps(job(repo, "true"))
    ok = api.post_raw("/jobs/validate", body)
    assert ok.status_code == 200
    assert api.post_raw("/jobs/submit", body, Content_Type="text/plain").status_code == 415
    assert api.post_raw("/jobs/submit", body, Host="evil.example").status_code == 403
    assert api.post_raw("/jobs/submit", body,
                        Origin="http://evil.example").status_code == 403
    assert api.list() == []


def test_a_running_job_survives_kill_9_with_its_whole_log(daemon, api, repo):
    id = api.submit(job(repo, "for i in $(seq 1 60); do echo $i; "
                              "while [ $i = 20 ] && [ ! -e go ]; do sleep 0.02; done; "
                              "done"))
    seen = api.wait_output(id, "20\n")
    daemon.kill9()
    daemon.start()
    assert api.status(id)["status"] == "running"
    daemon.poke(id)
    rest = list(api.events(id, last_id=seen[-1].id))
    lines = "\n".join(e.data for e in seen + rest if e.name == "message").split()
    assert lines == [str(i) for i in range(1, 61)]
    status = api.wait(id, "success")
    assert status["attempt"] == 1
    assert status["steps"][0]["exitCode"] == 0


def test_a_queued_job_survives_a_restart(slipwayd, repo):
    daemon = slipwayd(options={"queue.max_concurrent": 1})
    api = daemon.client
    first = api.submit(job(repo, wait_for()))
    api.wait(first, lambda s: s.get("phase") == "steps")
    second = api.submit(job(repo, "true"))
    daemon.restart()
    assert api.status(first)["status"] == "running"
    assert api.status(second)["status"] == "queued"
    daemon.poke(first)
    api.wait(second, "success")
    assert api.status(first)["status"] == "success"


def test_sigint_cancels_running_jobs(daemon, api, repo):
    id = api.submit(job(repo, "sleep 1000"))
    api.wait(id, lambda s: s.get("phase") == "steps")
    daemon.stop(signal.SIGINT)
    assert daemon.leftovers(wait=5) == {}
    daemon.start()
    assert api.status(id)["status"] == "cancelled"


def test_a_missing_commit_is_a_failed_clone(api, repo):
    status = api.run(job(repo, "true", commit="nowhere"), expect="failure")
    assert status["reason"] == "clone_failed"
    assert "nowhere" in status["error"]


def test_the_client_follows_a_job_and_ends_like_it(daemon, repo, workplace):
    path = workplace / "job.json"
    path.write_text(json.dumps(job(repo, "echo from the job")))
    done = daemon.cli("submit", "--follow", path)
    assert done.returncode == 0, done
    assert "from the job" in done.stdout
    failed = daemon.cli("submit", "--wait", "-", input=json.dumps(job(repo, "exit 9")))
    assert failed.returncode == 1, failed
    invalid = daemon.cli("validate", "-", input="{}")
    assert invalid.returncode == 65, invalid
    assert daemon.cli("status", "nobody").returncode == 66
    assert daemon.cli("frobnicate").returncode == 64
    listed = daemon.cli("--json", "list")
    assert [j["status"] for j in json.loads(listed.stdout)] == ["failure", "success"]
    daemon.stop()
    assert daemon.cli("health").returncode == 69


@pytest.mark.parametrize("path", sorted((TOP / "contrib/examples").glob("*.json")),
                         ids=lambda p: p.stem)
def test_the_examples_are_valid(api, repo, path):
    body = json.loads(path.read_text())
    if body["repo"] == ".":
        body["repo"] = str(repo)
    assert api.validate(body)["valid"] is True


def test_the_first_example_does_what_it_says(api, repo):
    body = json.loads((TOP / "contrib/examples/hello.json").read_text())
    status = api.run({**body, "repo": str(repo)})
    assert [s["status"] for s in status["steps"]] == \
        ["success", "success", "failure", "success", "success"]
    assert status["warnings"] == 1
    assert status["commit"] == repo.head
    assert "found 1 files" in status["steps"][3]["output"]
