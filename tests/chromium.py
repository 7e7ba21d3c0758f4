"""A Chromium that opens pages without a network, and notes what goes wrong on them."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = [(390, 844), (1280, 800)]
"""A phone, a desk."""
READABLE = 4.5
"""The least contrast of text by WCAG 2.2, level AA."""
DRAWN = "() => [...document.images].map(image => image.complete && image.naturalWidth > 0)"

SPILLED = """() => [...document.querySelectorAll('body *')].filter((element) => {
  const box = element.getBoundingClientRect();
  const isApart = element.closest('.spoken, .handles, svg, table, pre');
  const isSpoken = isApart || getComputedStyle(element).clipPath !== 'none';
  return box.width && !isSpoken && (box.right > innerWidth + 1 || box.left < -1);
}).map((element) => element.outerHTML.slice(0, 80))"""
"""Elements that reach beyond the window, but for what scrolls in its own box."""
CONTRASTS = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((one) => {
      const share = one / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const told = [...document.querySelectorAll('body *')].filter((element) =>
    element.checkVisibility() && !element.closest('script, noscript') &&
    [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()));
  return told.map((element) => {
    const [one, other] = [parse(getComputedStyle(element).color), ground(element)].map(light).sort((a, b) => b - a);
    return [(one + 0.05) / (other + 0.05), element.outerHTML.slice(0, 60)];
  });
}"""
"""The contrast of each text with what is behind it."""


@dataclass
class Visit:
    """A page, and what went wrong on it."""

    page: Any
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, path: Path, section: str) -> None:
        """Load Snakemake's report anew and choose a section."""
        self.page.goto(path.as_uri())
        self.page.get_by_text(section, exact=True).first.click()

    @property
    def rows(self) -> list[str]:
        """The rows of the section, top down."""
        return [text.strip() for text in self.page.locator("tbody tr").all_inner_texts()]

    def view(self, row: str) -> None:
        self.page.locator("tbody tr").filter(has_text=row).locator("a").first.click()


def installed_chromium() -> str:
    """Return the Chromium on this machine; there is no test without one."""
    if all(shutil.which(name) is None for name in PROGRAMS):
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            pytest.fail(f"found none of {', '.join(PROGRAMS)}; install Chromium")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update"], check=True)
        subprocess.run(["apt-get", "install", "--yes", "chromium"], env=environment, check=True)
    return next(filter(None, map(shutil.which, PROGRAMS)))


@contextmanager
def visiting(chromium: str, **device: Any) -> Iterator[Visit]:
    """Open a browser with one empty page, as wide as a desk unless `device` says otherwise."""
    from playwright.sync_api import sync_playwright

    sandbox = [] if os.geteuid() else ["--no-sandbox"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=sandbox)
        visited = Visit(browser.new_page(**{"viewport": {"width": 1400, "height": 900}, **device}))

        def refuse(route: Any) -> None:
            visited.outside.append(route.request.url)
            route.abort()

        visited.page.route(re.compile(r"^(?!data:|file:|blob:)"), refuse)
        visited.page.on("console", lambda line: line.type == "error" and visited.errors.append(line.text))
        visited.page.on("pageerror", lambda error: visited.errors.append(str(error)))
        yield visited
        browser.close()
