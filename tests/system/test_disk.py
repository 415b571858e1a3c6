"""The disk or the store is full: new work is refused, what is there stays whole."""

import json
import os
import subprocess
import time

import pytest
from harness import PATIENCE, ApiError, job, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount")

MIB = 1 << 20
HALF_MINUTE = 30


def call(*argv):
    return subprocess.run([str(a) for a in argv], check=True, capture_output=True,
                          text=True).stdout.strip()


def mount_tmpfs(dir, size, image):
    call("mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "none", dir)


def mount_ext4(dir, size, image):
    with open(image, "wb") as f:
        f.truncate(size)
    call("mkfs.ext4", "-q", "-m", "0", image)
    call("mount", "-o", "loop", image, dir)


@pytest.fixture(params=["tmpfs", "ext4"])
def small_disk(request, workplace):
    """A file system of its own for a state directory: small_disk(bytes)."""
    dir = workplace / "disk"
    dir.mkdir()

    def make(size):
        try:
            {"tmpfs": mount_tmpfs, "ext4": mount_ext4}[request.param](
                dir, size, workplace / "disk.img")
        except subprocess.CalledProcessError as e:
            pytest.skip(f"cannot mount {request.param}: {e.stderr}")
        return dir

    yield make
    if os.path.ismount(dir):
        call("umount", "-l", dir)


@pytest.fixture
def on_disk(small_disk, slipwayd):
    """A daemon whose state directory is a small file system, ended before that is."""
    def make(size, **options):
        disk = small_disk(size)
        daemon = slipwayd(start=False, options={"queue.backoff": "0s", **options})
        daemon.state = disk / "state"
        return daemon.start()

    yield make


def fill(path, leave=0):
    """Take what is free but for some bytes."""
    with open(path, "wb") as f:
        st = os.statvfs(path.parent)
        try:
            os.posix_fallocate(f.fileno(), 0, st.f_bavail * st.f_frsize - leave)
        except OSError:
            pass
    return path


def test_new_jobs_are_refused_before_the_disk_is_full(on_disk, repo):
    daemon = on_disk(64 * MIB, **{"limits.disk_reserve": "16MiB"})
    api = daemon.client
    running = api.submit(job(repo, f"echo up; {wait_for()}; echo on"))
    api.wait_output(running, "up")
    ballast = fill(daemon.state.parent / "ballast", leave=8 * MIB)

    def answer():
        return api.post_raw("/jobs/submit", json.dumps(job(repo, "true", labels=["no"])))

    # Free space is looked at now and then only.
    assert "disk" in until(lambda: answer().status_code == 503 and answer().json()["error"])
    assert api.get("/jobs/status", id=running).status_code == 200
    daemon.poke(running)
    assert api.wait(running, "success")["steps"][0]["output"] == "up\non\n"
    assert api.request("GET", "/health/ready").status_code in (200, 503)
    ballast.unlink()
    until(lambda: answer().status_code == 202)
    api.run(job(repo, "true"))


def until(condition):
    deadline = time.monotonic() + HALF_MINUTE
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline
        time.sleep(0.05)


FILLERS = {
    "the workspace": "cat /dev/zero >big",
    "small files": "i=0; while :; do head -c 100000 /dev/zero >f$i; i=$((i+1)); done",
    "the log": "yes 0123456789012345678901234567890123456789",
    "what resists removal": "mkdir -p d/e; cat /dev/zero >d/e/big || :; "
                            "chmod 0 d/e d; false",
    "both": "cat /dev/zero >big || :; yes 0123456789012345678901234567890123456789",
}


@pytest.mark.parametrize("how", FILLERS)
def test_a_job_that_fills_the_disk(on_disk, repo, how):
    daemon = on_disk(48 * MIB, **{"limits.disk_reserve": "8MiB", "log.max_size": "1GiB",
                                  "queue.max_retries": 0})
    daemon.allow_log("No space left|space|disk")
    api = daemon.client
    before = api.run(job(repo, "echo before; seq 1000"))
    pid = daemon.pid
    status = api.run(job(repo, {"name": "fill", "run": FILLERS[how], "timeout": 60}),
                     expect="failure")
    wanted = {"the log": ["disk_full"], "both": ["disk_full"]}
    assert status["reason"] in wanted.get(how, ["step_failed", "disk_full"]), status
    assert daemon.alive and daemon.pid == pid
    assert daemon.processes() == {}
    text = api.text(before["id"])
    assert "before\n1\n" in text and text.endswith("\n1000\n")
    after = until(lambda: accepted(api, job(repo, "echo after")))
    assert api.wait(after, "success")["steps"][0]["output"] == "after\n"
    daemon.restart()
    assert api.status(before["id"])["status"] == "success"
    assert api.status(status["id"])["reason"] == status["reason"]
    assert api.status(after)["status"] == "success"


def accepted(api, body):
    try:
        return api.submit(body)
    except ApiError as e:
        assert e.status == 503, e
        return None


def test_a_disk_that_is_full_to_the_last_byte(on_disk, repo):
    """Nothing can be promised, then: what was promised stays."""
    daemon = on_disk(48 * MIB, **{"limits.disk_reserve": "0"})
    daemon.allow_log("No space left|space|disk|ENOSPC|MDB_")
    api = daemon.client
    ids = [api.run(job(repo, f"echo {i}"))["id"] for i in range(3)]
    ballast = fill(daemon.state.parent / "ballast")
    promised = [id for id in (accepted_or_failed(daemon, job(repo, "true"))
                              for _ in range(3)) if id]
    ballast.unlink()
    if not daemon.alive:
        daemon.start()
    for i, id in enumerate(ids):
        status = api.status(id)
        assert (status["status"], status["steps"][0]["output"]) == ("success", f"{i}\n")
    for id in promised:
        assert api.wait(id)["status"] in ("success", "failure")
    after = until(lambda: accepted(api, job(repo, "true")))
    api.wait(after, "success")


def accepted_or_failed(daemon, body):
    try:
        return accepted(daemon.client, body)
    except OSError:
        # It gave up, and is on its way out.
        daemon.process.wait(PATIENCE)
        return None


def test_a_full_store_refuses_new_jobs_and_finishes_what_it_has(slipwayd, repo):
    daemon = slipwayd(options={"limits.db_size": "8MiB", "queue.max_concurrent": 1})
    api = daemon.client
    running = api.submit(job(repo, f"echo up; {wait_for()}"))
    api.wait_output(running, "up")
    # Nobody runs these: they stay where they are.
    large = job(repo, "true", labels=["nowhere"], env={"A": "x" * 30_000})
    ids = []
    while len(ids) < 1000:
        id = accepted(api, large)
        if not id:
            break
        ids.append(id)
    assert 50 < len(ids) < 1000
    r = api.post_raw("/jobs/submit", json.dumps(large))
    assert r.status_code == 503 and "store is full" in r.json()["error"]
    assert api.post_raw("/jobs/submit", json.dumps(job(repo, "true"))).status_code == 503

    daemon.poke(running)
    assert api.wait(running, "success")["steps"][0]["output"] == "up\n"
    assert api.cancel(ids[0]) == {"cancelled": True}
    daemon.restart()
    assert api.status(running)["status"] == "success"
    assert all(api.status(id)["status"] == "queued" for id in ids[1:])
    assert api.status(ids[0])["status"] == "cancelled"
