# SPDX-License-Identifier: Apache-2.0
"""Draws a JSON report of tenonbench (mode P): where each problem lies below the roofline of the machine it ran on.

    python tests/bench/roofline.py build/bench.json build/bench.svg      or .png
"""

import argparse
import json
import math
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.patheffects  # noqa: E402
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402

INK, FAINT, GRID = "#222222", "#777777", "#e4e4e4"
PEAKS = {"int8": "#7b4fa3", "bf16": "#1f77b4", "f32": "#2a8c55"}
FAMILIES = (  # operation, colour, marker
    ("matmul", "#d1495b", "o"), ("moe", "#edae49", "s"), ("moe_matmul", "#c98a1b", "s"), ("attention", "#00798c", "^"),
    ("mla_attention", "#30638e", "v"), ("other", "#8d8d8d", "D"))
halo = matplotlib.patheffects.withStroke(linewidth=2.5, foreground="white")
LABELS = 7  # problems with their names in the picture, the farthest below the roof of each panel


def family(record):
    op = record["problem"].split()[0]
    return op if any(op == name for name, _, _ in FAMILIES) else "other"


def name_of(record):
    return record["label"].split(" | ")[-1]


def limits_of(run, threads):
    found = next(limits for limits in run["limits"] if limits["threads"] == threads)
    return found["read_gb_per_s"], {peak: found[f"{peak}_gop_per_s"] for peak in PEAKS if found[f"{peak}_gop_per_s"] > 0}


def panel(axes, run, threads):
    read, peaks = limits_of(run, threads)
    records = [r for r in run["results"] if r.get("status") == "MEASURED" and r["threads"] == threads and r["operations"] > 0]
    points = [(r["operations"] / r["bytes"], r["gop_per_s"], r) for r in records]
    low = min([x for x, _, _ in points] + [0.5]) / 2
    high = max([x for x, _, _ in points] + [2 * max(peaks.values()) / read]) * 3
    bottom = min([y for _, y, _ in points] + [read * low]) / 2
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(bottom, 1.9 * max(peaks.values())),
             xlabel="operations for each byte that must move", ylabel="GOP/s")
    axes.set_title(f"{threads} thread{'s' if threads > 1 else ''}", loc="left", fontsize=12, fontweight="bold", color=INK)
    axes.grid(True, which="major", color=GRID, linewidth=0.8, zorder=0)
    axes.tick_params(which="both", colors=FAINT, labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)

    top = max(peaks.values())
    axes.plot([low, top / read], [read * low, top], color=INK, linewidth=1.8, zorder=2)
    start = low * 1.5
    slope = axes.annotate(f"read {read:.0f} GB/s", (start, read * start * 1.25), rotation_mode="anchor", fontsize=9, color=INK, zorder=5)
    for peak, rate in peaks.items():
        axes.plot([rate / read, high], [rate, rate], color=PEAKS[peak], linewidth=1.8, zorder=2)
        axes.annotate(f"{peak} {rate:.0f} GOP/s", (high, rate), xytext=(-3, 4), textcoords="offset points", ha="right", fontsize=9,
                      color=PEAKS[peak], zorder=5)
    for op, colour, marker in FAMILIES:
        mine = [(x, y, r) for x, y, r in points if family(r) == op]
        axes.scatter([x for x, _, _ in mine], [y for _, y, _ in mine], s=42, marker=marker, color=colour, edgecolor="white", linewidth=0.7,
                     alpha=0.95, zorder=4)
    named = []
    for x, y, r in sorted(points, key=lambda point: point[2]["share"]):
        # Names that would lie on one another, or on a roof, are left out: the bars below have all of them.
        place = (math.log10(x), math.log10(y))
        crowded = any(abs(place[1] - other[1]) < 0.09 and abs(place[0] - other[0]) < 2.6 for other in named)
        if len(named) == LABELS or crowded or any(0.8 < y / rate < 1.25 for rate in peaks.values() if x > rate / read):
            continue
        named.append(place)
        roof = min(read * x, peaks.get(r["peak"], top))
        axes.plot([x, x], [y, roof], color=FAINT, linewidth=0.8, linestyle=":", zorder=1)
        left = place[0] > math.log10(high) - 1.6
        axes.annotate(f"{name_of(r)}  {100 * r['share']:.0f}%", (x, y), xytext=(-6 if left else 6, -3), textcoords="offset points",
                      ha="right" if left else "left", fontsize=7.5, color=INK, zorder=6, path_effects=[halo])
    return slope, (start, read * start), (2 * start, 2 * read * start)


def shares(axes, run, threads):
    """One bar for each problem: its share of the limit that bounds it."""
    records = [r for r in run["results"] if r.get("status") == "MEASURED" and r["threads"] == threads]
    colours = {op: colour for op, colour, _ in FAMILIES}
    # As in the file, first on top.
    places = list(range(len(records)))[::-1]
    axes.barh(places, [100 * r["share"] for r in records], height=0.72, color=[colours[family(r)] for r in records], zorder=3)
    for place, r in zip(places, records):
        axes.plot([100 * r["share_low"], 100 * r["share_high"]], [place, place], color=INK, linewidth=1, zorder=4)
        axes.annotate(f"{100 * r['share']:.0f}% of {r['bound']}", (100 * max(r["share"], r["share_high"]), place), xytext=(4, 0),
                      textcoords="offset points", va="center", fontsize=7, color=INK)
    axes.set(xlim=(0, max(118, 100 * max(r["share"] for r in records) + 18)), ylim=(-0.8, len(records) - 0.2),
             xlabel="share of the limit that bounds it, %")
    axes.set_yticks(places, [name_of(r) for r in records], fontsize=7)
    axes.set_xticks(range(0, 101, 20))
    axes.set_title(f"{threads} thread{'s' if threads > 1 else ''}", loc="left", fontsize=12, fontweight="bold", color=INK)
    axes.axvline(100, color=FAINT, linewidth=1, zorder=2)
    axes.grid(True, axis="x", color=GRID, linewidth=0.8, zorder=0)
    axes.tick_params(axis="y", length=0, colors=INK)
    axes.tick_params(axis="x", colors=FAINT, labelsize=9)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def draw(run, path):
    threads = [limits["threads"] for limits in run["limits"]]
    threads = sorted(n for n in threads if any(r.get("threads") == n and r["status"] == "MEASURED" for r in run["results"]))
    if not threads:
        raise SystemExit("no problem of this report was measured")
    count = max(sum(r.get("threads") == n and r["status"] == "MEASURED" for r in run["results"]) for n in threads)
    lower = 0.6 + 0.155 * count
    height = 1.5 + 5.6 + 0.9 + lower
    figure, grid = plt.subplots(2, len(threads), figsize=(7.8 * len(threads) + 0.6, height), squeeze=False,
                                gridspec_kw={"height_ratios": [5.6, lower]})
    slopes = [(grid[0][column], *panel(grid[0][column], run, n)) for column, n in enumerate(threads)]
    for column, n in enumerate(threads):
        shares(grid[1][column], run, n)
    used = {family(r) for r in run["results"] if r["status"] == "MEASURED"}
    handles = [Line2D([], [], color=colour, marker=marker, linestyle="", markersize=7, label=op) for op, colour, marker in FAMILIES if op in used]
    head = run["run"]
    figure.text(0.012, 1 - 0.18 / height, "Tenon below the roofline of this machine", va="top", fontsize=16, fontweight="bold", color=INK)
    figure.text(0.012, 1 - 0.58 / height, f"{head['date']}   {head['cpu']}   {head['features']}", fontsize=9, color=FAINT, va="top")
    figure.text(0.012, 1 - 0.78 / height, head["command"][:160], fontsize=8, color=FAINT, va="top", family="monospace")
    figure.legend(handles=handles, loc="upper right", ncols=len(handles), frameon=False, fontsize=10, bbox_to_anchor=(0.995, 1 - 0.12 / height))
    figure.tight_layout(rect=(0.004, 0, 1, 1 - 1.05 / height), h_pad=2.2, w_pad=2.5)
    for axes, name, first, second in slopes:  # known only now: the angle of the slope on the page
        (x0, y0), (x1, y1) = axes.transData.transform([first, second])
        name.set_rotation(math.degrees(math.atan2(y1 - y0, x1 - x0)))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    run = json.loads(options.report.read_text())
    run["results"] = [r for r in run["results"] if not math.isnan(r.get("share", 0))]
    draw(run, options.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
