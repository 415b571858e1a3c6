"""The client's verbs for those who run the server, the newest job of a checkout, and
completion."""

import json
import os
import re
import subprocess

import pytest
from harness import BUILD, PATIENCE, TOP, job, wait_for

SLIPWAY = str(BUILD / "slipway")
NOBODY = {"labels": ["nobody"]}


def run(*args, cwd=None, **env):
    return subprocess.run([SLIPWAY, *map(str, args)], capture_output=True, text=True,
                          cwd=cwd, timeout=PATIENCE,
                          env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **env})


# --- pause, drain, resume, maintenance


def test_pause_is_seen_everywhere_and_ends(daemon, repo):
    r = daemon.cli("pause", "--reason", "the disk is swapped")
    assert (r.returncode, r.stdout) == (0, "paused; 0 jobs run, 0 jobs wait\n")
    id = daemon.client.submit(job(repo, "true"))
    for args in (["status", id], ["why", id], ["list"]):
        assert "the disk is swapped" in daemon.cli(*args).stdout, args
    health = daemon.cli("health")
    assert health.returncode == 1, "it is not able to run jobs"
    assert re.search(r"^status +paused$", health.stdout, re.M)
    assert "the disk is swapped" in health.stdout
    assert daemon.cli("resume").stdout.startswith("open; ")
    daemon.client.wait(id, "success")
    assert daemon.cli("health").returncode == 0


def test_drain_refuses_with_a_code_of_its_own(daemon, repo):
    state = json.loads(daemon.cli("--json", "drain", "--reason", "upgrade").stdout)
    assert state["state"] == "draining" and state["reason"] == "upgrade"
    r = daemon.cli("submit", "-", input=json.dumps(job(repo, "true")))
    assert r.returncode == 75
    assert "draining" in r.stderr and "upgrade" in r.stderr
    assert daemon.cli("resume").returncode == 0


def test_drain_waits_until_no_job_runs(daemon, repo):
    ids = [daemon.client.submit(job(repo, wait_for(), id=f"runs{i}")) for i in range(2)]
    for id in ids:
        daemon.client.wait(id, lambda s: s.get("currentStep") == 0)
    p = subprocess.Popen([SLIPWAY, "drain", "--wait"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True,
                         env={"SLIPWAY_URL": daemon.client.base})
    assert p.stdout.readline() == "draining; 2 jobs run, 0 jobs wait\n"
    told = p.stderr.readline()
    assert "2 jobs run: runs" in told and "runs0" in told and "runs1" in told
    daemon.poke("runs0")
    assert p.stderr.readline() == "slipway: 1 job runs: runs1\n"
    # The restart for which one drains must not end the waiting.
    daemon.restart()
    assert p.poll() is None
    daemon.poke("runs1")
    _, err = p.communicate(timeout=PATIENCE)
    assert p.returncode == 0, err
    assert daemon.client.status("runs1")["status"] == "success"
    daemon.cli("resume")


def test_drain_stops_waiting_when_somebody_resumes(daemon, repo):
    id = daemon.client.submit(job(repo, wait_for()))
    daemon.client.wait(id, lambda s: s.get("currentStep") == 0)
    p = subprocess.Popen([SLIPWAY, "drain", "--wait"], stderr=subprocess.PIPE, text=True,
                         stdout=subprocess.DEVNULL, env={"SLIPWAY_URL": daemon.client.base})
    assert "1 job runs" in p.stderr.readline()
    daemon.cli("resume")
    _, err = p.communicate(timeout=PATIENCE)
    assert p.returncode == 1 and "drains no longer" in err
    daemon.poke(id)
    daemon.client.wait(id)


def test_a_reason_that_is_too_long(daemon):
    assert daemon.cli("pause", "--reason", "x" * 201).returncode == 64
    r = daemon.cli("pause", "--reason", "two\nlines")
    assert r.returncode == 65 and "reason" in r.stderr
    assert daemon.cli("pause", "--reason", "x" * 200).returncode == 0
    daemon.cli("resume")


def test_maintenance_tells_and_deletes(slipwayd, repo):
    daemon = slipwayd(config="retention:\n  jobs: 7d\n")
    for _ in range(3):
        daemon.client.run(job(repo, "true"))
    daemon.stop()
    daemon.config = "retention:\n  jobs: 0\n  keep: 1\n"
    daemon.start()
    assert daemon.cli("maintenance", "--dry-run").stdout == "2 jobs would be deleted\n"
    assert len(daemon.client.list()) == 3
    assert daemon.cli("maintenance").stdout == "2 jobs deleted\n"
    assert len(daemon.client.list()) == 1
    told = json.loads(daemon.cli("--json", "maintenance").stdout)
    assert told == {"dryRun": False, "jobs": {"deleted": 0, "ids": []}}


@pytest.mark.parametrize("args", [["pause", "x"], ["drain", "--dry-run"], ["resume", "-w"],
                                  ["maintenance", "--wait"], ["logs", "a", "b"],
                                  ["doctor", "x"], ["cancel"]])
def test_what_does_not_fit_is_wrong_use(shared, args):
    r = shared.cli(*args)
    assert (r.returncode, r.stdout) == (64, "")
    assert f"slipway {args[0]} --help" in r.stderr


# --- the newest job of this checkout


@pytest.fixture
def checkout(workplace):
    """A clone with a remote, and a directory in it."""
    dir = workplace / "checkout"
    inside = dir / "src"
    inside.mkdir(parents=True)
    git = ["git", "-C", str(dir)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "remote", "add", "origin", "git@git.example.org:team/app.git"],
                   check=True)
    return inside


@pytest.mark.parametrize("repo", ["https://git.example.org/team/app",
                                  "https://git.example.org/team/app.git",
                                  "git@git.example.org:team/app.git",
                                  "ssh://git@git.example.org/team/app.git"])
def test_logs_without_an_id_is_the_newest_job_of_this_checkout(slipwayd, checkout, repo):
    daemon = slipwayd(options={"git.allow_hosts": "git.example.org"})
    api, env = daemon.client, {"SLIPWAY_URL": daemon.client.base}
    for id, url in (("old", repo), ("newest", repo), ("other", "/srv/other.git")):
        api.submit(job(url, "true", id=id, **NOBODY))
        api.cancel(id)
    r = run("logs", cwd=checkout, **env)
    assert r.returncode == 0, r.stderr
    assert "the newest job of this repository is newest" in r.stderr
    assert run("status", cwd=checkout, **env).stdout.startswith("newest  cancelled")
    assert "Job newest: cancelled" in run("why", cwd=checkout, **env).stdout


def test_the_checkout_itself_may_be_the_repository(shared):
    id = shared.client.run(job(shared.repo, "echo from here"))["id"]
    r = run("logs", "-f", cwd=shared.repo.path, SLIPWAY_URL=shared.client.base)
    assert r.returncode == 0 and "from here" in r.stdout
    assert id in r.stderr


def test_a_checkout_without_jobs_is_told(shared, checkout):
    r = run("logs", cwd=checkout, SLIPWAY_URL=shared.client.base)
    assert (r.returncode, r.stdout) == (66, "")
    assert "git@git.example.org:team/app.git" in r.stderr and "slipway list" in r.stderr


def test_no_checkout_is_told(shared, workplace):
    for path in (os.environ["PATH"], str(workplace)):
        r = run("logs", cwd=workplace, SLIPWAY_URL=shared.client.base, PATH=path)
        assert (r.returncode, r.stdout) == (64, "")
        assert "which job?" in r.stderr


def test_a_server_that_is_not_there_is_told_before_the_verb(workplace, checkout):
    r = run("--server", f"unix:{workplace}/none", "logs", cwd=checkout)
    assert r.returncode == 69


# --- completion


def complete(daemon, *words):
    """What bash offers for the last word."""
    script = f"""
    source {TOP}/contrib/completion/slipway.bash
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _slipway
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    r = subprocess.run(["bash", "-u", "-c", script, "bash", *words], capture_output=True,
                       text=True, timeout=PATIENCE, cwd=daemon.dir,
                       env={"PATH": f"{BUILD}:{os.environ['PATH']}",
                            "SLIPWAY_URL": daemon.client.base})
    assert r.stderr == ""
    return r.stdout.split()


@pytest.fixture(scope="module")
def verbs():
    text = run("--help").stdout
    text = text[text.index("Verbs:"):text.index("Options")]
    return re.findall(r"^  ([a-z]+(?: [a-z]+)?) ", text, re.M)


def test_completion_knows_every_verb(shared, verbs):
    assert len(verbs) > 12
    words = {v.split()[0] for v in verbs}
    assert sorted(complete(shared, "slipway", "")) == sorted({*words, "help"})
    pairs = [v.split()[1] for v in verbs if v.startswith("token ")]
    assert len(pairs) == 3 and complete(shared, "slipway", "token", "") == pairs
    assert complete(shared, "slipway", "token", "revoke", "") == []
    assert set(complete(shared, "slipway", "--json", "re")) == {"retry", "resume"}
    assert complete(shared, "slipway", "help", "doc") == ["doctor"]


def test_completion_knows_every_option(shared, verbs):
    for verb in verbs:
        help = run(*verb.split(), "--help").stdout
        options = set(re.findall(r"^  (?:-., |    )(--[a-z-]+)", help, re.M))
        assert "--server" in options
        assert set(complete(shared, "slipway", *verb.split(), "-")) == options, verb
    assert complete(shared, "slipway", "drain", "--rea") == ["--reason"]
    assert "--follow" not in complete(shared, "slipway", "list", "--")


def test_completion_knows_jobs_states_and_files(daemon):
    for id in ("alpha", "beta"):
        daemon.client.submit(job("/srv/x.git", "true", id=id, **NOBODY))
    for verb in ("status", "logs", "cancel", "retry", "why"):
        assert sorted(complete(daemon, "slipway", verb, "")) == ["alpha", "beta"], verb
    assert complete(daemon, "slipway", "logs", "-f", "--tail", "5", "al") == ["alpha"]
    assert complete(daemon, "slipway", "list", "") == []
    assert complete(daemon, "slipway", "list", "--status", "ru") == ["running"]
    assert complete(daemon, "slipway", "list", "--limit", "") == []
    (daemon.dir / "job.json").touch()
    assert complete(daemon, "slipway", "submit", "jo") == ["job.json"]
    assert complete(daemon, "slipway", "--token-file", "jo") == ["job.json"]
    # As bash takes it apart.
    port = str(daemon.port)
    assert complete(daemon, "slipway", "--server", "http", ":", "//127.0.0.1", ":", port,
                    "cancel", "be") == ["beta"]
    assert complete(daemon, "slipway", "-s", "http", ":", "//127.0.0.1", ":", "1",
                    "cancel", "") == [], "another server has none"
