#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Puts the last figures of each benchmark into docs/PERFORMANCE.md, and its plots into docs/img/.

    tests/bench/docs.py [CASE...]

The page's text is written by hand; what stands between "<!-- figures: CASE -->" and "<!-- end -->" is replaced. Cases without
figures, or with those of a --quick run, which are not for comparing, keep what they have.
"""

import json
import os
import re
import shutil
import sys

import bench

PAGE = os.path.join(bench.ROOT, "docs", "PERFORMANCE.md")
IMAGES = os.path.join(bench.ROOT, "docs", "img")


def markdown_table(table):
    columns, rows = table["columns"], table["rows"]
    left = [all(isinstance(row[i], str) for row in rows) for i in range(len(columns))]
    lines = [columns, ["---" if is_left else "--:" for is_left in left]]
    lines += [[bench.cell_text(cell) for cell in row] for row in rows]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"**{table['title']}**\n\n{text}\n" if table["title"] else f"{text}\n"


def target_line(target):
    mark = "met" if target["met"] else "**missed**"
    return f"| {target['name']} | {target['relation']} {target['goal']:g} | {target['value']:g} | {mark} |"


def figures(case):
    """The figures of the last full run; None when there are none."""
    try:
        with open(os.path.join(bench.OUT, f"{case}.json"), encoding="utf-8") as file:
            document = json.load(file)
    except FileNotFoundError:
        return None
    return None if document["quick"] else document


def section(case, document):
    parts = [f"`tests/bench/run.sh {case}` on {document['machine']}, {document['date'][:10]}:\n",
             f"![{case}](img/{case}.svg)\n"]
    parts += [markdown_table(table) for table in document["tables"]]
    parts += [f"{note}\n" for note in document["notes"]]
    if document["targets"]:
        parts.append("\n".join(["| target | goal | found | |", "| --- | --: | --: | --- |",
                                *map(target_line, document["targets"])]) + "\n")
    os.makedirs(IMAGES, exist_ok=True)
    shutil.copy(os.path.join(bench.OUT, f"{case}.svg"), IMAGES)
    return "\n".join(parts)


def main():
    wanted = sys.argv[1:]
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()

    def replace(match):
        case = match[1]
        if wanted and case not in wanted:
            return match[0]
        document = figures(case)
        if not document:
            print(f"{case}: no figures, run tests/bench/run.sh {case}")
            return match[0]
        return f"<!-- figures: {case} -->\n\n{section(case, document)}\n<!-- end -->"

    page = re.sub(r"<!-- figures: (\w+) -->.*?<!-- end -->", replace, page, flags=re.DOTALL)
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(page)


if __name__ == "__main__":
    main()
