"""The book's summary for reviewers as a PDF of one A4 page, printed by Chromium.

python workflow/summary.py [BOOK]    writes BOOK/summary.pdf from BOOK/docs/summary.html; BOOK: book/, if not given
"""

import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

BOOK = Path(__file__).resolve().parent.parent / "book"
FLAGS = ("--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND")  # nothing is fetched
PRINTED = """
.bd-sidebar, .bd-header-article, .prev-next-area, .bd-footer, .headerlink, .skip-link { display: none !important; }
.bd-main, .bd-content, .bd-article-container, .bd-page-width { max-width: none !important; padding: 0 !important; }
.bd-article { padding: 0 !important; font-size: 11.5px; line-height: 1.32; }
.bd-article h1 { font-size: 20px !important; margin: 0 0 6px !important; text-align: left !important; }
.bd-article p, .bd-article ul, .bd-article li { margin: 0 0 4px; }
"""


def pages(pdf):
    """How many pages a PDF has that Chromium wrote."""
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def main(book):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        raise SystemExit("Chromium is needed to print; the page itself is book/docs/summary.html")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=chromium, args=FLAGS) as browser:
        page = browser.new_page()
        page.goto((book.resolve() / "docs" / "summary.html").as_uri(), timeout=120_000)
        page.add_style_tag(content=PRINTED)
        margin = dict.fromkeys(("top", "bottom", "left", "right"), "16mm")
        pdf = page.pdf(format="A4", margin=margin)
    if pages(pdf) != 1:
        raise SystemExit(f"the summary must fit one page, and takes {pages(pdf)}")
    (book / "summary.pdf").write_bytes(pdf)
    print(f"open {book / 'summary.pdf'}")


if __name__ == "__main__":
    main(Path(*sys.argv[1:2] or [BOOK]))
