"""What a page is made of, as a browser would see it."""

from collections import Counter
from html.parser import HTMLParser

LOADING = ("src", "href", "action", "srcset")


class Page(HTMLParser):
    """A page's elements, what it would load, its event handlers, and its text in one line."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self._text = ""
        self.feed(html)

    @property
    def text(self) -> str:
        return " ".join(self._text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        named = [value or "" for name, value in attrs if name in LOADING]
        self.loads += [value for value in named if not value.startswith(("data:", "#"))]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self._text += data
