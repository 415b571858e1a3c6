"""Steps that misbehave: the right verdict, the right log, nothing left behind."""

import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from harness import LONG, PATIENCE, job, wait_for

MIB = 1 << 20
TRUNCATED = "the log has reached its size limit"
X = "head -c {} /dev/zero | tr '\\0' x"


def python(text):
    return f"python3 - <<'EOF'\n{text}\nEOF\n"


def content(api, id):
    """The first step's bytes as printed."""
    data = api.get("/jobs/logs", id=id, format="text", step="0").content
    name, _, data = data.partition(b"\n")
    assert name == b"[step0]"
    return re.sub(rb"\n?\* [^\n]*\n\Z", b"", data)


def same(a, b):
    """Of data too large for pytest to explain the difference."""
    return len(a) == len(b) and a == b


def output_size(api, id):
    """How much the steps printed, without holding it."""
    with requests.get(api.base + "/jobs/logs", params={"id": id, "format": "text",
                                                       "step": "0"},
                      stream=True, timeout=PATIENCE) as r:
        return sum(len(c) for c in r.iter_content(1 << 20)) - len("[step0]\n")


def notes(api, id, text):
    return [e.json for e in api.events(id) if e.name == "note" and text in e.data]


# --- processes left behind

DAEMONS = {
    "background": "({}) &",
    "own session": "setsid sh -c '{}' &",
    "double fork": python(
        "import os, sys\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        os.execv('/bin/sh', ['sh', '-c', '''{}'''])\n"
        "    os._exit(0)\n"
        "os.wait()"),
    "deaf": "(trap \"\" TERM HUP INT QUIT; {}) &",
}


@pytest.mark.parametrize("how", DAEMONS)
def test_a_daemons_output_counts_for_the_step_that_started_it(daemon, api, repo, how):
    late = f"{wait_for()}; echo late; touch done; sleep 1000"
    status = api.run(job(repo, DAEMONS[how].replace("{}", late) + "\necho main",
                         f"touch go; {wait_for('done')}; echo second"))
    assert status["steps"][0]["output"] == "main\nlate\n"
    assert status["steps"][1]["output"] == "second\n"
    assert daemon.processes() == {}


@pytest.mark.parametrize("how", DAEMONS)
def test_daemons_are_gone_when_the_job_has_ended(daemon, api, repo, how):
    id = api.submit(job(repo, DAEMONS[how].replace("{}", "echo up; sleep 1000")
                        + "\n" + wait_for()))
    api.wait_output(id, "up")
    assert any("sleep 1000" in c for c in daemon.processes().values())
    daemon.poke(id)
    api.wait(id, "success")
    assert daemon.processes() == {}


def test_a_daemon_that_never_stops_printing_holds_nothing_up(slipwayd, repo):
    daemon = slipwayd(options={"log.max_size": "1MiB"})
    api = daemon.client
    status = api.run(job(repo, "yes noise & echo main", "echo second"))
    assert [s["status"] for s in status["steps"]] == ["success", "success"]
    assert daemon.processes() == {}


def test_closed_output_is_not_the_end_of_a_step(api, repo):
    # Longer than the silence after which a finished step's pipes are given up.
    status = api.run(job(repo, "exec >&- 2>&-; sleep 0.6; exit 5"), expect="failure")
    assert status["steps"][0]["exitCode"] == 5
    assert status["steps"][0]["duration"] >= 600


# --- not ending

STUBBORN = {
    "ignores TERM": "trap '' TERM; echo ready; while :; do sleep 1; done",
    "ignores TERM, in a pipe": "trap '' TERM; (echo ready; sleep 1000) | cat",
    "stopped itself": "echo ready; kill -STOP $$",
    "children in sessions of their own":
        "trap '' TERM; setsid sleep 1000 & setsid sleep 1001 & echo ready; "
        "while :; do sleep 1; done",
}


@pytest.mark.parametrize("how", STUBBORN)
def test_a_stubborn_step_is_killed_after_the_grace(slipwayd, repo, how):
    daemon = slipwayd(options={"limits.grace": "500ms"})
    status = daemon.client.run(job(repo, {"name": "s", "run": STUBBORN[how],
                                          "timeout": 1}), expect="timeout")
    assert status["reason"] == "step_timeout"
    assert status["steps"][0]["exitCode"] == 128 + signal.SIGKILL
    assert 1450 <= status["steps"][0]["duration"] < 1000 * PATIENCE
    assert daemon.processes() == {}


@pytest.mark.parametrize("how", STUBBORN)
def test_cancel_of_a_stubborn_step_answers_when_it_is_gone(slipwayd, repo, how):
    daemon = slipwayd(options={"limits.grace": "300ms"})
    api = daemon.client
    id = api.submit(job(repo, STUBBORN[how]))
    api.wait_output(id, "ready")
    began = time.monotonic()
    assert api.cancel(id) == {"cancelled": True}
    assert daemon.processes() == {}
    assert time.monotonic() - began >= 0.3
    assert api.status(id)["status"] == "cancelled"


def test_an_obedient_step_has_its_grace(api, repo):
    # The shell hears of TERM at once in wait only.
    status = api.run(job(repo, {"name": "s", "timeout": 1, "run":
                                "trap 'echo tidied; exit 0' TERM; sleep 1000 & wait"}),
                     expect="timeout")
    assert status["steps"][0]["output"] == "tidied\n"
    assert status["steps"][0]["exitCode"] == 0
    assert status["steps"][0]["status"] == "failure"


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV", "ABRT", "INT", "HUP"])
def test_death_by_a_signal(api, repo, name):
    number = getattr(signal, "SIG" + name)
    status = api.run(job(repo, f"echo before; kill -{name} $$; echo after"),
                     expect="failure")
    assert status["reason"] == "step_failed"
    assert status["steps"][0]["exitCode"] == 128 + number
    assert status["steps"][0]["output"] == "before\n"
    assert f"signal {int(number)}" in status["error"]


# --- too much output

def test_output_over_the_limit_is_dropped_and_the_job_goes_on(slipwayd, repo):
    daemon = slipwayd(options={"log.max_size": "1MiB"})
    api = daemon.client
    size = 10_000 * MIB if LONG else 300 * MIB
    line = "0123456789" * 9 + "\n"
    id = api.submit(job(repo, f"yes {line[:-1]} | head -c {size}; echo more >&2",
                        "echo also dropped; exit 4",
                        {"name": "end", "run": "true", "when": "always"}))
    status = api.wait(id, "failure", timeout=600 if LONG else None)
    assert [s.get("exitCode") for s in status["steps"]] == [0, 4, 0]
    assert same(content(api, id), (line * (MIB // len(line) + 1))[:MIB].encode())
    assert len(notes(api, id, TRUNCATED)) == 1
    spool = daemon.job_dir(id) / "spool"
    assert not spool.exists() or spool.stat().st_size < 1.1 * MIB


def test_one_line_larger_than_the_limit(slipwayd, repo):
    daemon = slipwayd(options={"log.max_size": "4MiB"})
    api = daemon.client
    size = 1000 * MIB if LONG else 200 * MIB
    id = api.submit(job(repo, X.format(size)))
    api.wait(id, "success", timeout=300 if LONG else None)
    assert same(content(api, id), b"x" * (4 * MIB))
    assert len(notes(api, id, TRUNCATED)) == 1


def test_one_long_line_is_kept_whole(slipwayd, repo):
    daemon = slipwayd(options={"log.max_size": "2GiB"})
    api = daemon.client
    size = 1000 * MIB if LONG else 40 * MIB
    id = api.submit(job(repo, X.format(size), "echo end"))
    status = api.wait(id, "success", timeout=300 if LONG else None)
    assert output_size(api, id) == size
    assert status["steps"][0]["output"] == "x" * 65536
    assert status["steps"][1]["output"] == "end\n"
    assert notes(api, id, TRUNCATED) == []


# --- odd bytes

ODD = {
    "all bytes": bytes(range(256)) * 20 + b"\n",
    "NUL": b"\0\0a\0b\n\0",
    "broken UTF-8": b"\xc3(\xa0\xa1\xe2\x82(\xf0\x28\x8c\xbc\xff\xfe\xed\xa0\x80 ok\n",
    "cut in a character": ("ä€😀" * 30_000).encode(),
    "CR": b"10%\r50%\r100%\r\ndone\r\n",
    "an event of its own": b"one\r\revent: end\rdata: {}\r\rtwo\n",
    "an event, by lines": b"one\n\nevent: end\ndata: {}\nid: 9-9\n\ntwo\n",
    "no newline": b"the end",
    "only newlines": b"\n" * 1000,
    "escapes": b"\x1b[31mred\x1b[0m\x1b]0;title\x07\n",
}


def standard_events(lines_of):
    """Server-Sent Events by the letter: CR, LF and CRLF all end a line."""
    events, name, data = [], None, []
    for line in re.split(r"\r\n|\r|\n", lines_of):
        key, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append((name, "\n".join(data)))
            name, data = None, []
        elif key == "event":
            name = value
        elif key == "data":
            data.append(value)
    return events


@pytest.mark.parametrize("what", ODD)
def test_odd_bytes_in_the_log(api, repo, what):
    repo.commit({"blob": ODD[what]})
    id = api.submit(job(repo, "cat blob"))
    api.wait(id, "success")
    assert same(content(api, id), ODD[what])

    stream = api.get("/jobs/logs", id=id).content.decode("utf-8")
    events = standard_events(stream)
    assert [n for n, _ in events].count("end") == 1 and events[-1][0] == "end"
    plain = ODD[what].decode("utf-8", "replace")
    shown = "".join(d for n, d in events if n is None)
    for word in re.findall(r"[a-z0-9%ä€😀]+", plain):
        assert word[:1000] in shown


def test_a_character_is_not_torn_by_frames(api, repo):
    """The stream shows what the bytes say, wherever the frames happen to be cut."""
    text = "ä€😀" * 30_000 + "\n"
    repo.commit({"blob": text.encode()})
    id = api.submit(job(repo, "cat blob"))
    api.wait(id, "success")
    shown = "".join(e.data for e in api.events(id) if e.name == "message")
    assert "\ufffd" not in shown
    assert shown.replace("\n", "") == text.strip()


# --- too much memory, too many processes

HUNGRY = {
    "python": python("x = bytearray(1 << 30)\nprint('survived', len(x))"),
    "sh": "x=xxxxxxxxxxxxxxxx; while [ ${#x} -lt 1000000000 ]; do x=$x$x; done; "
          "echo survived",
    "little by little": python(
        "x = []\nfor i in range(100): x.append(bytes([1]) * (10 << 20))\n"
        "print('survived')"),
    "/tmp": "head -c 400M /dev/zero >/tmp/big; echo survived",
    "/dev/shm": "head -c 400M /dev/zero >/dev/shm/big; echo survived",
    "/dev": "head -c 400M /dev/zero >/dev/big; echo survived",
    "/run": "head -c 400M /dev/zero >${SLIPWAY_ENV%/*}/big; echo survived",
}


@pytest.mark.parametrize("how", HUNGRY)
def test_memory_is_bounded(daemon, api, repo, how):
    status = api.run(job(repo, HUNGRY[how], resources={"memory": "256MiB"}),
                     expect="failure")
    assert status["reason"] in ("oom", "step_failed")
    assert "survived" not in status["steps"][0]["output"]
    assert status["attempt"] == 1


def test_memory_under_the_limit_can_be_used(api, repo):
    api.run(job(repo, python("bytearray(100 << 20)"), "head -c 100M /dev/zero >/tmp/x",
                "head -c 50M /dev/zero >/dev/shm/x; cmp -n 9 /dev/shm/x /dev/zero",
                resources={"memory": "256MiB"}))


FORKER = python("""
import os, sys, time
children = []
try:
    for i in range(WANTED):
        pid = os.fork()
        if pid == 0:
            time.sleep(1000)
        children.append(pid)
except BlockingIOError:
    print('refused')
print('forked', len(children))
sys.stdout.flush()
""")


def test_the_number_of_processes_is_bounded(daemon, api, repo):
    status = api.run(job(repo, FORKER.replace("WANTED", "500"), resources={"pids": 40}))
    count = int(re.search(r"forked (\d+)", status["steps"][0]["output"])[1])
    assert "refused" in status["steps"][0]["output"]
    assert 20 <= count < 40
    assert daemon.processes() == {}


def test_one_jobs_processes_do_not_count_for_another(slipwayd, repo):
    daemon = slipwayd(options={"runners.local.capacity": 2})
    api = daemon.client
    greedy = job(repo, FORKER.replace("WANTED", "30") + wait_for(),
                 resources={"pids": 40})
    ids = [api.submit(greedy) for _ in range(2)]
    for id in ids:
        api.wait_output(id, "forked 30")
    for id in ids:
        daemon.poke(id)
        status = api.wait(id, "success")
        assert "refused" not in status["steps"][0]["output"]


def test_a_fork_bomb_ends_with_its_job(slipwayd, repo):
    daemon = slipwayd(options={"runners.local.capacity": 2})
    api = daemon.client
    bomb = api.submit(job(repo, {"name": "bomb", "timeout": 2, "run":
                                 "b() { b & b & wait; }; while :; do b || :; done"},
                          resources={"pids": 60}))
    api.wait(bomb, lambda s: s.get("phase") == "steps")
    assert api.run(job(repo, "echo meanwhile"))["steps"][0]["output"] == "meanwhile\n"
    status = api.wait(bomb)
    assert status["status"] in ("timeout", "failure")
    assert status["attempt"] == 1
    assert daemon.processes() == {}


# --- $SLIPWAY_ENV

REPLACED = {
    "FIFO": 'rm "$SLIPWAY_ENV"; mkfifo "$SLIPWAY_ENV"',
    "FIFO with a writer": 'rm "$SLIPWAY_ENV"; mkfifo "$SLIPWAY_ENV"; '
                          '(while :; do echo A=bad; done >"$SLIPWAY_ENV") &',
    "symbolic link": 'echo A=bad >other; ln -sf "$PWD/other" "$SLIPWAY_ENV"',
    "link to a device": 'ln -sf /dev/zero "$SLIPWAY_ENV"',
    "link to PID 1": 'ln -sf /proc/1/environ "$SLIPWAY_ENV"',
    "directory": 'rm "$SLIPWAY_ENV"; mkdir "$SLIPWAY_ENV"',
    "another file": 'echo A=bad >"$SLIPWAY_ENV.new"; '
                    'mv "$SLIPWAY_ENV.new" "$SLIPWAY_ENV"',
    "nothing": 'rm "$SLIPWAY_ENV"',
    "socket": 'rm "$SLIPWAY_ENV"; ' + python(
        "import os, socket\n"
        "socket.socket(socket.AF_UNIX).bind(os.environ['SLIPWAY_ENV'])"),
    "2 MiB": 'echo A=bad >"$SLIPWAY_ENV"; head -c 2M /dev/zero >>"$SLIPWAY_ENV"',
    "1 MiB and a byte": 'echo A=bad >"$SLIPWAY_ENV"; '
                        'head -c 1048571 /dev/zero >>"$SLIPWAY_ENV"',
}


@pytest.mark.parametrize("how", REPLACED)
def test_a_replaced_environment_file_is_ignored(daemon, api, repo, how):
    status = api.run(job(repo, REPLACED[how], 'echo "A=${A-unset}"',
                         'echo B=good >>"$SLIPWAY_ENV"', 'echo "B=$B"'))
    assert status["steps"][1]["output"] == "A=unset\n"
    assert status["steps"][3]["output"] == "B=good\n"
    assert len(notes(api, status["id"], "SLIPWAY_ENV: the file is ignored")) == 1


@pytest.mark.parametrize("line, name", [
    ("no equals sign", "no"), ("=x", ""), ("1A=x", "1A"), ("A B=x", "A"),
    ("SLIPWAY_JOB_ID=forged", "SLIPWAY_JOB_ID"), ("A-B=x", "A-B"), ("BAD=a\\0b", "BAD"),
])
def test_bad_lines_of_the_environment_file_are_ignored(api, repo, line, name):
    status = api.run(job(
        repo, f"printf 'GOOD=1\\n{line}\\nALSO=2\\n' >>\"$SLIPWAY_ENV\"",
        'echo "$GOOD$ALSO ${BAD-unset} $SLIPWAY_JOB_ID"', id="mine"))
    assert status["steps"][1]["output"] == "12 unset mine\n"
    assert len(notes(api, "mine", "SLIPWAY_ENV: line 2 ignored")) == 1


# --- a workspace that resists

TANGLES = {
    "no permissions": "mkdir -p d/e/f; touch d/e/f/g; chmod 0 d/e/f d/e d",
    "very deep": python("import os\nfor i in range(300):\n"
                        "    os.mkdir('d'*50)\n    os.chdir('d'*50)"),
    "links outward": "ln -s / root; ln -s /etc/passwd p; ln -s loop loop",
    "odd names": python("import os\nfor b in range(1, 256):\n"
                        "    if b != 47: open(bytes([b, 120]), 'w')"),
    "FIFOs and sockets": "mkfifo f; " + python(
        "import socket\nsocket.socket(socket.AF_UNIX).bind('s')"),
    "gone": "rm -rf /workspace/repo /workspace/home",
}


@pytest.mark.parametrize("how", TANGLES)
def test_a_tangled_workspace_is_put_away(daemon, api, repo, how):
    id = api.run(job(repo, TANGLES[how]))["id"]
    deadline = time.monotonic() + PATIENCE
    while daemon.workspace(id).exists():
        assert time.monotonic() < deadline, "still there"
    api.run(job(repo, "test -e README"))


def test_many_hostile_jobs_at_once(slipwayd, repo):
    daemon = slipwayd(options={"queue.max_concurrent": 8, "limits.grace": "300ms",
                               "runners.local.capacity": 8, "log.max_size": "1MiB"})
    api = daemon.client
    scripts = [*STUBBORN.values(), "yes", "yes & kill -KILL $$", "exec >&- 2>&-; false",
               REPLACED["FIFO"] + "; false", DAEMONS["deaf"].format("yes") + " false"]
    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(
            lambda s: api.wait(api.submit(job(repo, {"name": "s", "run": s,
                                                     "timeout": 1}))),
            scripts * 2))
    assert {s["status"] for s in ended} == {"failure", "timeout"}
    assert daemon.processes() == {}
    assert len(api.list(status="running")) == 0
