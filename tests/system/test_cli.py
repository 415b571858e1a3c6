"""The command line client: verbs, exit codes, what people and what machines read."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest
from harness import BUILD, PATIENCE, job, wait_for

VERBS = ["submit", "validate", "status", "list", "logs", "cancel", "retry", "why", "health",
         "pause", "drain", "resume", "maintenance", "doctor"]
NOBODY = {"labels": ["nobody"]}


def client_env(daemon, **more):
    return {"PATH": os.environ["PATH"], "HOME": str(daemon.dir), "LANG": "C.UTF-8",
            "TERM": "xterm", "SLIPWAY_URL": daemon.client.base, **more}


def popen(daemon, *args, **kw):
    return subprocess.Popen([str(BUILD / "slipway"), *args], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                            env=client_env(daemon), **kw)


def text(repo, *steps, **fields):
    return json.dumps(job(repo, *steps, **fields))


class Terminal:
    """The client on a terminal of its own."""

    def __init__(self, daemon, *args, columns=80, **env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
                os.execve(BUILD / "slipway", ["slipway", *args], client_env(daemon, **env))
            finally:
                os._exit(99)
        self.seen = b""

    def read(self, until=None):
        """Read until a pattern was seen, or to the end."""
        deadline = time.monotonic() + PATIENCE
        while until is None or not re.search(until, self.seen):
            ready, _, _ = select.select([self.fd], [], [], deadline - time.monotonic())
            assert ready, f"no {until!r} in time: {self.seen!r}"
            try:
                data = os.read(self.fd, 65536)
            except OSError:  # the other side is closed
                data = b""
            if not data:
                assert until is None, f"it ended without {until!r}: {self.seen!r}"
                break
            self.seen += data
        return self.seen

    def end(self):
        self.read()
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return code


# --- use


def test_help_and_version(shared):
    general = shared.cli("--help")
    assert (general.returncode, general.stderr) == (0, "")
    assert shared.cli("help").stdout == general.stdout
    for verb in VERBS:
        assert re.search(rf"^  {verb} ", general.stdout, re.M)
    for code in ("0 ", "1 ", "3 ", "4 ", "64", "65", "66", "69", "130"):
        assert code in general.stdout[general.stdout.index("Exit codes"):]
    assert re.fullmatch(r"slipway \d+\.\d+\S*\n", shared.cli("--version").stdout)
    nothing = shared.cli()
    assert (nothing.returncode, nothing.stdout) == (64, "")
    assert "usage:" in nothing.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_its_help(shared, verb):
    r = shared.cli(verb, "--help")
    assert (r.returncode, r.stderr) == (0, "")
    assert r.stdout.startswith(f"usage: slipway {verb}")
    assert "Exit codes" in r.stdout or "exit code" in r.stdout
    assert all(len(line) <= 80 for line in r.stdout.splitlines())
    assert shared.cli("help", verb).stdout == r.stdout


@pytest.mark.parametrize("args, word", [
    (["frobnicate"], "frobnicate"), (["list", "extra"], "no arguments"), (["cancel"], "ID"),
    (["submit"], "FILE"), (["logs", "a", "b"], "one argument"), (["--frob"], "frob"),
    (["list", "--follow"], "--follow"), (["status", "--tail", "5", "x"], "--tail"),
    (["list", "--limit"], "limit"), (["--server", "ftp://x", "list"], "ftp://x"),
    (["--server", "unix:", "list"], "unix:"), (["help", "frobnicate"], "frobnicate"),
])
def test_wrong_use_is_64(shared, args, word):
    r = shared.cli(*args)
    assert (r.returncode, r.stdout) == (64, "")
    assert word in r.stderr


# --- results


@pytest.mark.parametrize("how", ["--wait", "--follow"])
@pytest.mark.parametrize("step, code, state", [
    ("true", 0, "success"), ("exit 9", 1, "failure"),
    ({"name": "slow", "run": "sleep 1000", "timeout": 1}, 3, "timeout"),
])
def test_the_exit_code_is_the_jobs_result(shared, how, step, code, state):
    r = shared.cli("submit", how, "-", input=text(shared.repo, step))
    assert r.returncode == code
    assert state in r.stdout + r.stderr
    id = shared.client.list(limit=1)[0]["id"]
    assert shared.client.status(id)["status"] == state
    watched = shared.cli("status", "--watch", id)
    assert (watched.returncode, watched.stdout) == (code, f"{state}\n")
    assert shared.cli("logs", "-f", id).returncode == code
    assert shared.cli("logs", id).returncode == 0
    assert shared.cli("status", id).returncode == 0


def test_a_cancelled_job_is_4(daemon, repo):
    id = daemon.cli("submit", "-", input=text(repo, f"echo on; {wait_for()}")).stdout.strip()
    daemon.client.wait_output(id, "on")
    watch = popen(daemon, "status", "--watch", id)
    follow = popen(daemon, "logs", "-f", id)
    assert follow.stdout.readline() == "* attempt 1 on runner local\n"
    r = daemon.cli("cancel", id)
    assert (r.returncode, r.stdout) == (0, "")
    assert id in r.stderr
    for p in (watch, follow):
        out, err = p.communicate(timeout=PATIENCE)
        assert p.returncode == 4, (out, err)
        assert "cancelled" in out + err
    again = daemon.cli("cancel", id)
    assert again.returncode == 1
    assert "already cancelled" in again.stderr


@pytest.mark.parametrize("body, word", [
    ("", "line 1"), ("{}", "repo: missing"), ("[1]", "object"),
    ('{"repo": "/x", "commit": "m", "steps": [{"name": "a", "run": "b", "rum": 1}]}',
     "steps[0].rum: unknown field"),
    ('{"repo": "/x"', "line 1, column 14"), (" " * ((1 << 20) + 1), "KiB"),
])
@pytest.mark.parametrize("verb", ["submit", "validate"])
def test_an_invalid_job_is_65_and_tells_where(shared, verb, body, word):
    before = len(shared.client.list(limit=200))
    r = shared.cli(verb, "-", input=body)
    assert (r.returncode, r.stdout) == (65, "")
    assert word in r.stderr
    assert len(shared.client.list(limit=200)) == before


def test_what_is_not_there_is_66(shared):
    for args in (["status", "nobody"], ["logs", "nobody"], ["logs", "-f", "nobody"],
                 ["why", "nobody"], ["retry", "nobody"], ["status", "--watch", "nobody"],
                 ["submit", "/nonexistent/job.json"], ["validate", "/nonexistent"],
                 ["--token-file", "/nonexistent", "list"]):
        r = shared.cli(*args)
        assert (r.returncode, r.stdout) == (66, ""), args
        assert "no such" in r.stderr.lower(), args


def test_a_server_that_is_not_there_is_69(shared, tmp_path):
    for server in ("http://127.0.0.1:1", f"unix:{tmp_path}/nothing.sock",
                   "http://nowhere.invalid"):
        r = shared.cli("--server", server, "health")
        assert (r.returncode, r.stdout) == (69, "")
        assert server in r.stderr and "slipwayd" in r.stderr


def test_the_servers_refusals_have_codes(slipwayd, repo):
    daemon = slipwayd(options={"queue.max_depth": 1})
    assert daemon.cli("submit", "-", input=text(repo, "true", id="a", **NOBODY)).stdout == "a\n"
    assert daemon.cli("submit", "-", input=text(repo, "true", id="b")).returncode == 75
    again = daemon.cli("submit", "-", input=text(repo, "true", id="a", **NOBODY))
    assert (again.returncode, again.stdout) == (0, "a\n")
    other = daemon.cli("submit", "-", input=text(repo, "false", id="a", **NOBODY))
    assert other.returncode == 65
    assert "a" in other.stderr
    assert daemon.cli("retry", "a").returncode == 65
    assert daemon.cli("list", "--status", "done").returncode == 65
    assert daemon.cli("list", "--limit", "0").returncode == 65
    daemon.cli("cancel", "a")


def test_the_unix_socket_does_as_well(shared):
    r = shared.cli("--server", f"unix:{shared.socket}", "health")
    assert r.returncode == 0
    assert "ok" in r.stdout


def test_health_is_1_when_no_job_could_run(slipwayd):
    daemon = slipwayd(options={"limits.disk_reserve": "1TiB"})
    r = daemon.cli("health")
    assert r.returncode == 1
    assert "disk" in r.stdout
    assert json.loads(daemon.cli("--json", "health").stdout)["status"] == "unavailable"


def test_a_full_output_device_is_an_error(shared):
    shared.cli("submit", "-", input=text(shared.repo, "true", **NOBODY))
    with open("/dev/full", "w") as full:
        r = subprocess.run([str(BUILD / "slipway"), "list"], stdout=full, text=True,
                           stderr=subprocess.PIPE, env=client_env(shared))
    assert r.returncode == 74
    assert "No space left" in r.stderr


def test_interrupting_the_client_leaves_the_job(daemon, repo):
    id = daemon.client.submit(job(repo, f"echo on; {wait_for()}"))
    follow = popen(daemon, "logs", "-f", id)
    while follow.stdout.readline() != "on\n":
        pass
    follow.send_signal(signal.SIGINT)
    _, err = follow.communicate(timeout=PATIENCE)
    assert follow.returncode == 130
    assert id in err
    assert daemon.client.status(id)["status"] == "running"
    daemon.poke(id)
    daemon.client.wait(id, "success")


# --- machines


def test_json_is_json(daemon, repo):
    def out(*args, **kw):
        r = daemon.cli("--json", *args, **kw)
        assert r.returncode in (0, 1), r
        return json.loads(r.stdout)

    body = text(repo, "echo hello", "exit 3", id="one")
    assert out("validate", "-", input=body)["valid"] is True
    assert out("submit", "-", input=body)["jobId"] == "one"
    watched = daemon.cli("--json", "status", "--watch", "one")
    states = [json.loads(line)["status"] for line in watched.stdout.splitlines()]
    assert states[-1] == "failure" and watched.returncode == 1
    assert out("status", "one")["steps"][0]["output"] == "hello\n"
    assert out("why", "one")["reason"] == "step_failed"
    assert [j["id"] for j in out("list")] == ["one"]
    assert out("cancel", "one")["cancelled"] is False
    assert out("health")["service"] == "slipway"
    assert out("retry", "--wait", "one")["attempt"] == 2
    for args in (["logs", "one"], ["logs", "-f", "one"]):
        r = daemon.cli("--json", *args)
        events = [json.loads(line) for line in r.stdout.splitlines()]
        assert [e["data"] for e in events if e["event"] == "message"] == ["hello"]
        assert events[-1]["event"] == "end"
        assert events[-1]["data"]["status"] == "failure"
        assert all("id" in e for e in events if e["event"] in ("message", "step"))


def test_standard_output_is_for_results_alone(shared):
    """What a script reads has no remark in it."""
    id = shared.cli("submit", "-", input=text(shared.repo, "echo out; echo err >&2"))
    assert re.fullmatch(r"job-\d+-[0-9a-z]{7}\n", id.stdout)
    assert id.stderr == ""
    followed = shared.cli("logs", "-f", id.stdout.strip())
    printed = {l for l in followed.stdout.splitlines() if not l.startswith(("*", "["))}
    assert printed == {"out", "err"}
    assert "success" in followed.stderr and "success" not in followed.stdout
    waited = shared.cli("submit", "--wait", "-", input=text(shared.repo, "true"))
    assert waited.stdout == "success\n"


# --- people


def test_why_a_job_waits(shared):
    id = shared.client.submit(job(shared.repo, "true", priority=7, **NOBODY))
    out = shared.cli("why", id).stdout
    assert "no runner has label nobody" in out
    assert re.search(r"number \d+ in the queue, with priority 7", out)
    shared.cli("cancel", id)
    out = shared.cli("why", id).stdout
    assert f"Job {id}: cancelled." in out
    assert "cancelled by api (127.0.0.1" in out


def test_why_a_job_failed(shared):
    id = shared.client.submit(job(shared.repo, "echo fine",
                                  {"name": "build", "run": "seq 100; exit 7"}))
    shared.client.wait(id)
    out = shared.cli("why", id).stdout
    assert "step_failed" in out and "exit code 7" in out and "build" in out
    printed = re.findall(r"^  \| (.*)$", out, re.M)
    assert printed == [str(i) for i in range(81, 101)]
    assert f"slipway logs --step 1 {id}" in out
    log = shared.cli("logs", "--step", "1", id).stdout
    assert log == "[build]\n" + "".join(f"{i}\n" for i in range(1, 101))


@pytest.mark.parametrize("prints, says", [("true", "It printed nothing."),
                                          ("echo x", "It last printed:")])
def test_why_tells_what_it_knows_of_the_output(shared, prints, says):
    quiet = shared.client.submit(job(shared.repo, f"{prints}; exit 1"))
    noisy = shared.client.submit(job(
        shared.repo, f"{prints}; exit 1",
        {"name": "report", "run": "head -c 3000000 /dev/zero", "when": "always"}))
    for id in (quiet, noisy):
        shared.client.wait(id)
    assert says in shared.cli("why", quiet).stdout
    out = shared.cli("why", noisy).stdout
    assert "exit code 1" in out and "printed" not in out, "it is not known any more"


def test_why_a_job_was_run_again(slipwayd, repo):
    daemon = slipwayd(options={"queue.backoff": "0s"})
    id = daemon.client.submit(job(repo,
                                  f"echo on; [ $SLIPWAY_ATTEMPT = 2 ] || {wait_for()}"))
    daemon.client.wait_output(id, "on")
    daemon.kill_leftovers_of(daemon.processes())
    daemon.client.wait(id, "success")
    out = daemon.cli("why", id).stdout
    assert f"Job {id}: success." in out
    assert re.search(r"^  1  failure, runner_lost, on local, ", out, re.M)
    assert re.search(r"^  2  success, on local, ", out, re.M)
    assert "attempt 2" in daemon.cli("status", id).stdout
    assert "attempt 1 on runner" in daemon.cli("logs", "--attempt", "1", id).stdout


def test_why_a_running_job_runs(daemon, repo):
    id = daemon.client.submit(job(repo, "true", {"name": "build it", "run": wait_for()}))
    daemon.client.wait(id, lambda s: s.get("currentStep") == 1)
    assert "It is at step 2, build it, on runner local." in daemon.cli("why", id).stdout
    daemon.poke(id)
    daemon.client.wait(id, "success")


def test_status_shows_the_steps(shared):
    id = shared.client.submit(job(shared.repo, {"name": "build", "run": "true"},
                                  {"name": "test suite", "run": "exit 3"}, "true",
                                  branch="topic"))
    shared.client.wait(id)
    out = shared.cli("status", id).stdout
    assert out.startswith(f"{id}  failure")
    assert re.search(r"^ +0 +success +build +\d+ms$", out, re.M)
    assert re.search(r"^ +1 +failure +test suite +\d+ms +exit code 3$", out, re.M)
    assert re.search(r"^ +2 +skipped +step2$", out, re.M)
    for word in (str(shared.repo), "topic", "local", "step_failed"):
        assert word in out


def test_list_shows_and_filters(slipwayd):
    daemon = slipwayd()
    assert daemon.cli("list").stdout == ""
    for i in range(3):
        daemon.client.submit(job("/srv/team/app.git", "true", id=f"a{i}",
                                 branch=f"b{i}", **NOBODY))
    daemon.client.cancel("a1")
    lines = daemon.cli("list").stdout.splitlines()
    assert [l.split()[:4] for l in lines] == [
        ["queued", "a2", "team/app.git", "b2"], ["cancelled", "a1", "team/app.git", "b1"],
        ["queued", "a0", "team/app.git", "b0"]]
    assert "no runner has label nobody" in lines[0]

    def ids(*args):
        return [l.split()[1] for l in daemon.cli("list", *args).stdout.splitlines()]

    assert ids("--status", "cancelled") == ["a1"]
    assert ids("--branch", "b0") == ["a0"]
    assert ids("--repo", "/srv/team/app.git", "--limit", "2") == ["a2", "a1"]
    assert ids("--repo", "/srv/other") == []


def test_logs_by_step_tail_and_attempt(shared):
    id = shared.client.submit(job(shared.repo, {"name": "count", "run": "seq 5"},
                                  {"name": "next", "run": "echo six"}))
    shared.client.wait(id)
    assert shared.cli("logs", "--step", "next", id).stdout == "[next]\nsix\n"
    assert shared.cli("logs", "--tail", "3", id).stdout == "[count]\n4\n5\n[next]\nsix\n"
    assert shared.cli("logs", "--step", "0", "--tail", "1", id).stdout == "[count]\n5\n"
    followed = shared.cli("logs", "-f", "--step", "next", id)
    assert followed.stdout == "[next]\nsix\n"
    for bad in (["--step", "nothing"], ["--tail", "x"], ["--attempt", "2"]):
        r = shared.cli("logs", *bad, id)
        assert (r.returncode, r.stdout) == (65, "")
        assert bad[0].strip("-") in r.stderr


def test_retry_follows_the_next_attempt(shared):
    id = shared.client.submit(job(shared.repo, 'echo "attempt $SLIPWAY_ATTEMPT"; '
                                               '[ $SLIPWAY_ATTEMPT = 2 ]'))
    shared.client.wait(id)
    r = shared.cli("retry", "--follow", id)
    assert r.returncode == 0
    assert "attempt 2\n" in r.stdout
    assert "attempt 1\n" not in r.stdout.replace("* attempt 1", "")


def test_following_survives_the_daemons_death(daemon, repo):
    path = daemon.dir / "job.json"
    path.write_text(text(repo, f"seq 1 20; {wait_for('mid')}; seq 21 40; "
                               f"{wait_for()}; seq 41 60", id="long"))
    follow = popen(daemon, "submit", "--follow", str(path))
    lines = []
    while not lines or lines[-1] != "20":
        lines.append(follow.stdout.readline().rstrip("\n"))
    daemon.kill9()
    daemon.poke("long", "mid")
    assert "trying again" in wait_line(follow.stderr, "trying again")
    daemon.start()
    while lines[-1] != "40":
        lines.append(follow.stdout.readline().rstrip("\n"))
    daemon.restart()
    daemon.poke("long")
    out, err = follow.communicate(timeout=PATIENCE)
    lines += out.splitlines()
    assert follow.returncode == 0, err
    assert [l for l in lines if l.isdigit()] == [str(i) for i in range(1, 61)]


def wait_line(stream, word):
    for line in stream:
        if word in line:
            return line
    raise AssertionError(f"no line with {word!r}")


def test_waiting_survives_the_daemons_death(daemon, repo):
    id = daemon.client.submit(job(repo, f"echo on; {wait_for()}"))
    daemon.client.wait_output(id, "on")
    watch = popen(daemon, "status", "--watch", id)
    assert watch.stdout.readline().startswith("running")
    daemon.kill9()
    daemon.start()
    daemon.poke(id)
    out, err = watch.communicate(timeout=PATIENCE)
    assert watch.returncode == 0, err
    assert out.splitlines()[-1] == "success"


# --- terminals


def plain(data):
    return re.sub(rb"\x1b\[[0-9;]*[mK]", b"", data).replace(b"\r", b"\n")


def test_a_terminal_shows_the_steps_with_their_time(daemon, repo):
    path = daemon.dir / "job.json"
    path.write_text(text(repo, {"name": "build it", "run": wait_for("one")},
                         {"name": "test", "run": f"printf part; {wait_for('two')}; exit 3"},
                         id="live"))
    t = Terminal(daemon, "submit", "--follow", str(path))
    t.read(rb"running 0:0\d  step 1 of 2, build it 0:0[1-9]")
    daemon.poke("live", "one")
    t.read(rb"step 2 of 2, test 0:00")
    t.read(rb"part")
    daemon.poke("live", "two")
    assert t.end() == 1
    seen = plain(t.seen)
    assert b"build it: success after " in seen
    assert b"test: failure (exit code 3) after " in seen
    assert b"job live: failure after " in seen
    assert b"\x1b[31m" in t.seen and b"\x1b[32m" in t.seen
    assert b"running" not in t.seen.rsplit(b"\r\x1b[K", 1)[1], "the live line is gone"


def test_the_live_line_fits_the_terminal(daemon, repo):
    path = daemon.dir / "job.json"
    path.write_text(text(repo, {"name": "ä" * 60, "run": wait_for()}, id="narrow"))
    t = Terminal(daemon, "submit", "--follow", str(path), columns=30)
    t.read(rb"step 1 of 1, ")
    t.read(rb"\x1b\[K.*\x1b\[K")
    daemon.poke("narrow")
    assert t.end() == 0
    live = re.findall(rb"running 0:[^\r\x1b]*", t.seen)
    assert live and all(len(l.decode()) < 30 for l in live), "whole characters, one row"


@pytest.mark.parametrize("env, args", [({"NO_COLOR": "1"}, []), ({"TERM": "dumb"}, []),
                                       ({}, ["--no-color"])])
def test_no_colour_where_none_is_wanted(shared, env, args):
    path = shared.dir / "plain.json"
    path.write_text(text(shared.repo, "printf '\\033[31mred\\033[0m\\n'"))
    t = Terminal(shared, *args, "submit", "--follow", str(path), **env)
    assert t.end() == 0
    assert not re.search(rb"\x1b\[[0-9;]*m", t.seen), t.seen
    assert b"red" in t.seen


HOSTILE = "n\u009b2J\u202eevil\u2066\u0085"
ATTACK = "printf 'a\\033]0;title\\007b\\033[2Jc\\033P+q\\033\\\\d\\302\\2332Je\\033[31mred\\n'"


def test_what_a_job_says_cannot_command_the_terminal(shared):
    id = shared.client.submit(job(shared.repo, {"name": HOSTILE, "run": ATTACK + "; exit 1"},
                                  branch="b\u009b5n"))
    shared.client.wait(id)
    for args in (["logs", id], ["logs", "-f", id], ["why", id], ["status", id], ["list"],
                 ["status", "--watch", id]):
        t = Terminal(shared, *args)
        t.end()
        left = re.sub(rb"\x1b\[[0-9;]*[mK]", b"", t.seen)
        for bad in ("\x1b", "\x07", "\u009b", "\u0085"):
            assert bad.encode() not in left, (args, t.seen)
        assert b"title" not in left
        if args[0] == "logs":
            assert b"abcd2Je" in left, "what is no command is printed"
        if args != ["logs", id]:
            # In a log's text a name cannot be told from output, which may write so.
            assert "\u202e".encode() not in left and "\u2066".encode() not in left


def test_a_pipe_gets_the_bytes_as_they_are(shared):
    id = shared.client.submit(job(shared.repo, "printf '\\033[31mred\\033[0m\\n'"))
    shared.client.wait(id)
    assert "\x1b[31mred\x1b[0m\n" in shared.cli("logs", id).stdout


def test_a_relative_repository_is_a_directory_of_this_machine(daemon, repo):
    (repo.path / "job.json").write_text(json.dumps(job(".", "cat README", commit="HEAD")))
    env = {"PATH": os.environ["PATH"], "SLIPWAY_URL": daemon.client.base}
    run = subprocess.run([BUILD / "slipway", "submit", "--follow", "job.json"],
                         cwd=repo.path, env=env, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert "hello" in run.stdout
    assert daemon.client.list()[0]["repo"] == str(repo)


def test_a_relative_repository_that_is_not_there(daemon, workplace):
    r = daemon.cli("submit", "-", input=json.dumps(job("./nowhere", "true")))
    assert r.returncode == 65
    assert "./nowhere" in r.stderr
