"""A secret reaches the steps that ask for it, and nothing else."""

import base64
import os
import urllib.parse
from pathlib import Path

import pytest
from harness import ApiError, job, wait_for

VALUE = "s3cr3t/Value+with=odd&bytes %9x"


def python(text):
    return f"python3 - <<'EOF'\n{text}\nEOF\n"


class Vault:
    def __init__(self, dir):
        self.dir = dir
        dir.mkdir(mode=0o700)

    def put(self, name, value, mode=0o600):
        path = self.dir / name
        path.write_bytes(value if isinstance(value, bytes) else value.encode())
        path.chmod(mode)


@pytest.fixture
def vault(workplace):
    return Vault(workplace / "secrets")


@pytest.fixture
def daemon(slipwayd, vault):
    vault.put("token", VALUE + "\n")
    return slipwayd(options={"secrets.dir": vault.dir})


def everything(daemon, id):
    """{where: bytes} of all that is kept or shown of a job."""
    api = daemon.client
    found = {"daemon log": daemon.log_path.read_bytes(),
             "status": api.get("/jobs/status", id=id).content,
             "list": api.get("/jobs").content,
             "text": api.get("/jobs/logs", id=id, format="text", follow="0").content,
             "events": api.get("/jobs/logs", id=id, follow="0").content}
    for path in daemon.state.rglob("*"):
        if path.is_file():
            try:
                found[str(path)] = path.read_bytes()
            except FileNotFoundError:
                pass
    return found


def assert_hidden(daemon, id, *needles):
    for where, data in everything(daemon, id).items():
        for needle in needles:
            needle = needle.encode() if isinstance(needle, str) else needle
            assert needle not in data, f"{needle!r} is in {where}"


def core64(value, shift):
    """The part of a base64 text that the value alone decides."""
    text = base64.b64encode(b"\1" * shift + value.encode() + b"\1" * 3)
    return text[-(-8 * shift // 6):8 * (shift + len(value)) // 6].decode()


def printing(expression):
    return python("import base64, os, sys, urllib.parse\n"
                  "v = os.environ['TOKEN']\n"
                  f"print('<' + {expression} + '>')")


FORMS = {
    "as it is": ("v", VALUE),
    "base64": ("base64.b64encode(v.encode()).decode()", core64(VALUE, 0)),
    "base64 after 1": ("base64.b64encode(b'x' + v.encode()).decode()", core64(VALUE, 1)),
    "base64 after 2": ("base64.b64encode(b'xy' + v.encode()).decode()", core64(VALUE, 2)),
    "base64 of a header": ("base64.b64encode(b'user:' + v.encode() + b'@').decode()",
                           core64(VALUE, 5)),
    "base64 for URLs": ("base64.urlsafe_b64encode(v.encode()).decode()",
                        core64(VALUE, 0).replace("+", "-").replace("/", "_")),
    "hex": ("v.encode().hex()", VALUE.encode().hex()),
    "HEX": ("v.encode().hex().upper()", VALUE.encode().hex().upper()),
    "URL": ("urllib.parse.quote(v, safe='')", urllib.parse.quote(VALUE, safe="")),
    "URL, as a path": ("urllib.parse.quote(v)", urllib.parse.quote(VALUE)),
    "URL, as a form": ("urllib.parse.quote_plus(v)", urllib.parse.quote_plus(VALUE)),
    "URL, lower case": ("urllib.parse.quote(v, safe='').replace('%2F', '%2f')"
                        ".replace('%2B', '%2b').replace('%3D', '%3d')",
                        urllib.parse.quote(VALUE, safe="").replace("%2F", "%2f")
                        .replace("%2B", "%2b").replace("%3D", "%3d")),
    "twice": ("v + v", VALUE),
    "begun before": ("v[:-1] + v", VALUE),
    "in 1 MB": ("'x' * 500_000 + v + 'y' * 500_000", VALUE),
    "at the end of a frame": ("'x' * (32768 - 10) + v + 'y' * 40_000", VALUE),
}


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("form", FORMS)
def test_what_is_printed_is_masked(daemon, repo, form, stream):
    api = daemon.client
    expression, hidden = FORMS[form]
    script = printing(expression)
    if stream == "stderr":
        script = f"exec >&2\n{script}"
    status = api.run(job(repo, {"name": "s", "run": script, "secrets":
                                {"TOKEN": "token"}}))
    output = api.text(status["id"])
    assert "***" in output and "<" in output and ">" in output
    assert_hidden(daemon, status["id"], hidden, VALUE)


def test_bytes_one_at_a_time_are_masked(daemon, repo):
    status = daemon.client.run(job(repo, python(
        "import os\n"
        "for b in ('a' + os.environ['token'] + 'z\\n').encode():\n"
        "    os.write(1, bytes([b]))"), secrets=["token"]))
    assert status["steps"][0]["output"] == "a***z\n"
    assert_hidden(daemon, status["id"], VALUE)


@pytest.mark.parametrize("cut", [1, len(VALUE) // 2, len(VALUE) - 1])
def test_a_secret_in_two_halves_is_held_back(daemon, repo, cut):
    api = daemon.client
    first, second = VALUE[:cut], VALUE[cut:]
    id = api.submit(job(repo, "printf 'before-%s' \"${TOKEN%" + second.replace(
        "%", "\\%") + "}\"; " + wait_for() + "; echo \"${TOKEN#" + first + "}-after\"",
        secrets={"TOKEN": "token"}))
    seen = api.wait_output(id, "before-")
    # The daemon shows what the log has: half a secret is not in it.
    assert [e.data for e in seen if e.name == "message"] == ["before-"]
    spool = (daemon.job_dir(id) / "spool").read_bytes()
    assert spool.endswith(b"before-")
    daemon.poke(id)
    status = api.wait(id, "success")
    assert status["steps"][0]["output"] == "before-***-after\n"
    assert_hidden(daemon, id, VALUE)


def test_half_a_secret_and_something_else_is_shown(daemon, repo):
    status = daemon.client.run(job(repo, f"printf '{VALUE[:10]}'; echo other; "
                                         f"printf '{VALUE[:10]}'", secrets=["token"]))
    assert status["steps"][0]["output"] == f"{VALUE[:10]}other\n{VALUE[:10]}"


def test_each_line_of_a_secret_is_masked(daemon, vault, repo):
    lines = ["-----BEGIN KEY-----", "bGluZSBvbmUgb2YgaXQ", "bGluZSB0d28gb2YgaXQ", "abc"]
    vault.put("key", "\n".join(lines) + "\n")
    status = daemon.client.run(job(
        repo, 'echo "$K"', "printf '%s' \"$K\" | sed -n 3p",
        "printf '%s' \"$K\" | sed 's/^/    | /'; echo abc", secrets={"K": "key"}))
    assert status["steps"][1]["output"] == "***\n"
    assert "    | ***" in status["steps"][2]["output"]
    # Too short to be hidden without hiding half of any log.
    assert status["steps"][2]["output"].endswith("abc\n")
    assert_hidden(daemon, status["id"], *lines[:3])


def test_secrets_that_contain_each_other(daemon, vault, repo):
    vault.put("long", VALUE + "-and-more")
    status = daemon.client.run(job(repo, 'echo "$A."; echo "$B."',
                                   secrets={"A": "token", "B": "long"}))
    assert status["steps"][0]["output"].split() == ["***.", "***."] or \
        "and-more" not in status["steps"][0]["output"]
    assert_hidden(daemon, status["id"], VALUE)


def test_what_another_step_prints_is_masked_too(daemon, repo):
    api = daemon.client
    status = api.run(job(
        repo, {"name": "has it", "secrets": {"TOKEN": "token"}, "run":
               'echo "$TOKEN" >kept; echo "COPY=$TOKEN" >>"$SLIPWAY_ENV"; '
               'echo "SLIPWAY_X=$TOKEN" >>"$SLIPWAY_ENV"; echo "$TOKEN" >>"$SLIPWAY_ENV"'},
        'echo "${TOKEN-unset} $COPY"; cat kept; rm kept'))
    assert status["steps"][1]["output"] == "unset ***\n***\n"
    assert_hidden(daemon, status["id"], VALUE)


def test_a_secret_is_in_no_command_line_and_no_record(daemon, repo):
    api = daemon.client
    id = api.submit(job(repo, "echo up; " + wait_for(), 'test -n "$TOKEN"',
                        secrets={"TOKEN": "token"}, env={"PLAIN": "shown"}))
    api.wait_output(id, "up")
    assert daemon.processes()
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                assert VALUE.encode() not in Path("/proc", entry, "cmdline").read_bytes()
            except OSError:
                pass
    environ = Path(f"/proc/{daemon.pid}/environ").read_bytes()
    assert VALUE.encode() not in environ
    assert_hidden(daemon, id, VALUE)
    daemon.poke(id)
    api.wait(id, "success")
    daemon.restart()
    assert_hidden(daemon, id, VALUE)


@pytest.mark.parametrize("where", ["job", "step"])
def test_a_secret_as_a_file(daemon, repo, where):
    api = daemon.client
    secrets = {"KEY": {"name": "token", "file": True}}
    first = {"name": "first", "run":
             'stat -c %a "$KEY"; df --output=fstype "$KEY" | tail -1; '
             'case $KEY in /workspace/*) echo inside;; esac; cat "$KEY"; '
             'test "$(cat "$KEY" | wc -c)" = ' + str(len(VALUE))}
    second = {"name": "second", "run": 'test -e "${KEY-/none}" && cat "$KEY" || echo no; '
                                       "grep -r s3cr3t /workspace /tmp || echo nothing"}
    body = job(repo, first, second)
    if where == "job":
        body["secrets"] = secrets
    else:
        first["secrets"] = secrets
    id = api.submit(body)
    status = api.wait(id, "success")
    assert status["steps"][0]["output"] == "600\ntmpfs\n***"
    assert status["steps"][1]["output"] == ("***" if where == "job" else "no\n") + \
        "nothing\n"
    assert_hidden(daemon, id, VALUE)


def test_a_step_that_spoils_the_file_spoils_it_for_itself(daemon, repo):
    status = daemon.client.run(job(
        repo, 'rm "$KEY"; ln -s /etc/passwd "$KEY"', 'cat "$KEY"; test ! -L "$KEY"',
        secrets={"KEY": {"name": "token", "file": True}}))
    assert status["steps"][1]["output"] == "***"


# --- what is no secret

@pytest.mark.parametrize("value, ok", [
    (b"abc", False), (b"abc\n", False), (b"abcd", True), (b"abcd\n", True), (b"", False),
    (b"x" * 8192, True), (b"x" * 8192 + b"\n", True), (b"x" * 8193, False),
    (b"abc\0def", False),
])
def test_limits_of_a_secret(daemon, vault, repo, value, ok):
    vault.put("edge", value)
    status = daemon.client.run(job(repo, 'echo "<$EDGE>"', secrets={"EDGE": "edge"}),
                               expect="success" if ok else "failure")
    if ok:
        assert status["steps"][0]["output"] == "<***>\n"
    else:
        assert_missing(status, "edge")


def assert_missing(status, name):
    assert status["reason"] == "secret_missing"
    assert name in status["error"]
    assert status["attempt"] == 1
    assert [s["status"] for s in status["steps"]] == ["skipped"] * len(status["steps"])


@pytest.mark.parametrize("where", ["job", "step"])
def test_a_missing_secret_ends_the_job_and_is_named(daemon, repo, where):
    body = job(repo, "echo never", "echo never")
    (body if where == "job" else body["steps"][1])["secrets"] = ["nowhere"]
    status = daemon.client.run(body, expect="failure")
    assert_missing(status, "nowhere")
    assert "nowhere" in daemon.client.text(status["id"])


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o666])
def test_a_secret_that_others_can_read_is_refused(daemon, vault, repo, mode):
    vault.put("open", "value-of-open", mode)
    status = daemon.client.run(job(repo, "echo never", secrets=["open"]),
                               expect="failure")
    assert_missing(status, "open")
    assert f"{mode:03o}" in status["error"]
    assert_hidden(daemon, status["id"], "value-of-open")


@pytest.mark.parametrize("kind", ["directory", "FIFO"])
def test_a_secret_that_is_no_file_is_refused(daemon, vault, repo, kind):
    {"directory": os.mkdir, "FIFO": os.mkfifo}[kind](vault.dir / "odd", 0o700)
    assert_missing(daemon.client.run(job(repo, "true", secrets=["odd"]),
                                     expect="failure"), "odd")


@pytest.mark.parametrize("where", ["job", "step"])
def test_without_a_directory_of_secrets_such_jobs_are_refused(slipwayd, repo, where):
    api = slipwayd().client
    body = job(repo, "true", "true")
    (body if where == "job" else body["steps"][1])["secrets"] = ["token"]
    for path in ("/jobs/submit", "/jobs/validate"):
        with pytest.raises(ApiError) as refused:
            api.post(path, body)
        assert refused.value.status == 400
        assert refused.value.field == ("secrets" if where == "job"
                                       else "steps[1].secrets")
    assert api.list() == []


@pytest.mark.parametrize("secrets, field", [
    (["../token"], "secrets[0]"), (["a/b"], "secrets[0]"), ([""], "secrets[0]"),
    ({"A=B": "token"}, "secrets.A=B"), ({"A": 1}, "secrets.A"),
    ({"A": {"name": "token", "mode": 1}}, "secrets.A.mode"),
    ({"A": {"file": True}}, "secrets.A.name"), (["token", "token"], "secrets"),
    ("token", "secrets"),
])
def test_invalid_names_of_secrets_are_refused(daemon, repo, secrets, field):
    with pytest.raises(ApiError) as refused:
        daemon.client.submit(job(repo, "true", secrets=secrets))
    assert (refused.value.status, refused.value.field) == (400, field)
