# SPDX-License-Identifier: Apache-2.0
"""Figures drawn as SVG, by hand: bars with whiskers, and lines on a logarithmic axis. The same input gives the same text."""
import math
from html import escape

from page_figures import PERCENTILES, number

WIDTH, LINES_HEIGHT = 480, 300
CHARACTER = 7.4  # width of one, about, at 13 px
LEFT, RIGHT, BOTTOM = 56, 14, 34  # of plots with lines
ROW, BAR, VALUE_ROOM = 34, 18, 104
NAMESPACE = "http:/" + "/www.w3.org/2000/svg"  # a name, nothing that is loaded
STYLE = """.plot text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#1b1f24}
.plot .s{font-size:12px;fill:#57606a}
.plot .i{font-style:italic}
.plot .g{stroke:#d0d7de;stroke-width:1}
.plot .h{stroke:#eceff2;stroke-width:1}
.plot .w{stroke:#1b1f24;stroke-width:1.5}
.plot .bg{fill:#fff}
@media (prefers-color-scheme:dark){.plot text{fill:#e6edf3}.plot .s{fill:#9aa4ae}.plot .g{stroke:#3d444d}.plot .h{stroke:#262c34}
.plot .w{stroke:#e6edf3}.plot .bg{fill:#0d1117}}"""


def c(value):
    """A coordinate."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


def text(x, y, words, kind="", anchor="start"):
    extra = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor != "start" else "")
    return f'<text x="{c(x)}" y="{c(y)}"{extra}>{escape(words)}</text>'


def line(x1, y1, x2, y2, kind):
    return f'<line x1="{c(x1)}" y1="{c(y1)}" x2="{c(x2)}" y2="{c(y2)}" {kind}/>'


def cut(words, room):
    most = int(room / CHARACTER)
    return words if len(words) <= most else words[:most - 1] + "…"


def mark(kind, x, y, colour, size=4):
    if kind == "square":
        return f'<rect x="{c(x - size + .5)}" y="{c(y - size + .5)}" width="{c(2 * size - 1)}" height="{c(2 * size - 1)}" fill="{colour}"/>'
    if kind == "circle":
        return f'<circle cx="{c(x)}" cy="{c(y)}" r="{c(size)}" fill="{colour}"/>'
    shape = [(0, -1.2), (1.1, .9), (-1.1, .9)] if kind == "triangle" else [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)]
    return f'<polygon points="{" ".join(f"{c(x + a * size)},{c(y + b * size)}" for a, b in shape)}" fill="{colour}"/>'


def svg(height, label, parts, standalone):
    """`standalone`: a file of its own, with its style and a ground that goes with it."""
    head = f' xmlns="{NAMESPACE}"' if standalone else ""
    own = [f"<style>{STYLE}</style>", f'<rect class="bg" width="{WIDTH}" height="{c(height)}"/>'] if standalone else []
    return "\n".join([f'<svg{head} class="plot" role="img" viewBox="0 0 {WIDTH} {c(height)}" width="{WIDTH}" height="{c(height)}" '
                      f'aria-label="{escape(label)}">', f"<title>{escape(label)}</title>", *own, *parts, "</svg>"]) + "\n"


def steps(most, wanted=5):
    """Round numbers from 0 to `most` and not beyond."""
    if most <= 0:
        return [0]
    power = 10 ** math.floor(math.log10(most / wanted))
    step = next(power * f for f in (1, 2, 5, 10) if most / (power * f) <= wanted)
    return [i * step for i in range(int(most / step + 1e-9) + 1)]


# --- bars -------------------------------------------------------------------------------------------------------------------------


def bars(figure, brokers, label, standalone):
    left = max(len(b.name) for b in brokers) * CHARACTER + 14
    right, bottom = WIDTH - VALUE_ROOM, len(brokers) * ROW + 4
    most = max((v.most for v in figure.values.values() if v.rounds), default=0)

    def x(value):
        return left + (right - left) * value / most if most else left

    parts = []
    for tick in steps(most):
        parts.append(line(x(tick), 2, x(tick), bottom, 'class="h"'))
        parts.append(text(x(tick), bottom + 16, f"{tick:,.10g}", "s", "middle"))
    for row, broker in enumerate(brokers):
        value, y = figure.values[broker.name], row * ROW + ROW / 2 + 2
        parts.append(text(left - 8, y + 4.5, broker.name, "", "end"))
        if not value.rounds:
            parts.append(text(left + 4, y + 4.5, cut(f"missing: {value.missing}", WIDTH - left - 8), "s i"))
            continue
        parts.append(f'<rect x="{c(left)}" y="{c(y - BAR / 2)}" width="{c(x(value.median) - left)}" height="{BAR}" '
                     f'fill="{broker.colour}"/>')
        if value.most > value.least:
            parts.append(line(x(value.least), y, x(value.most), y, 'class="w"'))
            parts += [line(x(end), y - 5, x(end), y + 5, 'class="w"') for end in (value.least, value.most)]
        parts.append(text(x(value.most) + 7, y + 4.5, number(value.median)))
    parts.append(line(left, 2, left, bottom, 'class="g"'))
    parts.append(text(WIDTH - 4, bottom + 16, figure.unit, "s", "end"))
    return svg(bottom + 24, label, parts, standalone)


# --- lines on a logarithmic axis ----------------------------------------------------------------------------------------------------


class Log:
    """Milliseconds on a logarithmic axis, from one power of ten to another."""

    def __init__(self, values, top, bottom):
        values = [v for v in values if v > 0] or [1]
        self.low = math.floor(math.log10(min(values)) + 1e-9)
        self.high = max(math.ceil(math.log10(max(values)) - 1e-9), self.low + 1)
        self.top, self.bottom = top, bottom

    def y(self, value):
        at = min(max(math.log10(value) if value > 0 else self.low, self.low), self.high)
        return self.bottom - (self.bottom - self.top) * (at - self.low) / (self.high - self.low)

    @staticmethod
    def name(value):
        for least, unit, factor in ((1000, "s", 1e-3), (1, "ms", 1), (0, "µs", 1e3)):
            if value >= least * 0.999:
                return f"{value * factor:.4g} {unit}"
        return ""

    def grid(self, right):
        close = self.high - self.low <= 2
        for power in range(self.low, self.high + 1):
            for factor in (1, 2, 5):
                value = factor * 10.0 ** power
                if value > 10.0 ** self.high * 1.001:
                    continue
                y = self.y(value)
                yield line(LEFT, y, right, y, 'class="g"' if factor == 1 else 'class="h"')
                if factor == 1 or close:
                    yield text(LEFT - 6, y + 4.5, self.name(value), "s", "end")


def legend(brokers, missing):
    """(parts, height): marks and names, in as many rows as they need; who is missing comes last, without a mark."""
    parts, x, y = [], LEFT, 16
    for broker in sorted(brokers, key=lambda b: b.name in missing):
        words = f"{broker.name}, missing: {missing[broker.name]}" if broker.name in missing else broker.name
        width = 18 + len(words) * CHARACTER + 14
        if x > LEFT and x + width > WIDTH:
            x, y = LEFT, y + 20
        if broker.name in missing:
            parts.append(text(x, y, cut(words, WIDTH - x), "s i"))
        else:
            parts += [line(x - 2, y - 4.5, x + 14, y - 4.5, stroke(broker)), mark(broker.mark, x + 6, y - 4.5, broker.colour),
                      text(x + 19, y, broker.name)]
        x += width
    return parts, y + 8


def stroke(broker):
    dash = ' stroke-dasharray="5 4"' if broker.is_null else ""
    return f'stroke="{broker.colour}" stroke-width="2" fill="none"{dash}'


def path(points, broker):
    """A line through what there is: it breaks where a value is None."""
    pieces, down = [], False
    for x, y in points:
        if y is not None:
            pieces.append(f"{'L' if down else 'M'}{c(x)} {c(y)}")
        down = y is not None
    return f'<path d="{"".join(pieces)}" stroke-linejoin="round" {stroke(broker)}/>'


def percentiles(figure, brokers, label, standalone):
    shown = [b for b in brokers if any(v.rounds for v in figure.values[b.name])]
    gone = {b.name: figure.values[b.name][0].missing for b in brokers if b not in shown}
    parts, top = legend(brokers, gone)
    bottom, right = LINES_HEIGHT - BOTTOM, WIDTH - RIGHT
    axis = Log([n for b in shown for v in figure.values[b.name] for n in v.rounds], top + 6, bottom)
    parts += axis.grid(right)
    inset = 26
    xs = [LEFT + inset + (right - LEFT - 2 * inset) * i / (len(PERCENTILES) - 1) for i in range(len(PERCENTILES))]
    parts += [text(x, bottom + 20, name, "s", "middle") for x, name in zip(xs, PERCENTILES)]
    for place, broker in enumerate(shown):
        # Beside each other, so that none hides another's whisker.
        at = [x + (place - (len(shown) - 1) / 2) * 5 for x in xs]
        values = figure.values[broker.name]
        parts.append(path([(x, axis.y(v.median) if v.rounds else None) for x, v in zip(at, values)], broker))
        for x, v in zip(at, values):
            if v.rounds:
                parts.append(line(x, axis.y(v.least), x, axis.y(v.most), f'stroke="{broker.colour}" stroke-width="1.5"'))
                parts.append(mark(broker.mark, x, axis.y(v.median), broker.colour))
    return svg(LINES_HEIGHT, label, parts, standalone)


def over_time(figure, brokers, label, standalone):
    shown = [b for b in brokers if b.name in figure.values]
    parts, top = legend(brokers, figure.missing)
    bottom, right = LINES_HEIGHT - BOTTOM, WIDTH - RIGHT
    axis = Log([n for b in shown for _, n in figure.values[b.name] if n is not None], top + 6, bottom)
    parts += axis.grid(right)
    # A row is the second that begins there: the axis ends with the last of them.
    most = max((second for b in shown for second, _ in figure.values[b.name]), default=0) or 1
    x0, x1 = LEFT + 10, right - 10
    for tick in steps(most, 6):
        if tick == int(tick):
            parts.append(text(x0 + (x1 - x0) * tick / most, bottom + 20, f"{tick:.0f} s" if tick == 0 else f"{tick:.0f}", "s", "middle"))
    for broker in shown:
        points = [(x0 + (x1 - x0) * s / most, None if n is None else axis.y(n)) for s, n in figure.values[broker.name]]
        parts.append(path(points, broker))
        if len(points) <= 60:
            parts += [mark(broker.mark, x, y, broker.colour, 3) for x, y in points if y is not None]
    return svg(LINES_HEIGHT, label, parts, standalone)


def rates(figure, brokers, label, standalone):
    """Both axes are logarithmic: records per second from left to right."""
    shown = [b for b in brokers if b.name in figure.values]
    parts, top = legend(brokers, figure.missing)
    bottom, right = LINES_HEIGHT - BOTTOM, WIDTH - RIGHT
    axis = Log([n for b in shown for _, _, v in figure.values[b.name] for n in v.rounds], top + 6, bottom)
    parts += axis.grid(right)
    at = [rate.median for b in shown for _, rate, _ in figure.values[b.name] if rate.median > 0] or [1]
    low, high = math.floor(math.log10(min(at))), math.ceil(math.log10(max(at)))
    high = max(high, low + 1)

    def x(rate):
        return LEFT + 10 + (right - LEFT - 20) * (math.log10(max(rate, 10 ** low)) - low) / (high - low)

    for power in range(low, high + 1):
        parts += [line(x(10 ** power), top + 6, x(10 ** power), bottom, 'class="h"'),
                  text(x(10 ** power), bottom + 20, f"{10 ** power:,}" + "/s" * (power == low), "s", "end" if power == high else "middle")]
    for broker in shown:
        points = [(x(rate.median), v) for _, rate, v in figure.values[broker.name]]
        parts.append(path([(at, axis.y(v.median)) for at, v in points], broker))
        for at, v in points:
            parts.append(line(at, axis.y(v.least), at, axis.y(v.most), f'stroke="{broker.colour}" stroke-width="1.5"'))
            parts.append(mark(broker.mark, at, axis.y(v.median), broker.colour))
    return svg(LINES_HEIGHT, label, parts, standalone)


DRAW = {"bars": bars, "percentiles": percentiles, "time": over_time, "rates": rates}


def draw(figure, cell, standalone=False):
    label = f"{figure.title}, {figure.unit}: {cell.title}"
    return DRAW[figure.kind](figure, cell.brokers, label, standalone)
