"""The pages, in a real browser, with its script and without."""

import re
import signal
import time

import pytest
import requests
from harness import PATIENCE, ApiError, job, wait_for

from selenium import webdriver
from selenium.common.exceptions import (
    NoAlertPresentException, NoSuchElementException, StaleElementReferenceException)
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

NOBODY = {"labels": ["nobody"]}  # a job with these stays in the queue
WIDE, NARROW = (1400, 900), (360, 780)  # px


class Browser:
    """Chromium, and what the tests ask of it."""

    def __init__(self):
        options = webdriver.ChromeOptions()
        for arg in ("--headless=new", "--no-sandbox", "--disable-gpu",
                    "--disable-dev-shm-usage", "--no-proxy-server"):
            options.add_argument(arg)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"),
                                       options=options)

    def cdp(self, command, **params):
        return self.driver.execute_cdp_cmd(command, params)

    def reset(self, base):
        self.base = base
        self.driver.get("about:blank")
        self.scripts(True)
        self.size(*WIDE)
        self.scheme("light")
        self.driver.get_log("browser")

    def scripts(self, on):
        self.cdp("Emulation.setScriptExecutionDisabled", value=not on)

    def size(self, width, height):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=1, mobile=False)

    def scheme(self, scheme):
        self.cdp("Emulation.setEmulatedMedia",
                 features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, path):
        # A change of the fragment alone would load nothing.
        self.driver.get("about:blank")
        self.driver.get(self.base + path)

    def js(self, script, *args):
        return self.driver.execute_script(script, *args)

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def click(self, selector):
        """Click what a live page may exchange at that very moment."""
        def clicked():
            self.one(selector).click()
            return True
        self.until(clicked, f"{selector} could not be clicked")

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector):
        # Parts of a live page may be exchanged at any moment.
        return self.js("return document.querySelector(arguments[0])?.textContent ?? ''",
                       selector)

    def texts(self, selector):
        return self.js("return [...document.querySelectorAll(arguments[0])]"
                       ".map(e => e.textContent)", selector)

    def until(self, condition, what):
        WebDriverWait(self.driver, PATIENCE, poll_frequency=0.05, ignored_exceptions=(
            StaleElementReferenceException, NoSuchElementException,
        )).until(lambda _: condition(), message=what)

    def until_text(self, selector, wanted):
        self.until(lambda: wanted in self.text(selector),
                   f"{selector} never has {wanted!r}: {self.text(selector)!r}")

    def rows(self):
        """{number: text} of the lines that are in the document."""
        return {int(n): text for n, text in self.js(
            "return [...document.querySelectorAll('.l:not(.awaited)')].map(l => "
            "[l.firstChild.textContent, l.querySelector(':scope > span').textContent])")}

    def in_sight(self):
        """Numbers of the lines that can be seen."""
        return self.js(
            "const box = document.querySelector('.view').getBoundingClientRect();"
            "return [...document.querySelectorAll('.l')].filter(l => {"
            "  const r = l.getBoundingClientRect();"
            "  return r.top >= box.top - 1 && r.bottom <= box.bottom + 1;"
            "}).map(l => Number(l.firstChild.textContent))")

    def traffic(self):
        """(requests, bytes) of the page until now."""
        sizes = self.js("return [...performance.getEntriesByType('navigation'),"
                        "...performance.getEntriesByType('resource')]"
                        ".map(e => [e.name, e.transferSize])")
        assert all(name.startswith(self.base + "/") for name, _ in sizes), sizes
        return len(sizes), sum(size for _, size in sizes)

    def complaints(self):
        return [line["message"] for line in self.driver.get_log("browser")
                if line["level"] in ("SEVERE", "WARNING")]

    def has_dialog(self):
        try:
            self.driver.switch_to.alert
        except NoAlertPresentException:
            return False
        return True


@pytest.fixture(scope="module")
def chromium():
    b = Browser()
    yield b
    b.driver.quit()


@pytest.fixture
def browser(chromium, api):
    """A browser at the daemon; neither dialogs nor errors of any kind may come up."""
    chromium.reset(api.base)
    chromium.allowed = []
    yield chromium
    assert not chromium.has_dialog()
    said = [c for c in chromium.complaints()
            if not any(re.search(a, c) for a in chromium.allowed)]
    chromium.driver.get("about:blank")
    assert not said


@pytest.fixture
def shared_browser(chromium, shared):
    chromium.reset(shared.client.base)
    yield chromium
    assert not chromium.has_dialog()
    assert not chromium.complaints()
    chromium.driver.get("about:blank")


# --- the list


def test_an_empty_list_says_what_to_do(browser):
    browser.open("/dashboard")
    assert "No jobs yet" in browser.text("#jobs")
    assert "slipway submit" in browser.text("#jobs")


def test_the_list_tells_about_jobs_and_filters_them(api, browser, repo):
    api.run(job(repo, {"name": "build", "run": "true"}, {"name": "test", "run": "true"},
                branch="main", id="good"))
    api.run(job(repo, "exit 3", branch="topic/a&b=c", id="bad"), expect="failure")
    api.submit(job("https://github.com/acme/web.git", "true", id="waits", commit="v1",
                   **NOBODY))
    browser.open("/dashboard")
    rows = {r.find_element(By.CSS_SELECTOR, ".id").text: r.text
            for r in browser.all(".jobs tbody tr")}
    assert list(rows) == ["waits", "bad", "good"]
    assert "build → test" in rows["good"] and "success" in rows["good"]
    assert "main" in rows["good"] and repo.head[:10] in rows["good"]
    assert "local" in rows["good"] and " ms" in rows["good"]
    assert "failure" in rows["bad"] and "topic/a&b=c" in rows["bad"]
    assert "acme/web" in rows["waits"] and "no. 1 in the queue" in rows["waits"]
    assert "no runner has label nobody" in rows["waits"]
    assert "1 queued" in browser.text(".counts")

    browser.click(".tabs a:nth-child(5)")
    assert browser.texts(".jobs .id") == ["bad"]
    assert browser.text(".tabs a[aria-current]") == "failure"
    browser.click(".tabs a")
    browser.one("input[name=repo]").send_keys(str(repo), Keys.ENTER)
    browser.until(lambda: browser.texts(".jobs .id") == ["bad", "good"], "by repository")
    browser.click(".jobs .branch")  # as shown in a row
    browser.until(lambda: browser.texts(".jobs .id") == ["bad"], "by branch")
    assert browser.one("input[name=branch]").get_attribute("value") == "topic/a&b=c"
    browser.open("/dashboard?status=timeout&repo=&branch=")
    assert "No jobs match" in browser.text("#jobs")


def test_older_jobs_are_a_page_away(api, browser):
    for i in range(55):
        api.submit(job("/srv/x", "true", id=f"j{i:02}", **NOBODY))
    browser.open("/dashboard")
    assert len(browser.all(".jobs tbody tr")) == 50
    browser.click("a[rel=next]")
    assert browser.texts(".jobs .id") == ["j04", "j03", "j02", "j01", "j00"]
    browser.click("a[rel=first]")
    assert browser.texts(".jobs .id")[0] == "j54"


def test_the_list_is_live(daemon, api, browser, repo):
    browser.open("/dashboard")
    id = api.submit(job(repo, wait_for(), id="one"))
    browser.until_text(".jobs", "running")
    browser.until_text(".counts", "1 running")
    daemon.poke(id)
    browser.until_text(".jobs", "success")
    browser.until_text(".counts", "0 running")


def test_a_row_leads_to_its_job(api, browser, repo):
    api.run(job(repo, "echo hello", id="one"))
    browser.open("/dashboard")
    browser.click(".jobs a.row")
    assert browser.driver.current_url == api.base + "/dashboard/jobs/one"
    assert "hello" in browser.rows().values()
    browser.click(".brand")
    assert browser.driver.current_url == api.base + "/dashboard"


# --- a job


def test_a_job_tells_how_it_ended(api, browser, repo):
    api.run(job(repo, {"name": "lint", "run": "exit 1", "continueOnError": True},
                {"name": "unit", "run": "exit 7"}, {"name": "deploy", "run": "true"},
                branch="main", id="bad", priority=7), expect="failure")
    browser.open("/dashboard/jobs/bad")
    assert browser.driver.title == "failure: bad · slipway"
    assert browser.text(".fate").strip() == "Step unit failed with exit code 7."
    facts = dict(zip(browser.texts(".facts dt"), browser.texts(".facts dd")))
    assert facts["Branch"] == "main" and facts["Commit"] == repo.head[:10]
    assert facts["Runner"] == "local" and facts["Priority"] == "7"
    assert facts["Warnings"] == "1" and facts["Took"] and facts["Memory"]
    steps = browser.texts(".steps li")
    assert [s.split(":")[0] for s in steps] == ["failure (allowed)", "failure", "skipped"]
    assert "exit 1" in steps[0] and "exit 7" in steps[1]
    # A step leads to where it begins.
    browser.click(".steps li:nth-child(2) a")
    browser.until(lambda: browser.text(".l.marked > span") == "unit", "marked")


@pytest.mark.parametrize("fields, words", [
    (dict(NOBODY), "Number 1 in the queue. Waiting: no runner has label nobody."),
    ({"commit": "nowhere"}, "The repository could not be fetched."),
    ({"steps": [{"name": "slow", "run": "sleep 100", "timeout": 1}]},
     "Step slow took longer than it may."),
])
def test_fates_in_words(api, browser, repo, fields, words):
    id = api.submit({**job(repo, "true", id="one"), **fields})
    if fields != NOBODY:
        api.wait(id)
    browser.open("/dashboard/jobs/one")
    assert words in browser.text(".fate")


def test_a_job_page_is_live_while_the_job_runs(daemon, api, browser, repo):
    id = api.submit(job(repo, {"name": "first", "run": f"echo one; {wait_for('a')}; echo two"},
                        {"name": "second", "run": f"printf 'dots .'; {wait_for('b')}; echo ."},
                        id="one"))
    browser.open("/dashboard/jobs/one")
    browser.until_text(".fate", "Step 1 of 2: first")
    browser.until(lambda: "one" in browser.rows().values(), "the first line")
    assert browser.text(".title .badge") == "running"
    assert "two" not in browser.rows().values()
    browser.js("window.same = true")
    daemon.poke(id, "a")
    browser.until_text(".fate", "Step 2 of 2: second")
    browser.until(lambda: "two" in browser.rows().values(), "the second line")
    browser.until(lambda: "dots ." in browser.rows().values(), "a line under way")
    daemon.poke(id, "b")
    browser.until_text(".title .badge", "success")
    browser.until(lambda: "dots .." in browser.rows().values(), "its end")
    browser.until(lambda: browser.one("#retry").is_displayed(), "a button")
    assert browser.js("return window.same"), "nothing was loaded anew"
    assert not browser.one("#follow").is_displayed(), "nothing to follow"
    browser.until_text("#told", "The job is now success.")


def test_following_stops_when_the_reader_scrolls_up(daemon, api, browser, repo):
    id = api.submit(job(repo, f"seq 1 200; {wait_for('a')}; seq 201 400; {wait_for('b')};"
                              f"seq 401 600; {wait_for('c')}", id="one"))
    api.wait_output(id, "200\n")
    browser.open("/dashboard/jobs/one")
    pressed = lambda: browser.one("#follow").get_attribute("aria-pressed") == "true"

    def at_the_end(text):
        rows = browser.rows()
        return text in rows.values() and max(rows) in browser.in_sight()

    browser.until(lambda: at_the_end("200"), "the end is in sight")
    assert pressed()
    browser.js("document.querySelector('.view').scrollBy(0, -1000)")
    browser.until(lambda: not pressed(), "no longer following")
    seen = browser.in_sight()
    daemon.poke(id, "a")
    browser.until(lambda: "404" in browser.text("#lines").replace(",", ""), "it has grown")
    assert browser.in_sight() == seen, "and the reader was not disturbed"
    browser.click("#follow")
    browser.until(lambda: at_the_end("400"), "at the end again")
    daemon.poke(id, "b")
    browser.until(lambda: at_the_end("600"), "and it follows")
    # Scrolling to the end by hand follows, too.
    browser.js("document.querySelector('.view').scrollBy(0, -1000)")
    browser.until(lambda: not pressed(), "no longer following")
    browser.one(".view").send_keys(Keys.END)
    browser.until(pressed, "following")
    daemon.poke(id, "c")
    api.wait(id)


def test_times_are_shown_on_demand_and_remembered(api, browser, repo):
    status = api.run(job(repo, "echo hello", id="one"))
    browser.open("/dashboard/jobs/one")
    assert not browser.one(".l time").is_displayed()
    browser.click("#times")
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", browser.one(".l time").text)
    stamp = browser.one(".l.stdout time").get_attribute("datetime")
    assert status["startedAt"] <= browser.js("return Date.parse(arguments[0])", stamp) \
        <= status["finishedAt"]
    browser.open("/dashboard/jobs/one")
    assert browser.one(".l time").is_displayed()
    browser.click("#times")
    assert not browser.one(".l time").is_displayed()


def test_links_to_lines(api, browser, repo):
    api.run(job(repo, "seq 1 3000", id="one"))
    browser.open("/dashboard/jobs/one#L1500")
    browser.until(lambda: browser.texts(".l.marked > a") == ["1500"], "marked")
    assert 1500 in browser.in_sight()
    browser.until(lambda: 1503 in browser.rows(), "lines from the server")
    browser.click('.l > a[href="#L1503"]')
    assert browser.driver.current_url.endswith("#L1503")
    ActionChains(browser.driver).key_down(Keys.SHIFT) \
        .click(browser.one('.l > a[href="#L1506"]')).key_up(Keys.SHIFT).perform()
    assert browser.driver.current_url.endswith("#L1503-L1506")
    assert len(browser.all(".l.marked")) == 4
    browser.open("/dashboard/jobs/one#L20-L10")
    browser.until(lambda: len(browser.all(".l.marked")) == 11, "either way round")


def test_the_log_can_be_downloaded(api, browser, repo):
    api.run(job(repo, "echo hello", id="one"))
    browser.open("/dashboard/jobs/one")
    link = browser.one(".bar a[download]")
    assert link.get_attribute("download") == "one-1.log"
    r = requests.get(link.get_attribute("href"), timeout=PATIENCE)
    assert r.headers["Content-Type"].startswith("text/plain")
    assert r.text == api.text("one") and "hello" in r.text


def test_finding_text_in_the_log(api, browser, repo):
    api.run(job(repo, "seq 1 5000; echo Needle; seq 1 5000; echo needle", id="one"))
    browser.open("/dashboard/jobs/one")
    browser.click("h1")
    ActionChains(browser.driver).send_keys("/").perform()
    field = browser.driver.switch_to.active_element
    field.send_keys("needle", Keys.ENTER)
    browser.until(lambda: browser.texts(".l.marked > span") == ["Needle"], "the first")
    field.send_keys(Keys.ENTER)
    browser.until(lambda: browser.texts(".l.marked > span") == ["needle"], "the next")
    field.send_keys(Keys.ENTER)
    browser.until(lambda: browser.texts(".l.marked > span") == ["Needle"], "round again")
    field.send_keys("s and pins", Keys.ENTER)
    browser.until_text(".find output", "not found")


def test_tabs_that_nobody_sees_hold_no_connections(daemon, api, browser, repo):
    """A browser has six of them; more tabs than that must all work."""
    id = api.submit(job(repo, f"echo hello; {wait_for()}", id="one"))
    first = browser.driver.current_window_handle
    for _ in range(8):
        browser.driver.switch_to.new_window("tab")
        browser.open("/dashboard/jobs/one")
        browser.until(lambda: "hello" in browser.rows().values(), "the log")

    def waiting():
        before = len(daemon.log())
        daemon.signal(signal.SIGUSR1)
        browser.until(lambda: "queue:" in daemon.log()[before:], "the dump")
        return len(re.findall("request (?:lines|changes) ", daemon.log()[before:]))

    browser.until(lambda: waiting() <= 2, "only the tab in sight waits")
    daemon.poke(id)
    api.wait(id)
    for tab in browser.driver.window_handles:
        if tab != first:
            browser.driver.switch_to.window(tab)
            browser.until_text(".title .badge", "success")
            browser.driver.close()
    browser.driver.switch_to.window(first)


# --- buttons


@pytest.mark.parametrize("scripts", [True, False], ids=["script", "no-script"])
def test_cancel_and_retry(daemon, api, browser, repo, scripts):
    id = api.submit(job(repo, f"echo attempt; {wait_for()}", id="one"))
    api.wait(id, lambda s: s.get("phase") == "steps")
    browser.scripts(scripts)
    browser.open("/dashboard/jobs/one")
    browser.click("#cancel")
    assert api.wait(id, "cancelled")["reason"] == "cancelled"
    browser.scripts(True)  # for the driver's own look at the page
    browser.until_text(".title .badge", "cancelled")
    browser.until_text(".fate", "Cancelled by")
    assert browser.driver.current_url == api.base + "/dashboard/jobs/one"
    browser.scripts(scripts)
    browser.click("#retry")
    assert api.wait(id, lambda s: s.get("phase") == "steps")["attempt"] == 2
    browser.scripts(True)
    browser.until_text(".tabs", "attempt 2")
    browser.until(lambda: "attempt" in browser.rows().values(), "the new attempt's log")
    browser.click(".tabs a:nth-child(2)")
    assert browser.text(".title .badge") == "cancelled"
    assert browser.text(".tabs a[aria-current]") == "attempt 1"
    daemon.poke(id, attempt=2)
    api.wait(id, "success")


def test_a_refused_verb_is_told(daemon, api, browser, repo):
    id = api.submit(job(repo, wait_for(), id="one"))
    api.wait(id, lambda s: s.get("phase") == "steps")
    form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": api.base}
    path = "/dashboard/jobs/one/retry"
    r = api.request("POST", path, headers=form)
    assert r.status_code == 409 and "text/html" in r.headers["Content-Type"]
    assert "is not final yet" in r.text
    daemon.poke(id)
    api.wait(id)
    r = api.request("POST", "/dashboard/jobs/one/cancel", headers=form,
                    allow_redirects=False)
    assert (r.status_code, r.headers["Location"]) == (303, "../one")


@pytest.mark.parametrize("headers, status", [
    ({}, 415), ({"Origin": "https://evil.example.org"}, 403), ({"Origin": "null"}, 403),
    ({"Content-Type": "application/x-www-form-urlencoded"}, 403),
    ({"Origin": "http://localhost", "Content-Type": "application/json"}, 415),
    ({"Origin": "http://localhost", "Content-Type": "text/plain"}, 415),
    ({"Origin": "http://localhost", "Content-Type": "multipart/form-data"}, 415),
])
@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_buttons_of_foreign_pages_do_nothing(shared, headers, status, verb):
    api = shared.client
    id = api.submit(job(shared.repo, "true", **NOBODY))
    r = api.request("POST", f"/dashboard/jobs/{id}/{verb}", headers=headers, data="a=b")
    assert r.status_code == status
    assert api.status(id)["status"] == "queued"
    api.cancel(id)


@pytest.mark.parametrize("path", ["nobody", "nobody/cancel", "a/b/c", "", "x/frob", "%3Cb%3E"])
def test_unknown_jobs_and_verbs_have_a_page(shared, path):
    form = {"Content-Type": "application/x-www-form-urlencoded",
            "Origin": shared.client.base}
    for method in ("GET", "POST"):
        r = shared.client.request(method, "/dashboard/jobs/" + path, headers=form)
        assert r.status_code == 404 and "<html" in r.text and "<b>" not in r.text


# --- a long log


def test_a_million_lines_open_at_once(daemon, api, browser, repo):
    lines = 1_000_000
    api.run(job(repo, f"seq 1 {lines}", id="long"), timeout=PATIENCE)
    total = api.get("/jobs/lines", id="long", count=0).json()["total"]
    before = total - lines
    began = time.monotonic()
    browser.open("/dashboard/jobs/long")
    browser.until(lambda: browser.rows().get(total) == str(lines), "the end is there")
    print(f"opened in {time.monotonic() - began:.3f} s")
    n, size = browser.traffic()
    assert n <= 8 and size < 400_000, (n, size)
    assert len(browser.all(".l")) < 120, "only what can be seen is in the document"

    def jump(what, script, line):
        nonlocal n, size
        began = time.monotonic()
        browser.js(script)
        browser.until(lambda: browser.rows().get(line) == str(line - before), what)
        print(f"{what}: {time.monotonic() - began:.3f} s")
        now, bytes = browser.traffic()
        assert now - n <= 3 and bytes - size < 200_000, (what, now - n, bytes - size)
        n, size = now, bytes

    jump("to the beginning", "document.querySelector('.view').scrollTop = 0", before + 1)
    jump("to a line", "location.hash = 'L700000'", 700_000)
    assert 700_000 in browser.in_sight()
    # By small steps no line is left out.
    first = browser.in_sight()[0]
    browser.js("document.querySelector('.view').scrollBy(0, 100)")
    browser.until(lambda: browser.in_sight()[0] == first + 5, "five lines on")
    browser.js("const v = document.querySelector('.view'); v.scrollTop = v.scrollHeight / 2")
    browser.until(lambda: any(abs(l - total / 2) < 2000 for l in browser.in_sight()),
                  "the middle")
    middle = browser.in_sight()[3]
    browser.until(lambda: browser.rows().get(middle) == str(middle - before), "its text")
    browser.one(".view").send_keys(Keys.END)
    browser.until(lambda: total in browser.in_sight(), "the end")
    browser.one(".view").send_keys(Keys.HOME)
    browser.until(lambda: 1 in browser.in_sight(), "the beginning")


def test_the_index_is_made_when_somebody_looks(daemon, api, repo):
    api.run(job(repo, "seq 1 1000", id="one"))
    index = daemon.job_dir("one") / "lines"
    assert not index.exists(), "nobody looked"
    lines = api.get("/jobs/lines", id="one", tail=1).json()["lines"]
    assert lines[0]["text"] == "1000" and index.exists()
    index.write_bytes(b"x" * 5000)
    assert api.get("/jobs/lines", id="one", tail=1).json()["lines"] == lines


# --- windows of lines as JSON


@pytest.fixture(scope="module")
def printed(shared):
    shared.client.run(job(shared.repo, {"name": "a", "run": r"printf '\033[31mred\033[0m\n';"
                                        "seq 1 2500"},
                          {"name": "b", "run": "echo err >&2"}, id="printed"))
    return shared.client


def test_windows_of_lines(printed):
    whole = printed.get("/jobs/lines", id="printed", count=2000).json()
    assert whole["complete"] is True and whole["attempt"] == 1
    assert len(whole["lines"]) == 2000
    first = whole["steps"][0]
    by_n = {line["n"]: line for line in whole["lines"]}
    assert by_n[1]["stream"] == "note" and "step" not in by_n[1]
    assert by_n[first]["stream"] == "step" and by_n[first]["text"] == "a"
    red = by_n[first + 1]
    assert (red["text"], red["spans"], red["step"]) == ("red", [[0, 3, "f1"]], 0)
    assert by_n[first + 2]["text"] == "1" and "spans" not in by_n[first + 2]
    tail = printed.get("/jobs/lines", id="printed", tail=2).json()
    assert [(l["stream"], l["text"]) for l in tail["lines"]] == \
        [("step", "b"), ("stderr", "err")]
    assert tail["steps"] == [first, tail["total"] - 1]
    assert tail["lines"][-1]["n"] == tail["total"] == first + 1 + 2500 + 2
    past = printed.get("/jobs/lines", id="printed", **{"from": tail["total"] + 1}).json()
    assert past["lines"] == [] and past["total"] == tail["total"]


def test_finding_lines(printed):
    find = lambda **q: {k: v for k, v in printed.get("/jobs/lines", id="printed", **q)
                        .json().items() if k in ("found", "next")}
    first = printed.get("/jobs/lines", id="printed", count=0).json()["steps"][0]
    assert find(find="2499") == {"found": first + 1 + 2499, "next": None}
    assert find(find="RED") == {"found": first + 1, "next": None}
    assert find(find="no such text") == {"found": None, "next": None}


@pytest.mark.parametrize("query, field", [
    ({}, "id"), ({"id": "printed", "count": 2001}, "count"),
    ({"id": "printed", "count": -1}, "count"), ({"id": "printed", "tail": 2001}, "tail"),
    ({"id": "printed", "tail": 1, "from": 1}, "tail"),
    ({"id": "printed", "from": "x"}, "from"), ({"id": "printed", "attempt": 0}, "attempt"),
    ({"id": "printed", "attempt": 2}, "attempt"), ({"id": "printed", "wait": 61}, "wait"),
    ({"id": "printed", "find": ""}, "find"), ({"id": "printed", "find": "x" * 201}, "find"),
    ({"id": "printed", "lines": 3}, "lines"),
])
def test_wrong_questions_for_lines(printed, query, field):
    with pytest.raises(ApiError) as e:
        printed.get("/jobs/lines", **query)
    assert (e.value.status, e.value.field) == (400, field)


def test_the_limits_themselves_are_fine(printed):
    for query in ({"count": 2000}, {"count": 0}, {"tail": 2000}, {"wait": 60},
                  {"find": "x" * 200}, {"from": 2 ** 63 - 1}):
        printed.get("/jobs/lines", id="printed", **query)
    with pytest.raises(ApiError) as e:
        printed.get("/jobs/lines", id="nobody")
    assert e.value.status == 404


def test_lines_can_be_waited_for(daemon, api, repo):
    id = api.submit(job(repo, f"echo one; {wait_for()}; echo two", id="one"))
    api.wait_output(id, "one\n")
    seen = api.get("/jobs/lines", id=id, tail=1).json()
    assert seen["lines"][0]["text"] == "one" and not seen["complete"]
    daemon.poke(id)
    while not seen["complete"]:
        seen = api.get("/jobs/lines", id=id, tail=1, after=seen["end"], wait=60).json()
    assert seen["lines"][0]["text"] == "two"
    queued = api.submit(job(repo, "true", **NOBODY))
    assert api.get("/jobs/lines", id=queued).json()["total"] == 0


def test_a_waiting_reader_is_told_that_nothing_came(api, repo):
    id = api.submit(job(repo, "true", **NOBODY))
    assert api.get("/jobs/lines", id=id, wait=1).json()["complete"] is False
    version = api.get("/dashboard/changes").json()["version"]
    assert api.get("/dashboard/changes", seen=version, wait=1).json()["version"] == version
    mine = api.get("/dashboard/changes", id=id).json()["version"]
    api.cancel(id)
    assert api.get("/dashboard/changes", id=id, seen=mine, wait=60).json()["version"] != mine
    assert api.get("/dashboard/changes", seen=version, wait=60).json()["version"] != version


# --- colours


def test_colours_of_a_log(api, browser, repo):
    api.run(job(repo, r"printf '\033[31mred\033[0m \033[38;5;208morange\033[0m "
                      r"\033[48;2;0;0;255mblue\033[0m \033[1;2;3;4mall\033[0m "
                      r"\033[5;31m\033[2K\033]0;title\007end\n'", id="one"))
    browser.open("/dashboard/jobs/one")
    style = lambda text, name: browser.js(
        "const [text, name] = arguments; const e = [...document.querySelectorAll('.l span "
        "span')].find(e => e.textContent === text); return getComputedStyle(e)[name]",
        text, name)
    assert browser.rows()[max(browser.rows())] == "red orange blue all end"
    assert style("red", "color") == "rgb(244, 112, 103)"
    assert style("orange", "color") == "rgb(255, 135, 0)"
    assert style("blue", "backgroundColor") == "rgb(0, 0, 255)"
    assert int(style("all", "fontWeight")) > 600
    assert style("all", "fontStyle") == "italic"
    assert "underline" in style("all", "textDecorationLine")
    assert float(style("all", "opacity")) < 1


# --- what pages look like


CONTRAST = """
const rgb = (c) => c.match(/[\\d.]+/g).map(Number);
const light = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= .04045 ? v / 12.92
    : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
const poor = [];
for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    if (!e.checkVisibility() || e.closest('.sr, .skip, .d, option, title')) continue;
    let ground = e;
    while (ground && (rgb(getComputedStyle(ground).backgroundColor)[3] ?? 1) < 1)
        ground = ground.parentElement;
    const a = light(rgb(getComputedStyle(e).color)),
        b = light(rgb(getComputedStyle(ground ?? document.body).backgroundColor));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) poor.push([e.className, e.textContent.slice(0, 40), ratio]);
}
return poor;
"""


@pytest.fixture(scope="module")
def zoo(shared):
    """Jobs in many states."""
    api, repo = shared.client, shared.repo
    long = "a-rather-long-name/" * 6
    api.run(job(repo, {"name": "x" * 80, "run": "echo " + "x" * 3000}, branch=long[:200] + "x",
                id="zoo-good"))
    api.run(job(repo, "exit 3", id="zoo-bad"), expect="failure")
    api.run(job(repo, {"name": "s", "run": "sleep 9", "timeout": 1}, id="zoo-slow"),
            expect="timeout")
    api.submit(job("https://example.org/" + long, "true", id="zoo-waits", commit="v1",
                   **NOBODY))
    api.submit(job(repo, "true", id="zoo-gone", **NOBODY))
    api.cancel("zoo-gone")
    api.run(job(repo, r"for i in $(seq 0 255); do printf \\033[38\;5\;${i}mx; done", id="zoo-colours"))
    yield ["/dashboard", "/dashboard?status=timeout&branch=none", "/login?error=1"] + \
        [f"/dashboard/jobs/zoo-{x}" for x in ("good", "bad", "slow", "waits", "gone",
                                              "colours")]
    api.cancel("zoo-waits")


def test_pages_fit_and_can_be_read(shared_browser, zoo):
    b = shared_browser
    for path in zoo:
        b.open(path)
        for scheme in ("light", "dark"):
            b.scheme(scheme)
            for size in (WIDE, (768, 1024), NARROW):
                b.size(*size)
                width = b.js("return document.documentElement.scrollWidth")
                assert width <= size[0], f"{path} is {width} wide"
                assert b.js(CONTRAST) == [], (path, scheme, size)
            ground = b.js("return getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, re.findall(r"\d+", ground))) < 200) == (scheme == "dark")


def test_pages_are_sound_for_assistive_technology(shared_browser, zoo):
    for path in zoo:
        shared_browser.open(path)
        problems = shared_browser.js(
            "const p = []; if (document.querySelectorAll('h1').length !== 1 && "
            "  !document.querySelector('.empty')) p.push('h1');"
            "for (const e of document.querySelectorAll('button, a, input:not([type=hidden])'))"
            "  if (!(e.textContent.trim() || e.ariaLabel || e.labels?.length)) p.push(e.outerHTML);"
            "const ids = [...document.querySelectorAll('[id]')].map(e => e.id);"
            "for (const id of ids) if (ids.filter(i => i === id).length > 1) p.push(id);"
            "for (const e of document.querySelectorAll('.badge')) "
            "  if (!e.textContent.trim()) p.push('a colour without a word');"
            "if (!document.documentElement.lang) p.push('lang'); return p")
        assert problems == [], path


def test_pages_can_be_used_by_keyboard(shared_browser, zoo):
    b = shared_browser
    b.open("/dashboard/jobs/zoo-good")
    reached = set()
    for _ in range(25):
        ActionChains(b.driver).send_keys(Keys.TAB).perform()
        reached.add(b.js("const e = document.activeElement; return e.id || e.className || "
                         "e.name || e.textContent"))
        if reached >= {"skip", "retry", "leg", "times", "view"}:
            break
    assert reached >= {"skip", "retry", "leg", "times", "view"}, reached
    outline = b.js("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", "where one is can be seen"


# --- without a script


def test_a_log_can_be_read_without_a_script(api, browser, repo):
    api.run(job(repo, "seq 1 1200", id="one"))
    browser.scripts(False)
    browser.open("/dashboard/jobs/one")

    def shown():
        browser.scripts(True)  # for the driver's look; the page's own did not run
        numbers = [int(n) for n in browser.texts(".l > a")]
        browser.scripts(False)
        return numbers

    assert len(shown()) == 500 and shown()[-1] > 1200
    assert browser.one(".l:last-child > span").text == "1200"
    assert not browser.one("#follow").is_displayed() and not browser.one(".find").is_displayed()
    last = shown()
    browser.click(".windows a[rel=prev]")
    assert shown()[-1] == last[0] - 1
    browser.click(".windows a[rel=prev]")
    assert shown()[0] == 1
    browser.click(".windows a[rel=next]")
    assert shown()[0] == 501
    # A step's link, too, leads to its window.
    browser.click(".steps a")
    assert browser.one(":target > span").text.endswith("step0")


def test_a_running_job_is_loaded_anew_without_a_script(daemon, api, repo):
    id = api.submit(job(repo, wait_for(), id="one"))
    api.wait(id, lambda s: s.get("phase") == "steps")
    assert '<noscript><meta http-equiv="refresh"' in api.get("/dashboard/jobs/one").text
    daemon.poke(id)
    api.wait(id, "success")
    assert "refresh" not in api.get("/dashboard/jobs/one").text


# --- hostile text


HOSTILE = "</title></textarea><script>window.pwned=1</script><img src=x onerror=alert(1)>" \
          "\"'`&lt;&#x3c;javascript:alert(1)"
# As far as the rules for names of branches and commits allow.
HOSTILE_REF = "</title><script>window.pwned=1</script><img/src=x/onerror=alert(1)>\"'`&lt;"


def test_hostile_text_stays_text(api, browser, repo):
    evil = HOSTILE + " onfocus=alert(1) autofocus x="
    text = evil.replace("'", "'\\''")
    api.run(job(repo, {"name": evil[:120], "run": f"printf '%s\\n' '{text}'; exit 1"},
                branch=HOSTILE_REF, id="printed"), expect="failure")
    api.run(job(f"/srv/{HOSTILE_REF}", {"name": evil[:120], "run": "true"},
                branch=HOSTILE_REF, commit=HOSTILE_REF, id="failed"), expect="failure")
    api.submit(job(repo, "true", branch=HOSTILE_REF, id="queued", **NOBODY))
    quoted = requests.utils.quote(evil, safe="")
    for scripts in (True, False):
        browser.scripts(scripts)
        for path in ("/dashboard", f"/dashboard?repo={quoted}&branch={quoted}",
                     "/dashboard/jobs/printed", "/dashboard/jobs/failed",
                     "/dashboard/jobs/queued", "/dashboard/jobs/printed#L%3Cscript%3E",
                     f"/login?error={quoted}&next={quoted}"):
            browser.open(path)
            browser.scripts(True)
            assert browser.js("return window.pwned") is None
            assert browser.js(
                "return [...document.querySelectorAll('script')].every(s => s.src && !s.text)"
                " && !document.querySelector('img, [onfocus], [onerror], style,"
                " [href^=\"javascript:\"], iframe, base')"), path
            assert not browser.has_dialog()
            browser.scripts(scripts)
    browser.scripts(True)
    browser.open("/dashboard/jobs/printed")
    assert evil in browser.rows().values()
    assert HOSTILE[:60] in browser.text("h1")
    assert browser.text(".steps .name") == evil[:120]
    assert HOSTILE_REF in browser.texts(".facts dd")


def test_what_may_be_loaded_is_ruled_strictly(shared):
    api = shared.client
    api.run(job(shared.repo, "true", id="ruled"))
    for path in ("/dashboard", "/dashboard/jobs/ruled", "/dashboard/jobs/nobody", "/login"):
        r = api.request("GET", path)
        rules = r.headers["Content-Security-Policy"]
        for rule in ("default-src 'none'", "script-src 'self'", "base-uri 'none'",
                     "form-action 'self'", "frame-ancestors 'none'"):
            assert rule in rules
        assert "unsafe" not in rules and "*" not in rules
        assert r.headers["X-Content-Type-Options"] == "nosniff"
        assert "style=" not in r.text and "<style" not in r.text
        for script in re.findall(r"<script[^>]*>.*?</script>", r.text, re.S):
            assert re.fullmatch(r'<script type="module" src="[^"]+"></script>', script)


def test_the_login_page_leads_nowhere_else(shared):
    api = shared.client
    where = lambda next: re.search(r'name="next" value="([^"]*)"', api.get(
        "/login", next=next).text)[1]
    for good in ("/dashboard/jobs/x", "/" + "x" * 2047):
        assert where(good) == good
    for evil in ("//evil.org", "https://evil.org", "/\\evil.org", "javascript:alert(1)", "",
                 "/" + "x" * 2048):
        assert where(evil) == "/dashboard"
    assert "not valid" in api.get("/login", error=1).text
    assert "not valid" not in api.get("/login").text


# --- style and script


def test_what_pages_are_made_of_may_be_kept(shared):
    api = shared.client
    names = re.findall(r'"(ui/([0-9a-f]+)/[a-z]+\.[a-z]+)"', api.get("/dashboard").text)
    assert len(names) == 4
    for path, hash in names:
        r = api.get("/" + path)
        assert "immutable" in r.headers["Cache-Control"]
        assert r.headers["Content-Type"].split(";")[0] in (
            "text/css", "text/javascript", "image/svg+xml")
        etag = r.headers["ETag"]
        again = api.request("GET", "/" + path, headers={"If-None-Match": etag})
        assert (again.status_code, again.content) == (304, b"")
        other = api.get("/" + path.replace(hash, "0" * len(hash)))
        assert other.content == r.content and other.headers["Cache-Control"] == "no-cache"
    for path in ("/ui/", "/ui/x", "/ui/x/none.js", "/ui/x/y/app.js"):
        assert api.request("GET", path).status_code == 404


def test_pages_work_below_a_prefix(shared):
    """A proxy may take /ci/ off: no link begins with a slash."""
    api = shared.client
    api.run(job(shared.repo, "true", id="below"))
    for path in ("/dashboard", "/dashboard/jobs/below", "/login", "/dashboard/jobs/nobody"):
        links = re.findall(r'(?:href|src|action)="([^"]*)"', api.request("GET", path).text)
        assert len(links) > 4
        assert not [l for l in links if l.startswith("/")], path
