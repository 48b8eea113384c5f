"""A fleet as one HTML file, without anything from elsewhere: it can be mailed, and opened years later."""

from collections.abc import Sequence
from datetime import datetime
from html import escape

from graviton_agent.control.fleet_files import Fleet
from graviton_agent.control.fleet_groups import Group
from graviton_agent.report.fleet import HEADER, NUMBERS, cells, headline, named, shown

MOST_NAMED = 200
WIDEST = 120
"""Width of the longest bar in pixels."""
_WORRIES = {HEADER.index(name) for name in ("stale", "drift", "restart", "uncalibrated", "unfit")}
# No script, no font, no image, and a policy that would refuse them.
_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>graviton-agent: the fleet</title>
<style>
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5c6675; --line: #d9dee5; --back: #fff;
  --bar: #2f6fab; --worry: #a3420f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #9aa5b4; --line: #323a46;
  --back: #14181e; --bar: #5b9bd8; --worry: #f0955f; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back);
  margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.35rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
p { color: var(--soft); margin: .2rem 0 1.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .7rem .35rem 0; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { font-weight: 600; color: var(--soft); } .number { text-align: right; }
.worry { color: var(--worry); font-weight: 600; } .none { color: var(--soft); }
.bar { display: inline-block; height: .6rem; background: var(--bar); vertical-align: baseline; }
ul { columns: 22rem; margin: 0; padding-left: 1.2rem; } li { overflow-wrap: anywhere; }
</style>
</head>
<body>
"""


def render_page(fleet: Fleet, groups: Sequence[Group], made: datetime) -> str:
    """The whole page. Whatever hosts say of themselves is text in it, and nothing else."""
    parts = [
        _HEAD,
        f"<h1>{escape(headline(fleet))}</h1>\n<p>graviton-agent, {made:%Y-%m-%d %H:%M} UTC. ",
        "The gain is what was promised: time of the default over that of the chosen variables.</p>\n",
        _table(groups),
    ]
    for words, names in named(fleet, groups).items():
        items = "".join(f"<li>{escape(name)}</li>\n" for name in shown(names, MOST_NAMED))
        parts.append(f"<h2>{escape(words)} ({len(names):,})</h2>\n<ul>\n{items}</ul>\n")
    return "".join([*parts, "</body>\n</html>\n"])


def _table(groups: Sequence[Group]) -> str:
    if not groups:
        return ""
    most = max((one.gains[1] for one in groups if one.gains), default=1.0)
    header = "".join(_cell(name, column, "th") for column, name in enumerate(HEADER))
    rows = "".join(f"<tr>{_row(one)}{_bar(one, most)}</tr>\n" for one in groups)
    return f'<div class="wide"><table>\n<tr>{header}<th></th></tr>\n{rows}</table></div>\n'


def _row(one: Group) -> str:
    return "".join(_cell(text, column) for column, text in enumerate(cells(one)))


def _cell(text: str, column: int, tag: str = "td") -> str:
    kinds = ["number"] if column in NUMBERS else []
    if tag == "td" and column in _WORRIES and text != "-":
        kinds.append("worry")
    if text == "-":
        kinds.append("none")
    attribute = f' class="{" ".join(kinds)}"' if kinds else ""
    return f"<{tag}{attribute}>{escape(text)}</{tag}>"


def _bar(one: Group, most: float) -> str:
    """The median gain beyond 1, as a length."""
    if one.gains is None or most <= 1:
        return "<td></td>"
    width = max(0.0, (one.gains[1] - 1) / (most - 1) * WIDEST)
    return f'<td><span class="bar" style="width: {width:.0f}px"></span></td>'
