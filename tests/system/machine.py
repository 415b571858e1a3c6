"""A machine under a real systemd: a container whose /usr is this machine's, with what
`make install` installs in its /usr/local, booted by systemd-nspawn.

It has a network of its own without any way out, and an address that is no loopback one.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import requests
import urllib3
from harness import LIBEXEC, PATIENCE, Client

ADDRESS = "192.0.2.1"
REBOOT = 133 # how systemd-nspawn says so
SYSTEMD = Path("/lib/systemd/systemd")

# Of this machine's /etc: what programs below /usr do not work without.
ETC = ("alternatives", "debian_version", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
       "nsswitch.conf", "os-release", "pam.d", "ssl")
# Nobody logs in, and it would want a bus.
MASKED = ("systemd-logind.service", "console-getty.service", "dbus.service", "dbus.socket",
          "systemd-tmpfiles-clean.timer", "apt-daily.timer", "apt-daily-upgrade.timer",
          "dpkg-db-backup.timer", "man-db.timer", "fstrim.timer", "e2scrub_all.timer",
          "e2scrub_reap.service", "logrotate.timer", "systemd-networkd.service",
          "nginx.service", "docker.service", "docker.socket", "containerd.service")
# In a container all of /proc/sys is read-only; bubblewrap sets the limit of user
# namespaces in its own.
BOOT_UNIT = """\
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=/bin/sh -ec 'mkdir /run/proc; mount -t proc proc /run/proc; \\
	mount --bind /run/proc/sys/user /proc/sys/user; \\
	ip address add %s/32 dev lo'
[Install]
WantedBy=sysinit.target
"""
CONFIG = """\
git:
  local_roots: [/srv]
limits:
  grace: 2s
queue:
  backoff: 100ms
runners:
  - name: local
    type: local
    capacity: 4
"""


class UnixConnection(urllib3.connection.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


class UnixPool(urllib3.connectionpool.HTTPConnectionPool):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def _new_conn(self):
        return UnixConnection(self.path)


class UnixAdapter(requests.adapters.HTTPAdapter):
    def __init__(self, path):
        super().__init__()
        self.path = path

    def get_connection(self, url, proxies=None):
        return UnixPool(self.path)

    def get_connection_with_tls_context(self, request, verify, proxies=None, cert=None):
        return UnixPool(self.path)


class UnixClient(Client):
    """The HTTP API by a Unix socket, whose path may change."""

    def __init__(self, path_of):
        super().__init__("http://localhost")
        self.path_of = path_of

    def session(self):
        s = super().session()
        s.mount("http://", UnixAdapter(self.path_of()))
        return s


class Groups:
    """Control groups of its own for what the machine consists of, so that those which
    systemd makes in there can be removed afterwards."""

    def __init__(self, name):
        self.dirs = []
        mounts = {}
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            fields, _, rest = line.partition(" - ")
            kind, _, options = rest.split(" ", 2)
            if kind == "cgroup2":
                mounts["0::"] = fields.split(" ")[4]
            elif kind == "cgroup" and "name=systemd" in options:
                mounts["name=systemd:"] = fields.split(" ")[4]
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            for key, at in mounts.items():
                if key in line:
                    own = line.split(":", 2)[2].lstrip("/")
                    self.dirs.append(Path(at, own, name))

    def enter(self):
        for dir in self.dirs:
            dir.mkdir(exist_ok=True)
            (dir / "cgroup.procs").write_text("0")

    def remove(self):
        for dir in self.dirs:
            for path, _, _ in os.walk(dir, topdown=False):
                os.rmdir(path)


class Machine:
    def __init__(self, dir):
        self.dir = Path(dir)
        self.root = self.dir / "root"
        self.local = self.dir / "local"
        self.name = f"slipway-test-{os.getpid()}"
        self.process = None
        self.leader = 0
        self.client = UnixClient(lambda: f"/proc/{self.leader}/root/run/slipway/"
                                         "slipwayd.sock")

    # --- what is in it

    def make(self):
        for name in ("usr", "etc/systemd/system", "var/log/journal", "run", "tmp", "srv",
                     "root", "home", "dev", "proc", "sys", "opt"):
            (self.root / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
            if os.path.islink("/" + name):
                (self.root / name).symlink_to(os.readlink("/" + name))
        for name in ETC:
            source, target = Path("/etc", name), self.root / "etc" / name
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True)
            elif source.exists():
                shutil.copy(source, target)
        (self.root / "etc/machine-id").touch()
        (self.root / "etc/hostname").write_text("slipway-test\n")
        units = self.root / "etc/systemd/system"
        (units / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
        for name in MASKED:
            (units / name).symlink_to("/dev/null")
        system = self.root / "etc/systemd/system.conf.d"
        system.mkdir()
        (system / "test.conf").write_text("[Manager]\nDefaultTimeoutStopSec=5\n")
        (units / "test-boot.service").write_text(BOOT_UNIT % ADDRESS)
        (units / "sysinit.target.wants").mkdir()
        (units / "sysinit.target.wants/test-boot.service").symlink_to("../test-boot.service")
        self.install()

    def install(self):
        dest = self.dir / "dest"
        subprocess.run(["make", "-C", LIBEXEC, "install", f"DESTDIR={dest}"], check=True,
                       stdout=subprocess.DEVNULL)
        new = dest / "usr/local"
        assert (new / "sbin/slipway-launch").exists(), "configured with another prefix"
        shutil.copytree(new, self.local, dirs_exist_ok=True, copy_function=self.replace)
        shutil.rmtree(dest)
        (self.local / "etc/slipway/slipway.yaml").write_text(CONFIG)

    @staticmethod
    def replace(source, target):
        """As install(1) does: programs that run keep their old file."""
        Path(target).unlink(missing_ok=True)
        shutil.copy2(source, target)

    # --- its life

    def boot(self):
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(self.dir / "notify"))
        self.notify.settimeout(PATIENCE)
        self.groups = Groups(self.name)
        self.spawn()

    def spawn(self):
        argv = ["systemd-nspawn", "--quiet", f"--directory={self.root}",
                "--bind-ro=/usr", f"--bind={self.local}:/usr/local",
                f"--machine={self.name}", "--register=no", "--keep-unit", "--boot",
                "--private-network", "--notify-ready=yes", "--console=pipe",
                "--resolv-conf=off", "--timezone=off", "--link-journal=no"]
        with open(self.dir / "console.log", "ab") as log:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(self.dir / "notify")},
                start_new_session=True, preexec_fn=self.groups.enter)
        self.wait_ready()

    def wait_ready(self):
        """systemd has started all there is to start at boot."""
        ready = False
        while not ready:
            try:
                text = self.notify.recv(65536).decode()
            except TimeoutError:
                raise AssertionError(f"it does not boot\n{self.console()}") from None
            m = re.search(r"^X_NSPAWN_LEADER_PID=(\d+)$", text, re.M)
            if m:
                self.leader = int(m[1])
            ready = "READY=1" in text.splitlines()

    def reboot(self):
        """With --keep-unit systemd-nspawn leaves the second half to its caller."""
        self.systemctl("--no-block", "reboot")
        assert self.process.wait(PATIENCE) == REBOOT, self.console()
        self.spawn()

    def close(self):
        """Nothing is left: no process, control group or mount."""
        if self.process is None:
            return
        try:
            if self.leader:
                os.kill(self.leader, signal.SIGKILL)
            self.process.wait(PATIENCE)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.notify.close()
        self.groups.remove()
        shutil.rmtree(f"/run/systemd/nspawn/propagate/{self.name}", ignore_errors=True)
        mounts = Path("/proc/self/mountinfo").read_text()
        assert str(self.dir) not in mounts, mounts

    def console(self):
        return (self.dir / "console.log").read_text(errors="replace")[-5000:]

    # --- doing something in it

    def run(self, *argv, check=True, input=None):
        p = subprocess.run(
            ["nsenter", f"--target={self.leader}", "--all", "--", *map(str, argv)],
            input=input, capture_output=True, text=True, timeout=PATIENCE * 2,
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
                 "LANG": "C.UTF-8"})
        if check:
            assert p.returncode == 0, (argv, p.returncode, p.stdout, p.stderr)
        return p.stdout.strip()

    def systemctl(self, *argv, **kw):
        return self.run("systemctl", *argv, **kw)

    def show(self, unit, property):
        return self.systemctl("show", unit, f"--property={property}", "--value")

    def main_pid(self, unit):
        """As seen in there."""
        return int(self.show(unit, "MainPID"))

    def override(self, unit, text):
        """As `systemctl edit` does, until the next reboot."""
        name = f"/run/systemd/system/{unit}.d/test.conf"
        if text is None:
            self.run("rm", "-f", name)
        else:
            self.run("mkdir", "-p", os.path.dirname(name))
            self.run("tee", name, input=text)
        self.systemctl("daemon-reload")

    def wait(self, what, condition):
        """For what only systemd knows, and tells nobody in here."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"not in time: {what}\n{self.journal()}"
            time.sleep(0.05)

    def journal(self, *argv):
        return self.run("journalctl", "--no-pager", "--output=cat", *argv, check=False)

    def poke(self, id, name="go", attempt=1):
        (self.root / "var/lib/slipway/jobs" / id / str(attempt) / "workspace/repo" /
         name).touch()
