"""The guide's page, made of the results alone."""

import math
import statistics
import textwrap

from cells import ALARMS, ALPHA, EFFECTS, KINDS, POWER, SIZES, TOOLS

SYSTEMS = {"skewless": "Skewless", "skewless-1": "Skewless, 1 thread", "duckdb": "DuckDB", "duckdb-1": "DuckDB, 1 thread",
           "evidently": "Evidently"}

RULES = """
- **Skewless** tests a column's values and its share of NULLs, each from profiles of both samples. Each of the m tests of a
  column gets alpha / m, so the column keeps the level (`correction => 'none'` and the division by hand, since a correction
  of the function itself is over everything that it is asked: here all trials). *Values alone* is the test of the values at
  alpha, which is what the others ask.
- **Evidently** chooses by the column's type and the number of base rows: up to 1,000 rows a test with p < 0.05, beyond that
  a distance with the threshold 0.1. Its registry is asked for the test and the threshold, as a report does. {agreed} Texts
  are declared to be categories.
- **whylogs** profiles by `whylogs.log`, and alarms where `calculate_drift_scores` says DRIFT: KS of two KLL sketches for
  numbers, chi-square of the frequent items for texts, p < 0.05. *k = 256* is the same test on the sketch that it keeps where
  `large_kll_k` is off. Its sketches draw random bits, so its numbers differ a little from run to run.
- **Scouter** computes PSI over ten quantile bins of the base or over the categories; its server compares it with the quantile
  of chi-square over the study rows, which is repeated here. It expects no missing values, so they are left out.
- **SciPy** is no rival but the textbook on the raw rows: `ks_2samp` for numbers, `chi2_contingency` for the rest, which
  does not look at how few rows its categories have.
"""


def wilson(alarms, trials, z=1.959964):
    """The 95 % interval of a share (Wilson, 1927)."""
    share, spread = alarms / trials, z * z / trials
    middle, half = share + spread / 2, z * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return (middle - half) / (1 + spread), (middle + half) / (1 + spread)


def percent(share):
    value = share * 100
    return f"{value:.0f}" if value >= 9.95 or value == 0 else f"{value:.1f}"


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def measured(results, cell, tool):
    """What a tool told of a cell, or None where it was not asked or has no rule."""
    found = results["cells"].get(cell, {}).get("tools", {}).get(tool, {})
    return found if found.get("trials") else None


def is_red(found):
    return wilson(found["alarms"], found["trials"])[0] > ALPHA


def share(found):
    if not found:
        return "·"
    low, high = wilson(found["alarms"], found["trials"])
    return f"{'🔴 ' if is_red(found) else ''}{percent(found['alarms'] / found['trials'])} ({percent(low)}–{percent(high)})"


def header(*columns):
    return ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]


def row(*columns):
    return "| " + " | ".join(columns) + " |"


def tools_of(results, cells):
    return [tool for tool in TOOLS if any(measured(results, cell.name, tool) for cell in cells)]


def alarms(results):
    cells = [cell for cell in ALARMS if cell.name in results["cells"]]
    tools = tools_of(results, cells)
    if not tools:
        return []
    agreements = [results["cells"][cell.name]["report_agrees"] for cell in cells if "report_agrees" in results["cells"][cell.name]]
    agreed = f"A whole report gave the same verdict in the first trial of {sum(agreements)} of {len(agreements)} cells." if agreements else ""
    lines = [
        "## False alarms where nothing drifts", "",
        f"Both samples of a trial come from one distribution, so every alarm is false. A tool that asks for the level {ALPHA:.0%} "
        f"may raise one in {ALPHA:.0%} of the trials. All tools see the same samples; whylogs, which takes longest, sees the first of them. "
        "Shown is the share of trials with an alarm in percent, and its 95 % Wilson interval; 🔴 marks an interval that lies above "
        f"{ALPHA:.0%}. Sizes are rows of the base and of the study sample.", "",
        "![False alarms and power of each tool](drift-alarms.svg)", "",
        *header("tool", "cells", "🔴 above 5 %", "median share", "highest share"),
    ]
    for tool in tools:
        told = [(found["alarms"] / found["trials"], cell, is_red(found)) for cell in cells for found in [measured(results, cell.name, tool)] if found]
        worst, where, _ = max(told, key=lambda item: item[0])
        place = f" ({KINDS[where.kind]}, {where.size.title})" if worst else ""
        lines.append(row(TOOLS[tool], str(len(told)), str(sum(red for *_, red in told)), f"{percent(statistics.median(rate for rate, *_ in told))} %", f"{percent(worst)} %{place}"))
    lines += ["", "The rules that are asked:", "", *RULES.format(agreed=agreed).strip().replace("\n  ", " ").splitlines()]
    for size in SIZES:
        rows = [cell for cell in cells if cell.size == size]
        if rows:
            lines += ["", f"### {size.title} rows", "", *header("column", *[TOOLS[tool] for tool in tools])]
            lines += [row(KINDS[cell.kind], *[share(measured(results, cell.name, tool)) for tool in tools]) for cell in rows]
    lines += metrics(results, cells) + failures(results, cells)
    return lines + [""]


def metrics(results, cells):
    """Our alarms, each metric by itself at the whole level."""
    by_metric = {}
    for cell in cells:
        for metric, (found, trials) in (measured(results, cell.name, "skewless") or {}).get("metrics", {}).items():
            by_metric.setdefault(metric, []).append((cell, {"alarms": found, "trials": trials}))
    if not by_metric:
        return []
    lines = ["", "### Our tests, each by itself", "", *header("metric", "cells", "trials", "share of alarms", "🔴 above 5 %")]
    for metric, told in by_metric.items():
        total = {"alarms": sum(found["alarms"] for _, found in told), "trials": sum(found["trials"] for _, found in told)}
        red = [f"{KINDS[cell.kind]}, {cell.size.title}: {share(found)}" for cell, found in told if is_red(found)]
        lines.append(row(f"`{metric}`", str(len(told)), f"{total['trials']:,}", share(total), "; ".join(red) or "none"))
    return lines


def failures(results, cells):
    """Trials that a tool could not decide."""
    lines = []
    for tool in TOOLS:
        for cell in cells:
            found = results["cells"][cell.name]["tools"].get(tool, {})
            told = {"failed": 1} if "failed" in found else found.get("errors", {}) | found.get("untested", {})
            for what, count in told.items():
                what = found["failed"] if "failed" in found else what
                lines.append(f"- {TOOLS[tool]}, {KINDS[cell.kind]}, {cell.size.title}: {count} × {' '.join(what.split())[:160]}")
    return ["", "Trials without a verdict, which are no alarms:", "", *lines] if lines else []


def power(results):
    cells = [cell for cell in POWER if cell.name in results["cells"]]
    tools = tools_of(results, cells)
    if not tools:
        return []
    lines = [
        "## Power where something drifts", "",
        "The share of trials with an alarm where the study sample is of another distribution, in percent, and in parentheses the "
        "share of false alarms in the cell of the same column and sizes without drift. An alarm that comes anyway is worth "
        "nothing: power is struck through where its false alarms are 🔴 above.", "",
        *header("drift", "base / study rows", *[TOOLS[tool] for tool in tools]),
    ]
    for cell in cells:
        columns = []
        for tool in tools:
            found, null = measured(results, cell.name, tool), measured(results, cell.null, tool)
            told = percent(found["alarms"] / found["trials"]) if found else "·"
            told = f"~~{told}~~" if found and null and is_red(null) else told
            columns.append(f"{told} ({percent(null['alarms'] / null['trials'])})" if found and null else told)
        lines.append(row(EFFECTS[cell.effect][1], cell.size.title, *columns))
    behind = []
    for cell in cells:
        ours = measured(results, cell.name, "skewless")
        for tool in tools:
            found, null = measured(results, cell.name, tool), measured(results, cell.null, tool)
            if ours and found and null and not tool.startswith("skewless") and not is_red(null):
                ahead = found["alarms"] / found["trials"] - ours["alarms"] / ours["trials"]
                if ahead > 0.05:
                    behind.append(f"- {EFFECTS[cell.effect][1]}, {cell.size.title}: {TOOLS[tool]} finds {percent(ahead)} points more.")
    lines += [
        "", "What lowers our power on purpose: the column's verdict shares the level with the test of NULLs, and where a profile "
        "holds a histogram instead of the values, the p-value is an upper bound over all samples that have this histogram. Evidently beyond "
        "1,000 base rows asks another question: whether the distance is at least 0.1, however sure it is; a mean shift of 0.1 σ lies right at "
        "that threshold, and the more rows there are, the more surely a smaller one is passed over. `min_effect` of "
        "`ml_validate_drift` asks for both, evidence and size.",
    ]
    return lines + (["", "Where a tool that keeps the level finds more (by more than 5 points):", "", *behind] if behind else []) + [""]


def median(found, what="ms"):
    return statistics.median(found[what]) if found and found.get(what) else None


def seconds(ms):
    return "·" if ms is None else f"{number(ms / 1e3)} s" if ms >= 1_000 else f"{number(ms)} ms"


def ratio(theirs, ours):
    return f"{number(theirs / ours)}×" if theirs and ours else "·"


def drifted(found):
    """The columns that our report or Evidently's names."""
    rows = (found or {}).get("rows") or []
    if rows and "drifted" in rows[0]:
        return rows[0]["drifted"]
    return sorted({told["feature"] for told in rows if told.get("is_drift")})


def speed(results):
    cases = results["speed"]
    if not cases:
        return []
    lines = ["## Speed", "", "Times are of whole processes, from start to end, unless said otherwise: medians of rounds in which the systems take turns; "
             "a run of more than 20 seconds is not repeated. Files are Parquet in the page cache. Memory is the peak of the process.", ""]
    for name, make in [("validate", speed_validate), ("exact", speed_exact), ("evidently", speed_evidently), ("merge", speed_merge), ("profile", speed_profile)]:
        if name in cases:
            lines += make(cases[name], cases[name]["systems"])
            failed = [f"- {SYSTEMS.get(system, system)} failed: {' '.join(found['failed'].split())[:300]}" for system, found in cases[name]["systems"].items() if "failed" in found]
            lines += [*failed, ""] if failed else []
    return lines


def times(systems):
    lines = header("system", "time", "peak MB")
    for system, found in systems.items():
        if found.get("ms"):
            lines.append(row(SYSTEMS[system], seconds(median(found)), f"{found['peak_mb']:,.0f}"))
    return lines + [""]


def speed_validate(case, systems):
    rows, ours = case["rows"]["sample"], systems.get("skewless")
    lines = [
        f"### Two samples of {rows:,} rows and 20 columns", "",
        f"13 columns of numbers, some with NULLs, 5 of texts with 3 to 1,000,000 values, 2 of booleans; {(case['bytes']['base'] + case['bytes']['study']) / 1e6:,.0f} MB "
        "of Parquet. We run `ml_validate_drift` as it is. DuckDB has no such function: its [query](../../bench/drift/speed.py) computes statistics of the same kind, "
        "written by hand: KS over logarithmic buckets, chi-square, NULLs, least, greatest, mean, standard deviation and distinct values, without p-values.", "",
        *times(systems),
    ]
    for one, other, threads in [("skewless", "duckdb", "all cores"), ("skewless-1", "duckdb-1", "one thread")]:
        lines.append(f"- DuckDB / Skewless on {threads}: {ratio(median(systems.get(other)), median(systems.get(one)))}.")
    if ours and ours.get("ms"):
        mb = rows * 2 * 20 / median(ours) / 1e3
        lines += [
            f"- Skewless profiles {mb:,.0f} million values a second on all cores; the goal of at most 1 GiB of memory is {'met' if ours['peak_mb'] <= 1024 else 'missed'}.",
            f"- It reports drift of {', '.join(f'`{column}`' for column in drifted(ours)) or 'no column'}; `normal_2` and `count_1` drift.",
        ]
        if median(systems.get("duckdb")) and median(systems["duckdb"]) < median(ours):
            lines.append(
                "- DuckDB is ahead. Its query counts in buckets that are fixed beforehand and adds up floats as they come; a profile "
                "keeps moments that do not depend on the order of rows, and narrows its buckets to what the values are."
            )
    return lines + [""]


def speed_exact(case, systems):
    ours, theirs = systems.get("skewless"), systems.get("duckdb")
    lines = [
        f"### Exact Kolmogorov–Smirnov of two samples of {case['rows']['sample']:,} rows and 13 columns of numbers: the second pass", "",
        "`ml_validate_drift(…, metrics => ['ks'], exact => true)` makes profiles in one scan, then sorts one column after another, but for those whose profiles hold every value. DuckDB "
        "computes the same distance by a window over the sorted values of each column, without p-values. Both have 1 GB of memory.", "",
        *times(systems),
    ]
    for one, other, threads in [("skewless", "duckdb", "all cores"), ("skewless-1", "duckdb-1", "one thread")]:
        lines.append(f"- DuckDB / Skewless on {threads}: {ratio(median(systems.get(other)), median(systems.get(one)))}.")
    if ours and ours.get("ms"):
        lines.append(f"- The goal of at most 1 GiB of memory is {'met' if ours['peak_mb'] <= 1024 else 'missed'}.")
    told = {row["feature"]: row["statistic"] for row in (ours or {}).get("rows") or []}
    for peer in ((theirs or {}).get("rows") or [])[:1]:
        differ = [column for column, distance in peer["statistics"].items() if abs(told.get(column, -1) - distance) > 1e-12]
        lines.append("- The distances are the same in all columns." if not differ else f"- The distances differ in {', '.join(differ)}.")
    return lines + [""]


def speed_evidently(case, systems):
    ours, theirs = systems.get("skewless"), systems.get("evidently")
    alone = median(theirs, "statement_ms")
    lines = [
        f"### Two samples of {case['rows']['small']:,} rows and 20 columns, beside Evidently", "",
        "The same columns. Evidently's time is of `Report([DataDriftPreset()]).run` alone, on data frames in memory, with the types and tests of its own choice; "
        "ours is of the whole process, from Parquet.", "",
        *header("system", "time", "peak MB", "columns reported (`normal_2` and `count_1` drift)"),
    ]
    for system, ms in [("skewless", median(ours)), ("evidently", alone)]:
        if ms:
            named = ", ".join(f"`{column}`" for column in drifted(systems[system])) or "none"
            lines.append(row(SYSTEMS[system], seconds(ms), f"{systems[system]['peak_mb']:,.0f}", named))
    goal = "" if not (alone and median(ours)) else f" The goal of 50× is {'met' if alone >= 50 * median(ours) else 'missed'}."
    return lines + ["", f"Evidently / Skewless: {ratio(alone, median(ours))}.{goal} Evidently also draws each column for its report, which is part of its time.", ""]


def speed_merge(case, systems):
    groups, rows = case["rows"]["groups"], systems.get("skewless-rows-1") or {}
    found, one = systems.get("skewless"), systems.get("skewless-1")
    if not median(found, "statement_ms"):
        return []
    told = found["rows"][0]["median"]
    goal = median(found, "statement_ms") < 1_000
    lines = [
        f"### {groups:,} profiles merged", "",
        f"Profiles of 1,000 normal numbers each, {case['bytes'].get('profiles', 0) / 1e6:,.0f} MB of Parquet, written by `COPY (SELECT g, ml_profile(x) AS p … GROUP BY g)` in "
        f"{seconds(case.get('made_ms'))}. `SELECT ml_profile_quantile(ml_profile_merge(p), 0.5)` takes, as a statement, {seconds(median(found, 'statement_ms'))} on all cores and "
        f"{seconds(median(one, 'statement_ms'))} on one (goal: less than 1 s, {'met' if goal else 'missed'}), and {found['peak_mb']:,.0f} MB. "
        f"The profile of the {groups * 1_000:,} rows themselves takes {seconds(median(rows, 'statement_ms'))} on one thread. The median of the merged profile is {told:.4f}, of the profile of "
        f"the rows {(rows.get('rows') or [{}])[0].get('median', float('nan')):.4f}, of the rows {case['median']:.4f}.", "",
    ]
    return lines


def speed_profile(case, systems):
    rows, values = case["rows"]["column"], case["rows"]["column"] * 8 / 1e6
    ours, theirs = median(systems.get("skewless-1"), "statement_ms"), median(systems.get("duckdb-1"), "statement_ms")
    scans = [median(systems.get("skewless-scan-1"), "statement_ms"), median(systems.get("duckdb-scan-1"), "statement_ms")]
    lines = [
        f"### One column of {rows:,} normal numbers, one thread", "",
        f"{values:,.0f} MB of floats. Times are of the statement. DuckDB computes nine deciles by `approx_quantile`, `approx_count_distinct`, count, least, greatest, mean and standard deviation.", "",
        *header("what", "time", "MB/s of floats"),
    ]
    for what, ms in [("Skewless: `ml_profile(x)`", ours), ("DuckDB: the same kind of statistics", theirs), ("Skewless: `sum(x)`", scans[0]), ("DuckDB: `sum(x)`", scans[1])]:
        if ms:
            lines.append(row(what, seconds(ms), f"{values / ms * 1e3:,.0f}"))
    lines += [row("limit: reading as many bytes from memory", seconds(values / case["limit_mb_s"] * 1e3), f"{case['limit_mb_s']:,.0f}"), ""]
    if ours:
        best = min(ms for ms in scans if ms)
        lines.append(
            f"DuckDB / Skewless: {ratio(theirs, ours)}. The goal of 200 MB/s is {'met' if values / ours * 1e3 >= 200 else 'missed'}. A profile takes {number(ours / best)} times as long as the faster "
            f"system takes to read the file and add it up, which is what no profile can be faster than from Parquet, and {number(ours / (values / case['limit_mb_s'] * 1e3))} times the limit of memory. "
            f"Medians: {systems['skewless-1']['rows'][0]['median']:.4f}, {(systems.get('duckdb-1', {}).get('rows') or [{}])[0].get('median', float('nan')):.4f} by DuckDB, {case['median']:.4f} of the rows."
        )
    return lines + [""]


def page(results):
    lines = [
        "# Drift validation, measured", "",
        f"Measured on {results['date']} by `cargo xtask bench drift`; [how](../../bench/drift/run.py), [what](../../bench/drift/cells.py), [the peers' rules](../../bench/drift/peers.py).", "",
        f"**Machine.** {results['machine']}.", "",
        f"**Versions.** {results['versions']}.", "",
        "**Asked.** How often does a tool call for attention where nothing has changed? How often does it see a change that is there? What does it cost?", "",
        *alarms(results), *power(results), *speed(results),
        "## How to repeat it", "",
        "`cargo xtask bench drift` builds the binary, installs the peers into an environment of their own, and runs everything in about 25 minutes on two idle cores. "
        "`SKEWLESS=…/skewless python tests/bench/drift/run.py --part alarms --case poisson` runs a part or some cases, `--ours-only` measures us again beside the peers' results "
        "that there are, `--tiny` tries everything in two minutes, `--report` writes this page again. All samples are functions of the cell, the trial and the side.",
    ]
    indent = lambda line: "  " if line.startswith("- ") else ""
    wrap = lambda line: line if line.startswith(("|", "!")) else textwrap.fill(line, 120, subsequent_indent=indent(line), break_long_words=False, break_on_hyphens=False)
    return "\n".join(map(wrap, lines)) + "\n"
