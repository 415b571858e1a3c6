"""Clones that fail, hang or want credentials, as a user sees them."""

import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest
from harness import TOP, ApiError, job, wait_for

TOKEN = "sekret-token"


class SilentServer:
    """Accepts connections, and says nothing."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.accepted = []
        self.came = threading.Semaphore(0)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.accepted.append(s)
            self.came.release()

    def close(self):
        # Wakes accept(), which close() alone does not.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()
        for s in self.accepted:
            s.close()


@pytest.fixture
def silent():
    server = SilentServer()
    yield server
    server.close()


@pytest.fixture
def git_http(repo):
    """A smart HTTP server over the directory of the repository."""
    root = repo.path.parent
    shutil.copytree(repo.path / ".git", root / "private" / "p.git")
    p = subprocess.Popen([sys.executable, TOP / "tests/unit/git_http.py", root],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                         env=dict(os.environ, GIT_CONFIG_COUNT="1",
                                  GIT_CONFIG_KEY_0="safe.directory", GIT_CONFIG_VALUE_0="*"))
    yield f"127.0.0.1:{int(p.stdout.readline())}"
    p.stdin.close()
    p.wait(10)
    p.stdout.close()


def test_a_missing_repository(api, workplace):
    status = api.run(job(workplace / "nowhere", "true", commit="main"), expect="failure")
    assert status["reason"] == "clone_failed"
    assert status["attempt"] == 1, "a wrong name is not tried again"
    assert "nowhere" in status["error"]
    assert status["error"] in api.text(status["id"])
    assert [s["status"] for s in status["steps"]] == ["skipped"]


@pytest.mark.parametrize("commit", ["no-such-branch", "0123456789" * 4])
def test_a_missing_commit(api, repo, commit):
    status = api.run(job(repo, "true", commit=commit), expect="failure")
    assert status["reason"] == "clone_failed"
    assert commit in status["error"]


def test_git_tells_what_it_does(slipwayd, git_http):
    api = slipwayd(options={"git.allow_hosts": git_http}).client
    status = api.run(job(f"http://{git_http}/repo/.git", "cat README", commit="main"))
    assert status["steps"][0]["output"] == "hello\n"
    assert len(status["commit"]) == 40
    text = api.text(status["id"])
    assert status["commit"][:7] in text
    assert git_http in text


def test_a_private_address_is_refused_before_anything_is_queued(slipwayd, git_http):
    api = slipwayd().client
    with pytest.raises(ApiError) as e:
        api.submit(job(f"http://{git_http}/repo/.git", "true", commit="main"))
    assert e.value.status in (400, 403)
    assert e.value.field == "repo"
    assert api.list() == []


def test_a_token_opens_a_private_repository_and_stays_secret(slipwayd, git_http, workplace):
    token = workplace / "token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    daemon = slipwayd(
        options={"git.allow_hosts": git_http},
        config=f"git:\n  credentials:\n    - match: '127.0.0.1/private/*'\n"
               f"      token_file: {token}\n")
    api = daemon.client
    status = api.run(job(f"http://{git_http}/private/p.git",
                         "cat README .git/config; env", commit="main", depth=0))
    assert status["steps"][0]["output"].startswith("hello\n")
    everything = daemon.log() + api.text(status["id"]) + str(status)
    for f in daemon.state.rglob("*"):
        if f.is_file() and not f.is_symlink():
            everything += f.read_bytes().decode("latin-1")
    assert TOKEN not in everything


def test_a_wrong_token_is_a_failed_clone(slipwayd, git_http, workplace):
    token = workplace / "token"
    token.write_text("another-token")
    token.chmod(0o600)
    daemon = slipwayd(
        options={"git.allow_hosts": git_http},
        config=f"git:\n  credentials:\n    - match: '127.0.0.1/private/*'\n"
               f"      token_file: {token}\n")
    status = daemon.client.run(job(f"http://{git_http}/private/p.git", "true",
                                   commit="main"), expect="failure")
    assert status["reason"] == "clone_failed"
    assert status["attempt"] == 1
    assert "another-token" not in str(status) + daemon.log()


def test_silent_servers_hold_up_nobody_else(slipwayd, repo, silent):
    """Four at once, on a machine with room for five."""
    host = f"127.0.0.1:{silent.port}"
    daemon = slipwayd(options={"git.allow_hosts": host, "limits.fetch_timeout": "4s",
                               "runners.local.capacity": 5, "queue.max_retries": 0})
    api = daemon.client
    stuck = [api.submit(job(f"http://{host}/r{i}.git", "true", commit="main"))
             for i in range(4)]
    for _ in stuck:
        assert silent.came.acquire(timeout=30)
    # Runs, is sealed and cleaned while the four hang.
    big = api.run(job(repo, "seq 1 20000"))
    assert big["status"] == "success"
    assert {api.status(id)["phase"] for id in stuck} == {"fetch"}
    for id in stuck:
        status = api.wait(id, "failure")
        assert status["reason"] == "clone_failed"
        assert "4" in status["error"] and "time" in status["error"]
    api.run(job(repo, "true"))


def test_a_cancel_ends_a_hanging_clone(slipwayd, silent):
    host = f"127.0.0.1:{silent.port}"
    daemon = slipwayd(options={"git.allow_hosts": host})
    api = daemon.client
    id = api.submit(job(f"http://{host}/r.git", "true", commit="main"))
    assert silent.came.acquire(timeout=30)
    assert api.cancel(id)["cancelled"]
    assert api.status(id)["status"] == "cancelled"


def test_kill9_during_a_clone_queues_the_job_again_uncounted(slipwayd, silent, repo):
    host = f"127.0.0.1:{silent.port}"
    daemon = slipwayd(options={"git.allow_hosts": host, "limits.fetch_timeout": "60s"})
    api = daemon.client
    id = api.submit(job(f"http://{host}/r.git", "true", commit="main"))
    assert silent.came.acquire(timeout=30)
    daemon.kill9()
    assert not daemon.leftovers(wait=10), "helpers end with the daemon"
    daemon.start()
    assert silent.came.acquire(timeout=30), "it is fetched again"
    assert api.status(id)["attempt"] == 1
    assert api.cancel(id)["cancelled"]


def test_a_pack_over_the_limit_is_a_failed_clone(slipwayd, git_http, repo):
    repo.commit({"big": os.urandom(3 << 20)})
    daemon = slipwayd(options={"git.allow_hosts": git_http, "limits.fetch_bytes": "1MiB"})
    status = daemon.client.run(job(f"http://{git_http}/repo/.git", "true", commit="main"),
                               expect="failure")
    assert status["reason"] == "clone_failed"


def test_a_transient_failure_is_tried_again(slipwayd, git_http):
    gone = socket.create_server(("127.0.0.1", 0))
    host = "127.0.0.1:%d" % gone.getsockname()[1]
    gone.close()
    daemon = slipwayd(options={"git.allow_hosts": host, "queue.backoff": "1s",
                               "queue.max_retries": 1})
    status = daemon.client.run(job(f"http://{host}/r.git", "true", commit="main"),
                               expect="failure")
    assert [a["reason"] for a in status["attempts"]] == ["clone_failed"] * 2


def test_depth_and_git_inside_the_job(api, repo):
    repo.commit({"b": "2"})
    repo.git("tag", "v1")
    shallow = api.run(job(repo, "git status --porcelain; git log --oneline | wc -l"))
    assert shallow["steps"][0]["output"].split() == ["1"]
    full = api.run(job(repo, "git log --oneline | wc -l; git tag", depth=0))
    assert full["steps"][0]["output"].split() == ["2", "v1"]


def test_a_branch_follows_its_head_and_a_job_cannot_reach_the_mirror(daemon, api, repo):
    first = api.run(job(repo, "cat README; echo hacked > README; "
                              "find .git/objects -type f -exec chmod u+w {} + "
                              "-exec sh -c 'echo x > \"$1\"' _ {} \\;",
                        commit="main", branch="main"))
    assert first["commit"] == repo.head
    repo.commit({"README": "second\n"})
    second = api.run(job(repo, "cat README; git fsck", commit="main", branch="main"))
    assert second["commit"] == repo.head
    assert second["steps"][0]["output"].startswith("second\n")


def test_a_waiting_slot_is_free_again_after_a_failed_clone(slipwayd, repo, workplace):
    daemon = slipwayd(options={"queue.max_concurrent": 1})
    api = daemon.client
    first = api.submit(job(repo, wait_for()))
    bad = api.submit(job(workplace / "nowhere", "true", commit="main"))
    last = api.submit(job(repo, "true"))
    api.wait(first, lambda s: s.get("phase") == "steps")
    daemon.poke(first)
    api.wait(bad, "failure")
    api.wait(last, "success")
