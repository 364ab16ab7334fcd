# SPDX-License-Identifier: Apache-2.0
"""The manifest read by somebody else: docs/MANIFEST.md, sections 2 and 3, written a second time from its text.

Fold(path).run() reads the raw records of a store in a directory, refuses what breaks a rule, and ends with the state. With
`snapshots` it also compares every snapshot on the way with what the records before it say.
"""

import json
import os
import re

KEEP_DEFAULT = 3
FORGOTTEN_KEPT = 64
GONE = ("retired", "forgotten")


class Refused(AssertionError):
    """A record that the rules forbid is in the log."""


def need(condition, text):
    if not condition:
        raise Refused(text)


class Table:
    def __init__(self, name):
        self.name, self.versions, self.pins, self.tags = name, {}, {}, {}
        self.current = self.effective_ns = self.before = 0
        self.keep = KEEP_DEFAULT

    def find(self, number):
        need(number in self.versions, f"{self.name} has no version {number}")
        return self.versions[number]

    def living(self, number):
        version = self.find(number)
        need(version["state"] not in GONE, f"{self.name} {number} is gone")
        return version

    def lies_on_bad(self, number):
        while number and number in self.versions:
            if self.versions[number]["quarantined"]:
                return True
            number = self.versions[number]["base"]
        return False

    def good(self, number):
        return self.versions[number]["state"] not in GONE and not self.lies_on_bad(number)

    @property
    def previous(self):
        former = [v for n, v in self.versions.items() if v["state"] == "former" and self.good(n)]
        return max(former, key=lambda v: v["activated_ns"])["version"] if former else 0

    def end_canaries(self, now):
        for name, (number, canary) in list(self.pins.items()):
            if canary and ((number <= self.current and now >= self.effective_ns) or self.lies_on_bad(number)):
                del self.pins[name]

    def apply(self, op, now):
        self.end_canaries(now)
        getattr(self, "do_" + op["op"])(op, now)
        self.end_canaries(now)

    def do_publish(self, op, now):
        number, base = op["version"], op["base"]
        need(number not in self.versions, f"{self.name} {number} is published twice")
        need(number > max(self.versions, default=0), f"{self.name} {number} is not above all others")
        if base:
            self.find(base)
            newest = max((n for n in self.versions if self.good(n)), default=0)
            need(base == newest, f"{self.name} {number} lies on {base}, the newest is {newest}")
        self.versions[number] = {"version": number, "state": "candidate", "quarantined": False, "base": base,
                                 "n_keys": op["n_keys"], "len": op["len"], "digest": op["digest"], "published_ns": now,
                                 "activated_ns": 0}

    def switch(self, number, op, now):
        served = self.before if now < self.effective_ns else self.current
        if self.current:
            self.versions[self.current]["state"] = "former"
        latest = max((v["activated_ns"] for v in self.versions.values()), default=0)
        self.versions[number].update(state="current", activated_ns=max(now, 1, latest + 1 if latest >= max(now, 1) else 0))
        self.current, self.before, self.effective_ns = number, served, op["effective_ns"]

    def target(self, op):
        self.living(op["version"])
        need(op["force"] or not self.lies_on_bad(op["version"]), f"{self.name} {op['version']} is quarantined")

    def do_activate(self, op, now):
        self.target(op)
        if op["version"] != self.current:
            self.switch(op["version"], op, now)
        elif now < self.effective_ns:
            self.effective_ns = min(self.effective_ns, op["effective_ns"])

    def do_rollback(self, op, now):
        need(op["from"] == self.current, f"{self.name}: rollback from {op['from']}, current is {self.current}")
        need(op["version"] != op["from"], f"{self.name}: rollback to itself")
        self.target(op)
        self.versions[op["from"]]["quarantined"] = True
        self.switch(op["version"], op, now)

    def do_quarantine(self, op, _):
        self.living(op["version"])
        need(op["version"] != self.current, f"{self.name}: the current version is quarantined")
        self.versions[op["version"]]["quarantined"] = True

    def do_release(self, op, _):
        need(self.living(op["version"])["quarantined"], f"{self.name} {op['version']} is not quarantined")
        self.versions[op["version"]]["quarantined"] = False

    def do_pin(self, op, _):
        self.living(op["version"])
        canary, old = op.get("canary", False), self.pins.get(op["name"])
        if canary:
            need(op["version"] > self.current and not self.lies_on_bad(op["version"]), f"{self.name}: no candidate to try")
            need(not old or old[1], f"{self.name}: {op['name']} is held by a pin")
        self.pins[op["name"]] = (op["version"], canary)

    def do_unpin(self, op, _):
        self.pins.pop(op["name"], None)

    def do_tag(self, op, _):
        self.living(op["version"])
        self.tags[op["name"]] = op["version"]

    def do_untag(self, op, _):
        need(op["name"] in self.tags, f"{self.name} has no tag {op['name']}")
        del self.tags[op["name"]]

    def do_retire(self, op, now):
        number = op["version"]
        version = self.find(number)
        if version["state"] in GONE:
            return
        held = [n for n, _ in self.pins.values()] + list(self.tags.values())
        need(number != self.current and number not in held, f"{self.name} {number} is retired, but in use")
        need(number != self.before or now >= self.effective_ns, f"{self.name} {number} is retired, but served")
        version["state"] = "retired"
        if self.before == number:
            self.before = 0

    def do_forget(self, op, _):
        need(self.find(op["version"])["state"] in GONE, f"{self.name} {op['version']} is forgotten, but not retired")
        self.versions[op["version"]]["state"] = "forgotten"
        kept = 0
        for number in sorted(self.versions, reverse=True):
            is_base = any(v["base"] == number for v in self.versions.values())
            if self.versions[number]["state"] == "forgotten" and not is_base:
                kept += 1
                if kept > FORGOTTEN_KEPT:
                    del self.versions[number]

    def do_keep(self, op, _):
        self.keep = op["keep"]

    def as_snapshot(self):
        return {"name": self.name, "current": self.current, "previous": self.previous, "effective_ns": self.effective_ns,
                "before": self.before, "keep": self.keep, "versions": [self.versions[n] for n in sorted(self.versions)],
                "pins": {name: pin for name, pin in self.pins.items()}, "tags": self.tags}


def read_snapshot(document):
    tables = []
    for table in document["tables"]:
        tables.append({**table, "pins": {p["name"]: (p["version"], p.get("canary", False)) for p in table["pins"]},
                       "tags": {t["name"]: t["version"] for t in table["tags"]}})
    return tables


def difference(found, expected):
    """The first few members that differ, to be read by people."""
    parts = []
    for one, other in zip(found, expected):
        for name in expected[0]:
            if name != "versions" and one[name] != other[name]:
                parts.append(f"{name}: found {one[name]}, expected {other[name]}")
        ours = {v["version"]: v for v in other["versions"]}
        theirs = {v["version"]: v for v in one["versions"]}
        parts += [f"version {n}: found {theirs.get(n)}, expected {ours.get(n)}"
                  for n in sorted({*ours, *theirs}) if ours.get(n) != theirs.get(n)]
    return "; ".join(parts[:4])


class Fold:
    def __init__(self, store_dir):
        self.log = os.path.join(store_dir, "log")
        self.tables, self.records, self.n_snapshots = {}, [], 0

    def read(self, name):
        with open(os.path.join(self.log, name), encoding="utf-8") as file:
            return json.load(file)

    def run(self, snapshots=True):
        names = os.listdir(self.log)
        numbers = sorted(int(name[:-5]) for name in names if re.fullmatch(r"\d{10}\.json", name))
        need(numbers == list(range(1, len(numbers) + 1)), f"the sequence has gaps: {numbers[:20]} …")
        for number in numbers:
            record = self.read(f"{number:010d}.json")
            need(record["seq"] == number, f"record {record['seq']} is in the file of {number}")
            self.records.append(record)
            self.apply(record)
            snapshot = f"snapshot-{number:010d}.json"
            if snapshots and snapshot in names:
                found = read_snapshot(self.read(snapshot))
                expected = [self.tables[name].as_snapshot() for name in sorted(self.tables)]
                assert found == expected, f"{snapshot} is not what the records before it say: {difference(found, expected)}"
                self.n_snapshots += 1
        nonces = [record["nonce"] for record in self.records]
        need(len(set(nonces)) == len(nonces), "a record is there twice")
        return self

    def apply(self, record):
        for op in record["ops"]:
            if op["op"] == "publish":
                self.tables.setdefault(op["table"], Table(op["table"]))
            need(op["table"] in self.tables, f"there is no table {op['table']}")
            try:
                self.tables[op["table"]].apply(op, record["time_ns"])
            except Refused as refused:
                raise Refused(f"record {record['seq']}: {refused}") from None

    def by_reason(self, reason):
        return [record for record in self.records if record["reason"] == reason]
