"""A real slipwayd under test: start, stop, kill, talk to it, and hold it to account.

Nothing here sleeps for time: starting waits for the ready line, jobs are waited for by
long-poll and by their log, processes by their pidfd.
"""

import json
import os
import re
import select
import shutil
import signal
from signal import SIGINT, SIGKILL, SIGTERM
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import requests

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SLIPWAY_BUILD", TOP / "build")).resolve()
# Helpers and init may come from another build: a daemon with sanitizers drives plain ones.
LIBEXEC = Path(os.environ.get("SLIPWAY_LIBEXEC", BUILD)).resolve()
LONG = os.environ.get("SLIPWAY_LONG") == "1"
# Instrumented daemons and busy machines are slow; a bound is only there to fail at all.
PATIENCE = float(os.environ.get("SLIPWAY_PATIENCE", "60"))

FINAL = ("success", "failure", "timeout", "cancelled")

TROUBLE = re.compile(
    rb"^\S+Z error |ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|: runtime error: "
    rb"|ERROR: LeakSanitizer|Assertion .* failed|\[warn\]|\[err\]",
    re.M,
)


class ApiError(AssertionError):
    """An answer that is not 2xx."""

    def __init__(self, response):
        self.status = response.status_code
        try:
            body = response.json()
        except ValueError:
            body = {}
        self.body = body if isinstance(body, dict) else {}
        self.code = self.body.get("code")
        self.field = self.body.get("field")
        super().__init__(f"{response.request.method} {response.url}: "
                         f"{response.status_code} {response.text[:500]}")


class Event:
    """One Server-Sent Event."""

    def __init__(self, name, data, id):
        self.name, self.data, self.id = name, data, id

    @property
    def json(self):
        return json.loads(self.data)

    def __repr__(self):
        return f"<{self.name} {self.id} {self.data[:60]!r}>"


def sse(lines):
    """Parse an iterator of byte lines into events, as the standard says."""
    name, data, last_id = "message", [], None
    for raw in lines:
        line = raw.decode("utf-8", "surrogateescape")
        if not line:
            if data:
                yield Event(name, "\n".join(data), last_id)
            name, data = "message", []
            continue
        if line.startswith(":"):
            continue
        key, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if key == "event":
            name = value
        elif key == "data":
            data.append(value)
        elif key == "id":
            last_id = value


def raw_lines(response):
    """Lines ended by LF alone: requests' own iter_lines splits at other bytes, too."""
    rest = b""
    for chunk in response.iter_content(chunk_size=None):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest


class Client:
    """The HTTP API."""

    def __init__(self, base):
        self.base = base

    def request(self, method, path, **kw):
        kw.setdefault("timeout", PATIENCE + 70)
        # A session per call: no connection outlives a daemon that the test kills.
        with self.session() as s:
            return s.request(method, self.base + path, **kw)

    def session(self):
        s = requests.Session()
        s.trust_env = False
        return s

    def get(self, path, **params):
        return self._ok(self.request("GET", path, params=params))

    def post(self, path, body):
        return self._ok(self.request("POST", path, json=body))

    def post_raw(self, path, data, **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        headers.setdefault("Content-Type", "application/json")
        return self.request("POST", path, data=data, headers=headers)

    @staticmethod
    def _ok(response):
        if not response.ok:
            raise ApiError(response)
        return response

    def submit(self, job):
        r = self.post("/jobs/submit", job)
        return r.json()["jobId"]

    def validate(self, job):
        return self.post("/jobs/validate", job).json()

    def status(self, id, **params):
        return self.get("/jobs/status", id=id, **params).json()

    def list(self, **params):
        return self.get("/jobs", **params).json()

    def cancel(self, id):
        return self.post("/jobs/cancel", {"jobId": id}).json()

    def retry(self, id):
        return self.post("/jobs/retry", {"jobId": id}).json()

    def text(self, id, **params):
        params.setdefault("format", "text")
        return self.get("/jobs/logs", id=id, **params).text

    def events(self, id, last_id=None, timeout=None, **params):
        """Yield events until the stream ends. Closing the generator hangs up."""
        headers = {"Last-Event-ID": last_id} if last_id else {}
        with self.session() as s:
            with s.get(self.base + "/jobs/logs", params={"id": id, **params},
                       headers=headers, stream=True,
                       timeout=(10, timeout or PATIENCE)) as r:
                if not r.ok:
                    raise ApiError(r)
                assert r.headers["Content-Type"].startswith("text/event-stream")
                yield from sse(raw_lines(r))

    def output(self, id, **params):
        """What the steps printed, from the event stream."""
        return "".join(e.data + "\n" for e in self.events(id, **params)
                       if e.name == "message")

    def wait(self, id, until=FINAL, timeout=None):
        """Wait until the status is one of until, or until(status object) holds."""
        reached = until if callable(until) else (
            lambda s: s["status"] in ((until,) if isinstance(until, str) else until))
        deadline = time.monotonic() + (timeout or PATIENCE)
        etag = None
        while True:
            left = deadline - time.monotonic()
            params = {"id": id}
            if etag:
                params["wait"] = max(1, min(20, int(left)))
            r = self._ok(self.request(
                "GET", "/jobs/status", params=params,
                headers={"If-None-Match": etag} if etag else {}))
            if r.status_code != 304:
                status = r.json()
                etag = r.headers.get("ETag")
                if reached(status):
                    return status
                if status["status"] in FINAL and not callable(until):
                    raise AssertionError(f"{id} ended as {status['status']}: {status}")
            if left < 0:
                raise AssertionError(f"{id}: not reached in time: {status}")

    def wait_output(self, id, text, **params):
        """Follow the log until text was printed; the events up to there."""
        seen, out = [], ""
        stream = self.events(id, **params)
        for e in stream:
            seen.append(e)
            if e.name == "message":
                out += e.data + "\n"
                if text in out:
                    stream.close()
                    return seen
        raise AssertionError(f"{id}: the log ended without {text!r}: {out[-2000:]!r}")

    def run(self, job, expect="success", timeout=None):
        id = self.submit(job)
        status = self.wait(id, timeout=timeout)
        assert status["status"] == expect, (status, self.text(id))
        return status


def mount_keys(mountinfo):
    """"DEVICE ROOT" of each mount: what is mounted, wherever that is in sight."""
    for line in mountinfo.splitlines():
        fields = line.split(b" ")
        yield fields[2] + b" " + fields[3]


def mount_key(path):
    """The "DEVICE ROOT" that a bind mount of this directory shows."""
    path = os.path.realpath(path)
    best = (b"", b"", b"/")
    with open("/proc/self/mountinfo", "rb") as f:
        for line in f:
            fields = line.split(b" ")
            at = os.fsdecode(fields[4])
            if (path == at or path.startswith(at.rstrip("/") + "/")) and \
                    len(fields[4]) >= len(best[2]):
                best = (fields[2], fields[3], fields[4])
    device, root, at = best
    rest = os.fsencode(os.path.relpath(path, os.fsdecode(at)))
    return device + b" " + os.path.normpath(os.path.join(root, rest))


class Slipwayd:
    """One state directory and the daemon on it."""

    def __init__(self, dir, options=None, config=None, env=None, dev=True):
        self.dir = Path(dir)
        self.state = self.dir / "state"
        self.log_path = self.dir / "daemon.log"
        self.socket = self.dir / "slipwayd.sock"
        self.options = {"limits.grace": "2s", **(options or {})}
        self.config = config
        self.env = env or {}
        self.dev = dev
        self.port = 0
        self.process = None
        self.allowed = []
        self.stdout = b""

    # --- life

    def argv(self):
        argv = [str(BUILD / "slipwayd")]
        if self.dev:
            argv.append("--dev")
        if self.config is not None:
            path = self.dir / "slipway.yaml"
            path.write_text(self.config)
            argv += ["-c", str(path)]
        options = {
            "state_dir": self.state,
            "http.listen": f"127.0.0.1:{self.port}",
            "http.unix_socket": self.socket,
            **self.options,
        }
        for key, value in options.items():
            argv += ["-o", f"{key}={value}"]
        return argv

    def spawn(self):
        """Start without waiting for the ready line."""
        assert not self.alive
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.dir),
            "LANG": "C.UTF-8",
            "SLIPWAY_LIBEXEC_DIR": str(LIBEXEC),
            **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")},
            **self.env,
        }
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.argv(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=log, cwd=self.dir, env=env, start_new_session=True)

    def start(self):
        self.spawn()
        line = self.read_line()
        m = re.fullmatch(rb"slipwayd ready on (http://127\.0\.0\.1:(\d+))\n", line)
        assert m, f"not a ready line: {line!r}\n{self.log()}"
        # The same port again after a restart, so that clients can reconnect.
        self.port = int(m[2])
        self.client = Client(m[1].decode())
        return self

    def read_line(self):
        """A line of the daemon's standard output; b'' when it ended instead."""
        fd = self.process.stdout.fileno()
        deadline = time.monotonic() + PATIENCE
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([fd], [], [], deadline - time.monotonic())
            assert ready, f"no line from slipwayd in time\n{self.log()}"
            byte = os.read(fd, 1)
            if not byte:
                self.process.wait(PATIENCE)
                break
            line += byte
        return line

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self):
        return self.process.pid

    def signal(self, signo):
        os.kill(self.pid, signo)

    def wait_exit(self, timeout=None):
        code = self.process.wait(timeout or PATIENCE)
        self.process.stdout.close()
        return code

    def stop(self, signo=SIGTERM):
        """SIGTERM leaves jobs running, SIGINT (with --dev) cancels them."""
        self.signal(signo)
        code = self.wait_exit()
        assert code == 0, f"slipwayd ended with {code}\n{self.log()}"

    def kill9(self):
        self.signal(signal.SIGKILL)
        self.wait_exit()

    def restart(self):
        self.stop()
        return self.start()

    def close(self):
        """The end of a test: jobs ended, nothing left behind, no trouble in the log."""
        try:
            if not self.alive and self.leftovers() and self.process:
                self.start()
            if self.alive:
                self.stop(signal.SIGINT if self.dev else signal.SIGTERM)
            left = self.leftovers(wait=5)
        finally:
            killed = self.kill_leftovers()
        assert not left, f"left behind: {left}\n{self.log()}"
        assert not killed or not left
        trouble = self.trouble()
        assert not trouble, "the daemon's log has:\n" + "\n".join(trouble)

    # --- what it leaves

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def allow_log(self, pattern):
        """An error line that the test provokes."""
        self.allowed.append(re.compile(pattern.encode()))

    def trouble(self):
        if not self.log_path.exists():
            return []
        return [line.decode(errors="replace")
                for line in self.log_path.read_bytes().splitlines()
                if TROUBLE.search(line) and not any(a.search(line) for a in self.allowed)]

    def processes(self):
        """{pid: command line} of what names the state directory, by its arguments or
        by what it has mounted, save the daemon itself."""
        needle = os.fsencode(self.state)
        mounted = mount_key(self.state)
        found = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            if self.process and int(entry) == self.process.pid:
                continue
            try:
                command = Path("/proc", entry, "cmdline").read_bytes()
                mounts = Path("/proc", entry, "mountinfo").read_bytes()
            except OSError:
                continue
            if needle in command or any(m.startswith(mounted) for m in mount_keys(mounts)):
                found[int(entry)] = command.replace(b"\0", b" ").decode(errors="replace")
        return found

    def leftovers(self, wait=0):
        """Processes still there, after giving them time to vanish."""
        deadline = time.monotonic() + wait
        while True:
            left = self.processes()
            if not left or time.monotonic() >= deadline:
                return left
            for pid in left:
                try:
                    fd = os.pidfd_open(pid)
                except OSError:
                    continue
                select.select([fd], [], [], max(0, deadline - time.monotonic()))
                os.close(fd)

    def kill_leftovers(self):
        left = self.processes()
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        if self.alive:
            self.process.kill()
            self.process.wait()
        return left

    @staticmethod
    def kill_leftovers_of(pids):
        """End these processes, and see them gone."""
        for pid in pids:
            try:
                fd = os.pidfd_open(pid)
                signal.pidfd_send_signal(fd, signal.SIGKILL)
                select.select([fd], [], [], PATIENCE)
                os.close(fd)
            except OSError:
                pass

    def job_dir(self, id, attempt=1):
        return self.state / "jobs" / id / str(attempt)

    def workspace(self, id, attempt=1):
        return self.job_dir(id, attempt) / "workspace"

    def poke(self, id, name="go", attempt=1):
        """Make a file in the checkout, for a step that waits for it: see WAIT."""
        (self.workspace(id, attempt) / "repo" / name).touch()

    # --- the command line client

    def cli(self, *args, input=None, timeout=None, **more):
        env = {"PATH": os.environ["PATH"], "HOME": str(self.dir), "LANG": "C.UTF-8",
               "SLIPWAY_URL": self.client.base, **more}
        return subprocess.run([str(BUILD / "slipway"), *map(str, args)], input=input,
                              capture_output=True, text=True, env=env,
                              timeout=timeout or PATIENCE)


def wait_for(name="go"):
    """Shell text that waits until the test makes a file in the checkout (poke)."""
    return f"while [ ! -e {name} ]; do sleep 0.02; done"


def job(repo, *steps, **fields):
    """A job object. Steps are shell texts or step objects; network is off."""
    steps = [s if isinstance(s, dict) else {"name": f"step{i}", "run": s}
             for i, s in enumerate(steps)]
    out = {"repo": str(repo), "commit": getattr(repo, "head", "main"), "steps": steps,
           "network": "none"}
    out.update(fields)
    return {k: v for k, v in out.items() if v is not None}


def at_once(n, call):
    """call(i) in n threads that begin together; what they returned, by i."""
    gate, out = threading.Barrier(n), [None] * n

    def run(i):
        gate.wait()
        out[i] = call(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return out


class Repo:
    """A git repository in a directory that every user may read."""

    def __init__(self, path):
        self.path = Path(path)
        self.path.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.commit({"README": "hello\n"})

    def __str__(self):
        return str(self.path)

    def git(self, *args):
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent",
               "GIT_CONFIG_NOSYSTEM": "1",
               "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org",
               "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org"}
        return subprocess.run(["git", "-C", self.path, *args], check=True, env=env,
                              capture_output=True, text=True).stdout.strip()

    def commit(self, files, message="change"):
        for name, content in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.write_text(content)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        self.head = self.git("rev-parse", "HEAD")
        return self.head


class Workplace:
    """A directory outside of pytest's own (which only its owner may enter): a root
    daemon's jobs run as another user."""

    def __init__(self):
        self.path = Path(tempfile.mkdtemp(prefix="slipway-test-"))
        self.path.chmod(0o755)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)
