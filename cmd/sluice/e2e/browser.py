"""Debian's Chromium, headless, and everything that it complains about during a visit to the web UI."""

import time

import pytest

CHROMIUM = "/usr/bin/chromium"
FILM = "https://mlflow.org/docs/latest/images/llms/tracing/tracing-top.mp4*"  # shown where no traces are; tests don't need the network for it
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

# Complaints that MLflow's UI also makes about a stock `mlflow server` 3.17.2 without authentication: (text in it, what stock does).
ALLOWED = [
    ("/ajax-api/2.0/mlflow/users/current", "404, an HTML page: only the basic-auth app has users; the UI then shows none"),
    ("ResizeObserver loop completed with undelivered notifications", "the same line in the console, from a trace's page: its layout took two frames"),
]


class Visit:
    """One browser tab on one server. `troubles` has every console error, page error, refused answer (400 and up) and request that
    the network failed, in the order in which they happened; the browser's own cancelling of a request is none of them."""

    def __init__(self, tab, url, folder):
        self.tab, self.url, self.folder = tab, url, folder
        self.troubles, self.pending = [], set()
        tab.set_default_timeout(30_000)
        tab.on("pageerror", lambda e: self.complain(f"page error: {e}"))
        tab.on("console", lambda m: self.complain(f"console: {m.text} {m.location.get('url', '')}") if m.type == "error" else None)
        tab.on("response", lambda r: self.complain(f"{r.status} {r.request.method} {r.url}") if r.status >= 400 else None)
        tab.on("request", lambda r: self.pending.add(r) if "-api/" in r.url or "/graphql" in r.url or "/get-artifact" in r.url else None)
        tab.on("requestfinished", lambda r: self.pending.discard(r))
        tab.on("requestfailed", self.failed)
        tab.route(FILM, lambda route: route.fulfill(status=200, content_type="video/mp4", body=b""))

    def complain(self, text):
        if not any(part in text for part, _ in ALLOWED):
            self.troubles.append(text)

    def failed(self, request):
        self.pending.discard(request)
        if request.failure != "net::ERR_ABORTED":
            self.complain(f"failed: {request.method} {request.url}: {request.failure}")

    def open(self, path, *texts):
        """Goes to a page of the UI, waits for the texts to be visible and for its requests to be answered."""
        self.tab.goto(f"{self.url}/#{path}", wait_until="domcontentloaded")
        self.sees(*texts)

    def sees(self, *texts):
        for text in texts:
            self.appears(self.tab.get_by_text(text).filter(visible=True), text)
        self.settle()

    def appears(self, locator, what):
        """Waits for an element to be visible and returns it."""
        try:
            locator.first.wait_for()
        except Exception as error:
            picture = self.folder / "page.png"
            self.tab.screenshot(path=str(picture))
            raise AssertionError(f"{what!r} is not to be seen on {self.tab.url} (see {picture}); troubles: {self.troubles}") from error
        return locator.first

    def settle(self, seconds=30):
        """Waits until every request to the API is answered."""
        deadline = time.monotonic() + seconds
        while self.pending and time.monotonic() < deadline:
            self.tab.wait_for_timeout(20)
        assert not self.pending, [r.url for r in self.pending]

    def button(self, name, **kw):
        return self.appears(self.tab.get_by_role("button", name=name, **kw).filter(visible=True), name)


@pytest.fixture(scope="module")
def chromium():
    """One browser for a module's tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, tmp_path):
    """Returns a function that opens a tab on a server as a visitor whom the UI has never seen. A visit that ends with troubles
    fails the test."""
    visits = []

    def start(server):
        visitor = chromium.new_context(viewport={"width": 1500, "height": 950})
        visits.append(Visit(visitor.new_page(), server.url, tmp_path))
        return visits[-1]

    yield start
    for v in visits:
        v.tab.context.close()
    assert [v.troubles for v in visits if v.troubles] == []
