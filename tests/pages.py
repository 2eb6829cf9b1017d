"""What a written page says, for tests."""

import json
import re


def data_of(page: str) -> dict[str, object]:
    """The page's data as its script reads them."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def text_of(page: str) -> str:
    """The page without its scripts and style."""
    return re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)


def titles(page: str) -> list[str]:
    """The headings of its blocks, folded ones too."""
    return re.findall(r"<(?:h3|summary)>(.*?)</", text_of(page))
