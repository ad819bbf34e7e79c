"""Plots as SVG, drawn by hand: a card that is light or dark as the reader has it."""

import html, math

LIGHT = {"card": "#ffffff", "edge": "#d0d7de", "text": "#1f2328", "soft": "#656d76", "grid": "#eaeef2"}
DARK = {"card": "#0d1117", "edge": "#30363d", "text": "#e6edf3", "soft": "#8d96a0", "grid": "#21262d"}
# hookd has the first colour. All are told apart by people who see colours otherwise, on both cards.
COLOURS = [("#0969da", "#4493f8"), ("#bc4c00", "#f0883e"), ("#1a7f37", "#3fb950"), ("#8250df", "#a371f7"), ("#9a6700", "#d29922"),
           ("#bf3989", "#f778ba"), ("#6e7781", "#848d97"), ("#1b7c83", "#39c5cf")]
FONT = "font-family=\"-apple-system,'Segoe UI','Noto Sans',Helvetica,Arial,sans-serif\""


def style():
    def rules(theme, dark):
        lines = [f".card{{fill:{theme['card']};stroke:{theme['edge']}}}", f".text{{fill:{theme['text']}}}",
                 f".soft{{fill:{theme['soft']}}}", f".grid{{stroke:{theme['grid']}}}"]
        for number, pair in enumerate(COLOURS):
            lines.append(f".f{number}{{fill:{pair[dark]}}}.s{number}{{stroke:{pair[dark]};fill:none}}")
        return "".join(lines)

    return f"<style>{rules(LIGHT, 0)}@media (prefers-color-scheme:dark){{{rules(DARK, 1)}}}</style>"


def text(x, y, words, kind="text", size=12, anchor="start", more=""):
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" {more}>{html.escape(str(words))}</text>'


def line(x1, y1, x2, y2):
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def picture(width, height, title, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:.0f}" viewBox="0 0 {width} {height:.0f}" role="img" {FONT}>'
            f"<title>{html.escape(title)}</title>{style()}"
            f'<rect class="card" x="0.5" y="0.5" width="{width - 1}" height="{height - 1:.0f}" rx="6"/>'
            + text(20, 30, title, size=15, more='font-weight="600"') + "".join(parts) + "</svg>\n")


def steps(most, count=5):
    """Round values from 0 to beyond the largest."""
    unit = 10 ** math.floor(math.log10(most / count))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor * count >= most)
    return [step * number for number in range(count + 1) if step * (number - 1) < most]


def decades(values):
    """Powers of ten around the values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 1e-9)
    return [10.0 ** power for power in range(low, max(high, low + 1) + 1)]


def short(value):
    if value >= 1000:
        return f"{value / 1000:,.10g}k" if value < 1_000_000 else f"{value / 1_000_000:,.10g}M"
    return f"{value:,.10g}"


def lines(x, y, width, height, series, names, logarithmic=False, ends=150, under=""):
    """Lines over named places of the same distance, each with its name at its end. `series`: name to (colour, dashed, values)."""
    values = [value for _, _, found in series.values() for value in found if value]
    ticks = decades(values) if logarithmic else steps(max(values))
    scale = math.log10 if logarithmic else float
    low, high = scale(ticks[0]), scale(ticks[-1])
    across = lambda number: x + 48 + (width - 48 - ends) * (number / (len(names) - 1) if len(names) > 1 else 0.5)
    up = lambda value: y + height - height * (scale(value) - low) / (high - low)
    parts = []
    for tick in ticks:
        parts += [line(x + 40, up(tick), x + width - ends + 8, up(tick)), text(x + 34, up(tick) + 4, short(tick), "soft", 11, "end")]
    parts += [text(across(number), y + height + 18, name, "soft", 11, "middle") for number, name in enumerate(names)]
    parts.append(text(x + 48 + (width - 48 - ends) / 2, y + height + 35, under, "soft", 11, "middle"))
    labels = []
    for name, (colour, dashed, found) in series.items():
        points = [(across(number), up(value)) for number, value in enumerate(found) if value]
        if not points:
            continue
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(f'<polyline class="s{colour}" stroke-width="{2.8 if colour == 0 and not dashed else 1.8}"{dash} points="{path}"/>')
        parts += [f'<circle class="f{colour}" cx="{px:.1f}" cy="{py:.1f}" r="3"/>' for px, py in points]
        labels.append([points[-1][1], points[-1][0], name, colour])
    at = y - 20.0
    labels.sort()
    # From the top, each below the one before; then up again as far as the last ones would leave the plot.
    for label in labels:
        at = label[0] = max(label[0], at + 14)
    limit = y + height + 4.0
    for label in reversed(labels):
        label[0] = min(label[0], limit)
        limit = label[0] - 14
    parts += [text(x + width - ends + 14, at + 4, name, f"f{colour}", 11.5, more='font-weight="600"' if colour == 0 else "")
              for at, _, name, colour in labels]
    return parts


def rate_by_connections(rates, connections):
    """`rates`: name to deliveries a second by place; 0 where there is none."""
    colours = {}
    for name in rates:
        colours[name] = 0 if name.startswith("hookd") else 1 + sum(not other.startswith("hookd") for other in colours) % (len(COLOURS) - 1)
    series = {name: (colours[name], name.startswith("hookd,") or name.startswith("hookd without"), found) for name, found in rates.items()}
    parts = [text(20, 50, "deliveries of 10 KiB a second, by connections at once; more is better. hookd answers when they are on disk", "soft", 12)]
    parts += lines(14, 76, 772, 300, series, connections, ends=222, under="connections")
    return picture(800, 430, "Accepting deliveries", parts)


def bars(groups):
    """`groups`: (title, [(name, milliseconds)]); each group has a scale of its own."""
    at, parts = 58, [text(20, 50, "milliseconds, median; less is better", "soft", 12)]
    for title, found in groups:
        most = max(value for _, value in found)
        at += 26
        parts.append(text(20, at, title, size=13, more='font-weight="600"'))
        at += 8
        for name, value in sorted(found, key=lambda one: one[1]):
            mine, limit = name.startswith("hookd"), name.startswith("limit")
            colour, length = 0 if mine else 6, 370 * value / most
            parts.append(text(290, at + 14, name, "text" if mine else "soft", 12, "end", 'font-weight="600"' if name == "hookd" else ""))
            parts.append(f'<rect class="{"s" if limit else "f"}{colour}" x="300" y="{at + 2.5}" width="{length:.1f}" height="14" rx="2"/>')
            parts.append(text(308 + length, at + 14, f"{value:,.0f} ms", "soft", 12))
            at += 21
    return picture(800, at + 18, "From push to live", parts)


def slopes(plots):
    """`plots`: (title, under, names, series as of `lines`), two beside each other."""
    parts = [text(20, 50, "milliseconds, on a scale of powers of ten; flat is better", "soft", 12)]
    for number, (title, under, names, series) in enumerate(plots):
        x, y = 14 + 392 * (number % 2), 96 + 250 * (number // 2)
        parts.append(text(x + 6, y - 18, title, size=13, more='font-weight="600"'))
        parts += lines(x, y, 380, 160, series, names, True, 112, under)
    return picture(800, 70 + 250 * math.ceil(len(plots) / 2), "Growth", parts)
