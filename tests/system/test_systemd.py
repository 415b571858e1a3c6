"""slipway as it is installed, under a real systemd: its units, what jobs may do in them,
and that restarts of anything lose nothing."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from harness import PATIENCE, TOP, Repo, Workplace, job, wait_for
from machine import ADDRESS, SYSTEMD, Machine

UNITS = ("slipwayd.service", "slipway-jobs.service", "slipway-jobs.socket")
EXPOSURE_MAX = 1.8
CAN_BOOT = (os.geteuid() == 0 and SYSTEMD.exists() and shutil.which("systemd-nspawn")
            and shutil.which("nsenter"))


@pytest.fixture(scope="module")
def booted():
    if not CAN_BOOT:
        pytest.skip("needs root, systemd and systemd-nspawn (package systemd-container)")
    place = Workplace()
    m = Machine(place.path)
    try:
        m.make()
        m.repo = Repo(m.root / "srv/repo")
        m.repo.commit({
            "leak.c": "#include <stdlib.h>\nvoid *volatile p;\n"
                      "int main(void) { p = malloc(7); p = NULL; return 0; }\n",
            "over.c": "#include <stdlib.h>\n"
                      "int main(int n, char **v) { char *p = malloc(7); return p[6 + n]; }\n",
            "fine.c": "int main(void) { return 0; }\n"})
        m.boot()
        m.systemctl("enable", "--now", "slipway-jobs.service", "slipwayd.service")
        yield m
        left = m.journal("--identifier=slipwayd", "--identifier=slipway-launch",
                         "--priority=err")
        assert left in ("", "-- No entries --"), left
    finally:
        m.close()
        place.remove()


@pytest.fixture
def machine(booted, request):
    yield booted
    if request.node.report_call.failed:
        print(booted.journal("--lines=200"))


@pytest.fixture
def api(machine):
    return machine.client


def in_there(machine, *steps, **fields):
    """A job of the machine's own repository."""
    return {**job(machine.repo, *steps, **fields), "repo": "/srv/repo"}


def numbers(first, last):
    return f"for i in $(seq {first} {last}); do echo line-$i; done"


def check_numbers(api, id, last, **params):
    out = api.output(id, **params).split("\n")
    assert [line for line in out if line] == [f"line-{i}" for i in range(1, last + 1)]


def begin(machine, id):
    """A job that printed a hundred lines and waits to be poked for as many more."""
    machine.client.submit(in_there(machine, f"{numbers(1, 100)}; {wait_for()}; "
                                            f"{numbers(101, 200)}", id=id))
    machine.client.wait_output(id, "line-100")


def end(machine, id):
    machine.poke(id)
    status = machine.client.wait(id)
    assert (status["status"], status["attempt"]) == ("success", 1), status
    check_numbers(machine.client, id, 200)


# --- the units

def test_exposure():
    """What systemd-analyze makes of the daemon's restrictions."""
    unit = TOP / "contrib/systemd/slipwayd.service"
    out = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager",
                          str(unit)], capture_output=True, text=True).stdout
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", out)
    assert exposure and float(exposure[1]) <= EXPOSURE_MAX, out


def test_units_start(machine, api):
    for unit in UNITS:
        assert machine.show(unit, "ActiveState") == "active", machine.journal()
    assert machine.show("slipwayd", "StatusText").startswith("slipwayd ")
    for unit in UNITS[:2]:
        assert machine.show(unit, "User") == "slipway"
        assert machine.show(unit, "NRestarts") == "0"
    assert api.get("/health").json()["status"] == "ok"
    assert machine.run("stat", "-c", "%U:%G %a", "/run/slipway-jobs/launch.sock") == \
        "slipway:slipway 600"
    assert machine.run("stat", "-c", "%U:%G %a", "/var/lib/slipway") == \
        "slipway:slipway 700"


def test_units_are_understood(machine):
    """No line that systemd does not know, but the one that it does not know yet."""
    out = subprocess.run(
        ["nsenter", f"--target={machine.leader}", "--all", "systemd-analyze", "verify",
         "--man=no", *(f"/usr/local/lib/systemd/system/{u}" for u in UNITS)],
        capture_output=True, text=True).stderr
    wrong = [line for line in out.splitlines()
             if "slipway" in line and "DelegateSubgroup" not in line]
    assert not wrong, out


def test_strangers_start_nothing(machine):
    """Neither does the socket let them, nor slipway-launch."""
    ask = ("import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); "
           "s.connect('/run/slipway-jobs/launch.sock'); s.send(b'x'); print(s.recv(1))")
    out = machine.run("setpriv", "--reuid=65534", "--clear-groups", "python3", "-c",
                      f"try:\n {ask}\nexcept PermissionError: print('refused')")
    assert out == "refused"
    machine.run("chmod", "666", "/run/slipway-jobs/launch.sock")
    try:
        out = machine.run("setpriv", "--reuid=65534", "--clear-groups", "python3", "-c",
                          f"try:\n {ask}\nexcept OSError as e: print('hung up')")
    finally:
        machine.run("chmod", "600", "/run/slipway-jobs/launch.sock")
    assert out in ("hung up", "b''")


def test_reload(machine, api):
    pid = machine.main_pid("slipwayd")
    machine.systemctl("reload", "slipwayd")
    assert machine.show("slipwayd", "ActiveState") == "active"
    assert machine.main_pid("slipwayd") == pid
    api.run(in_there(machine, "true"))


# --- what jobs need, and the daemon's own restrictions would take away

def test_node_job(machine, api):
    """Its JIT compiler writes and executes memory."""
    if not os.access("/usr/bin/node", os.X_OK):
        pytest.skip("needs node (package nodejs) in /usr/bin")
    status = api.run(in_there(
        machine, "node -e 'let s = 0; for (let i = 0; i < 3e6; i++) s += i % 7; "
                 "console.log(process.features.inspector, s)'"))
    assert status["steps"][0]["output"].split()[-1] == str(sum(i % 7 for i in range(7)) *
                                                         (3000000 // 7) +
                                                         sum(range(3000000 % 7)))


@pytest.mark.parametrize("name, expect, says", [
    ("fine", "success", ""),
    ("leak", "failure", "LeakSanitizer: detected memory leaks"),
    ("over", "failure", "AddressSanitizer: heap-buffer-overflow"),
])
def test_sanitizer_job(machine, api, name, expect, says):
    """LeakSanitizer stops its own threads by ptrace."""
    status = api.run(in_there(
        machine, {"name": "build", "run": f"gcc -g -fsanitize=address -o t {name}.c"},
        {"name": "test", "run": "exec 2>&1; ASAN_OPTIONS=detect_leaks=1 ./t"}),
        expect=expect)
    assert [s["status"] for s in status["steps"]] == ["success", expect], status
    assert says in status["steps"][1].get("output", ""), status


def test_memory_limit(machine, api):
    script = "python3 -c 'x = bytearray(1 << 30); print(len(x))'"
    status = api.run(in_there(machine, script, resources={"memory": "256MiB"}),
                     expect="failure")
    # Where there are no control groups of version 2 the program is told instead.
    has_groups = "slipway-jobs.service" in machine.journal(
        "--unit=slipway-jobs", "--grep=ready, limits=/")
    assert status["reason"] == ("oom" if has_groups else "step_failed"), status
    api.run(in_there(machine, script, resources={"memory": "4GiB"}))


def test_isolated_network(machine, api):
    """Out, but to nothing that only this machine can reach."""
    server = subprocess.Popen(
        ["nsenter", f"--target={machine.leader}", "--net", "--", "python3", "-u", "-m",
         "http.server", "8000", "--bind", "0.0.0.0", "--directory", str(machine.root / "srv")],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert b"Serving" in server.stdout.readline()
        get = "python3 -c 'import urllib.request as u, sys; " \
              "print(u.urlopen(sys.argv[1], timeout=5).status)'"
        status = api.run(in_there(
            machine, {"name": "out", "run": f"{get} http://{ADDRESS}:8000/"},
            {"name": "host", "run": f"! {get} http://127.0.0.1:8000/ && "
                                    f"! {get} http://10.0.2.2:8000/"},
            network="isolated"))
        assert status["steps"][0]["output"] == "200\n"
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def test_secrets_are_credentials(machine, api):
    machine.run("install", "-d", "-m", "0700", "/etc/slipway/secrets")
    machine.run("sh", "-c", "umask 077; printf sesame-open >/etc/slipway/secrets/WORD")
    machine.override("slipwayd.service", """\
[Service]
LoadCredential=WORD:/etc/slipway/secrets/WORD
ExecStart=
ExecStart=/usr/local/sbin/slipwayd -o launch.socket=/run/slipway-jobs/launch.sock -o secrets.dir=%d
""")
    machine.systemctl("restart", "slipwayd")
    try:
        status = api.run(in_there(machine, "echo $WORD | wc -c; echo $WORD",
                                  secrets=["WORD"]))
        assert status["steps"][0]["output"].split("\n")[0].strip() == "12"
        assert "sesame-open" not in status["steps"][0]["output"]
    finally:
        machine.override("slipwayd.service", None)
        machine.systemctl("restart", "slipwayd")


@pytest.mark.parametrize("restart", [False, True])
def test_cancel(machine, api, restart):
    """The daemon sees and signals a job's first process, restricted as it is."""
    id = api.submit(in_there(
        machine, "trap 'echo asked; exit 1' TERM; echo begun; while :; do sleep 0.05; done",
        {"name": "last", "run": "echo tidied", "when": "always"}))
    api.wait_output(id, "begun")
    if restart:
        machine.systemctl("restart", "slipwayd")
    assert api.cancel(id)["cancelled"]
    status = api.status(id)
    assert status["status"] == "cancelled"
    assert "asked\n" in status["steps"][0]["output"]
    assert status["steps"][1]["output"] == "tidied\n"


# --- restarts

def test_restart_of_the_daemon(machine, api):
    begin(machine, "restart-daemon")
    before = machine.main_pid("slipwayd")
    machine.systemctl("restart", "slipwayd")
    assert machine.main_pid("slipwayd") != before
    end(machine, "restart-daemon")


def test_restart_of_the_launcher(machine, api):
    begin(machine, "restart-launch")
    before = machine.main_pid("slipway-jobs")
    machine.systemctl("restart", "slipway-jobs")
    assert machine.main_pid("slipway-jobs") != before
    api.run(in_there(machine, "true"))
    end(machine, "restart-launch")


def test_kill9_of_the_launcher(machine, api):
    begin(machine, "kill9-launch")
    before = machine.main_pid("slipway-jobs")
    machine.run("kill", "-KILL", before)
    machine.wait("another one", lambda: machine.main_pid("slipway-jobs") not in (0, before))
    api.run(in_there(machine, "true"))
    end(machine, "kill9-launch")


def test_jobs_wait_for_the_launcher(machine, api):
    machine.systemctl("stop", "slipway-jobs.socket", "slipway-jobs.service")
    id = api.submit(in_there(machine, "echo here"))
    status = api.wait(id, until=lambda s: "slipway-launch" in s.get("waitReason", ""))
    assert status["status"] == "queued"
    machine.systemctl("start", "slipway-jobs.service")
    status = api.wait(id)
    assert (status["status"], status["attempt"]) == ("success", 1), status


def test_upgrade(machine, api):
    """As the README tells: install, check, restart."""
    begin(machine, "upgrade")
    machine.install()
    assert machine.run("/usr/local/sbin/slipwayd", "-t").splitlines() == [
        "configuration ok", "database ok, schema 1"]
    machine.systemctl("daemon-reload")
    machine.systemctl("restart", "slipway-jobs", "slipwayd")
    end(machine, "upgrade")


def test_watchdog(machine, api):
    machine.override("slipwayd.service", "[Service]\nWatchdogSec=1\n")
    machine.systemctl("restart", "slipwayd")
    try:
        begin(machine, "watchdog")
        before = machine.main_pid("slipwayd")
        machine.run("kill", "-STOP", before)
        machine.wait("another one",
                     lambda: machine.show("slipwayd", "ActiveState") == "active" and
                     machine.main_pid("slipwayd") not in (0, before))
        end(machine, "watchdog")
        assert "watchdog" in machine.journal("--unit=slipwayd").lower()
    finally:
        machine.override("slipwayd.service", None)
        machine.systemctl("restart", "slipwayd")


def test_reboot(machine, api):
    """What ran is lost, and told to be; the queue goes on."""
    ids = [f"reboot-{i}" for i in range(4)]
    for id in ids:
        api.submit(in_there(machine, f"echo begun; {wait_for()}", id=id,
                            retry={"lost": False}))
        api.wait_output(id, "begun")
    waiting = api.submit(in_there(machine, "echo after", id="after-reboot"))
    machine.reboot()
    machine.wait("the daemon", lambda: machine.show("slipwayd", "ActiveState") == "active")
    for id in ids:
        status = api.wait(id)
        assert (status["status"], status["reason"]) == ("failure", "runner_lost"), status
        assert "begun\n" in status["steps"][0]["output"]
    assert api.wait(waiting)["status"] == "success"
