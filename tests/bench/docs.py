#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Puts the last figures of each benchmark into docs/PERFORMANCE.md, and its plots into docs/img/.

    tests/bench/docs.py

The page's text is written by hand; what stands between "<!-- figures: CASE -->" and "<!-- end -->" is replaced.
"""

import json
import os
import re
import shutil

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


def section(case):
    with open(os.path.join(bench.OUT, f"{case}.json"), encoding="utf-8") as file:
        document = json.load(file)
    assert not document["quick"], f"{case}.json is from a --quick run, which is not for comparing"
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
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()

    def replace(match):
        case = match[1]
        if not os.path.exists(os.path.join(bench.OUT, f"{case}.json")):
            print(f"{case}: no figures, run tests/bench/run.sh {case}")
            return match[0]
        return f"<!-- figures: {case} -->\n\n{section(case)}\n<!-- end -->"

    page = re.sub(r"<!-- figures: (\w+) -->.*?<!-- end -->", replace, page, flags=re.DOTALL)
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(page)


if __name__ == "__main__":
    main()
