"""Log streams: many readers, slow ones, ones that vanish, and none that loses a line."""

import re
import selectors
import signal
import socket
import struct
import time

import pytest

from harness import PATIENCE, job, sse, wait_for

LINES = 20000


def connect(daemon, receive_buffer=None):
    s = socket.socket()
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.settimeout(PATIENCE)
    s.connect(("127.0.0.1", daemon.port))
    return s


def ask(s, id, more="", head=""):
    s.sendall(f"GET /jobs/logs?id={id}{more} HTTP/1.0\r\nHost: localhost\r\n{head}\r\n".encode())


def read_all(s):
    data = b""
    while block := s.recv(1 << 20):
        data += block
    return data


def events_of(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200"), head
    return list(sse(body.split(b"\n")))


def output_of(answer):
    return "".join(e.data + "\n" for e in events_of(answer) if e.name == "message")


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def wait_streams(api, n):
    deadline = time.monotonic() + PATIENCE
    while (streams := api.get("/health").json()["streams"]) != n:
        assert time.monotonic() < deadline, f"{streams} streams"


def dump(daemon):
    before = daemon.log().count("streams=")
    daemon.signal(signal.SIGUSR1)
    deadline = time.monotonic() + PATIENCE
    while daemon.log().count("streams=") == before or not daemon.log().endswith("\n"):
        assert time.monotonic() < deadline, daemon.log()
        daemon.client.get("/health")
    return daemon.log()[daemon.log().rindex("streams="):]


def wait_sealed(daemon, id, attempt=1):
    deadline = time.monotonic() + PATIENCE
    while not (daemon.job_dir(id, attempt) / "spool.zst").exists() or \
            (daemon.job_dir(id, attempt) / "spool").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Crowd:
    """Many raw readers of one log, read by one thread."""

    def __init__(self, daemon, id, n, head=lambda i: "", more=""):
        self.sockets = []
        self.data = [b""] * n
        self.open = set(range(n))
        self.selector = selectors.DefaultSelector()
        for i in range(n):
            s = connect(daemon)
            ask(s, id, more=more, head=head(i))
            s.setblocking(False)
            self.selector.register(s, selectors.EVENT_READ, i)
            self.sockets.append(s)

    def read(self, until):
        """Until `until` holds for the bytes of each, or they end."""
        deadline = time.monotonic() + PATIENCE
        left = {i for i in self.open if not until(self.data[i])}
        while left:
            assert time.monotonic() < deadline, f"{len(left)} wait"
            for key, _ in self.selector.select(1):
                i = key.data
                try:
                    block = key.fileobj.recv(1 << 18)
                except ConnectionResetError:
                    block = b""
                self.data[i] += block
                if not block:
                    self.selector.unregister(key.fileobj)
                    self.open.discard(i)
                if not block or until(self.data[i]):
                    left.discard(i)

    def read_to_end(self):
        self.read(lambda data: False)

    def close(self):
        for s in self.sockets:
            s.close()
        self.selector.close()


# --- places


@pytest.fixture(scope="module")
def told(shared):
    """A finished job with a log that was sealed."""
    api = shared.client
    status = api.run(job(shared.repo, f"echo first; seq {LINES}; printf 'no end'",
                         "echo second step"))
    wait_sealed(shared, status["id"])
    shared.told = status["id"]
    shared.events = list(api.events(shared.told))
    return shared


@pytest.mark.parametrize("place", [
    "x", "-1", "1-", "-", "1--5", "1-x", "1 - 5", "1-5-6", "0x10", "1-0x10", "+5", "0-5", "2-50",
    "1-18446744073709551615", "99999999999999999999999", "1-99999999999999999999999", "4294967297-50", "\u00e4", "1-50;x",
])
def test_a_place_that_cannot_be_is_refused(told, place):
    for where in ({"headers": {"Last-Event-ID": place.encode()}}, {"params": {"offset": place}}):
        params = {"id": told.told, **where.get("params", {})}
        r = told.client.request("GET", "/jobs/logs", params=params, headers=where.get("headers"))
        assert r.status_code == 400, place
        assert r.json()["field"] in ("Last-Event-ID", "offset")


@pytest.mark.parametrize("place", ["1-9223372036854775807", "9223372036854775807",
                                   "1-9007199254740993"])
def test_a_place_behind_the_end_is_the_end(told, place):
    events = list(told.client.events(told.told, last_id=place))
    assert [e.name for e in events] == ["status", "end"]


def test_an_empty_last_event_id_is_none(told):
    r = told.client.request("GET", "/jobs/logs", params={"id": told.told},
                            headers={"Last-Event-ID": ""})
    assert len(list(sse(r.content.split(b"\n")))) == len(told.events)


def test_each_place_in_a_sealed_log_resumes_exactly(told):
    with_id = [i for i, e in enumerate(told.events) if e.name == "message"]
    for i in with_id[:3] + with_id[len(with_id) // 2:][:3] + with_id[-3:]:
        rest = [(e.name, e.data) for e in told.events[i + 1:]]
        got = [(e.name, e.data) for e in
               told.client.events(told.told, last_id=told.events[i].id)]
        assert got[0][0] == "status"
        assert got[1:] == rest


def test_a_place_inside_a_frame_begins_before_it(told):
    i = next(i for i, e in enumerate(told.events) if e.name == "message") + 1
    before, at = told.events[i].id, told.events[i + 1].id
    for offset in (int(before.split("-")[1]) + 1, int(at.split("-")[1]) - 1):
        got = list(told.client.events(told.told, last_id=f"1-{offset}"))
        assert got[1].data == told.events[i + 1].data


def test_output_that_looks_like_frames_misleads_nobody(daemon, repo):
    """A step prints the bytes of a whole frame; a place inside of it is none."""
    api = daemon.client
    frame = struct.pack("<IBBHQ", 4, 3, 0, 0, 0) + b"LIE\n"
    printf = "".join(f"\\{b:03o}" for b in frame)
    id = api.run(job(repo, f"echo before; printf '{printf}'; echo after"))["id"]
    spool = (daemon.job_dir(id) / "spool").read_bytes()
    lie = spool.index(frame)
    events = list(api.events(id))
    got = list(api.events(id, last_id=f"1-{lie}"))
    assert [e.data for e in got if e.id] == [e.data for e in events if e.id][-len(
        [e for e in got if e.id]):]
    assert not any(e.data == "LIE" for e in got)


# --- many


def test_a_thousand_readers_get_every_line_once(daemon, repo):
    api = daemon.client
    id = api.submit(job(repo, f"seq 1 500; {wait_for()}; seq 501 1000"))
    crowd = Crowd(daemon, id, 1000)
    crowd.read(lambda data: b"\ndata: 500\n" in data)
    assert api.get("/health").json()["streams"] == 1000
    # All that have read what there is are one group: one read, one buffer for all.
    deadline = time.monotonic() + PATIENCE
    while not re.search(rf"log job={id} attempt=1 readers=1000\n\S+ info  daemon:   "
                        r"readers=1000 at \d+ waiting at the end\n", dump(daemon)):
        assert time.monotonic() < deadline, dump(daemon)
    daemon.poke(id)
    crowd.read_to_end()
    whole = "".join(f"{i}\n" for i in range(1, 1001))
    for data in crowd.data:
        assert output_of(data) == whole
        assert events_of(data)[-1].name == "end"
    crowd.close()
    wait_streams(api, 0)


def test_readers_of_all_kinds_see_what_they_asked_for(daemon, repo):
    """Groups that render differently, side by side, some from the begin, some later."""
    api = daemon.client
    id = api.submit(job(repo, f"echo a1; {wait_for('go1')}; echo a2",
                        f"echo b1; {wait_for('go2')}; echo b2"))
    api.wait_output(id, "a1")
    kinds = {"": "a1 a2 b1 b2", "&step=0": "a1 a2", "&step=step1": "b1 b2", "&tail=1": "a1 a2 b1 b2",
             "&format=text&follow=1": None, "&format=text&follow=1&timestamps=1": None}
    early = {k: Crowd(daemon, id, 5, more=k) for k in kinds}
    for kind, crowd in early.items():
        crowd.read(lambda data, sign=b"status" if kind == "&step=step1" else b"a1\n":
                   sign in data)
    daemon.poke(id, "go1")
    api.wait_output(id, "b1")
    late = {k: Crowd(daemon, id, 5, more=k) for k in kinds if k != "&tail=1"}
    for kind, crowd in late.items():
        crowd.read(lambda data, sign=b"a2\n" if kind == "&step=0" else b"b1\n": sign in data)
    daemon.poke(id, "go2")
    for crowds in early, late:
        for kind, crowd in crowds.items():
            crowd.read_to_end()
            for data in crowd.data:
                if kinds[kind]:
                    assert output_of(data).split() == kinds[kind].split(), kind
                else:
                    text = data.partition(b"\r\n\r\n")[2].decode()
                    text = re.sub(r"(?m)^\d{4}-\S+Z ", "", text)
                    assert re.sub(r"(?m)^\*.*\n", "", text) == \
                        "[step0]\na1\na2\n[step1]\nb1\nb2\n", kind
            crowd.close()


def test_a_retry_takes_all_readers_along(slipwayd, repo):
    daemon = slipwayd(options={"queue.backoff": "0s"})
    api = daemon.client
    id = api.submit(job(repo, f'echo "attempt $SLIPWAY_ATTEMPT"; {wait_for()}; '
                        '[ $SLIPWAY_ATTEMPT = 2 ]', retry={"on": ["failure"], "limit": 1}))
    crowd = Crowd(daemon, id, 100)
    crowd.read(lambda data: b"data: attempt 1\n" in data)
    pinned = Crowd(daemon, id, 5, more="&attempt=1")
    pinned.read(lambda data: b"data: attempt 1\n" in data)
    daemon.poke(id)
    pinned.read_to_end()
    crowd.read(lambda data: b"data: attempt 2\n" in data)
    daemon.poke(id, attempt=2)
    crowd.read_to_end()
    for data in crowd.data:
        events = events_of(data)
        assert [e.data for e in events if e.name == "message"] == ["attempt 1", "attempt 2"]
        assert [e.name for e in events].count("end") == 1
        assert events[-1].json["status"] == "success"
    for data in pinned.data:
        events = events_of(data)
        assert [e.data for e in events if e.name == "message"] == ["attempt 1"]
        assert (events[-1].name, events[-1].json["status"]) == ("end", "failure")
    crowd.close()
    pinned.close()


def last_id(data):
    """Of the last whole event."""
    whole = data[:data.rindex(b"\n\n") + 2] if b"\n\n" in data else b""
    ids = re.findall(rb"(?m)^id: (\S+)$", whole)
    return ids[-1].decode() if ids else None


def test_a_crowd_goes_on_after_kill_9(daemon, repo):
    """All come back at once, each with its own place."""
    api = daemon.client
    id = api.submit(job(repo, f"seq 1 3000; {wait_for()}; seq 3001 {LINES}"))
    crowd = Crowd(daemon, id, 100)
    # Some have read all there is, some little of it.
    crowd.read(lambda data: b"\ndata: 1\n" in data)
    before = [output_of(d[:d.rindex(b"\n\n") + 2] if b"\n\n" in d else d) for d in crowd.data]
    places = [last_id(d) for d in crowd.data]
    daemon.kill9()
    crowd.close()
    daemon.start()
    api = daemon.client
    again = Crowd(daemon, id, 100, head=lambda i: f"Last-Event-ID: {places[i]}\r\n")
    again.read(lambda data: b"\r\n\r\n" in data)
    daemon.poke(id)
    again.read_to_end()
    whole = "".join(f"{i}\n" for i in range(1, LINES + 1))
    for i, data in enumerate(again.data):
        assert before[i] + output_of(data) == whole, places[i]
    again.close()
    api.wait(id, "success")


# --- slow, stuck, gone


def start_big(daemon, repo):
    """10 MB that begin when poked."""
    id = daemon.client.submit(
        job(repo, f"{wait_for()}; yes {'x' * 99} | head -n 100000; echo the-end"))
    daemon.client.wait(id, lambda s: s.get("phase") == "steps")
    return id


def test_a_reader_that_takes_nothing_is_cut_off(slipwayd, repo):
    daemon = slipwayd(options={"http.stream_timeout": "700ms"})
    api = daemon.client
    id = start_big(daemon, repo)
    stuck = connect(daemon, receive_buffer=4096)
    ask(stuck, id)
    wait_streams(api, 1)
    other = Crowd(daemon, id, 1)
    wait_streams(api, 2)
    daemon.poke(id)
    other.read_to_end()
    assert output_of(other.data[0]).endswith("x\nthe-end\n")
    wait_streams(api, 0)
    assert "takes nothing of its stream, closed" in daemon.log()
    assert re.search(r"streams=0 buffers=\d{1,4} cut=1\n", dump(daemon))
    # It hears of it: what it was sent ends with a reset or an end, without "event: end".
    try:
        assert b"event: end" not in read_all(stuck)
    except ConnectionResetError:
        pass
    stuck.close()
    other.close()


def test_a_stuck_reader_costs_at_most_256_kib(daemon, repo):
    api = daemon.client
    id = start_big(daemon, repo)
    sockets = [connect(daemon, receive_buffer=4096) for _ in range(5)]
    for s in sockets:
        ask(s, id)
    wait_streams(api, 5)
    daemon.poke(id)
    api.wait(id, "success")
    deadline = time.monotonic() + PATIENCE
    while len(re.findall("stuck for", seen := dump(daemon))) < 5:
        assert time.monotonic() < deadline, seen
    held = int(re.search(r"buffers=(\d+)", seen)[1])
    pending = [int(n) for n in re.findall(r"pending=(\d+) stuck", seen)]
    assert max(pending) <= 256 << 10
    assert held <= sum(pending)
    for s in sockets:
        reset(s)
    wait_streams(api, 0)


@pytest.mark.parametrize("more", ["", "&format=text&follow=1"])
def test_a_slow_reader_gets_every_byte_also_across_the_sealing(daemon, repo, more):
    api = daemon.client
    id = start_big(daemon, repo)
    with connect(daemon, receive_buffer=4096) as s:
        ask(s, id, more=more)
        wait_streams(api, 1)
        daemon.poke(id)
        data = s.recv(20000)
        api.wait(id, "success")
        wait_sealed(daemon, id)
        data += read_all(s)
    text = output_of(data) if not more else data.partition(b"\r\n\r\n")[2].decode()
    assert text.count("x" * 99 + "\n") == 100000
    assert text.endswith("x\nthe-end\n")
    assert len(text) == text.index("x" * 99) + 100 * 100000 + len("the-end\n")


def test_a_sealed_log_does_not_hold_up_others(daemon, repo):
    """Forty clients unpack a large log; others have their answers in between."""
    api = daemon.client
    id = start_big(daemon, repo)
    daemon.poke(id)
    api.wait(id, "success")
    wait_sealed(daemon, id)
    crowd = Crowd(daemon, id, 40)
    answered = 0
    while api.get("/health").json()["streams"] > 20 and answered < 20:
        answered += 1
        crowd.read(lambda data, n=answered: len(data) > n * 100000 or b"event: end" in data)
    assert answered >= 20
    crowd.read_to_end()
    for data in crowd.data:
        assert data.count(b"\ndata: xxx") == 100000
    crowd.close()


@pytest.mark.parametrize("stage", ["request", "head", "first event", "in flight", "ending"])
@pytest.mark.parametrize("how", ["reset", "close", "half"])
def test_readers_vanish_at_every_stage(slipwayd, repo, stage, how):
    daemon = slipwayd(options={"http.stream_timeout": "2s"})
    api = daemon.client
    id = start_big(daemon, repo)
    sockets = []
    for _ in range(20):
        s = connect(daemon, receive_buffer=4096)
        if stage == "request":
            s.sendall(f"GET /jobs/logs?id={id} HT".encode())
        else:
            ask(s, id)
        sockets.append(s)
    if stage != "request":
        for s in sockets:
            data = b""
            while (b"\r\n\r\n" if stage == "head" else b"event: status") not in data:
                data += s.recv(4096)
    if stage in ("in flight", "ending"):
        daemon.poke(id)
        deadline = time.monotonic() + PATIENCE
        while "stuck for" not in dump(daemon):
            assert time.monotonic() < deadline
    if stage == "ending":
        api.wait(id, "success")
    for s in sockets:
        if how == "reset":
            reset(s)
        elif how == "close":
            s.close()
        else:
            s.shutdown(socket.SHUT_WR)
    wait_streams(api, 0)
    for s in sockets:
        s.close()
    if stage not in ("in flight", "ending"):
        daemon.poke(id)
    api.wait(id, "success")
    assert api.text(id).endswith("the-end\n")


def test_who_closes_his_side_still_gets_a_log_that_is_there(told):
    with connect(told) as s:
        ask(s, told.told)
        s.shutdown(socket.SHUT_WR)
        assert len(events_of(read_all(s))) == len(told.events)


def test_who_talks_into_a_stream_is_not_listened_to(daemon, repo):
    api = daemon.client
    id = api.submit(job(repo, f"echo one; {wait_for()}; echo two"))
    with connect(daemon) as little, connect(daemon) as much:
        for s in little, much:
            ask(s, id)
            data = b""
            while b"data: one\n" not in data:
                data += s.recv(4096)
        little.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 10)
        with pytest.raises(OSError):
            for _ in range(100000):
                much.sendall(b"x" * 4096)
        wait_streams(api, 1)
        daemon.poke(id)
        rest = read_all(little)
        assert b"data: two\n" in rest and b"HTTP/1" not in rest


def test_silence_is_broken_by_comments(slipwayd, repo):
    daemon = slipwayd(options={"http.stream_beat": "100ms"})
    api = daemon.client
    id = api.submit(job(repo, f"echo one; {wait_for()}; echo two"))
    crowd = Crowd(daemon, id, 20)
    text = Crowd(daemon, id, 1, more="&format=text&follow=1")
    crowd.read(lambda data: data.count(b"\n: still here\n\n") >= 3)
    daemon.poke(id)
    crowd.read_to_end()
    text.read_to_end()
    assert all(output_of(data) == "one\ntwo\n" for data in crowd.data)
    assert text.data[0].endswith(b"one\ntwo\n") and b"still here" not in text.data[0]
    crowd.close()
    text.close()


def test_streams_count_as_connections(slipwayd, repo):
    daemon = slipwayd(options={"http.max_connections": 16})
    id = daemon.client.submit(job(repo, f"echo one; {wait_for()}"))
    sockets = []
    while len(sockets) < 20:
        s = connect(daemon)
        sockets.append(s)
        data = b""
        try:
            ask(s, id)
            while b"data: one\n" not in data and (block := s.recv(4096)):
                data += block
        except ConnectionError:
            pass # refused before it asked
        if b"data: one\n" not in data:
            assert data == b"" or data.startswith(b"HTTP/1.1 503 ")
            break
    # One of them may still have been that of the submission.
    assert len(sockets) in (16, 17)
    for s in sockets:
        s.close()
    deadline = time.monotonic() + PATIENCE
    while daemon.client.request("GET", "/health").status_code == 503:
        assert time.monotonic() < deadline
    wait_streams(daemon.client, 0)
    daemon.poke(id)
    daemon.client.wait(id, "success")


def test_the_unix_socket_streams_as_well(daemon, repo):
    api = daemon.client
    id = api.submit(job(repo, f"echo one; {wait_for()}; seq {LINES}"))
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(PATIENCE)
        s.connect(str(daemon.socket))
        ask(s, id)
        data = b""
        while b"data: one\n" not in data:
            data += s.recv(4096)
        assert "log job=" in dump(daemon)
        daemon.poke(id)
        data += read_all(s)
    assert output_of(data) == "one\n" + "".join(f"{i}\n" for i in range(1, LINES + 1))


def test_chunks_are_well_formed(told):
    """HTTP/1.1 framing, as a client sees it that knows what it does."""
    with connect(told) as s:
        s.sendall(f"GET /jobs/logs?id={told.told} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head, _, body = read_all(s).partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head and b"Connection: close" in head
    whole = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        n = int(size, 16)
        assert body[n:n + 2] == b"\r\n"
        if n == 0:
            assert body == b"\r\n"
            break
        whole += body[:n]
        body = body[n + 2:]
    assert len(list(sse(whole.split(b"\n")))) == len(told.events)
