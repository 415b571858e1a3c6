"""slipway doctor: each check with what it is there to find."""

import datetime
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import threading

import pytest
from harness import BUILD, PATIENCE

SLIPWAY = str(BUILD / "slipway")
ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="needs root, to be somebody else")


class Report:
    def __init__(self, run):
        self.code, self.text = run.returncode, run.stdout
        self.checks = {}
        if run.stdout.startswith("{"):
            told = json.loads(run.stdout)
            self.ok = told["ok"]
            for c in told["checks"]:
                self.checks.setdefault(c["name"], []).append(c)

    def problem(self, name):
        """The check's problem, which has a cure and shows in the exit code."""
        found = [c for c in self.checks[name] if c["result"] == "problem"]
        assert found, self.checks[name]
        assert all(c["cure"] for c in found)
        assert self.code == 1 and not self.ok
        return found[0]

    def result(self, name):
        return self.checks[name][0]["result"]


def doctor(server, *args, config="", json=True, wrap=(), path=None, user=None, dir="/",
           **env):
    argv = [*wrap, SLIPWAY, *(["--json"] if json else []), "--server", server, "doctor",
            *args]
    if config is not None:
        file = os.path.join(dir, "doctor.yaml")
        if config != "":
            with open(file, "w") as f:
                f.write(config)
            argv += ["--config", file]
        else:
            argv += ["--config", "/dev/null"]
    run = subprocess.run([str(a) for a in argv], capture_output=True, text=True,
                         timeout=PATIENCE, user=user, cwd="/",
                         group="nogroup" if user else None,
                         extra_groups=[] if user else None,
                         env={"PATH": path or os.environ["PATH"], "LANG": "C.UTF-8", **env})
    assert "Sanitizer" not in run.stderr
    return Report(run)


def programs(workplace, **scripts):
    """A $PATH with these programs (shell text) in it, and nothing else but a few."""
    dir = workplace / "bin"
    dir.mkdir()
    for name in ("sh", "git", "true", "bwrap", "slirp4netns", "sleep", "cat"):
        found = shutil.which(name)
        if found and name not in scripts:
            (dir / name).symlink_to(found)
    for name, text in scripts.items():
        if text is not None:
            (dir / name).write_text("#!/bin/sh\n" + text)
            (dir / name).chmod(0o755)
    return str(dir)


class Fake(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        status, body = self.server.answer(self.command, self.path, self.headers)
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


def health(**more):
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"status": "ok", "service": "slipway", "mode": "production", "version": "9",
            "timestamp": now.strftime("%Y-%m-%dT%H:%M:%S.000Z"), "queued": 0, "running": 0,
            "slots": 1, **more}


@pytest.fixture
def fake():
    """Something that answers as the test wants: fake(answer)."""
    servers = []

    def make(answer, handler=Fake):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        server.answer = answer
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield make
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


# --- all is well


def test_a_sound_installation_has_no_problem(shared):
    for server in (shared.client.base, f"unix:{shared.socket}"):
        report = doctor(server)
        assert report.code == 0 and report.ok, report.text
        for name in ("config", "daemon", "token", "clock", "disk", "bwrap", "namespaces",
                     "slirp4netns", "tun"):
            assert report.result(name) == "ok", report.checks[name]
        for name in ("proxy", "docker", "git"):
            assert report.result(name) == "note"
    assert report.result("socket") == "ok"
    assert str(shared.state) in report.checks["disk"][0]["text"]


def test_people_get_a_line_per_check_and_the_cure_below(shared, workplace):
    report = doctor(shared.client.base, json=False)
    lines = report.text.splitlines()
    assert all(re.match(r"(ok|note|problem) +[a-z0-9]+ +\S", l) for l in lines), lines
    report = doctor(shared.client.base, json=False, path=programs(workplace, bwrap=None))
    assert report.code == 1
    assert re.search(r"^problem +bwrap .*\n +cure: sudo apt-get install bubblewrap$",
                     report.text, re.M)


# --- the server


def test_no_daemon(workplace):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    report = doctor(f"http://127.0.0.1:{port}")
    p = report.problem("daemon")
    assert "systemctl start slipwayd" in p["cure"]
    assert str(port) in p["text"]
    assert report.result("token") == report.result("clock") == "note"


def test_something_else_than_the_daemon(fake):
    report = doctor(fake(lambda *_: (200, {"hello": "world"})))
    assert "not slipwayd" in report.problem("daemon")["text"]


@pytest.mark.parametrize("status, reason", [("paused", "paused by x: y"),
                                            ("draining", "draining, as asked by x")])
def test_a_queue_that_is_held(fake, status, reason):
    url = fake(lambda m, path, h: (200, health(status=status, reason=reason)))
    p = doctor(url).problem("daemon")
    assert p["cure"] == "slipway resume" and reason in p["text"]


def test_a_daemon_that_takes_no_jobs(slipwayd):
    daemon = slipwayd(options={"limits.disk_reserve": "1TiB"})
    p = doctor(daemon.client.base).problem("daemon")
    assert "disk is nearly full" in p["text"]


def test_no_socket(workplace):
    p = doctor(f"unix:{workplace}/none.sock").problem("socket")
    assert "systemctl start slipwayd" in p["cure"]


def test_a_socket_that_nobody_listens_at(workplace):
    path = workplace / "stale.sock"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
    p = doctor(f"unix:{path}").problem("socket")
    assert "nobody listens" in p["text"]
    path.unlink()
    path.touch()
    assert "no socket" in doctor(f"unix:{path}").problem("socket")["text"]


def test_a_socket_for_everybody(daemon):
    os.chmod(daemon.socket, 0o666)
    p = doctor(f"unix:{daemon.socket}").problem("socket")
    assert p["cure"] == f"sudo chmod o= {daemon.socket}"


@needs_root
def test_a_socket_that_this_user_may_not_use(daemon):
    report = doctor(f"unix:{daemon.socket}", user="nobody")
    p = report.problem("socket")
    assert re.fullmatch(r"sudo usermod -aG \S+ nobody", p["cure"])


# --- token and clock


def guarded(scopes):
    """A server that lets tokens with these scopes through."""
    def answer(method, path, headers):
        if path.startswith("/health"):
            return 200, health()
        if headers.get("Authorization") != "Bearer good-token":
            return 401, {"error": "no valid token", "code": "unauthorized"}
        need = "admin" if path.startswith("/admin") else \
            "submit" if method == "POST" else "read"
        if need not in scopes:
            return 403, {"error": f"the token lacks {need}", "code": "forbidden"}
        if path == "/jobs/validate":
            return 400, {"error": "repo: missing", "code": "invalid", "field": "repo"}
        return 200, {} if need == "admin" else []
    return answer


@pytest.mark.parametrize("env", [{}, {"SLIPWAY_TOKEN": "bad-token"}])
def test_a_token_that_is_refused(fake, env):
    p = doctor(fake(guarded(["read"])), **env).problem("token")
    assert "slipway token create" in p["cure"]
    assert "no valid token" in p["text"]
    assert ("this token" in p["text"]) == bool(env)


def test_a_token_without_any_scope(fake):
    p = doctor(fake(guarded([])), SLIPWAY_TOKEN="good-token").problem("token")
    assert "lacks read" in p["text"]


@pytest.mark.parametrize("scopes", [["read"], ["submit"], ["submit", "read"],
                                    ["admin", "submit", "read"]])
def test_the_scopes_of_a_token(fake, scopes):
    report = doctor(fake(guarded(scopes)), SLIPWAY_TOKEN="good-token")
    assert report.result("token") == "ok"
    assert report.checks["token"][0]["text"] == "valid for: " + ", ".join(scopes)


@pytest.mark.parametrize("off, says", [(-3600, "behind"), (60, "ahead of"), (2, None)])
def test_a_clock_that_is_wrong(fake, off, says):
    def answer(method, path, headers):
        now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=off)
        return 200, health(timestamp=now.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z")
    report = doctor(fake(answer))
    if says:
        p = report.problem("clock")
        assert says in p["text"] and "timedatectl" in p["cure"]
    else:
        assert report.result("clock") == "ok"


# --- the proxy


class Proxy(http.server.BaseHTTPRequestHandler):
    """Passes requests on; with server.holds, an answer only when it is whole."""

    protocol_version = "HTTP/1.0"

    def do_GET(self):
        import requests
        with requests.Session() as s:
            s.trust_env = False
            r = s.get(self.server.answer + self.path, stream=True, timeout=PATIENCE)
            self.send_response(self.server.status or r.status_code)
            self.send_header("Content-Type", r.headers["Content-Type"])
            self.end_headers()
            if self.server.holds:
                self.wfile.write(r.content)
            else:
                for chunk in r.iter_content(chunk_size=None):
                    self.wfile.write(chunk)
                    self.wfile.flush()

    def log_message(self, *_):
        pass


def proxied(slipwayd, workplace, holds, status=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    url = f"http://127.0.0.1:{server.server_port}"
    daemon = slipwayd(options={"public_url": url + "/"})
    server.answer, server.holds, server.status = daemon.client.base, holds, status
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        return doctor(daemon.client.base)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_proxy_that_holds_streams_back(slipwayd, workplace):
    p = proxied(slipwayd, workplace, holds=True).problem("proxy")
    assert "proxy_buffering off" in p["cure"] and "nginx" in p["cure"]


def test_a_proxy_that_lets_streams_through(slipwayd, workplace):
    assert proxied(slipwayd, workplace, holds=False).result("proxy") == "ok"


def test_a_proxy_that_does_not_know_the_server(slipwayd, workplace):
    p = proxied(slipwayd, workplace, holds=False, status=502).problem("proxy")
    assert "502" in p["text"]


def test_a_public_url_where_nobody_is(slipwayd):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    daemon = slipwayd(options={"public_url": f"http://127.0.0.1:{port}"})
    assert str(port) in doctor(daemon.client.base).problem("proxy")["text"]


# --- the machine


def test_a_configuration_that_is_wrong(shared, workplace):
    report = doctor(shared.client.base, config="queue:\n  max_dept: 1\n", dir=workplace)
    p = report.problem("config")
    assert p["cure"] == f"slipwayd -t -c {workplace}/doctor.yaml"
    assert "max_dept" in p["text"]


def test_a_configuration_that_is_not_there(shared):
    report = doctor(shared.client.base, "--config", "/nowhere/x.yaml", config=None)
    assert "/nowhere/x.yaml" in report.problem("config")["text"]


def test_a_disk_that_is_full(shared, workplace):
    report = doctor(shared.client.base, config="limits:\n  disk_reserve: 1TiB\n",
                    dir=workplace)
    p = report.problem("disk")
    assert p["cure"] == "slipway maintenance" and "disk_reserve" in p["text"]


def test_no_state_directory(workplace):
    report = doctor(f"unix:{workplace}/none", config=f"state_dir: {workplace}/none\n",
                    dir=workplace)
    p = report.problem("disk")
    assert "install -d" in p["cure"] and f"{workplace}/none" in p["cure"]


@needs_root
def test_a_disk_without_inodes(workplace):
    dir = workplace / "state"
    dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=100", "none", dir], check=True)
    try:
        for i in range(97):
            (dir / f"f{i}").touch()
        report = doctor(f"unix:{workplace}/none", dir=workplace,
                        config=f"state_dir: {dir}\nlimits:\n  disk_reserve: 1MiB\n")
        assert "inodes" in report.problem("disk")["text"]
    finally:
        subprocess.run(["umount", dir], check=True)


def test_no_bubblewrap(shared, workplace):
    report = doctor(shared.client.base, path=programs(workplace, bwrap=None))
    assert report.problem("bwrap")["cure"] == "sudo apt-get install bubblewrap"
    assert report.result("namespaces") == "note"


@pytest.mark.parametrize("version", ["0.4.1", "rubbish", ""])
def test_a_bubblewrap_of_old(shared, workplace, version):
    report = doctor(shared.client.base,
                    path=programs(workplace, bwrap=f"echo bubblewrap {version}"))
    assert "0.6" in report.problem("bwrap")["text"]


REFUSES = """case $1 in --version) echo bubblewrap 0.8.0; exit 0 ;; esac
echo "bwrap: No permissions to create new namespace" >&2
exit 1
"""


def test_namespaces_that_are_forbidden(shared, workplace):
    report = doctor(shared.client.base, path=programs(workplace, bwrap=REFUSES))
    assert report.result("bwrap") == "ok"
    p = report.problem("namespaces")
    assert "No permissions to create new namespace" in p["text"]


@needs_root
def test_namespaces_that_the_kernel_forbids(shared):
    limit = "/proc/sys/user/max_user_namespaces"
    with open(limit) as f:
        before = f.read()
    # In a user namespace of its own the limit is of nobody else's concern.
    script = f"echo 0 > {limit} && exec {SLIPWAY} --json --server {shared.client.base} " \
             "doctor --config /dev/null"
    run = subprocess.run(["unshare", "--user", "--map-root-user", "sh", "-c", script],
                         capture_output=True, text=True, timeout=PATIENCE)
    with open(limit) as f:
        assert f.read() == before
    assert run.stdout, run.stderr
    p = Report(run).problem("namespaces")
    assert "max_user_namespaces" in p["cure"] or "bwrap" in p["cure"]


def test_a_sandbox_that_hangs_ends(shared, workplace):
    hangs = 'case $1 in --version) echo bubblewrap 0.8.0 ;; *) exec sleep 100 ;; esac'
    p = doctor(shared.client.base, path=programs(workplace, bwrap=hangs)) \
        .problem("namespaces")
    assert "in time" in p["text"]


def test_no_slirp4netns(shared, workplace):
    path = programs(workplace, slirp4netns=None)
    report = doctor(shared.client.base, path=path)
    assert report.problem("slirp4netns")["cure"] == "sudo apt-get install slirp4netns"
    report = doctor(shared.client.base, path=path, dir=workplace,
                    config="defaults:\n  network: none\n")
    assert report.result("slirp4netns") == "note", "nobody needs it then"


def test_a_slirp4netns_that_does_not_run(shared, workplace):
    path = programs(workplace, slirp4netns="echo broken library >&2; exit 127")
    p = doctor(shared.client.base, path=path).problem("slirp4netns")
    assert "does not run" in p["text"]


@pytest.mark.parametrize("fixture, cure", [
    (["--dev", "/dev"], "sudo modprobe tun"),
    (["--dev-bind", "/dev/null", "/dev/net/tun"], None),
    (["--bind", "/etc/hostname", "/dev/net/tun"], "sudo modprobe tun"),
])
def test_no_tun_device(shared, fixture, cure):
    """In a /dev of its own."""
    wrap = ["bwrap", "--dev-bind", "/", "/", *fixture]
    report = doctor(shared.client.base, wrap=wrap)
    if cure:
        assert report.problem("tun")["cure"] == cure
    else:
        assert report.result("tun") == "ok", "a device that may be used"


@needs_root
def test_a_tun_device_for_root_only(shared, workplace):
    tun = workplace / "tun"
    os.mknod(tun, 0o20600, os.makedev(1, 3))
    tun.chmod(0o600)
    report = doctor(shared.client.base,
                    wrap=["bwrap", "--dev-bind", "/", "/", "--dev-bind", tun, "/dev/net/tun"])
    assert report.problem("tun")["cure"] == "sudo chmod 666 /dev/net/tun"


def test_docker_is_only_told_of(shared, workplace):
    sock = workplace / "docker.sock"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(sock))
        for what, says in ((sock, "is there"), ("/etc/hostname", "no socket")):
            report = doctor(shared.client.base, wrap=[
                "bwrap", "--dev-bind", "/", "/", "--tmpfs", "/run", "--bind", what,
                "/run/docker.sock"])
            assert report.result("docker") == "note"
            assert says in report.checks["docker"][0]["text"]
    report = doctor(shared.client.base,
                    wrap=["bwrap", "--dev-bind", "/", "/", "--tmpfs", "/run"])
    assert "not here" in report.checks["docker"][0]["text"]


def credentials(**files):
    return "git:\n  credentials:\n    - match: git.example.org/*\n" + \
        "".join(f"      {k}: {v}\n" for k, v in files.items())


@pytest.mark.parametrize("key", ["token_file", "ssh_key_file"])
def test_credentials_that_others_can_read(shared, workplace, key):
    file = workplace / "secret"
    file.write_text("0123456789\n")
    files = {key: file}
    if key == "ssh_key_file":
        files["known_hosts_file"] = "/dev/null"
    config = credentials(**files)
    file.chmod(0o644)
    p = doctor(shared.client.base, config=config, dir=workplace).problem("git")
    assert p["cure"] == f"sudo chmod 600 {file}"
    assert "git.example.org/*" in p["text"]
    file.chmod(0o600)
    report = doctor(shared.client.base, config=config, dir=workplace)
    assert report.result("git") == "ok"
    file.unlink()
    p = doctor(shared.client.base, config=config, dir=workplace).problem("git")
    assert str(file) in p["cure"] and "No such file" in p["text"]


@pytest.mark.parametrize("state, load, result, says", [
    ("active", "loaded", "ok", "is active"), ("failed", "loaded", "problem", "has failed"),
    ("inactive", "loaded", "note", "is not active"),
    ("inactive", "not-found", "note", "is not installed"),
])
def test_the_state_of_the_units(shared, workplace, state, load, result, says):
    path = programs(workplace, systemctl=f"echo LoadState={load}; echo ActiveState={state}")
    report = doctor(shared.client.base, path=path)
    assert report.result("systemd") == result
    assert says in report.checks["systemd"][0]["text"]
    if result == "problem":
        cure = report.problem("systemd")["cure"]
        assert cure.startswith("sudo systemctl restart slipwayd.service; journalctl")
    else:
        assert report.code == 0


def test_a_unit_that_does_not_run_when_nobody_answers(workplace):
    path = programs(workplace, systemctl="echo LoadState=loaded; echo ActiveState=inactive")
    report = doctor(f"unix:{workplace}/none", path=path)
    assert "not active" in report.problem("systemd")["text"]


def test_no_systemd(shared, workplace):
    for script in (None, "exit 1"):
        dir = workplace / str(script)
        dir.mkdir()
        report = doctor(shared.client.base, path=programs(dir, systemctl=script))
        assert report.result("systemd") == "note"


def test_the_machine_is_only_looked_at_where_the_server_is(workplace):
    """The name needs not resolve: what matters is that it is another's."""
    report = doctor("http://nowhere.invalid:1")
    assert set(report.checks) == {"socket", "daemon", "token", "clock", "proxy", "machine"}
