"""The HTML page, opened in Chromium: it asks for nothing, and people can read it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import svcc.api
from bench.generate import CLUSTER_CIDR, generate
from svcc.api.inside.graph import graph, picture_text
from svcc.verify.picture.picture import NodePicture, Picture
from tests.support.browser import Page, missing, page
from tests.unit.verify.picture.test_build import damaged, shop

CHROMIUM = pytest.mark.skipif(bool(missing()), reason=missing() or "there")

# Pairs of boxes of which one is not in the other, and which overlap; boxes that hang out of
# what they are in, and text that does out of its box.
OVERLAPS = """(() => {
  const boxes = [...document.querySelectorAll('.box')].filter((b) => b.offsetParent);
  const name = (b) => b.textContent.slice(0, 40);
  const wrong = [];
  boxes.forEach((one, number) => {
    const a = one.getBoundingClientRect();
    for (const other of boxes.slice(number + 1)) {
      const b = other.getBoundingClientRect();
      const beside = a.left > b.right - 1 || b.left > a.right - 1;
      if (!beside && a.top < b.bottom - 1 && b.top < a.bottom - 1) {
        wrong.push(`${name(one)} over ${name(other)}`);
      }
    }
    if (one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1) {
      wrong.push(`text hangs out of ${name(one)}`);
    }
    for (const child of one.querySelectorAll('*')) {
      if (!child.textContent.trim()) continue;
      const c = child.getBoundingClientRect();
      if (c.right > a.right + 1 || c.left < a.left - 1 || c.bottom > a.bottom + 1) {
        wrong.push(`${child.textContent} hangs out of ${name(one)}`);
      }
    }
  });
  return [boxes.length, wrong];
})()"""

# Text whose contrast with what is behind it is below 4.5 (WCAG 2.2, 1.4.3).
FAINT = """(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = color.slice(0, 3).map((c) => {
      c /= 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = parse(getComputedStyle(e).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const faint = new Set();
  let looked = 0;
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.offsetParent) continue;
    looked += 1;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const name = `${element.className}: ${element.textContent.slice(0, 30)}`;
    if (ratio < 4.5) faint.add(`${name} ${ratio}`);
  }
  return [looked, [...faint]];
})()"""


def write(picture: Picture, folder: Path) -> Path:
    path = folder / "picture.html"
    path.write_text(picture_text(picture, "html"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def shop_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    objects, settings = shop()
    path = write(graph(objects, [settings]), tmp_path_factory.mktemp("shop"))
    with page(path) as found:
        yield found


@pytest.fixture(scope="module")
def damaged_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with page(write(damaged(), tmp_path_factory.mktemp("damaged"))) as found:
        yield found


def choose(found: Page, key: str) -> None:
    found.run(
        "[...document.querySelectorAll('#list button')]"
        f".find((b) => b.firstChild.textContent === {json.dumps(key)}).click()"
    )


def texts(found: Page, selector: str) -> list[str]:
    script = f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.textContent)"
    read: list[str] = found.run(script)
    return read


@CHROMIUM
@pytest.mark.parametrize("name", ["shop_page", "damaged_page"])
def test_it_asks_for_nothing_and_has_no_errors(name: str, request: pytest.FixtureRequest) -> None:
    found: Page = request.getfixturevalue(name)
    assert found.said == []
    assert len(found.asked) == 1
    assert found.asked[0].startswith("file:///")


@CHROMIUM
def test_the_drawing_has_shares_senders_and_verdicts(shop_page: Page) -> None:
    choose(shop_page, "shop/checkout")
    assert texts(shop_page, "#name") == ["shop/checkout on node node-a"]
    boxes = texts(shop_page, "#stage .box")
    assert any("203.0.113.11:443/TCP" in text and "✓ proved" in text for text in boxes)
    assert any("pod1/2 to each of 2" in text for text in boxes)
    assert any("outsideall to 1" in text for text in boxes)
    # An edge for each frontend, each treatment, and each share.
    assert shop_page.run("document.querySelectorAll('#stage path').length") == 3 + 10 + 12


@CHROMIUM
def test_the_matrices_are_there(shop_page: Page) -> None:
    heads = texts(shop_page, "#senders thead th")
    assert heads == ["frontend", "Service", "from pod", "from node", "from outside", "verdict"]
    rows = texts(shop_page, "#senders tbody tr")
    assert len(rows) == 23
    assert any(r.startswith("node port 30090/TCP") and "dropped" in r for r in rows)
    assert texts(shop_page, "#nodes thead th") == ["Service", "node-a"]
    assert len(texts(shop_page, "#nodes tbody tr")) == 11
    assert "shop/database: headless" in texts(shop_page, "#others li")


@CHROMIUM
def test_a_violation_is_drawn(damaged_page: Page) -> None:
    assert "✗ violated" in texts(damaged_page, "#list button")[0]
    way = texts(damaged_page, ".finding .way li")
    assert "tcp 198.51.100.1:40000 -> 10.96.0.10:80" in way[0]
    assert any("--to-destination 10.244.2.8:8080" in step for step in way)
    assert "sent to 10.244.2.8:8080" in way[-1]
    assert damaged_page.run("document.querySelectorAll('#stage path.bad').length") == 1
    (bad,) = texts(damaged_page, "#senders td.bad")
    assert bad.startswith("✗ a packet goes wrong")


@CHROMIUM
@pytest.mark.parametrize("width", [1500, 1100, 420])
def test_no_text_overlaps(shop_page: Page, damaged_page: Page, width: int) -> None:
    for key in ("shop/checkout", "shop/web", "shop/catalog", "shop/returns"):
        shop_page.size(width, 900)
        choose(shop_page, key)
        count, wrong = shop_page.run(OVERLAPS)
        assert count > 4
        assert wrong == []
    damaged_page.size(width, 900)
    count, wrong = damaged_page.run(OVERLAPS)
    assert count > 15
    assert wrong == []


@CHROMIUM
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_colour_schemes_can_be_read(shop_page: Page, damaged_page: Page, scheme: str) -> None:
    for found in (shop_page, damaged_page):
        found.prefer(scheme)
        dark = found.run("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 29)"
        assert dark == (scheme == "dark")
        looked, faint = found.run(FAINT)
        assert looked > 20
        assert faint == []


@CHROMIUM
def test_keys_are_enough(shop_page: Page) -> None:
    shop_page.run("document.getElementById('filter').focus()")
    shop_page.type("30090")
    assert texts(shop_page, "#list button span:first-child") == ["shop/search"]
    assert texts(shop_page, "#name") == ["shop/search on node node-a"]
    shop_page.press("Tab")
    assert shop_page.run("document.activeElement.closest('#list') !== null")
    shop_page.run("document.getElementById('filter').value = ''")
    shop_page.run("document.getElementById('filter').dispatchEvent(new Event('input'))")
    shop_page.run("document.querySelector('#list button').focus()")
    shop_page.press("Tab")
    shop_page.press("Enter")
    assert texts(shop_page, "#name") == ["shop/cart on node node-a"]
    shop_page.run("document.querySelector('.treatments .box').focus()")
    assert shop_page.run("document.querySelectorAll('#stage path.lit').length") == 3


EVIL = "</script><script>window.taken=1</script><img src=x onerror=alert(1)>"


@cache
def evil() -> Picture:
    """Names are checked, but a comment in a rule may have anything, and so may a Pod's name."""
    objects, settings = shop()
    text = svcc.api.compile(objects, settings).text(svcc.api.Family.IPV4)
    text = re.sub(r"10\.244\.2\.11:8080", "10.244.2.99:8080", text)
    line = next(line for line in text.splitlines() if "10.244.2.99:8080" in line)
    comment = f'-m comment --comment "{EVIL}" -j DNAT'
    text = text.replace(line, line.replace("-j DNAT", comment))
    rules = svcc.api.read_rules(text={"evil": text})
    return graph(objects, [settings], "shop/api", rules, family=svcc.api.Family.IPV4)


def test_no_text_becomes_markup() -> None:
    text = picture_text(evil(), "html")
    assert "taken" in text
    assert text.count("<script") == text.count("</script>") == 2
    assert "<img" not in text
    title = picture_text(Picture((), ()), "html")
    assert "default-src 'none'" in title


@CHROMIUM
def test_no_text_becomes_markup_in_the_page(tmp_path: Path) -> None:
    with page(write(evil(), tmp_path)) as found:
        assert any(EVIL in step for step in texts(found, ".finding .way li"))
        assert found.run("document.title") == "shop/api on node node-a"
        assert found.run("window.taken") is None
        assert found.run("document.querySelectorAll('img').length") == 0
        assert (found.said, len(found.asked)) == ([], 1)


@CHROMIUM
def test_the_policy_of_the_page_lets_no_other_script_run(tmp_path: Path) -> None:
    text = picture_text(damaged(), "html")
    path = tmp_path / "changed.html"
    path.write_text(text.replace("</body>", "<script>window.taken = 1</script></body>"))
    with page(path) as found:
        assert found.run("window.taken") is None
        assert any("Content Security Policy" in said for said in found.said)


@CHROMIUM
def test_a_node_without_services(tmp_path: Path) -> None:
    picture = Picture((NodePicture("node-a", "iptables", ()),), (("shop/db", "headless"),))
    with page(write(picture, tmp_path)) as found:
        assert texts(found, "#name") == ["No Service"]
        assert texts(found, "#others li") == ["shop/db: headless"]
        assert found.said == []


@CHROMIUM
def test_very_many_services_are_listed_a_hundred_at_a_time(tmp_path: Path) -> None:
    objects = svcc.api.load(objects=[generate(1500, 5)])
    node = svcc.api.node_settings(objects, node="node-0", cluster_cidr=CLUSTER_CIDR[4])
    path = write(graph(objects, [node], judge=False), tmp_path)
    assert path.stat().st_size < 1500 * 800
    with page(path) as found:
        assert texts(found, "#count") == ["1500 of 1500 Services"]
        assert len(texts(found, "#list button")) == 100
        assert found.run("document.querySelectorAll('*').length") < 5000
        found.run("document.getElementById('more-list').click()")
        assert len(texts(found, "#list button")) == 200
        found.run("document.getElementById('filter').focus()")
        found.type("service-1234")
        assert texts(found, "#count") == ["1 of 1500 Services"]
        assert "service-1234" in texts(found, "#name")[0]
        assert found.said == []
