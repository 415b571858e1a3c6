"""slipwayd with slipway-launch, both killed at any moment: as in test_crash.py, nothing
accepted is lost, nothing runs twice, no line is missing or doubled."""

import os
import random
import signal
import subprocess
import threading
import time

import pytest
from harness import BUILD, FINAL, LIBEXEC, LONG, PATIENCE, job, wait_for
from test_crash import Load, check_log, pages

ROUNDS = 200 if LONG else 20


class Launcher:
    """A slipway-launch, beside a daemon."""

    def __init__(self, dir):
        self.socket = dir / "launch.sock"
        self.log = dir / "launch.log"
        self.process = None

    def start(self):
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8",
               "SLIPWAY_LIBEXEC_DIR": str(LIBEXEC),
               **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [str(BUILD / "slipway-launch"), "--socket", str(self.socket)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
                start_new_session=True)
        return self

    def end(self, signo=signal.SIGTERM):
        self.process.send_signal(signo)
        code = self.process.wait(PATIENCE)
        assert code == (0 if signo == signal.SIGTERM else -signo), self.log.read_text()

    def close(self):
        if self.process.poll() is None:
            self.end()
        text = self.log.read_text()
        assert " error " not in text and "Sanitizer" not in text, text


@pytest.fixture
def launcher(workplace):
    l = Launcher(workplace).start()
    yield l
    l.close()


@pytest.fixture
def daemon(slipwayd, launcher):
    return slipwayd(options={"launch.socket": launcher.socket})


def test_jobs_are_its_children(daemon, launcher, repo):
    api = daemon.client
    id = api.submit(job(repo, f"echo begun; {wait_for()}"))
    api.wait_output(id, "begun")
    init = int(api.status(id)["sandboxId"].split()[-1])
    ancestors = []
    while init > 1:
        with open(f"/proc/{init}/stat") as f:
            init = int(f.read().rpartition(")")[2].split()[1])
        ancestors.append(init)
    assert launcher.process.pid in ancestors and daemon.pid not in ancestors
    daemon.poke(id)
    assert api.wait(id)["status"] == "success"


def test_kill9_of_both(daemon, launcher, repo):
    api = daemon.client
    id = api.submit(job(repo, f"for i in $(seq 100); do echo line-$i; done; {wait_for()}; "
                              "echo the-end; exit 3"))
    api.wait_output(id, "line-100")
    launcher.end(signal.SIGKILL)
    daemon.kill9()
    daemon.start()
    daemon.poke(id)
    status = api.wait(id)
    assert (status["status"], status["attempt"]) == ("failure", 1), status
    assert status["reason"] == "step_failed"
    assert api.output(id) == "".join(f"line-{i}\n" for i in range(1, 101)) + "the-end\n"
    # It is still away: what comes now waits, and says so.
    waiting = api.submit(job(repo, "echo here"))
    api.wait(waiting, until=lambda s: "slipway-launch" in s.get("waitReason", ""))
    launcher.start()
    assert api.wait(waiting)["attempt"] == 1


def test_a_job_is_cancelled_without_it(daemon, launcher, repo):
    api = daemon.client
    id = api.submit(job(repo, "echo begun; sleep 1000"))
    api.wait_output(id, "begun")
    launcher.end(signal.SIGKILL)
    assert api.cancel(id)["cancelled"]
    assert api.status(id)["status"] == "cancelled"


def test_a_stopped_one_delays_and_doubles_nothing(daemon, launcher, repo):
    """What it was asked for while it was stopped it does, once, when it goes on."""
    api = daemon.client
    api.run(job(repo, "true"))
    launcher.process.send_signal(signal.SIGSTOP)
    ids = [api.submit(job(repo, "[ ! -e /workspace/home/ran ] || echo TWICE; "
                                "touch /workspace/home/ran; echo once"))
           for _ in range(2)]
    for id in ids:
        api.wait(id, until=lambda s: s.get("phase") == "start")
    assert api.get("/health").json()["status"] == "ok"
    launcher.process.send_signal(signal.SIGCONT)
    for id in ids:
        status = api.wait(id)
        assert (status["status"], status["attempt"]) == ("success", 1), status
        assert api.output(id) == "once\n"


def test_kill9_under_load(slipwayd, launcher, repo):
    seed = int(os.environ.get("SLIPWAY_SEED", random.randrange(1 << 30)))
    print(f"SLIPWAY_SEED={seed}")
    chance = random.Random(seed)
    daemon = slipwayd(options={"queue.max_concurrent": 4, "runners.local.capacity": 4,
                               "queue.backoff": "1s", "limits.grace": "1s",
                               "launch.socket": launcher.socket})
    load = Load(daemon, repo, seed)
    thread = threading.Thread(target=load.run)
    thread.start()
    try:
        for _ in range(ROUNDS):
            # A random moment is the point here, not a wait for something.
            time.sleep(chance.random() * 0.6)
            which = chance.randrange(3)
            if which != 1:
                launcher.end(signal.SIGKILL)
            if which != 0:
                daemon.kill9()
                daemon.start()
            if which != 1:
                launcher.start()
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
