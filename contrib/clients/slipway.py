"""A client of slipway, in one file: Python 3.9 or later, standard library only.

    from slipway import JobBuilder, SlipwayClient

    client = SlipwayClient("https://ci.example.org", token="...")
    job = (JobBuilder()
           .repo("https://git.example.org/app.git").commit("main")
           .step("build", "make")
           .step("test", "make check", timeout=600)
           .build())
    id = client.submitJob(job)["jobId"]
    for event in client.streamLogs(id):
        print(event.text, end="")
    assert client.waitForCompletion(id)["status"] == "success"

Methods are called as in the TypeScript client, and snake_case for those who like it
better: submit_job() is submitJob(). Times in answers are milliseconds since 1970;
time-outs of this client are seconds. What the server refuses, and what cannot be
reached, is a SlipwayError. A client may be shared by threads.
"""

import http.client
import json
import os
import socket
import ssl
import time
import urllib.parse

__all__ = ["JobBuilder", "LogEvent", "SlipwayClient", "SlipwayError", "SlipwayTimeout"]

FINAL_STATES = ("success", "failure", "timeout", "cancelled")
DEFAULT_SOCKET = "/run/slipway/slipwayd.sock"
DEFAULT_URL = "http://127.0.0.1:8080"

_SILENCE = 60  # s; the server sends something every 15 s
_WAIT_MAX = 50  # s of one long poll
_EVENT_MAX = 16 << 20
_PASSING = (429, 502, 503, 504)


class SlipwayError(Exception):
    """What went wrong.

    status: of the answer; 0 when there was none
    code:   for programs: "not_found", "invalid", "draining", ...; "unreachable" when
            there was no answer, "protocol" when it made no sense
    field:  what is at fault in the request, as "steps[0].run"; None when not told
    retryAfter: seconds, where the server said so, else None
    """

    def __init__(self, message, status=0, code="unreachable", field=None, retryAfter=None):
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.field = field
        self.retryAfter = retryAfter

    def __str__(self):
        if self.field and self.field not in self.message:
            return f"{self.field}: {self.message}"
        return self.message


class SlipwayTimeout(SlipwayError):
    """The job was not over in time. It goes on."""

    def __init__(self, message):
        super().__init__(message, code="timeout")


class LogEvent:
    """One event of a log.

    event:   "message" (output), "step", "note", "status" or "end"
    data:    the text of a message, the object of all others
    text:    what is to be printed: of a message its lines, each with its end (but for
             the last one of a partial message); "" of all others
    id:      streamLogs(lastEventId=id) goes on behind this event
    partial: the last line of this message goes on in a later one
    """

    __slots__ = ("event", "data", "id", "partial")

    def __init__(self, event, data, id, partial):
        self.event = event
        self.data = data
        self.id = id
        self.partial = partial

    @property
    def text(self):
        if self.event != "message":
            return ""
        return self.data if self.partial else self.data + "\n"

    def __repr__(self):
        return f"LogEvent({self.event!r}, {self.data!r}, {self.id!r})"


class JobBuilder:
    """Puts a job object together. What it holds is checked by the server."""

    def __init__(self):
        self._job = {"steps": []}

    def repo(self, url):
        return self.set("repo", url)

    def commit(self, commit):
        """A SHA, or the name of a branch or tag."""
        return self.set("commit", commit)

    def branch(self, name):
        return self.set("branch", name)

    def step(self, name, run, **more):
        """more: workingDir, env, timeout, continueOnError, when, shell, secrets."""
        self._job["steps"].append({"name": name, "run": run, **more})
        return self

    def env(self, name, value=None):
        """A variable, or a dict of them; what was given before stays."""
        more = name if isinstance(name, dict) else {name: value}
        self._job.setdefault("env", {}).update(more)
        return self

    def cache(self, *keys):
        """Lock files that the caches go by: "package-lock.json"."""
        self._job.setdefault("cacheKeys", []).extend(keys)
        return self

    def timeout(self, seconds):
        return self.set("timeout", seconds)

    def priority(self, priority):
        """0 to 10; 10 goes first."""
        return self.set("priority", priority)

    def set(self, field, value):
        """Any other field of the job object: set("network", "none")."""
        self._job[field] = value
        return self

    def build(self):
        for field in ("repo", "commit", "steps"):
            if not self._job.get(field):
                raise SlipwayError(f"a job needs {field}", code="invalid", field=field)
        return json.loads(json.dumps(self._job))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class SlipwayClient:
    """url: http://HOST:PORT, https://HOST/PREFIX or unix:PATH; default $SLIPWAY_URL, else
    the daemon's socket where there is one, else http://127.0.0.1:8080.
    token: default $SLIPWAY_TOKEN. timeout: seconds for one answer."""

    def __init__(self, url=None, token=None, timeout=30, ssl_context=None):
        url = url or os.environ.get("SLIPWAY_URL")
        if not url:
            there = os.path.exists(DEFAULT_SOCKET)
            url = "unix:" + DEFAULT_SOCKET if there else DEFAULT_URL
        self._unix = url[5:] if url.startswith("unix:") else None
        self.baseUrl = "http://localhost" if self._unix else url.rstrip("/")
        self._parts = urllib.parse.urlsplit(self.baseUrl)
        if self._parts.scheme not in ("http", "https") or not self._parts.hostname:
            raise ValueError(f"not an http://, https:// or unix: address: {url}")
        self._token = token if token is not None else os.environ.get("SLIPWAY_TOKEN")
        self._timeout = timeout
        self._ssl = ssl_context

    # --- jobs

    def submitJob(self, job):
        """Queue a job object (or a JobBuilder): {message, jobId, url, queuePosition}."""
        if isinstance(job, JobBuilder):
            job = job.build()
        return self._json("POST", "/jobs/submit", body=job)

    def validateJob(self, job):
        """Check a job without queueing it: {valid, plan}."""
        if isinstance(job, JobBuilder):
            job = job.build()
        return self._json("POST", "/jobs/validate", body=job)

    def getJobStatus(self, id, wait=0):
        """The job status object; with wait (seconds, at most 60) at its next change."""
        query = {"id": id, "wait": wait or None}
        return self._json("GET", "/jobs/status", query, timeout=self._timeout + wait)

    def listJobs(self, status=None, repo=None, branch=None, since=None, limit=None):
        """The newest jobs; at most limit (1 to 200, default 50)."""
        query = {"status": status, "repo": repo, "branch": branch, "since": since,
                 "limit": limit}
        return self._json("GET", "/jobs", query)

    def eachJob(self, **filters):
        """Iterate over all jobs, newest first, page by page; filters as in listJobs."""
        target = self._target("/jobs", {"limit": 200, **filters})
        while target:
            response, connection = self._open("GET", target)
            with connection:
                jobs = self._decode(response)
                link = response.headers.get("Link", "")
            yield from jobs
            target = None
            if 'rel="next"' in link:
                # The page's own address, at the server that this client talks to.
                url = urllib.parse.urlsplit(link[link.index("<") + 1:link.index(">")])
                target = f"{self._parts.path}/jobs?{url.query}"

    def cancelJob(self, id):
        """{cancelled: True} once its processes are gone, or {cancelled: False, reason}."""
        return self._json("POST", "/jobs/cancel", body={"jobId": id},
                          timeout=max(120, self._timeout))

    def retryJob(self, id):
        """Queue a finished job again, as its next attempt."""
        return self._json("POST", "/jobs/retry", body={"jobId": id})

    def waitForCompletion(self, id, timeout=600, pollInterval=2, onProgress=None):
        """Wait until the job is over; its status object. onProgress(status) is called at
        each change. SlipwayTimeout when it takes longer than timeout seconds; None: for
        ever. When the server is away it is asked again every pollInterval seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        status = None
        while True:
            left = _WAIT_MAX if deadline is None else deadline - time.monotonic()
            try:
                wait = int(min(_WAIT_MAX, left)) if status else 0
                now = self.getJobStatus(id, wait=max(wait, 0))
                if onProgress and now != status:
                    onProgress(now)
                if now["status"] in FINAL_STATES:
                    return now
                again = 0 if wait > 0 or not status else min(pollInterval, max(left, 0))
                status = now
            except SlipwayError as e:
                if e.status not in _PASSING and e.code != "unreachable":
                    raise
                if left <= 0:
                    raise
                again = e.retryAfter or pollInterval
            if left <= 0:
                raise SlipwayTimeout(f"job {id} is not over after {timeout} s: it is "
                                     f"{status['status']}")
            time.sleep(max(0, min(again, left)))

    # --- logs

    def streamLogs(self, id, step=None, tail=None, attempt=None, follow=True,
                   lastEventId=None, patience=60):
        """Iterate over the LogEvents of a job until it is over (or, without follow, over
        what is there now). After a cut it goes on where it was, with no line lost or
        twice; SlipwayError when the server stays away for patience seconds."""
        target = self._target("/jobs/logs", {
            "id": id, "step": step, "tail": tail, "attempt": attempt,
            "follow": None if follow else "0"})
        state = {"id": lastEventId, "status": None}
        since, delay = None, 0.25
        while True:
            try:
                for event in self._stream_once(target, state):
                    since, delay = None, 0.25
                    if event.event == "status":
                        # Each connection begins with it.
                        if event.data == state["status"]:
                            continue
                        state["status"] = event.data
                    yield event
                    if event.event == "end":
                        return
                if not follow:
                    return
                error = SlipwayError("the log was cut off")
            except SlipwayError as e:
                if e.status not in _PASSING and e.code != "unreachable":
                    raise
                error = e
            now = time.monotonic()
            since = since or now
            if now - since >= patience:
                raise error
            time.sleep(error.retryAfter or delay)
            delay = min(delay * 2, 4)

    def _stream_once(self, target, state):
        headers = {"Accept": "text/event-stream"}
        if state["id"]:
            headers["Last-Event-ID"] = state["id"]
        response, connection = self._open("GET", target, headers=headers,
                                          timeout=_SILENCE)
        with connection:
            if response.status != 200:
                self._decode(response)
            yield from _events(_lines(response), state)

    # --- what later versions of the server have

    def getCacheStats(self):
        """{totalCaches, totalSize, hits, misses, hitRate, caches}. A server that keeps no
        caches yet answers with a SlipwayError: status 404, code "not_found"."""
        return self._json("GET", "/cache/stats")

    def getMetrics(self, range="day"):
        """{totalJobs, successRate, avgDuration, ...} of the last hour, day, week or month.
        A server without metrics answers with a SlipwayError: status 404, "not_found"."""
        return self._json("GET", "/metrics", {"range": range})

    def getDashboardUrl(self, id=None):
        """Where people look: the list of jobs, or one job."""
        path = f"/dashboard/jobs/{urllib.parse.quote(id, safe='')}" if id else "/dashboard"
        return self.baseUrl + path

    # --- HTTP

    def _target(self, path, query=None):
        query = {k: v for k, v in (query or {}).items() if v is not None}
        return self._parts.path + path + ("?" + urllib.parse.urlencode(query) if query else "")

    def _connect(self, timeout):
        if self._unix:
            return _UnixConnection(self._unix, timeout)
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(
                self._parts.hostname, self._parts.port, timeout=timeout,
                context=self._ssl or ssl.create_default_context())
        return http.client.HTTPConnection(self._parts.hostname, self._parts.port,
                                          timeout=timeout)

    def _open(self, method, target, body=None, headers=None, timeout=None):
        """The answer's head, and what closes the connection."""
        headers = {"Accept": "application/json", "User-Agent": "slipway.py",
                   "Connection": "close", **(headers or {})}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        if self._token:
            headers["Authorization"] = "Bearer " + self._token
        connection = self._connect(timeout or self._timeout)
        try:
            connection.request(method, target, data, headers)
            return connection.getresponse(), _Closing(connection)
        except (OSError, http.client.HTTPException) as e:
            connection.close()
            where = "unix:" + self._unix if self._unix else self.baseUrl
            raise SlipwayError(f"cannot talk to {where}: {e or type(e).__name__}") from e

    def _json(self, method, path, query=None, body=None, timeout=None):
        response, connection = self._open(method, self._target(path, query), body,
                                          timeout=timeout)
        with connection:
            return self._decode(response)

    def _decode(self, response):
        try:
            data = response.read()
        except (OSError, http.client.HTTPException) as e:
            raise SlipwayError(f"the answer of {self.baseUrl} was cut off: {e}") from e
        try:
            value = json.loads(data)
        except ValueError:
            value = None
        if 200 <= response.status < 300 and value is not None:
            return value
        fault = value if isinstance(value, dict) else {}
        after = response.headers.get("Retry-After", "")
        raise SlipwayError(
            fault.get("error") or f"{self.baseUrl} answered with status {response.status}",
            response.status, fault.get("code", "protocol"), fault.get("field"),
            int(after) if after.isdigit() else None)


class _Closing:
    def __init__(self, connection):
        self._connection = connection

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._connection.close()


def _lines(response):
    rest = b""
    while True:
        try:
            chunk = response.read1(65536)
        except (OSError, http.client.HTTPException) as e:
            raise SlipwayError(f"the log was cut off: {e or type(e).__name__}") from e
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _EVENT_MAX:
            raise SlipwayError("a line of the log is too long", 200, "protocol")
        yield from lines


def _events(lines, state):
    """Server-Sent Events. What a cut leaves unfinished is never seen."""
    name, data, id, partial = "message", [], None, False
    for raw in lines:
        line = raw.decode("utf-8", "replace")
        if line.startswith(":"):
            partial = partial or line == ": partial"
        elif line:
            key, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if key == "data":
                data.append(value)
            elif key == "event":
                name = value
            elif key == "id":
                id = value
        else:
            if id is not None:
                state["id"] = id
            if data:
                text = "\n".join(data)
                yield LogEvent(name, text if name == "message" else json.loads(text),
                               state["id"], partial)
            name, data, id, partial = "message", [], None, False


for _name, _snake in (
        ("submitJob", "submit_job"), ("validateJob", "validate_job"),
        ("getJobStatus", "get_job_status"), ("listJobs", "list_jobs"),
        ("eachJob", "each_job"), ("cancelJob", "cancel_job"), ("retryJob", "retry_job"),
        ("streamLogs", "stream_logs"), ("waitForCompletion", "wait_for_completion"),
        ("getCacheStats", "get_cache_stats"), ("getMetrics", "get_metrics"),
        ("getDashboardUrl", "get_dashboard_url")):
    setattr(SlipwayClient, _snake, getattr(SlipwayClient, _name))
del _name, _snake
