"""Pages as Chromium shows them."""

import html
import re
import shutil
import subprocess

from conftest import not_installed

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def chromium():
    """`render`; the test is skipped where Chromium is not installed."""
    if CHROMIUM is None:
        not_installed("chromium", "apt-get install chromium")
    return render


def render(page, folder):
    """The document after Chromium has loaded and laid it out, and its screenshot's first bytes."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    shot = folder / "shot.png"
    done = subprocess.run([CHROMIUM, *flags, "--window-size=1000,1400", f"--screenshot={shot}", "--dump-dom",
                           page.as_uri()], capture_output=True, text=True, timeout=90)
    assert "<html" in done.stdout, done.stderr[-1000:]
    return done.stdout, shot


def text_of(document):
    """What can be read on the page."""
    body = re.sub(r"<(style|title)[^>]*>.*?</\1>", " ", document, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())
