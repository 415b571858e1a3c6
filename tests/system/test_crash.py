"""kill -9 of the daemon at any moment: nothing accepted is lost, nothing runs twice,
no line of a log is missing or doubled, nothing is left behind."""

import json
import os
import random
import signal
import threading
import time

import pytest
import requests
from harness import FINAL, LONG, PATIENCE, job, wait_for

ROUNDS = 200 if LONG else 20
LINES = 40


class Load:
    """Clients that submit and cancel while the daemon dies and comes back. What they
    were promised (202, cancelled:true) is what is checked in the end."""

    def __init__(self, daemon, repo, seed):
        self.daemon, self.repo = daemon, repo
        self.random = random.Random(seed)
        self.accepted, self.cancelled = [], set()
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.number = 0

    def job(self):
        self.number += 1
        marker = f"/workspace/home/ran-{self.number}"
        # The marker shows a second run inside one attempt: workspaces are per attempt.
        return job(self.repo,
                   {"name": "count", "run":
                    f"[ ! -e {marker} ] || echo TWICE; touch {marker}; "
                    f"for i in $(seq {LINES}); do echo line-$i; done"},
                   {"name": "end", "run": "echo the-end"}, id=f"crash-{self.number}")

    def submit(self):
        j = self.job()
        try:
            r = requests.post(self.daemon.client.base + "/jobs/submit", json=j, timeout=10)
        except requests.RequestException:
            return
        assert r.status_code in (200, 202, 503), r.text
        if r.status_code != 503:
            with self.lock:
                self.accepted.append(j["id"])

    def cancel(self):
        with self.lock:
            if not self.accepted:
                return
            id = self.random.choice(self.accepted[-8:])
        try:
            r = requests.post(self.daemon.client.base + "/jobs/cancel",
                              json={"jobId": id}, timeout=10)
        except requests.RequestException:
            return
        if r.json().get("cancelled"):
            with self.lock:
                self.cancelled.add(id)

    def run(self):
        while not self.stop.is_set():
            self.cancel() if self.random.random() < 0.15 else self.submit()
            self.stop.wait(self.random.random() * 0.02)


def lines_of(api, id, attempt):
    return [l for e in api.events(id, attempt=attempt) if e.name == "message"
            for l in e.data.split("\n")]


def check_log(api, status):
    """The whole log, exactly once."""
    lines = lines_of(api, status["id"], status["attempt"])
    assert "TWICE" not in lines, (status, lines)
    if status["status"] == "success":
        assert lines == [f"line-{i}" for i in range(1, LINES + 1)] + ["the-end"], \
            (status, lines)
    else:
        whole = [f"line-{i}" for i in range(1, LINES + 1)] + ["the-end"]
        assert lines == whole[:len(lines)], (status, lines)


def test_kill9_under_load(slipwayd, repo):
    seed = int(os.environ.get("SLIPWAY_SEED", random.randrange(1 << 30)))
    print(f"SLIPWAY_SEED={seed}")
    chance = random.Random(seed)
    daemon = slipwayd(options={"queue.max_concurrent": 4, "runners.local.capacity": 4,
                               "queue.backoff": "1s", "limits.grace": "1s"})
    load = Load(daemon, repo, seed)
    thread = threading.Thread(target=load.run)
    thread.start()
    try:
        for _ in range(ROUNDS):
            # A random moment is the point here, not a wait for something.
            time.sleep(chance.random() * 0.6)
            daemon.kill9()
            daemon.start()
    finally:
        load.stop.set()
        thread.join()
    api = daemon.client
    assert len(load.accepted) >= ROUNDS / 2
    for id in load.accepted:
        status = api.wait(id, timeout=PATIENCE * 3)
        if id in load.cancelled:
            assert status["status"] == "cancelled", status
        else:
            assert status["status"] in ("success", "cancelled"), status
        check_log(api, status)
    everything = {j["id"] for s in FINAL for j in pages(api, s)}
    assert set(load.accepted) <= everything


def pages(api, status):
    cursor, seen = None, []
    while True:
        r = api.get("/jobs", status=status, limit=200, **({"cursor": cursor} if cursor else {}))
        seen += r.json()
        link = r.links.get("next")
        if not link:
            return seen
        cursor = link["url"].split("cursor=")[1].split("&")[0]


def test_a_running_job_goes_on_while_the_daemon_is_dead(daemon, repo):
    api = daemon.client
    id = api.submit(job(repo, f"for i in $(seq 20); do echo $i; done; {wait_for('mid')}; "
                              f"for i in $(seq 21 40); do echo $i; done; {wait_for()}; "
                              f"for i in $(seq 41 60); do echo $i; done"))
    seen = api.wait_output(id, "20\n")
    last = [e for e in seen if e.id][-1].id
    daemon.kill9()
    daemon.poke(id, "mid")
    spool = daemon.job_dir(id) / "spool"
    deadline = time.monotonic() + PATIENCE
    while b"\n40\n" not in spool.read_bytes():
        assert time.monotonic() < deadline
    daemon.start()
    daemon.poke(id)
    status = api.wait(id, "success")
    assert status["attempt"] == 1
    rest = "\n".join(e.data for e in api.events(id, last_id=last) if e.name == "message")
    assert rest.split() == [str(i) for i in range(21, 61)]
    whole = "\n".join(e.data for e in api.events(id) if e.name == "message")
    assert whole.split() == [str(i) for i in range(1, 61)]


def test_a_job_that_ended_while_the_daemon_was_dead_is_collected(daemon, repo):
    api = daemon.client
    id = api.submit(job(repo, f"echo before; {wait_for()}; echo after; exit 3"))
    api.wait_output(id, "before")
    daemon.kill9()
    daemon.poke(id)
    assert not daemon.leftovers(wait=PATIENCE)
    daemon.start()
    status = api.wait(id, "failure")
    assert status["attempt"] == 1
    assert status["reason"] == "step_failed"
    assert status["steps"][0]["exitCode"] == 3
    assert status["steps"][0]["output"] == "before\nafter\n"


def test_a_reboot_ends_running_jobs_as_lost(slipwayd, repo):
    daemon = slipwayd(env={"SLIPWAY_TEST_BOOT_ID": "boot-one"},
                      options={"queue.backoff": "1s", "runners.local.capacity": 4})
    api = daemon.client
    once = job(repo, f"echo begun; {wait_for()}")
    again = api.submit(once)
    never = api.submit(dict(once, retry={"lost": False}))
    deploy = api.submit(dict(once, environment="production"))
    queued = api.submit(job(repo, "true", labels=["elsewhere"]))
    for id in (again, never, deploy):
        api.wait_output(id, "begun")
    daemon.kill9()
    daemon.kill_leftovers()
    daemon.env["SLIPWAY_TEST_BOOT_ID"] = "boot-two"
    daemon.start()
    for id in (never, deploy):
        status = api.wait(id, "failure")
        assert status["reason"] == "runner_lost"
        assert status["attempt"] == 1
    assert api.status(queued)["status"] == "queued"
    api.wait(again, lambda s: s["attempt"] == 2 and s.get("phase") == "steps")
    daemon.poke(again, attempt=2)
    status = api.wait(again, "success")
    assert [a["status"] for a in status["attempts"]] == ["failure", "success"]
    assert status["attempts"][0]["reason"] == "runner_lost"


def test_another_boot_id_is_enough_to_be_lost(slipwayd, repo):
    """A pid of the old boot may belong to anybody now: it must not be signalled."""
    daemon = slipwayd(env={"SLIPWAY_TEST_BOOT_ID": "boot-one"})
    api = daemon.client
    id = api.submit(job(repo, f"echo begun; {wait_for()}", retry={"on": []}))
    api.wait_output(id, "begun")
    daemon.kill9()
    survivors = [p for p, c in daemon.processes().items() if "slipway-init" in c]
    assert survivors
    daemon.env["SLIPWAY_TEST_BOOT_ID"] = "boot-two"
    daemon.start()
    assert api.wait(id, "failure")["reason"] == "runner_lost"
    assert set(survivors) <= set(daemon.processes()), "nobody of another boot is touched"
    daemon.kill_leftovers_of(survivors)


@pytest.mark.parametrize("moment", ["at once", "after the answer was begun"])
def test_a_cancel_followed_by_kill9_stays_a_cancel(daemon, repo, moment):
    api = daemon.client
    id = api.submit(job(repo, f"trap '' TERM; echo begun; {wait_for()}"))
    api.wait_output(id, "begun")
    s = requests.Session()
    asked = threading.Event()

    def ask():
        asked.set()
        try:
            s.post(api.base + "/jobs/cancel", json={"jobId": id}, timeout=30)
        except requests.RequestException:
            pass

    t = threading.Thread(target=ask)
    t.start()
    asked.wait()
    if moment != "at once":
        deadline = time.monotonic() + PATIENCE
        while "cancel" not in daemon.log() and time.monotonic() < deadline \
                and api.status(id)["status"] == "running":
            break
    daemon.kill9()
    t.join()
    daemon.start()
    # The request may not have arrived before the death: then it is asked again.
    api.cancel(id)
    status = api.wait(id, "cancelled")
    assert status["attempt"] == 1


def test_sigterm_leaves_jobs_running(daemon, repo):
    api = daemon.client
    id = api.submit(job(repo, f"echo begun; {wait_for()}; echo done"))
    api.wait_output(id, "begun")
    daemon.stop(signal.SIGTERM)
    assert daemon.processes()
    daemon.start()
    daemon.poke(id)
    status = api.wait(id, "success")
    assert status["attempt"] == 1
    assert status["steps"][0]["output"] == "begun\ndone\n"


def test_sigint_of_a_development_daemon_cancels(daemon, repo):
    api = daemon.client
    id = api.submit(job(repo, f"echo begun; {wait_for()}",
                        {"name": "tidy", "run": "echo tidied", "when": "always"}))
    api.wait_output(id, "begun")
    daemon.stop(signal.SIGINT)
    assert not daemon.leftovers(wait=5)
    daemon.start()
    status = api.status(id)
    assert status["status"] == "cancelled"
    assert status["steps"][1]["output"] == "tidied\n"


def test_sighup_with_a_broken_file_keeps_the_old_configuration(slipwayd, repo):
    daemon = slipwayd(config="queue:\n  max_concurrent: 3\n")
    daemon.allow_log("not reloaded")
    (daemon.dir / "slipway.yaml").write_text("queue:\n  max_concurent: 4\n")
    daemon.signal(signal.SIGHUP)
    deadline = time.monotonic() + PATIENCE
    while "not reloaded" not in daemon.log():
        assert time.monotonic() < deadline, daemon.log()
    assert "slipway.yaml:2:3" in daemon.log()
    assert "max_concurent" in daemon.log()
    daemon.client.run(job(repo, "true"))


def test_sighup_applies_a_new_configuration(slipwayd, repo):
    daemon = slipwayd(config="queue:\n  max_concurrent: 1\n")
    api = daemon.client
    first = api.submit(job(repo, f"echo begun; {wait_for()}"))
    api.wait_output(first, "begun")
    second = api.submit(job(repo, f"echo begun; {wait_for()}"))
    assert api.status(second)["status"] == "queued"
    (daemon.dir / "slipway.yaml").write_text("queue:\n  max_concurrent: 2\n")
    daemon.signal(signal.SIGHUP)
    api.wait_output(second, "begun")
    for id in (first, second):
        daemon.poke(id)
        api.wait(id, "success")


def test_sighup_matches_the_whole_queue_with_the_new_runners(slipwayd, repo):
    """More jobs than are looked at in one turn, of two kinds."""
    runner = "runners:\n  - {name: here, type: local, capacity: 10, labels: [%s]}\n"
    daemon = slipwayd(config=runner % "old")
    api = daemon.client
    late = [api.submit(job(repo, "true", labels=["late"])) for _ in range(300)]
    old = api.submit(job(repo, f"echo begun; {wait_for()}", labels=["old"]))
    api.wait_output(old, "begun")
    assert api.status(late[0])["waitReason"] == "no runner has label late"
    (daemon.dir / "slipway.yaml").write_text(runner % "late")
    daemon.signal(signal.SIGHUP)
    for id in late:
        api.wait(id, "success")
    daemon.poke(old)
    api.wait(old, "success")
    again = api.submit(job(repo, "true", labels=["old"]))
    assert api.status(again)["waitReason"] == "no runner has label old"


def test_sighup_adds_and_removes_runners(slipwayd, repo):
    one = "runners:\n  - {name: one, type: local, labels: [a]}\n"
    two = "runners:\n  - {name: two, type: local, labels: [b]}\n"
    daemon = slipwayd(config=one)
    api = daemon.client
    waits = api.submit(job(repo, "true", labels=["b"]))
    runs = api.submit(job(repo, f"echo begun; {wait_for()}", labels=["a"]))
    api.wait_output(runs, "begun")
    (daemon.dir / "slipway.yaml").write_text(two)
    for _ in range(3):
        daemon.signal(signal.SIGHUP)
    assert api.wait(waits, "success")["runner"] == "two"
    daemon.poke(runs)
    assert api.wait(runs, "success")["runner"] == "one"
    drained = api.submit(job(repo, "true", labels=["a"]))
    assert "label a" in api.status(drained)["waitReason"]


def test_sigusr1_dumps_what_is_going_on(daemon, repo):
    api = daemon.client
    id = api.submit(job(repo, f"echo begun; {wait_for()}"))
    api.wait_output(id, "begun")
    daemon.signal(signal.SIGUSR1)
    deadline = time.monotonic() + PATIENCE
    while f"run job={id}" not in daemon.log():
        assert time.monotonic() < deadline, daemon.log()
    daemon.poke(id)
    api.wait(id, "success")


def test_a_second_daemon_on_the_same_state_refuses(daemon, slipwayd):
    other = slipwayd(start=False)
    other.state = daemon.state
    other.allow_log("store: ")
    other.spawn()
    assert other.wait_exit() == 69
    assert "another slipwayd" in other.log()


def test_one_vanished_sandbox_is_lost_and_run_again(slipwayd, repo):
    daemon = slipwayd(options={"queue.backoff": "1s"})
    api = daemon.client
    id = api.submit(job(repo, f"echo begun; [ $SLIPWAY_ATTEMPT = 2 ] || {wait_for()}"))
    api.wait_output(id, "begun")
    daemon.kill_leftovers_of(daemon.processes())
    status = api.wait(id, "success")
    assert status["attempt"] == 2
    assert status["attempts"][0]["reason"] == "runner_lost"
    assert json.dumps(status["attempts"][0]).count("runner_lost") == 1


def test_old_jobs_are_forgotten_but_for_the_last_of_a_branch(slipwayd, repo):
    daemon = slipwayd(config="retention:\n  jobs: 7d\n")
    api = daemon.client
    runs = [api.run(job(repo, "seq 1 5", branch=b))["id"] for b in ("main", "main", "dev")]
    waiting = api.submit(job(repo, "true", labels=["nobody"]))
    (daemon.dir / "slipway.yaml").write_text("retention:\n  jobs: 0\n  keep: 1\n")
    daemon.signal(signal.SIGHUP)
    deadline = time.monotonic() + PATIENCE
    while api.request("GET", f"/jobs/status?id={runs[0]}").status_code != 404:
        assert time.monotonic() < deadline, daemon.log()
    assert {j["id"] for j in api.list()} == {runs[1], runs[2], waiting}
    assert not (daemon.state / "jobs" / runs[0]).exists()
    assert api.text(runs[1]).count("5") >= 1
