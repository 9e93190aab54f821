"""--report: what a browser shows, and that it asks for nothing else."""

import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest
from browsing import chromium, text_of
from test_mcnemar_tests import write_inputs


@pytest.fixture(scope="module")
def browser():
    return chromium()


def test_pair_report(script, browser, tmp_path):
    write_inputs(tmp_path)
    scores = (tmp_path / "worse.csv").read_text()
    (tmp_path / "worse.csv").write_text(scores.replace("q3,0", "q3,").replace("q4,0\n", ""))
    done = script("mcnemar_tests.py", "pair", "worse_baseline.csv", "worse.csv", "--report", "report.html",
                  "--alpha", 0.01, cwd=tmp_path)
    document, shot = browser(tmp_path / "report.html", tmp_path)
    shown = text_of(document)
    lines = done.stdout.splitlines()
    assert lines[0] in shown and lines[0].startswith("DEGRADED at error rate 1% (998 items)")
    for part in ("a loss is no likelier than a gain", "95% interval [", "1 only in the baseline: q4",
                 "1 no score in the candidate: q3", "degraded",
                 "python mcnemar_tests.py pair worse_baseline.csv worse.csv --report report.html --alpha 0.01"):
        assert part in shown, part
    assert document.count("<svg") == 1 and "this pair" in shown
    assert shot.stat().st_size > 10_000
    refused = script("mcnemar_tests.py", "pair", "worse_baseline.csv", "worse.csv", "--report", "report.html",
                     cwd=tmp_path, code=2)
    assert "report.html exists" in refused.stderr


def test_suite_report(script, browser, tmp_path):
    write_inputs(tmp_path)
    done = script("mcnemar_tests.py", "suite", "suite/model_paths.json", "--report", "report.html", cwd=tmp_path)
    document, _ = browser(tmp_path / "report.html", tmp_path)
    shown = text_of(document)
    for line in done.stdout.splitlines():
        if line.startswith(("good:", "bad:")):
            assert line in shown
    assert document.count("<svg") == 3 and "Items left out None." in shown
    assert "bad: tasks" in shown and "1,500" in shown and "not degraded beyond the margin" in shown


class Counting(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_names_cannot_put_anything_on_the_page(script, browser, tmp_path):
    """A file whose name is markup that asks a server: the server hears nothing, the name is shown as it is."""
    server = HTTPServer(("127.0.0.1", 0), Counting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    write_inputs(tmp_path)
    name = f"<img src=http:&#47;&#47;127.0.0.1:{server.server_port}>.csv"
    shutil.copy(tmp_path / "worse.csv", tmp_path / name)
    script("mcnemar_tests.py", "pair", "worse_baseline.csv", name, "--report", "report.html", cwd=tmp_path)
    script("mcnemar_tests.py", "suite", "worse_baseline.csv", name, "--report", "suite.html", cwd=tmp_path)
    for page in ("report.html", "suite.html"):
        document, _ = browser(tmp_path / page, tmp_path)
        assert "<img" not in document and "&lt;img src=" in document
        urls = set(re.findall(r"https?://[^\s\"'<>]+", document))
        assert all(url.startswith("http://www.w3.org/") for url in urls)  # names of XML dialects, never loaded
    server.shutdown()
    assert Counting.asked == []


def test_report_from_counts(script, tmp_path):
    script("mcnemar_tests.py", "pair", "--counts", 100, 0, 0, "--report", "r.html", cwd=tmp_path)
    page = (tmp_path / "r.html").read_text()
    assert "UNDECIDED" in page and "[-3.70, 3.70]" in page and "None." in page
