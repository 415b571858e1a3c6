import itertools

import pytest

import harness


def pytest_sessionstart(session):
    for program in (harness.BUILD / "slipwayd", harness.BUILD / "slipway",
                    harness.LIBEXEC / "slipway-worker", harness.LIBEXEC / "slipway-init"):
        if not program.exists():
            pytest.exit(f"no {program}: build first, or set SLIPWAY_BUILD", 2)


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, "report_" + call.when, outcome.get_result())


@pytest.fixture
def workplace(request):
    place = harness.Workplace()
    yield place.path
    place.remove()


@pytest.fixture
def slipwayd(request, workplace):
    """A factory: slipwayd(options={...}) starts one; all are held to account."""
    made = []
    numbers = itertools.count()

    def make(start=True, **kw):
        dir = workplace / f"d{next(numbers)}"
        dir.mkdir()
        d = harness.Slipwayd(dir, **kw)
        made.append(d)
        return d.start() if start else d

    yield make
    failed = getattr(request.node, "report_call", None)
    for d in made:
        try:
            d.close()
        finally:
            if failed is None or failed.failed:
                request.node.add_report_section("teardown", "daemon log", d.log()[-20000:])
                print(d.log()[-20000:])


@pytest.fixture
def daemon(slipwayd):
    return slipwayd()


@pytest.fixture
def api(daemon):
    return daemon.client


@pytest.fixture
def repo(workplace):
    return harness.Repo(workplace / "repo")


@pytest.fixture(scope="module")
def shared():
    """One daemon for those tests of a file that leave nothing behind in it."""
    place = harness.Workplace()
    d = harness.Slipwayd(place.path).start()
    d.repo = harness.Repo(place.path / "repo")
    yield d
    try:
        d.close()
    finally:
        place.remove()
