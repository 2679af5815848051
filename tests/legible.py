"""What every drawing of the book must pass: colours and letters that read on any page."""

import re
import xml.etree.ElementTree as ElementTree


def check_colours(svg: str) -> None:
    """Letters and lines take the colour of the page."""
    assert "currentColor" in svg
    # black, white, our stand-in; rules for the whole page
    assert not re.search(r"#000000|#ffffff|#010203|<style", svg)
    unfilled = [text for text in ElementTree.fromstring(svg).iter() if text.tag.endswith("}text")]
    # without it, letters would be black
    assert all("fill:" in text.get("style") for text in unfilled)


def check_letters(svg: str) -> None:
    """Letters are at least 9 points high in a column of 360 pixels."""
    width = float(re.search(r'viewBox="0 0 (\S+)', svg)[1])
    sizes = [float(size) for size in re.findall(r"font(?:-size)?: (?:bold )?([\d.]+)px", svg)]
    points = 72 / 96  # a pixel
    assert sizes and min(sizes) * 360 / width * points >= 9 - 1e-9
