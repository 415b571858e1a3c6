"""slipwayd behind the real nginx, with the configuration that is shipped."""

import re
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from harness import PATIENCE, TOP, Client, job, sse, wait_for

CONF = TOP / "contrib" / "nginx" / "slipway.conf"
NAME = "ci.example.org"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class Nginx:
    """The shipped file, with this test's ports and certificate, in a plain nginx.conf."""

    def __init__(self, dir, upstream, change=()):
        self.dir = dir
        self.port, self.plain_port = free_port(), free_port()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}",
                        "-keyout", dir / "key.pem", "-out", dir / "cert.pem"],
                       check=True, capture_output=True)
        text = CONF.read_text()
        changes = [("server 127.0.0.1:8080;", f"server 127.0.0.1:{upstream};"),
                   ("listen 80;", f"listen 127.0.0.1:{self.plain_port};"),
                   ("listen [::]:80;", ""),
                   ("listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl"),
                   ("listen [::]:443 ssl http2;", ""),
                   ("/etc/ssl/slipway/fullchain.pem", str(dir / "cert.pem")),
                   ("/etc/ssl/slipway/privkey.pem", str(dir / "key.pem")), *change]
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (dir / "slipway.conf").write_text(text)
        temp = "".join(f"{kind}_temp_path {dir}/{kind};\n" for kind in
                       ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (dir / "nginx.conf").write_text(
            f"user root; worker_processes 1; daemon off; pid {dir}/pid;\n"
            f"error_log {dir}/error.log warn;\n"
            "events { worker_connections 4096; }\n"
            f"http {{ access_log {dir}/access.log; {temp} include {dir}/slipway.conf; }}\n")
        self.argv = ["nginx", "-p", str(dir), "-c", str(dir / "nginx.conf")]

    def check(self):
        return subprocess.run([*self.argv, "-t"], capture_output=True, text=True)

    def start(self):
        self.process = subprocess.Popen(self.argv, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except ConnectionRefusedError:
                assert self.process.poll() is None, (self.dir / "error.log").read_text()
                assert time.monotonic() < deadline

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)

    def connect(self):
        context = ssl.create_default_context(cafile=self.dir / "cert.pem")
        s = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        return context.wrap_socket(s, server_hostname=NAME)

    def curl(self, *args, **kw):
        return subprocess.Popen(["curl", "-sS", "--cacert", self.dir / "cert.pem",
                                 "--resolve", f"{NAME}:{self.port}:127.0.0.1", *args],
                                stdout=subprocess.PIPE, **kw)

    def url(self, path):
        return f"https://{NAME}:{self.port}{path}"


@pytest.fixture
def nginx(request, workplace):
    """A factory: nginx(upstream port); all are stopped."""
    if not shutil.which("nginx"):
        pytest.fail("the package nginx-light is missing")
    made = []

    def make(upstream, **kw):
        dir = workplace / f"nginx{len(made)}"
        dir.mkdir()
        made.append(Nginx(dir, upstream, **kw))
        return made[-1].start()

    yield make
    for n in made:
        n.stop()
        log = (n.dir / "error.log").read_text()
        assert "[emerg]" not in log and "[crit]" not in log and "[alert]" not in log, log


@pytest.fixture
def front(slipwayd, nginx):
    """A daemon with nginx in front."""
    daemon = slipwayd(options={"http.hosts": NAME})
    n = nginx(daemon.port)
    n.daemon = daemon
    return n


def exchange(n, request):
    """Everything that comes back, until nginx closes or says nothing for a second."""
    with n.connect() as s:
        s.sendall(request)
        s.settimeout(1)
        data = b""
        try:
            while block := s.recv(65536):
                data += block
        except (TimeoutError, ConnectionResetError):
            pass
    return data


def status_of(answer):
    m = re.match(rb"HTTP/1\.[01] (\d+) ", answer)
    assert m, answer
    return int(m[1])


def read_line(pipe):
    """A line of a process, without waiting for more than that."""
    line = b""
    deadline = time.monotonic() + PATIENCE
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([pipe], [], [], deadline - time.monotonic())
        assert ready, f"nothing after {line!r}"
        byte = pipe.read(1)
        assert byte, f"the end after {line!r}"
        line += byte
    return line


# --- the configuration


def test_the_shipped_configuration_is_valid(workplace):
    n = Nginx(workplace, 8080)
    r = n.check()
    assert r.returncode == 0, r.stderr
    assert "[warn]" not in r.stderr, r.stderr
    assert "test is successful" in r.stderr


def test_plain_http_leads_to_https(front):
    with socket.create_connection(("127.0.0.1", front.plain_port)) as s:
        s.sendall(f"GET /jobs?limit=1 HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while block := s.recv(65536):
            data += block
    assert status_of(data) == 301
    assert f"\r\nLocation: https://{NAME}/jobs?limit=1\r\n".encode() in data


def test_answers_pass_with_their_headers_once(front):
    data = exchange(front, f"GET /health HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n"
                    .encode())
    head = data.split(b"\r\n\r\n")[0].lower()
    assert status_of(data) == 200 and b'"service":"slipway"' in data
    for name in (b"x-content-type-options: nosniff", b"strict-transport-security: max-age=",
                 b"content-type: application/json"):
        assert head.count(name) == 1, head
    assert b"server: nginx\r\n" in head


# --- live logs


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
@pytest.mark.parametrize("form", ["sse", "text"])
def test_lines_arrive_one_by_one_as_they_are_printed(front, repo, version, form):
    """Line n is here before the step is told to print line n + 1."""
    daemon = front.daemon
    steps = "; ".join(f"{wait_for(f'go{i}')}; echo line-{i}" for i in range(8))
    id = daemon.client.submit(job(repo, steps))
    daemon.client.wait(id, lambda s: s.get("phase") == "steps")
    curl = front.curl(version, "-N", front.url(f"/jobs/logs?id={id}&format={form}&follow=1"),
                      bufsize=0)
    for i in range(8):
        daemon.poke(id, f"go{i}")
        want = f"data: line-{i}\n" if form == "sse" else f"line-{i}\n"
        while read_line(curl.stdout) != want.encode():
            pass
    rest = curl.communicate(timeout=PATIENCE)[0]
    assert curl.returncode == 0
    assert form == "text" or b"event: end\n" in rest


def events_through(n, id, last_id=None):
    """Events over one connection, until it ends; None when there was no stream."""
    with n.connect() as s:
        more = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        s.sendall(f"GET /jobs/logs?id={id} HTTP/1.1\r\nHost: {NAME}\r\n{more}"
                  "Connection: close\r\n\r\n".encode())
        f = s.makefile("rb")
        if b" 200 " not in f.readline():
            return
        headers = {}
        while (line := f.readline().strip()):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        assert headers["content-type"] == "text/event-stream"

        def lines():
            rest = b""
            while size := int(f.readline() or b"0", 16):
                *whole, rest = (rest + f.read(size)).split(b"\n")
                f.readline()
                yield from whole

        try:
            yield from sse(lines())
        except (ConnectionError, ssl.SSLError, ValueError):
            return


def test_a_client_resumes_where_it_was(front, repo):
    id = front.daemon.client.run(job(repo, *[f"echo line-{i}" for i in range(20)]))["id"]
    def in_log(last_id=None):
        events = list(events_through(front, id, last_id))
        assert (events[0].name, events[-1].name) == ("status", "end")
        return [(e.id, e.name, e.data) for e in events[1:-1]]

    whole = in_log()
    for i in range(0, len(whole), 5):
        assert in_log(whole[i][0]) == whole[i + 1:]


def test_a_restart_of_the_daemon_in_mid_stream_loses_no_line(front, repo):
    """As a browser does it: come back with the last id until the end has come."""
    daemon = front.daemon
    id = daemon.client.submit(job(repo, f"seq 1 500; {wait_for('go1')}; seq 501 1000; "
                                  f"{wait_for('go2')}; seq 1001 1500"))
    lines, last_id, done = [], None, False
    reached = {n: threading.Event() for n in (500, 1000)}

    def follow():
        nonlocal last_id, done
        deadline = time.monotonic() + PATIENCE
        while not done and time.monotonic() < deadline:
            for e in events_through(front, id, last_id):
                last_id = e.id or last_id
                if e.name == "message":
                    lines.extend(e.data.split("\n"))
                done = done or e.name == "end"
                for n, event in reached.items():
                    if len(lines) >= n:
                        event.set()

    reader = threading.Thread(target=follow)
    reader.start()
    try:
        assert reached[500].wait(PATIENCE)
        daemon.restart()
        daemon.poke(id, "go1")
        assert reached[1000].wait(PATIENCE)
        daemon.kill9()
        daemon.start()
        daemon.poke(id, "go2")
    finally:
        reader.join(PATIENCE)
    assert done
    assert lines == [str(i) for i in range(1, 1501)]


@pytest.mark.parametrize("how", ["reset", "close", "half"])
def test_clients_that_vanish_are_gone_upstream_too(front, repo, how):
    daemon = front.daemon
    id = daemon.client.submit(job(repo, f"echo one; {wait_for()}"))
    streams = []
    for _ in range(5):
        s = front.connect()
        s.sendall(f"GET /jobs/logs?id={id} HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        data = b""
        while b"data: one\n" not in data:
            data += s.recv(4096)
        streams.append(s)
    assert daemon.client.get("/health").json()["streams"] == 5
    for s in streams:
        if how == "reset":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
        elif how == "close":
            s.close()
        else:
            # Below TLS, as a client does that died in the midst of it.
            socket.socket.shutdown(s, socket.SHUT_WR)
    deadline = time.monotonic() + PATIENCE
    while daemon.client.get("/health").json()["streams"]:
        assert time.monotonic() < deadline
    for s in streams:
        s.close()
    daemon.poke(id)
    daemon.client.wait(id, "success")


# --- the wall


class Upstream:
    """Keeps all that nginx sends on, and answers each request with 200."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.seen = b""
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                s, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        data = b""
        with s:
            while block := s.recv(65536):
                self.seen += block
                data += block
                while True:
                    head, end, rest = data.partition(b"\r\n\r\n")
                    m = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
                    length = int(m[1]) if m else 0
                    if not end or len(rest) < length:
                        break
                    data = rest[length:]
                    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def requests(self):
        return re.findall(rb"(?m)^(?:GET|POST|PUT|DELETE|HEAD) \S+ HTTP/1\.1\r$", self.seen)

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join()


@pytest.fixture
def upstream():
    u = Upstream()
    yield u
    u.close()


SECOND = b"GET /smuggled HTTP/1.1\r\nHost: ci.example.org\r\n\r\n"


@pytest.mark.parametrize("headers", [
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    b"Content-Length: 5\r\nContent-Length: 6\r\n",
    b"Content-Length: 5\r\nContent-Length: 5\r\n",
    b"Content-Length: 5, 5\r\n", b"Content-Length: +5\r\n", b"Content-Length: 0x5\r\n",
    b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding: \x0bchunked\r\n",
    b"Transfer-Encoding : chunked\r\n", b"Content-Length : 5\r\n",
    b"Transfer-Encoding: chunked\r\n X: y\r\n",
])
def test_smuggling_stops_here(nginx, upstream, headers):
    n = nginx(upstream.port)
    request = (b"POST /jobs/submit HTTP/1.1\r\nHost: ci.example.org\r\n"
               b"Content-Type: application/json\r\n" + headers + b"\r\n0\r\n\r\n" + SECOND)
    answer = exchange(n, request)
    assert status_of(answer) in (400, 413, 501), answer
    assert answer.count(b"HTTP/1.1 ") == 1, "one answer"
    assert upstream.requests() == []
    assert b"smuggled" not in upstream.seen


def test_chunks_reach_the_daemon_as_one_body_with_a_length(nginx, upstream):
    n = nginx(upstream.port)
    answer = exchange(n, b"POST /jobs/submit HTTP/1.1\r\nHost: ci.example.org\r\n"
                      b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                      b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert status_of(answer) == 200
    assert len(upstream.requests()) == 1
    head, _, body = upstream.seen.partition(b"\r\n\r\n")
    assert body == b"abcde" and b"transfer-encoding" not in head.lower()
    assert b"\r\nContent-Length: 5\r\n" in head + b"\r\n"


def test_what_a_client_claims_about_its_way_is_replaced(nginx, upstream):
    n = nginx(upstream.port)
    exchange(n, b"GET /health HTTP/1.1\r\nHost: ci.example.org\r\nX-Forwarded-For: 10.1.2.3\r\n"
             b"X-Forwarded-Proto: gopher\r\nX-Forwarded-Host: evil.example\r\n"
             b"Connection: close, X-Forwarded-For\r\n\r\n")
    head = upstream.seen.decode().lower()
    assert "10.1.2.3" not in head and "gopher" not in head and "evil" not in head
    assert "\r\nx-forwarded-for: 127.0.0.1\r\n" in head
    assert "\r\nx-forwarded-proto: https\r\n" in head
    assert "\r\nhost: ci.example.org\r\n" in head
    assert "\r\nconnection:" not in head


def test_bodies_are_bounded(front):
    """At the limit a body reaches the daemon, whose answer comes back; past it, never."""
    limits = {"/webhook/github": 25 << 20, "/jobs/submit": 1 << 20}
    for path, limit in limits.items():
        for size, by_nginx in ((limit, False), (limit + 1, True)):
            answer = exchange_body(front, path, size)
            assert (b"<center>nginx</center>" in answer) == by_nginx, (path, size, answer[:500])
            assert not by_nginx or status_of(answer) == 413
            assert by_nginx or b"\r\nContent-Type: application/json\r\n" in answer


def exchange_body(n, path, size):
    with n.connect() as s:
        head = (f"POST {path} HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {size}\r\nConnection: close\r\n\r\n").encode()
        data = b""
        try:
            s.sendall(head)
            block = b" " * 65536
            for at in range(0, size, len(block)):
                s.sendall(block[:size - at])
        except (ConnectionError, ssl.SSLError):
            pass
        try:
            while block := s.recv(65536):
                data += block
        except (ConnectionError, ssl.SSLError):
            pass
    return data


def test_a_slow_head_and_a_slow_body_never_reach_the_daemon(nginx, upstream):
    n = nginx(upstream.port, change=[("client_header_timeout 10s", "client_header_timeout 1s"),
                                     ("client_body_timeout 10s", "client_body_timeout 1s")])
    for part in (b"GET /health HTT", b"POST /jobs/submit HTTP/1.1\r\nHost: ci.example.org\r\n"
                 b"Content-Length: 10\r\n\r\nabc"):
        with n.connect() as s:
            s.sendall(part)
            data = b""
            while block := s.recv(4096):
                data += block
        assert data == b"" or status_of(data) == 408
    assert upstream.seen == b""


def test_floods_are_answered_with_429(nginx, upstream):
    n = nginx(upstream.port)
    with n.connect() as s:
        one = f"GET /health HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode()
        statuses = []
        f = s.makefile("rb")
        for _ in range(400):
            s.sendall(one)
            statuses.append(int(f.readline().split()[1]))
            length = 0
            while (line := f.readline().strip()):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            f.read(length)
    assert statuses[:200] == [200] * 200
    assert 429 in statuses
    assert len(upstream.requests()) == statuses.count(200)


def test_keepalive_to_the_daemon_meets_no_closed_connection(front):
    """More requests than the daemon serves on a connection, none of them fails."""
    api = Client(f"http://127.0.0.1:{front.daemon.port}")
    with front.connect() as s:
        f = s.makefile("rb")
        for _ in range(190):
            s.sendall(f"GET /health HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
            assert b" 200 " in f.readline()
            while (line := f.readline().strip()):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            f.read(length)
    assert api.get("/health").json()["status"] == "ok"
