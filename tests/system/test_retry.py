"""Retries and their backoff, time limits, always steps, cancelling."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import job, wait_for

ALWAYS = {"name": "tidy", "run": "echo tidied", "when": "always"}


def statuses(status):
    return [s["status"] for s in status["steps"]]


def kill_sandbox(daemon):
    """What an out of memory killer or an administrator may do."""
    found = daemon.processes()
    assert found
    daemon.kill_leftovers_of(found)


# --- always steps

ENDS = {
    "failure": ({"name": "s", "run": "false"}, {}, "failure", "step_failed"),
    "step timeout": ({"name": "s", "run": "sleep 1000", "timeout": 1}, {}, "timeout",
                     "step_timeout"),
    "job timeout": ({"name": "s", "run": "sleep 1000"}, {"timeout": 1}, "timeout",
                    "job_timeout"),
    "success": ({"name": "s", "run": "true"}, {}, "success", None),
}


@pytest.mark.parametrize("end", ENDS)
def test_always_steps_run_whatever_came_before(daemon, api, repo, end):
    first, fields, state, reason = ENDS[end]
    status = api.run(job(repo, first, "echo next", ALWAYS, "echo last",
                         {**ALWAYS, "name": "tidy2"}, **fields), expect=state)
    assert status.get("reason") == reason
    after = "success" if state == "success" else "skipped"
    assert statuses(status) == ["success" if state == "success" else "failure", after,
                                "success", after, "success"]
    assert status["steps"][2]["output"] == status["steps"][4]["output"] == "tidied\n"
    assert daemon.processes() == {}


def test_an_always_step_that_fails_keeps_the_first_reason(api, repo):
    status = api.run(job(repo, {"name": "slow", "run": "sleep 1000", "timeout": 1},
                         {**ALWAYS, "run": "exit 9"}, ALWAYS), expect="timeout")
    assert status["reason"] == "step_timeout"
    assert "slow" in status["error"]
    assert statuses(status) == ["failure", "failure", "success"]


def test_a_failing_always_step_fails_the_job(api, repo):
    status = api.run(job(repo, "true", {**ALWAYS, "run": "exit 9"}), expect="failure")
    assert status["reason"] == "step_failed"


def test_an_always_step_has_its_own_time_limit(api, repo):
    status = api.run(job(repo, "false", {**ALWAYS, "run": "sleep 1000", "timeout": 1},
                         ALWAYS), expect="failure")
    assert statuses(status) == ["failure", "failure", "success"]


# --- time limits

def test_a_step_timeout_of_0_is_the_jobs(slipwayd, repo):
    daemon = slipwayd(options={"defaults.step_timeout": "1s"})
    long = "sleep 1.5; echo done"
    status = daemon.client.run(job(repo, {"name": "s", "run": long, "timeout": 0}))
    assert status["steps"][0]["output"] == "done\n"
    status = daemon.client.run(job(repo, {"name": "s", "run": long}), expect="timeout")
    assert status["reason"] == "step_timeout"
    status = daemon.client.run(job(repo, {"name": "s", "run": "sleep 1000", "timeout": 0},
                                   timeout=1), expect="timeout")
    assert status["reason"] == "job_timeout"


def test_continue_on_error_goes_on_after_a_time_out(api, repo):
    status = api.run(job(repo, {"name": "s", "run": "sleep 1000", "timeout": 1,
                                "continueOnError": True}, "echo on"))
    assert statuses(status) == ["failure", "success"]
    assert status["warnings"] == 1


def test_continue_on_error_does_not_outlive_the_job(api, repo):
    status = api.run(job(repo, {"name": "s", "run": "sleep 1000",
                                "continueOnError": True}, "echo on", timeout=1),
                     expect="timeout")
    assert status["reason"] == "job_timeout"
    assert statuses(status) == ["failure", "skipped"]


def test_the_jobs_time_runs_over_its_steps(api, repo):
    status = api.run(job(repo, *["sleep 0.7"] * 5, timeout=2), expect="timeout")
    assert status["reason"] == "job_timeout"
    assert statuses(status)[0] == "success" and statuses(status)[4] == "skipped"


# --- cancelling

def test_cancel_runs_always_steps_and_waits_for_them(daemon, api, repo):
    id = api.submit(job(repo, "echo up; sleep 1000", "echo next", ALWAYS))
    api.wait_output(id, "up")
    assert api.cancel(id) == {"cancelled": True}
    assert daemon.processes() == {}
    status = api.status(id)
    assert (status["status"], status["reason"]) == ("cancelled", "cancelled")
    assert statuses(status) == ["failure", "skipped", "success"]


def test_a_second_cancel_gets_the_same_answer(daemon, api, repo):
    id = api.submit(job(repo, "echo up; sleep 1000",
                        {**ALWAYS, "run": f"echo tidying; {wait_for()}; echo tidied"}))
    api.wait_output(id, "up")
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(api.cancel, id)
        api.wait_output(id, "tidying")
        more = [pool.submit(api.cancel, id) for _ in range(2)]
        assert not first.done()
        daemon.poke(id)
        assert [f.result() for f in (first, *more)] == [{"cancelled": True}] * 3
    assert daemon.processes() == {}
    status = api.status(id)
    assert status["steps"][1]["output"] == "tidying\ntidied\n"
    assert api.cancel(id)["cancelled"] is False


def test_cancel_ends_an_always_step(daemon, api, repo):
    id = api.submit(job(repo, "false", {**ALWAYS, "run": "echo up; sleep 1000"}, ALWAYS))
    api.wait_output(id, "up")
    assert api.cancel(id) == {"cancelled": True}
    assert daemon.processes() == {}
    status = api.status(id)
    assert status["status"] == "cancelled"
    assert statuses(status) == ["failure", "failure", "success"]


def test_cancel_wins_over_a_retry(slipwayd, repo):
    daemon = slipwayd()
    api = daemon.client
    id = api.submit(job(repo, "echo up; sleep 1000",
                        retry={"on": ["failure", "timeout", "infra"], "limit": 5}))
    api.wait_output(id, "up")
    assert api.cancel(id) == {"cancelled": True}
    status = api.status(id)
    assert (status["status"], status["attempt"]) == ("cancelled", 1)


# --- retries of what was not the job's fault

def test_a_lost_sandbox_is_retried_with_backoff_and_all_attempts_are_shown(slipwayd, repo):
    daemon = slipwayd(options={"queue.backoff": "300ms", "queue.max_retries": 2})
    api = daemon.client
    id = api.submit(job(repo, f'echo "attempt $SLIPWAY_ATTEMPT"; {wait_for()}'))
    for attempt in (1, 2, 3):
        api.wait(id, lambda s: (s["attempt"], s["status"]) == (attempt, "running"))
        api.wait_output(id, f"attempt {attempt}\n", attempt=attempt)
        kill_sandbox(daemon)
    status = api.wait(id, "failure")
    assert status["reason"] == "runner_lost"
    assert status["attempt"] == 3
    attempts = status["attempts"]
    assert [a["number"] for a in attempts] == [1, 2, 3]
    assert [a["reason"] for a in attempts] == ["runner_lost"] * 3
    for i, delay in ((1, 300), (2, 600)):
        assert attempts[i]["startedAt"] - attempts[i - 1]["finishedAt"] >= delay - 1
    for attempt in (1, 2, 3):
        assert f"attempt {attempt}\n" in api.text(id, attempt=attempt)
    assert daemon.processes() == {}


@pytest.mark.parametrize("options, fields", [
    ({}, {"retry": {"on": []}}), ({}, {"retry": {"limit": 0}}),
    ({}, {"retry": {"lost": False}}), ({}, {"environment": "production"}),
    ({"queue.max_retries": 0}, {}), ({"queue.retry_on": "failure"}, {}),
])
def test_retries_can_be_switched_off(slipwayd, repo, options, fields):
    daemon = slipwayd(options={"queue.backoff": "0s", **options})
    api = daemon.client
    id = api.submit(job(repo, f"echo up; {wait_for()}", **fields))
    api.wait_output(id, "up")
    kill_sandbox(daemon)
    status = api.wait(id, "failure")
    assert (status["reason"], status["attempt"]) == ("runner_lost", 1)


def delayed(slipwayd, repo):
    """A daemon, and a job that waits for its second attempt."""
    daemon = slipwayd(options={"queue.backoff": "1h"})
    id = daemon.client.submit(job(repo, f"echo up; {wait_for()}"))
    daemon.client.wait_output(id, "up", attempt=1)
    kill_sandbox(daemon)
    status = daemon.client.wait(id, lambda s: s["status"] == "queued")
    assert status["attempt"] == 2
    assert "next attempt in" in status["waitReason"]
    return daemon, id


def test_a_job_in_backoff_keeps_nobody_waiting_and_can_be_cancelled(slipwayd, repo):
    daemon, id = delayed(slipwayd, repo)
    api = daemon.client
    api.run(job(repo, "true"))
    assert api.cancel(id) == {"cancelled": True}
    status = api.status(id)
    assert status["status"] == "cancelled"
    assert [a["reason"] for a in status["attempts"]][:1] == ["runner_lost"]


@pytest.mark.parametrize("death", ["stop", "kill9"])
def test_a_job_in_backoff_survives_the_daemon(slipwayd, repo, death):
    daemon, id = delayed(slipwayd, repo)
    getattr(daemon, death)()
    daemon.start()
    status = daemon.client.status(id)
    assert (status["status"], status["attempt"]) == ("queued", 2)
    assert "next attempt in" in status["waitReason"]
    assert daemon.client.cancel(id) == {"cancelled": True}


# --- retries of failures, on request

def test_a_failure_is_not_retried_by_itself(api, repo):
    assert api.run(job(repo, "false"), expect="failure")["attempt"] == 1


@pytest.mark.parametrize("script, on, limit, state, attempts", [
    ("false", ["failure"], 2, "failure", 3),
    ('[ "$SLIPWAY_ATTEMPT" = 2 ]', ["failure"], 3, "success", 2),
    ("false", ["timeout"], 3, "failure", 1),
    ("sleep 1000", ["timeout"], 1, "timeout", 2),
    ("sleep 1000", ["failure"], 1, "timeout", 1),
    ("false", ["infra"], 3, "failure", 1),
])
def test_retries_on_request(slipwayd, repo, script, on, limit, state, attempts):
    daemon = slipwayd(options={"queue.backoff": "0s"})
    api = daemon.client
    id = api.submit(job(repo, {"name": "s", "run": script, "timeout": 1},
                        retry={"on": on, "limit": limit}))
    status = api.wait(id)
    assert (status["status"], status["attempt"]) == (state, attempts), status
    assert len(status["attempts"]) == attempts
    assert status["attempts"][-1]["status"] == state


def test_the_configuration_can_ask_for_retries(slipwayd, repo):
    daemon = slipwayd(options={"queue.backoff": "0s", "queue.max_retries": 1,
                               "queue.retry_on": "infra,failure"})
    status = daemon.client.run(job(repo, "false"), expect="failure")
    assert status["attempt"] == 2
    status = daemon.client.run(job(repo, "false", retry={"on": []}), expect="failure")
    assert status["attempt"] == 1


def test_each_attempt_starts_with_a_fresh_workspace(slipwayd, repo):
    daemon = slipwayd(options={"queue.backoff": "0s"})
    status = daemon.client.run(job(
        repo, "ls -A /workspace/home; touch left /workspace/home/left; "
              "echo X=1 >>$SLIPWAY_ENV", 'echo "${X}"; [ "$SLIPWAY_ATTEMPT" = 2 ]',
        retry={"on": ["failure"], "limit": 1}))
    assert status["attempt"] == 2
    assert status["steps"][0]["output"] == ""


def test_a_retry_by_hand_begins_to_count_anew(slipwayd, repo):
    daemon = slipwayd(options={"queue.backoff": "0s"})
    api = daemon.client
    id = api.submit(job(repo, "false", retry={"on": ["failure"], "limit": 1}))
    assert api.wait(id, "failure")["attempt"] == 2
    api.retry(id)
    status = api.wait(id, lambda s: s["status"] == "failure" and s["attempt"] == 4)
    assert len(status["attempts"]) == 4
