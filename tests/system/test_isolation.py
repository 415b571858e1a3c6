"""What a job can see and reach: its own workspace, and no more."""

import contextlib
import json
import os
import re
import select
import signal
import socket
import stat
import subprocess
import threading
from pathlib import Path

import pytest
from harness import BUILD, PATIENCE, job, wait_for

ROOT = os.geteuid() == 0
TUN = Path("/dev/net/tun")


def python(text):
    return f"python3 - <<'EOF'\n{text}\nEOF\n"


def syscall(number, *args):
    return python(
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        f"r = libc.syscall({number}, {', '.join(map(str, args))})\n"
        "print(r, os.strerror(ctypes.get_errno()))\n"
        "raise SystemExit(r < 0)")


# --- refused

# Each of them would succeed for the user outside of the sandbox, or for root.
REFUSED = {
    "shadow": "cat /etc/shadow",
    "root's home": "ls /root",
    "homes": "ls /home",
    "run of the host": "ls /run/systemd /run/user /run/lock",
    "boot": "ls /boot",
    "log files": "ls /var/log",
    "environment of PID 1": "cat /proc/1/environ",
    "memory of PID 1": "head -c 1 /proc/1/mem",
    "maps of PID 1": "test -n \"$(cat /proc/1/maps)\"",
    "root of PID 1": "ls /proc/1/root/",
    "directory of PID 1": "ls /proc/1/cwd/",
    "descriptors of PID 1": "ls /proc/1/fd/",
    "spool by PID 1": "echo forged >/proc/1/fd/5",
    "plan by PID 1": "cat /proc/1/fd/4",
    "oom score of PID 1": "echo 1000 >/proc/1/oom_score_adj",
    "tracing PID 1": syscall(101, 16, 1, 0, 0),
    "seizing PID 1": syscall(101, 0x4206, 1, 0, 0),
    "reading PID 1": syscall(310, 1, 0, 0, 0, 0, 0) + python(
        "import ctypes\n"
        "class V(ctypes.Structure):\n"
        "    _fields_ = [('p', ctypes.c_void_p), ('n', ctypes.c_size_t)]\n"
        "b = ctypes.create_string_buffer(8)\n"
        "l, r = V(ctypes.addressof(b), 8), V(0x400000, 8)\n"
        "n = ctypes.CDLL(None).process_vm_readv(1, ctypes.byref(l), 1, "
        "ctypes.byref(r), 1, 0)\n"
        "raise SystemExit(n < 0)"),
    "descriptor of PID 1 by pidfd": python(
        "import ctypes, os\n"
        "fd = os.pidfd_open(1)\n"
        "raise SystemExit(ctypes.CDLL(None).syscall(438, fd, 5, 0) < 0)"),
    "user namespace": "unshare -U true",
    "user namespace as root": "unshare -Ur true",
    "mount namespace": "unshare -m true",
    "network namespace": "unshare -n true",
    "user namespace by clone": syscall(56, "0x10000000 | 17", 0, 0, 0, 0),
    "bubblewrap": "bwrap --ro-bind / / true",
    "mounting": "mount -t tmpfs none /tmp",
    "bind mount": "mount --bind /usr /tmp",
    "remount": "mount -o remount,rw /usr",
    "new mount API": syscall(430, "b'tmpfs'", 0),
    "chroot": "chroot / true",
    "setns": "nsenter -t 1 -m true",
    "device": "mknod /tmp/zero c 1 5",
    "own setuid program": "cp /usr/bin/id /tmp/id; chmod 4755 /tmp/id; chown 0 /tmp/id",
    "becoming root": python("import os; os.setuid(0)"),
    "su": "su -c true </dev/null",
    "raw socket": python("import socket as s; s.socket(s.AF_INET, s.SOCK_RAW, 1)"),
    "packet socket": python("import socket as s; s.socket(s.AF_PACKET, s.SOCK_RAW)"),
    "vsock": python("import socket as s; s.socket(s.AF_VSOCK, s.SOCK_STREAM)"),
    "keys": syscall(250, 0, -3, 1),
    "bpf": syscall(321, 0, 0, 0),
    "perf": syscall(298, 0, 0, -1, -1, 0),
    "io_uring": syscall(425, 1, "ctypes.create_string_buffer(200)"),
    "userfaultfd": syscall(323, 0),
    "kernel log": "dmesg",
    "clock": "date -s 2000-01-01",
    "host name": "hostname other",
    "sysctl": "echo x >/proc/sys/kernel/hostname",
    "sysrq": "echo h >/proc/sysrq-trigger",
    "kernel memory": "head -c 1 /dev/kmsg || head -c 1 /dev/mem || head -c 1 /proc/kcore",
    "disks": "ls /dev/sd* /dev/vd* /dev/nvme* /dev/loop* /dev/mapper",
    "tunnels": "test -e /dev/net/tun",
    "sysfs": "ls /sys/class",
    "writing to /usr": "touch /usr/x || touch /usr/bin/x || touch /usr/local/x",
    "writing to /etc": "touch /etc/x || echo x >>/etc/passwd",
    "writing to /": "touch /x || mkdir /y",
    "writing to /dev": "touch /dev/x",
    "writing beside the workspace": "touch /run/x || touch /var/x",
    "its own init": "echo >/run/slipway-init || cp /run/slipway-init /tmp/copy.$$ && "
                    "mv /tmp/copy.$$ /run/slipway-init",
    "core dumps": "test \"$(ulimit -c)\" != 0",
    "terminal": "echo >/dev/tty",
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(api, repo, what):
    script = f"exec 2>&1\nif (\n{REFUSED[what]}\n) then echo REACHED; else echo refused; fi"
    status = api.run(job(repo, script))
    assert status["steps"][0]["output"].split()[-1] == "refused", status["steps"]


@pytest.mark.parametrize("name", ["KILL", "TERM", "QUIT", "INT", "HUP", "STOP", "SEGV",
                                  "CHLD", "USR1", "RTMIN"])
def test_a_step_cannot_signal_pid_1(daemon, api, repo, name):
    status = api.run(job(repo, f"for i in 1 2 3; do kill -{name} 1 || :; done; echo on",
                         "echo second"))
    assert status["steps"][0]["output"].endswith("on\n")
    assert status["steps"][1]["output"] == "second\n"
    assert daemon.processes() == {}


def test_killing_everybody_ends_the_step_only(api, repo):
    status = api.run(job(repo, "kill -KILL -1", {"name": "after", "run": "echo after",
                                                 "when": "always"}), expect="failure")
    assert status["reason"] == "step_failed"
    assert status["steps"][1]["output"] == "after\n"


# --- what it is

FACTS = python(r"""
import json, os, stat
lines = dict(l.split(':\t', 1) for l in open('/proc/self/status') if ':\t' in l)
fds = {}
for fd in os.listdir('/proc/self/fd'):
    try:
        fds[fd] = os.readlink('/proc/self/fd/' + fd)
    except OSError:
        pass
print(json.dumps({
    'status': {k: v.strip() for k, v in lines.items()},
    'fds': fds,
    'ids': [os.getuid(), os.geteuid(), os.getgid(), os.getegid()],
    'groups': os.getgroups(),
    'env': dict(os.environ),
    'host': os.uname().nodename,
    'umask': os.umask(0),
    'setuid': [p for d in ('/usr/bin', '/usr/sbin') for p in (d + '/' + n for n in
               os.listdir(d)) if os.path.isfile(p) and os.stat(p).st_mode & 0o6000],
    'nosuid': [l.split()[5] for l in open('/proc/self/mountinfo')
               if l.split()[4] == '/usr'],
    'processes': [p for p in os.listdir('/proc') if p.isdigit()],
    'devices': sorted(os.listdir('/dev')),
    'root': sorted(os.listdir('/')),
    'interfaces': [l.split(':')[0].strip() for l in open('/proc/net/dev')
                   if ':' in l],
}))
""")


@pytest.fixture
def facts(slipwayd, repo):
    daemon = slipwayd(env={"DAEMON_TOKEN": "of-the-daemon", "LC_ALL": "C"})
    status = daemon.client.run(job(repo, {"name": "facts", "run": "exec " + FACTS},
                                   env={"MINE": "1"}))
    return json.loads(status["steps"][0]["output"])


def test_it_has_no_privileges(facts):
    status = facts["status"]
    for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[caps], 16) == 0, caps
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert all("nosuid" in o for o in facts["nosuid"])
    if ROOT:
        assert 0 not in facts["ids"]
    assert 0 not in facts["groups"]


def test_it_inherits_three_descriptors(facts):
    # One more was the listing itself.
    assert set(facts["fds"]) <= {"0", "1", "2", "3"} and len(facts["fds"]) == 3, facts
    assert "pipe" in facts["fds"]["1"] and "pipe" in facts["fds"]["2"]


def test_it_has_an_environment_of_its_own(facts):
    assert "of-the-daemon" not in str(facts["env"])
    assert facts["env"]["MINE"] == "1"
    allowed = re.compile(r"PATH|LANG|HOME|CI|SLIPWAY(_\w+)?|MINE|PWD|OLDPWD|SHLVL|_")
    assert [k for k in facts["env"] if not allowed.fullmatch(k)] == []
    assert facts["umask"] == 0o022


def test_it_has_no_signals_ignored_or_blocked(api, repo):
    status = api.run(job(repo, "grep -E 'Sig(Ign|Blk)' /proc/self/status"))
    assert [int(l.split()[1], 16) for l in
            status["steps"][0]["output"].splitlines()] == [0, 0]


def test_it_is_alone(facts):
    assert facts["host"] == "slipway"
    assert len(facts["processes"]) <= 3 and "1" in facts["processes"]
    assert facts["interfaces"] == ["lo"]
    assert set(facts["root"]) <= {"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr",
                                  "etc", "opt", "proc", "dev", "tmp", "run", "var",
                                  "workspace"}
    assert set(facts["devices"]) <= {"console", "core", "fd", "full", "null", "ptmx",
                                     "pts", "random", "shm", "stderr", "stdin", "stdout",
                                     "tty", "urandom", "zero"}


@pytest.mark.parametrize("sweep", ["/proc/*/fd/*", "/proc/*/task/*/fd/*",
                                   "/proc/*/cwd/../spool", "/proc/*/root/run/*"])
def test_the_spool_cannot_be_found(daemon, api, repo, sweep):
    status = api.run(job(
        repo, f"for f in {sweep}; do\n"
              "case $(readlink -f \"$f\" 2>/dev/null) in\n"
              "*spool*|*jobs/*|*memfd*|*status*) echo \"found $f\";; esac\n"
              "[ -p \"$f\" ] || echo FORGED 2>/dev/null >>\"$f\" || :\ndone 2>/dev/null",
        "echo whole"))
    assert "found" not in status["steps"][0]["output"]
    assert status["steps"][1]["output"] == "whole\n"
    events = list(api.events(status["id"]))
    assert not [e for e in events if e.name == "note" and "damaged" in e.data]
    assert "FORGED" not in "".join(e.data for e in events)


# --- the host's files

def test_tmp_is_private_and_gone_afterwards(daemon, api, repo, workplace):
    name = workplace.name + "-mark"
    Path("/tmp", name + "-host").touch()
    try:
        status = api.run(job(repo, "ls /tmp; "
                             f"echo 1 >/tmp/{name}; echo 1 >/var/tmp/{name}2",
                             f"cat /tmp/{name} /tmp/{name}2"))
        assert status["steps"][0]["output"] == ""
        assert status["steps"][1]["output"] == "1\n1\n"
        assert not Path("/tmp", name).exists() and not Path("/var/tmp", name).exists()
        again = api.run(job(repo, "ls -A /tmp"))
        assert again["steps"][0]["output"] == ""
    finally:
        Path("/tmp", name + "-host").unlink()


def test_the_daemons_files_are_not_there(daemon, api, repo):
    paths = [daemon.state, daemon.dir, daemon.socket, daemon.log_path, repo.path,
             BUILD / "slipwayd"]
    status = api.run(job(repo, *[f"test ! -e {p} && ! ls {p}" for p in paths]))
    assert [s["exitCode"] for s in status["steps"]] == [0] * len(paths)


@pytest.mark.skipif(not ROOT, reason="needs another user")
def test_the_jobs_user_cannot_read_the_state_directory(daemon, api, repo):
    """Not even outside of the sandbox, but for its own workspace."""
    id = api.submit(job(repo, "id -u; " + wait_for()))
    api.wait_output(id, "\n")
    uid = daemon.workspace(id).stat().st_uid
    assert uid != 0
    spool = daemon.job_dir(id) / "spool"
    forbidden = [daemon.state / "db" / "data.mdb", spool, daemon.job_dir(id) / "status"]
    for path in forbidden:
        r = subprocess.run(["cat", path], user=uid, group=uid, extra_groups=[],
                           capture_output=True)
        assert r.returncode != 0 and b"ermission denied" in r.stderr, path
    listing = subprocess.run(["ls", daemon.state / "jobs"], user=uid, group=uid,
                             extra_groups=[], capture_output=True)
    assert listing.returncode != 0
    daemon.poke(id)
    api.wait(id, "success")


def test_another_running_job_is_out_of_sight(slipwayd, repo):
    daemon = slipwayd(options={"runners.local.capacity": 2})
    api = daemon.client
    first = api.submit(job(repo, "echo treasure >/workspace/secret; ipcmk -Q >/dev/null; "
                                 "echo up; sleep 424242 & " + wait_for(),
                           "cat /workspace/secret; jobs; echo fine"))
    api.wait_output(first, "up")
    there = daemon.workspace(first)
    second = api.run(job(
        repo, "grep -l '[4]24242' /proc/*/cmdline || echo none",
        f"cat {there}/secret || cat /workspace/secret || echo none",
        "ls /proc | grep -c '^[0-9]'",
        "ipcs -q | grep -c 0x || :",
        "kill -KILL -1 || :",
        {"name": "last", "run": "cd /workspace; ls -A"}))
    out = [s.get("output") for s in second["steps"]]
    # Where cat's complaints stand among them is not certain.
    assert "none" in out[0].splitlines() and "none" in out[1].splitlines()
    assert "treasure" not in out[1]
    assert int(out[2]) < 10
    assert out[3] == "0\n"
    assert out[5] == "home\nrepo\n"
    assert any("424242" in c for c in daemon.processes().values())
    daemon.poke(first)
    assert api.wait(first, "success")["steps"][1]["output"] == "treasure\nfine\n"


# --- the network

class Listener:
    """Says a word to whoever connects."""

    WORD = b"hello from the listener\n"

    def __init__(self, address):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.bind((address, 0))
        self.socket.listen()
        self.address, self.port = address, self.socket.getsockname()[1]
        self.heard = 0
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.socket.accept()
                self.heard += 1
                with peer:
                    peer.sendall(self.WORD)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture
def listener():
    made = []

    def make(address):
        made.append(Listener(address))
        return made[-1]

    yield make
    for m in made:
        m.close()


def connect(address, port, family="AF_INET"):
    return python(
        "import socket as s\n"
        f"c = s.socket(s.{family}, s.SOCK_STREAM)\n"
        "c.settimeout(5)\n"
        "try:\n"
        f"    c.connect({(address, port)!r})\n"
        "    print('said', c.recv(100).decode().strip())\n"
        "except OSError as e:\n"
        "    print('refused', e)")


def own_address():
    """One of this machine that is not the loopback's."""
    words = subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout
    found = [a for a in words.split() if "." in a]
    if not found:
        pytest.skip("no address but the loopback's")
    return found[0]


@pytest.fixture(scope="module")
def tunnel():
    """Debian's usual mode of the device that slirp4netns needs."""
    if not TUN.exists():
        pytest.skip("no /dev/net/tun")
    mode = stat.S_IMODE(TUN.stat().st_mode)
    if not ROOT and mode & 0o006 != 0o006:
        pytest.skip("/dev/net/tun is not usable")
    if ROOT:
        TUN.chmod(0o666)
    yield
    if ROOT:
        TUN.chmod(mode)


def test_without_a_network_nothing_is_reached(daemon, api, repo, listener):
    near, far = listener("127.0.0.1"), listener(own_address())
    places = [("127.0.0.1", near.port), ("127.0.0.1", daemon.port),
              (far.address, far.port), ("10.0.2.2", daemon.port)]
    status = api.run(job(repo, *[connect(*p) for p in places], network="none"))
    assert all(s["output"].startswith("refused") for s in status["steps"])
    assert near.heard == far.heard == 0


def test_without_a_network_the_loopback_works(api, repo):
    status = api.run(job(repo, python(
        "import socket as s\n"
        "a = s.create_server(('127.0.0.1', 0))\n"
        "b = s.create_connection(a.getsockname())\n"
        "a.accept()[0].sendall(b'own loopback')\n"
        "print(b.recv(100))")))
    assert "own loopback" in status["steps"][0]["output"]


@pytest.mark.parametrize("network", ["none", "isolated"])
def test_the_daemons_unix_socket_is_out_of_reach(daemon, api, repo, network, tunnel):
    status = api.run(job(repo, connect(str(daemon.socket), 0, "AF_UNIX").replace(
        repr((str(daemon.socket), 0)), repr(str(daemon.socket))), network=network))
    assert status["steps"][0]["output"].startswith("refused")


def test_isolated_reaches_out_and_not_home(daemon, api, repo, listener, tunnel):
    near, far = listener("127.0.0.1"), listener(own_address())
    near6 = listener("::1") if socket.has_ipv6 else near
    status = api.run(job(
        repo, connect(far.address, far.port),
        connect("10.0.2.2", near.port), connect("10.0.2.2", daemon.port),
        connect("127.0.0.1", near.port), connect("127.0.0.1", daemon.port),
        connect("fd00::2", near6.port, "AF_INET6"),
        "cat /etc/resolv.conf; grep -c : /proc/net/dev", network="isolated"))
    out = [s["output"] for s in status["steps"]]
    assert out[0] == "said hello from the listener\n"
    assert all(o.startswith("refused") for o in out[1:6]), out
    assert out[6] == "nameserver 10.0.2.3\n2\n"
    assert (far.heard, near.heard, near6.heard) == (1, 0, 0)


def test_two_isolated_jobs_do_not_meet(slipwayd, repo, tunnel):
    daemon = slipwayd(options={"runners.local.capacity": 2})
    api = daemon.client
    first = api.submit(job(repo, python(
        "import os, socket as s, time\n"
        "a = s.create_server(('0.0.0.0', 7777))\n"
        "u = s.socket(s.AF_UNIX); u.bind('\\0slipway-test'); u.listen()\n"
        "print('up', flush=True)\n"
        "while not os.path.exists('go'): time.sleep(0.02)"), network="isolated"))
    api.wait_output(first, "up")
    status = api.run(job(repo, connect("10.0.2.100", 7777), connect("10.0.2.2", 7777),
                         connect("\0slipway-test", 0, "AF_UNIX").replace(
                             repr(("\0slipway-test", 0)), repr("\0slipway-test")),
                         network="isolated"))
    assert all(s["output"].startswith("refused") for s in status["steps"])
    daemon.poke(first)
    api.wait(first, "success")


def slirps(daemon):
    """pidfds of the slirp4netns that serve this daemon's jobs."""
    keepers = {p for p, c in daemon.processes().items() if "slipway-init net" in c}
    found = []
    for p in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            name = Path("/proc", p, "comm").read_text().strip()
            parent = int(Path("/proc", p, "stat").read_text().rsplit(")")[1].split()[1])
            if name == "slirp4netns" and parent in keepers:
                found.append(os.pidfd_open(int(p)))
    return found


def assert_gone(pidfds):
    for fd in pidfds:
        assert select.select([fd], [], [], PATIENCE)[0], "still there"
        os.close(fd)


@pytest.mark.parametrize("how", ["success", "cancelled", "timeout", "killed"])
def test_slirp4netns_goes_with_its_job(slipwayd, repo, how, tunnel):
    daemon = slipwayd(options={"queue.max_retries": 0})
    api = daemon.client
    id = api.submit(job(repo, "echo up; " + wait_for(), network="isolated",
                        timeout=2 if how == "timeout" else None))
    api.wait_output(id, "up")
    helpers = slirps(daemon)
    assert len(helpers) == 1
    if how == "success":
        daemon.poke(id)
    elif how == "cancelled":
        api.cancel(id)
    elif how == "killed":
        for pid, command in daemon.processes().items():
            if "slipway-init run" in command and "bwrap" not in command:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    status = api.wait(id)
    assert status["status"] == ("failure" if how == "killed" else how)
    assert_gone(helpers)


def test_an_isolated_job_keeps_its_network_when_the_daemon_dies(daemon, api, repo,
                                                                 listener, tunnel):
    far = listener(own_address())
    id = api.submit(job(repo, "echo up; " + wait_for(), connect(far.address, far.port),
                        network="isolated"))
    api.wait_output(id, "up")
    helpers = slirps(daemon)
    assert len(helpers) == 1
    daemon.kill9()
    daemon.poke(id)
    assert_gone(helpers)
    daemon.start()
    status = api.wait(id, "success")
    assert status["attempt"] == 1
    assert status["steps"][1]["output"] == "said hello from the listener\n"
    assert far.heard == 1


@pytest.mark.skipif(not ROOT, reason="needs to change the device's mode")
def test_isolated_without_the_device_waits_and_says_so(slipwayd, repo, tunnel):
    TUN.chmod(0o600)
    try:
        daemon = slipwayd()
    finally:
        TUN.chmod(0o666)
    waits_for(daemon, repo, "/dev/net/tun")


def test_isolated_without_slirp4netns_waits_and_says_so(slipwayd, repo, workplace):
    path = workplace / "bin"
    path.mkdir()
    for name in ("bwrap", "git", "sh", "chown"):
        found = subprocess.run(["which", name], capture_output=True, text=True).stdout
        (path / name).symlink_to(found.strip())
    daemon = slipwayd(env={"PATH": str(path)})
    waits_for(daemon, repo, "slirp4netns is not installed")


def waits_for(daemon, repo, reason):
    api = daemon.client
    id = api.submit(job(repo, "true", network="isolated"))
    api.run(job(repo, "true", network="none"))
    status = api.status(id)
    assert status["status"] == "queued"
    assert reason in status["waitReason"] and "isolated" in status["waitReason"]
    assert api.cancel(id) == {"cancelled": True}
