import json
import re
import shutil
import subprocess
import time
import urllib.request
from dataclasses import replace

import pytest
from report_samples import judged, problems

from rrtf.records import Role
from rrtf.report.page import Section, write_page

HOSTILE = (
    '</script><img src=x onerror="document.title=\'hacked\'"><!-- @@ \u2028\ud800 {{x}} <svg onload=document.title="hacked">'
)


def sections(count=6):
    tasks = problems(count)
    rows = judged(tasks, "student", 0.3, n=3) + judged(tasks, "reference", 1.0, role=Role.teacher)
    return {"training": Section(tasks, rows)}


def payload(path):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text("utf-8"), re.DOTALL)
    return json.loads(found[1])


def hostile_sections():
    (section,) = sections().values()
    rows = [replace(r, candidate=replace(r.candidate, program=HOSTILE, response=HOSTILE)) for r in section.judged]
    rows = [replace(r, verdict=replace(r.verdict, detail=HOSTILE)) for r in rows]
    tasks = [replace(task, text=HOSTILE, topic=HOSTILE, reference=HOSTILE) for task in section.problems]
    return {HOSTILE: Section(tasks, rows)}


def test_all_problems_candidates_and_verdicts_are_in_the_file(tmp_path):
    given = sections()
    data = payload(write_page(tmp_path / "page.html", given, title="a run"))
    assert [p["id"] for p in data["problems"]] == [p.task_id for p in given["training"].problems]
    assert sum(len(p["candidates"]) for p in data["problems"]) == len(given["training"].judged)
    first = data["problems"][0]
    assert first["passed"]["reference"] == [1, 1]
    assert {c["outcome"] for c in first["candidates"] if c["source"] == "reference"} == {"all_tests_passed"}


def test_hostile_text_stays_data(tmp_path):
    text = write_page(tmp_path / "page.html", hostile_sections(), title=HOSTILE).read_text("utf-8")
    assert text.count("<script") == text.count("</script>") == 2
    assert "<img" not in text
    assert "<svg" not in text
    assert payload(tmp_path / "page.html")["problems"][0]["text"] == HOSTILE


def test_a_text_that_is_cut_says_so(tmp_path):
    (section,) = sections(1).values()
    long = [replace(row, candidate=replace(row.candidate, program="x = 1\n" * 1_000_000)) for row in section.judged]
    page = write_page(tmp_path / "page.html", {"a": Section(section.problems, long)}, title="long")
    assert page.stat().st_size < 1_000_000
    ends = {candidate["program"][-50:] for candidate in payload(page)["problems"][0]["candidates"]}
    assert all("and 5,980,000 more characters, not on this page" in end for end in ends)


def test_nothing_is_loaded_from_anywhere(tmp_path):
    text = write_page(tmp_path / "page.html", sections(), title="a run").read_text("utf-8")
    assert not re.search(r"""(src|href)=["'](?!data:)""", text.split('id="data"')[0])
    assert "default-src 'none'" in text


def test_many_samples_are_cut_and_the_page_says_how_many(tmp_path):
    tasks = problems(2)
    section = Section(tasks, judged(tasks, "student", 0.5, n=50))
    first = payload(write_page(tmp_path / "page.html", {"s": section}, title="", candidates=10))["problems"][0]
    assert (len(first["candidates"]), first["left_out"], first["passed"]["student"][1]) == (10, 40, 50)


class Browser:
    """A real headless Chromium behind chromedriver, spoken to by plain HTTP."""

    def __init__(self, base, session):
        self.base, self.session = base, session

    def command(self, name, **body):
        request = urllib.request.Request(f"{self.base}/session/{self.session}/{name}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def run(self, script):
        return self.command("execute/sync", script=script, args=[])

    def open(self, path):
        self.command("url", url=path.as_uri())


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium") or shutil.which("google-chrome")
    if not driver or not chromium:
        pytest.skip("needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)")
    log = tmp_path_factory.mktemp("driver") / "log"
    with log.open("w") as output, subprocess.Popen([driver, "--port=0"], stdout=output, stderr=output) as process:
        try:
            base = f"http://127.0.0.1:{_port(log)}"
            flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1300,800"]
            wanted = {"goog:chromeOptions": {"binary": chromium, "args": flags}, "goog:loggingPrefs": {"browser": "ALL"}}
            body = json.dumps({"capabilities": {"alwaysMatch": wanted}}).encode()
            with urllib.request.urlopen(urllib.request.Request(f"{base}/session", body), timeout=60) as answer:
                session = json.load(answer)["value"]["sessionId"]
            yield Browser(base, session)
            stop = urllib.request.Request(f"{base}/session/{session}", method="DELETE")
            urllib.request.urlopen(stop, timeout=30).close()
        finally:
            process.terminate()


def _port(log):
    for _ in range(200):
        if found := re.search(r"started successfully on port (\d+)", log.read_text()):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.mark.slow
def test_filters_work_in_a_real_browser_from_a_plain_file(tmp_path, browser):
    given = sections(30)
    browser.open(write_page(tmp_path / "page.html", given, title="a run"))
    assert browser.run("return shown.length") == 30
    assert browser.run("return document.querySelectorAll('#list li').length") == 30
    solved = {
        r.candidate.task_id for r in given["training"].judged if r.candidate.source == "student" and r.verdict.passed == 2
    }
    browser.run("byId('loser').value = 'student'; byId('loser').dispatchEvent(new Event('input'))")
    assert browser.run("return byId('shown').textContent") == f"{30 - len(solved)} of 30 problems"
    assert not solved & set(browser.run("return [...document.querySelectorAll('#list li')].map(li => li.firstChild.data)"))
    browser.run("byId('clear').click(); byId('search').value = 'PLUS 17.'; byId('search').dispatchEvent(new Event('input'))")
    assert browser.run("return document.querySelector('#detail h2').textContent") == "set/17"
    assert "search=PLUS" in browser.run("return location.hash")
    browser.run("byId('search').value = 'no such thing'; byId('search').dispatchEvent(new Event('input'))")
    assert "No problem matches" in browser.run("return byId('detail').textContent")


@pytest.mark.slow
def test_a_candidate_opens_with_its_difference_and_a_link_brings_it_back(tmp_path, browser):
    given = sections(9)
    browser.open(write_page(tmp_path / "page.html", given, title="a run"))
    wrong = next(
        r for r in given["training"].judged if r.candidate.program and r.verdict.passed < 2 and r.candidate.task_id > "set/3"
    )
    task = wrong.candidate.task_id
    browser.run(f"select(shown.findIndex(p => p.id === '{task}'))")
    address = browser.run("return location.href")
    title = f"student, sample {wrong.candidate.sample}"
    boxes = "[...document.querySelectorAll('#detail details')]"
    browser.run(f"{boxes}.find(d => d.textContent.startsWith('{title}')).open = true")
    time.sleep(0.3)
    plus, minus = (browser.run(f"return document.querySelectorAll('.diff .{side}').length") for side in ("plus", "minus"))
    assert plus > 0
    assert minus > 0
    browser.command("url", url="about:blank")
    browser.command("url", url=address)
    assert browser.run("return document.querySelector('#detail h2').textContent") == task


@pytest.mark.slow
def test_the_problems_are_walked_through_with_the_keyboard_alone(tmp_path, browser):
    browser.open(write_page(tmp_path / "page.html", sections(5), title="a run"))
    tabs = [{"type": kind, "value": "\ue004"} for _ in range(9) for kind in ("keyDown", "keyUp")]
    browser.command("actions", actions=[{"type": "key", "id": "keys", "actions": tabs}])
    assert browser.run("return document.activeElement.id") == "list"
    told = []
    for key in ("\ue015", "\ue015", "\ue013", "j", "k", "k", "k"):  # down, down, up
        pressed = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        browser.command("actions", actions=[{"type": "key", "id": "keys", "actions": pressed}])
        told.append(browser.run("return document.querySelector('#detail h2').textContent"))
    assert told == [f"set/{number}" for number in (1, 2, 1, 2, 1, 0, 0)]
    active = "document.getElementById(byId('list').getAttribute('aria-activedescendant'))"
    assert browser.run(f"return {active}.getAttribute('aria-selected')") == "true"


@pytest.mark.slow
def test_hostile_text_runs_nothing_in_a_real_browser(tmp_path, browser):
    browser.open(write_page(tmp_path / "page.html", hostile_sections(), title=HOSTILE))
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    time.sleep(0.5)
    assert browser.run("return document.title.startsWith('</script>')")
    assert browser.run("return document.querySelectorAll('img, svg').length") == 0
    assert browser.run("return byId('detail').textContent.includes('onerror')")
    errors = [entry for entry in browser.command("se/log", type="browser") if entry["level"] == "SEVERE"]
    assert errors == []


@pytest.mark.slow
def test_marks_that_turn_or_hide_text_are_shown(tmp_path, browser):
    """A right-to-left mark in a source's name or program would write the verdict beside it backwards."""
    (section,) = sections(2).values()
    hidden = "a = 1\x00\u202e # \u2066x\u200b\ufeff\x1b[31m\ttab \u200d joins"
    rows = [
        replace(r, candidate=replace(r.candidate, program=hidden, source=f"\u202e{r.candidate.source}")) for r in section.judged
    ]
    browser.open(write_page(tmp_path / "page.html", {"a": Section(section.problems, rows)}, title="x\u202ey"))
    browser.run("document.querySelectorAll('#detail details').forEach(d => d.open = true)")
    time.sleep(0.5)
    seen = browser.run("return document.body.innerText.replace(document.getElementById('data').textContent, '')")
    assert not set(seen) & set("\x00\u202e\u2066\u200b\ufeff\x1b")
    shown = "a = 1<U+0000><U+202E> # <U+2066>x<U+200B><U+FEFF><U+001B>[31m\ttab \u200d joins"
    shown = shown.replace("<", "\u27e8").replace(">", "\u27e9")
    assert shown in browser.run("return [...document.querySelectorAll('#detail pre')].map(pre => pre.textContent).join('\\n')")
    assert "\u27e8U+202E\u27e9student" in browser.run("return byId('list').textContent + byId('source').textContent")
    assert browser.run("return byId('title').textContent") == "x\u27e8U+202E\u27e9y"


@pytest.mark.slow
def test_a_page_of_thousands_of_candidates_opens_and_filters_at_once(tmp_path, browser):
    tasks = problems(500)
    rows = [
        replace(r, candidate=replace(r.candidate, program=f"{r.candidate.program}# {'filler ' * 400}"))
        for r in judged(tasks, "student", 0.3, n=5)
    ]
    browser.open(write_page(tmp_path / "page.html", {"a": Section(tasks, rows)}, title="many"))
    assert browser.run("return shown.length") == 500
    assert browser.run("return byId('list').lastElementChild.textContent") == "100 more: narrow the filters"
    took = browser.run(
        "const start = performance.now(); byId('search').value = 'no such thing'; "
        "byId('search').dispatchEvent(new Event('input')); return performance.now() - start"
    )
    assert browser.run("return shown.length") == 0
    assert took < 5000  # half a million words: some 50 ms where this was written
