# SPDX-License-Identifier: Apache-2.0
"""The fkv command on a store in a directory: every command, its JSON, its exit status, and what it says when it refuses."""

import gzip
import json
import os
import re
import subprocess

import pytest

import fkvtest

ROWS = [(i, f"v{i}") for i in range(1, 101)]
COMMANDS = ["init", "build", "publish", "promote", "abort", "activate", "rollback", "ls", "log", "status", "get", "diff", "dump", "verify",
            "bench", "quarantine", "tag", "untag", "pin", "unpin", "keep", "retire", "gc", "version"]


def fails(store, status, *args, says=()):
    """The command ends with that status and one sentence on stderr that holds all of `says`."""
    done = store.fkv(*args, check=False)
    assert done.returncode == status, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
    assert done.stderr.startswith("fkv"), done.stderr
    for text in [says] if isinstance(says, str) else says:
        assert text in done.stderr, done.stderr
    return done.stderr


def as_json(store, *args):
    return json.loads(store.fkv(*args, "--json").stdout)


@pytest.fixture
def ads(store):
    """A store with table ads: version 1 current; u64 -> bytes."""
    store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
    return store


def part_files(store, table, version):
    parts = os.path.join(store.path, "tables", table, "v", str(version), "parts")
    return sorted(os.path.join(parts, name) for name in os.listdir(parts))


def damage(path, offset, byte=None):
    with open(path, "r+b") as file:
        file.seek(offset)
        old = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([old ^ 1 if byte is None else byte]))


# --- help ---


def test_help_names_every_command_and_each_has_help_with_an_example(store):
    overview = store.fkv("--help").stdout
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", overview, re.M), command
        text = store.fkv(command, "--help").stdout
        assert f"fkv {command}" in text
        if command != "version":
            assert "Example" in text, command
    assert "Exit status" in overview


def test_no_command_is_a_usage_error(store):
    done = store.fkv(check=False)
    assert done.returncode == 2 and "Usage: fkv" in done.stderr


def test_words_that_make_no_sense_are_usage_errors(store):
    fails(store, 2, "nosuch", says="no command 'nosuch'")
    fails(store, 2, "ls", "--nosuch", says="unrecognized option")
    fails(store, 2, "publish", says="expected a table")
    fails(store, 2, "activate", says="expected TABLE or TABLE=VERSION")
    fails(store, 2, "activate", "ads=1", "ads=2", says="table ads is named twice")
    fails(store, 2, "promote", says="expected a table")
    fails(store, 2, "abort", says="expected a table")
    fails(store, 2, "publish", "ads", "--canary", "a b", says="--canary")
    fails(store, 2, "publish", "ads", "--canary", "n1", "--no-activate", says="goes neither with --no-activate")
    fails(store, 2, "pin", "ads", "1", says="either --node NAME or --label LABEL")
    fails(store, 2, "pin", "ads", "1", "--node", "a", "--label", "b", says="either --node NAME or --label LABEL")
    fails(store, 2, "unpin", "ads", says="one of --node NAME, --label LABEL and --local")
    fails(store, 2, "rollback", "a", "b", "--to", "1", says="--to goes with one table")
    fails(store, 2, "gc", "--staging-age", "soon", says="--staging-age: expected a time like")
    fails(store, 2, "gc", "extra", says="unexpected argument 'extra'")
    fails(store, 2, "dump", "ads", "--format", "xml", says="expected tsv or jsonl, found 'xml'")
    fails(store, 2, "tag", "ads", "1", says="expected 3 arguments")
    fails(store, 2, "get", "ads", says="at least one key")
    fails(store, 2, "bench", "ads", "--batch", "1,x", says="--batch")


@pytest.mark.parametrize("flag, value, says", [
    ("--key", "u32", "u32"), ("--value", "f16", "f16"), ("--value", "f16[0]", "f16[0]"), ("--memory", "lots", "expected bytes"),
    ("--memory", "1M", "64"), ("--shards", "0", "from 1 to 4096"), ("--shards", "5000", "from 1 to 4096"),
    ("--mode", "0999", "octal"), ("--mode", "01777", "octal"), ("--duplicates", "maybe", "error, first, last"),
    ("--format", "xlsx", "auto, tsv, csv, jsonl"), ("--hash-seed", "xyz", "hexadecimal"), ("--max-bad", "-1", "whole number"),
    ("--owner", "x" * 64, "1 to 63 bytes"), ("--task", "../x", "task"), ("--threads", "many", "whole number")])
def test_build_says_what_a_flag_takes(store, work_dir, flag, value, says):
    path = os.path.join(work_dir, "in.tsv")
    with open(path, "w", encoding="utf-8") as file:
        file.write("1\tx\n")
    fails(store, 2, "build", "ads", path, "--key", "u64", "--value", "bytes", flag, value, says=says)
    assert not os.path.exists(os.path.join(store.path, "tables", "ads"))


# --- the store ---


def test_without_a_store_it_says_how_to_name_one(work_dir):
    env = {name: value for name, value in os.environ.items() if name != "FKV_STORE"}
    done = subprocess.run([fkvtest.FKV, "ls"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--store URL or set FKV_STORE" in done.stderr
    done = subprocess.run([fkvtest.FKV, "ls", "--store", work_dir], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "fkv init" in done.stderr
    done = subprocess.run([fkvtest.FKV, "--store", work_dir + "/none", "ls"], env=env, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 1 and "/none" in done.stderr


def test_init_twice_keeps_the_store(store):
    first = as_json(store, "init")
    assert as_json(store, "init") == first
    assert first["store"] == f"file://{store.path}"
    assert "no tables" in store.fkv("ls").stdout


def test_a_store_of_a_newer_format_is_refused(store):
    path = os.path.join(store.path, "store.json")
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    document["format"] = 99
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
    fails(store, 5, "ls", says="99")


# --- names that climb ---


@pytest.mark.parametrize("name", ["../etc", "a/b", "..", ".", "UPPER", "a b", "-", "x" * 64, "a\nb", ""])
def test_table_names_that_climb_or_stray_are_refused_everywhere(store, work_dir, name):
    path = os.path.join(work_dir, "in.tsv")
    with open(path, "w", encoding="utf-8") as file:
        file.write("1\tx\n")
    for args in (["build", "--key", "u64", "--value", "bytes", "--", name, path], ["publish", "--", name],
                 ["ls", "--", name], ["rollback", "--", name], ["dump", "--", name], ["activate", "--", name + "=1"],
                 ["tag", "--", name, "1", "x"], ["get", "--", name, "1"], ["get", "--direct", "--", name, "1"],
                 ["unpin", "--local", "--", name]):
        done = store.fkv(*args, check=False)
        assert done.returncode == 2, f"{args}: {done.returncode} {done.stderr}"
    assert os.listdir(os.path.join(store.path, "tables")) == []


def test_other_names_are_checked_too(ads):
    fails(ads, 2, "tag", "ads", "1", "17", says="17")
    fails(ads, 2, "tag", "ads", "1", "a/b")
    fails(ads, 2, "tag", "ads", "1", "current")
    fails(ads, 2, "pin", "ads", "1", "--node", "../x")
    fails(ads, 2, "pin", "ads", "1", "--label", "x" * 200)


# --- tables and versions ---


def test_unknown_tables_and_versions_are_not_found(ads):
    fails(ads, 1, "ls", "nope", says=["no table nope", "there are: ads"])
    fails(ads, 1, "activate", "ads=9", says="no version 9")
    fails(ads, 1, "rollback", "nope", says="no table nope")
    fails(ads, 1, "rollback", "ads", says="no previous version")
    fails(ads, 1, "rollback", "ads", "--to", "golden", says="golden")
    fails(ads, 1, "diff", "ads", says="previous")
    fails(ads, 1, "publish", "ads", says=["no sealed build", "fkv build ads"])
    fails(ads, 1, "publish", "ads=nothing", says="nothing")
    fails(ads, 1, "untag", "ads", "golden", says="golden")
    fails(ads, 1, "get", "--direct", "ads", "999", says="has no key 999")
    fails(ads, 1, "get", "--mount", "/nonexistent", "ads", "1", says="fkvd")
    fails(ads, 1, "log", "nope")


def test_build_wants_the_shape_once_and_then_knows_it(store):
    message = fails(store, 2, "build", "ads", "/dev/null", "--format", "tsv", says=["--key TYPE", "--value TYPE"])
    assert "ads" in message
    store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
    store.publish("ads", ROWS)
    assert as_json(store, "ls", "ads")["current"] == 2


def test_build_reports_bad_rows_by_file_and_line(store, work_dir):
    path = os.path.join(work_dir, "in.tsv")
    with open(path, "w", encoding="utf-8") as file:
        file.write("1\t1,2\nx\t1,2\n3\t1\n")
    args = ["build", "vecs", path, "--key", "u64", "--value", "f32[2]"]
    done = store.fkv(*args, check=False)
    assert done.returncode == 5 and "in.tsv:2" in done.stderr, done.stderr
    done = store.fkv(*args, "--max-bad", "2", "--json")
    assert json.loads(done.stdout)["bad_rows"] == 2
    assert "in.tsv:2" in done.stderr and "in.tsv:3" in done.stderr


def test_build_names_both_places_of_a_duplicate(store, work_dir):
    path = os.path.join(work_dir, "in.tsv")
    with open(path, "w", encoding="utf-8") as file:
        file.write("1\ta\n2\tb\n1\tc\n")
    args = ["build", "t", path, "--key", "u64", "--value", "bytes"]
    message = fails(store, 3, *args)
    assert "in.tsv:1" in message and "in.tsv:3" in message, message
    assert as_json(store, *args, "--duplicates", "last")["duplicates"] == 1


def test_build_says_which_input_is_missing_or_damaged(store, work_dir):
    args = ["--key", "u64", "--value", "bytes"]
    fails(store, 1, "build", "t", work_dir + "/none.tsv", *args, says="none.tsv")
    path = os.path.join(work_dir, "cut.tsv.gz")
    data = gzip.compress(b"1\tx\n" * 10000)
    with open(path, "wb") as file:
        file.write(data[: len(data) // 2])
    fails(store, 5, "build", "t", path, *args, says="cut.tsv.gz")
    fails(store, 2, "build", "t", work_dir + "/in.orc", *args, says="in.orc")


def test_a_life_of_a_table(ads):
    """publish, delta, tag, roll back, force, quarantine, release, log: each says what it did, in JSON too."""
    ads.build("ads", ["1\tnew", "2", "1000\tmore"], "--delta")
    published = as_json(ads, "publish", "ads", "--reason", "hourly")
    assert [(v["version"], v["base"], v["n_keys"], v["activated"]) for v in published] == [(2, 1, 100, True)]
    assert {f["name"]: f["verdict"] for f in published[0]["validators"]} == {
        "read_back": "passed", "rows_min": "passed", "rows_change": "passed", "duplicates": "passed", "not_finite": "skipped",
        "empty_values": "passed", "bad_rows": "passed", "norm_drift": "skipped", "schema_change": "passed"}
    assert as_json(ads, "diff", "ads", "--keys") == {
        "table": "ads", "from": 1, "to": 2, "added": 1, "removed": 1, "changed": 1, "same": 98, "same_value_type": True,
        "keys": {"added": [1000], "removed": [2], "changed": [1]}}
    assert ads.fkv("get", "ads", 1, 1000, "--direct").stdout == "1\tnew\n1000\tmore\n"
    ads.fkv("tag", "ads", "1", "golden")
    rolled = as_json(ads, "rollback", "ads", "--reason", "bad clicks")
    assert rolled["tables"] == [{"table": "ads", "version": 1, "from": 2}] and rolled["live_nodes"] == 0
    fails(ads, 3, "activate", "ads=2", says="quarantined")
    ads.fkv("activate", "ads=2", "--force")
    ads.fkv("rollback", "ads", "--to", "golden")
    ads.fkv("quarantine", "ads", "2", "--release")
    ads.fkv("activate", "ads=2")
    fails(ads, 3, "quarantine", "ads", "2", says="current")
    listing = as_json(ads, "ls", "ads")
    assert [(v["version"], v["state"], v["tags"]) for v in listing["versions"]] == [
        (1, "previous", ["golden"]), (2, "current", [])]
    records = as_json(ads, "log")["records"]
    assert [r["seq"] for r in records] == list(range(1, len(records) + 1))
    assert [r["ops"][0]["op"] for r in records] == [
        "publish", "activate", "publish", "activate", "tag", "rollback", "activate", "rollback", "release", "activate"]
    assert records[2]["reason"] == "hourly" and records[5]["reason"] == "bad clicks"
    assert re.fullmatch(r"[^@]+@.+", records[0]["author"])
    assert [r["seq"] for r in as_json(ads, "log", "--limit", "2")["records"]] == [9, 10]
    assert "rollback ads 2 -> 1" in ads.fkv("log", "ads").stdout


def test_several_tables_switch_in_one_record(ads):
    ads.build("users", ROWS, "--key", "u64", "--value", "bytes")
    ads.build("ads", ROWS)
    assert [(v["table"], v["version"]) for v in as_json(ads, "publish", "ads", "users")] == [("ads", 2), ("users", 1)]
    last = as_json(ads, "log", "--limit", "2")["records"]
    assert [[op["op"] + " " + op["table"] for op in r["ops"]] for r in last] == [
        ["publish ads", "publish users"], ["activate ads", "activate users"]]
    # One that is refused holds the other back.
    ads.build("ads", ROWS)
    ads.build("users", ROWS[:3])
    fails(ads, 3, "publish", "ads", "users", says=["users", "row change"])
    assert as_json(ads, "ls", "ads")["current"] == 2
    assert as_json(ads, "publish", "ads", "users", "--max-change", "0")[1]["version"] == 2
    # Likewise a switch.
    fails(ads, 1, "activate", "ads=1", "users=7")
    assert as_json(ads, "ls", "ads")["current"] == 3
    ads.fkv("rollback", "ads", "users")
    assert (as_json(ads, "ls", "ads")["current"], as_json(ads, "ls", "users")["current"]) == (2, 1)


def test_a_rollback_needs_no_heartbeats(ads):
    ads.build("ads", ROWS)
    ads.fkv("publish", "ads")
    nodes = os.path.join(ads.path, "nodes")
    os.rename(nodes, nodes + ".away")
    with open(nodes, "w", encoding="utf-8"):
        pass
    done = ads.fkv("rollback", "ads", "--no-wait")
    assert "heartbeats cannot be read" in done.stderr
    assert as_json(ads, "ls", "ads")["current"] == 1
    # What waits until nodes are ready does need them.
    ads.build("ads", ROWS)
    done = ads.fkv("publish", "ads", check=False)
    assert done.returncode != 0 and "nodes" in done.stderr
    assert as_json(ads, "ls", "ads")["current"] == 1


def test_validators_show_their_figures_and_refuse(ads):
    ads.build("ads", ROWS[:10])
    done = ads.fkv("publish", "ads", check=False)
    assert done.returncode == 3
    assert "FAIL  row change: -90.0 % since version 1 with 100 rows (limit 20 %)" in done.stdout
    assert "ok    read-back: 10 of 10 keys" in done.stdout
    fails(ads, 3, "publish", "ads", "--max-change", "95%", "--min-rows", "11", says="rows: 10 (at least 11)")
    ads.build("ads", [(i, f"{i},nan") for i in range(100)], "--value", "f32[2]")
    fails(ads, 3, "publish", "ads", says=["schema", "u64 -> f32[2]"])
    message = fails(ads, 3, "publish", "ads", "--allow-schema-change", says="NaN or Inf: 100 vectors (limit 0)")
    assert message.count("\n") == 1
    ads.fkv("publish", "ads", "--allow-schema-change", "--max-not-finite", "100")
    assert as_json(ads, "ls", "ads")["current"] == 2


def test_no_activate_leaves_a_candidate(ads):
    ads.build("ads", ROWS)
    assert not as_json(ads, "publish", "ads", "--no-activate")[0]["activated"]
    assert [v["state"] for v in as_json(ads, "ls", "ads")["versions"]] == ["current", "candidate"]
    ads.fkv("activate", "ads=2")
    assert as_json(ads, "ls", "ads")["current"] == 2


def test_pins_stand_in_the_listing_until_unpinned(ads):
    ads.fkv("pin", "ads", "1", "--node", "web1")
    ads.fkv("pin", "ads", "current", "--label", "canary")
    assert as_json(ads, "ls", "ads")["versions"][0]["pins"] == ["web1", "label:canary"]
    fails(ads, 3, "retire", "ads", "1", says="current")
    ads.fkv("unpin", "ads", "--node", "web1")
    ads.fkv("unpin", "ads", "--label", "canary")
    assert as_json(ads, "ls", "ads")["versions"][0]["pins"] == []


def test_keep_and_retire(ads):
    for _ in range(3):
        ads.publish("ads", ROWS)
    ads.fkv("keep", "ads", "1")
    assert as_json(ads, "ls", "ads")["keep"] == 1
    fails(ads, 2, "keep", "ads", "few", says="how many former versions")
    ads.fkv("retire", "ads", "1", "2")
    fails(ads, 3, "activate", "ads=1", says="retired")
    assert [v["state"] for v in as_json(ads, "ls", "ads")["versions"]] == ["retired", "retired", "previous", "current"]


def test_status_without_nodes_says_how_to_start_one(ads):
    assert "fkvd --store" in ads.fkv("status").stdout
    assert as_json(ads, "status")["nodes"] == []
    with open(os.path.join(ads.path, "nodes", "odd.json"), "w", encoding="utf-8") as file:
        file.write("{ not json")
    assert as_json(ads, "status")["unreadable"] == 1


def test_version_and_bench_without_a_mount(ads):
    assert ads.fkv("version").stdout.startswith("fkv ")
    assert ads.fkv("--version").stdout.startswith("fkv ")
    fails(ads, 1, "bench", "ads", "--mount", "/nonexistent")


# --- values in and out ---


@pytest.mark.parametrize("value, cell", [("bytes", None), ("bytes[3]", None), ("f32[3]", "f"), ("f16[3]", "f"), ("bf16[3]", "f"),
                                         ("i8[3]", "f")])
@pytest.mark.parametrize("form", ["tsv", "jsonl"])
def test_dump_builds_to_the_same_bytes(store, work_dir, value, cell, form):
    fixed = value == "bytes[3]"
    words = [b"a\tb"[:3], b"\\n\0", b"\xff\xfe\xfd", "äé".encode()[:3], b"\r\n\x7f", b"\xef\xbb\xbf"]
    path = os.path.join(work_dir, "in.tsv")
    with open(path, "wb") as file:
        for i in range(200):
            if cell:
                data = f"{i * 0.37 - 9:.7g},{-i / 3:.9g},{i * i * 1e-3}".encode()
            else:
                data = b"".join(b"\\x%02x" % byte for byte in (words[i % 6] if fixed else words[i % 6] * (i % 5)))
            key = b"".join(b"\\x%02x" % byte for byte in words[i % 6] + b"%d" % i)
            file.write(key + b"\t" + data + b"\n")
    store.fkv("build", "t", path, "--key", "bytes", "--value", value, "--shards", "3", "--publish")
    dump = os.path.join(work_dir, f"dump.{form}")
    with open(dump, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(subprocess.run([fkvtest.FKV, "dump", "t", "--format", form, "--store", store.url], capture_output=True,
                                  check=True).stdout.decode(errors="surrogateescape"))
    store.fkv("build", "t", dump, "--shards", "3", "--publish")
    assert [os.path.basename(p) for p in part_files(store, "t", 1)] == [
        os.path.basename(p) for p in part_files(store, "t", 2)]
    assert as_json(store, "diff", "t", "1", "2")["same"] == 200


def test_get_prints_values_as_text_json_and_bytes(store):
    store.publish("vecs", [(7, "1,-0.5,0.25"), (18446744073709551615, "0,0,0")], "--key", "u64", "--value", "f16[3]")
    assert store.fkv("get", "vecs", "7", "--direct").stdout == "7\t1,-0.5,0.25\n"
    done = store.fkv("get", "vecs", "18446744073709551615", "8", "--direct", "--json", check=False)
    assert done.returncode == 1 and "8: 1 of 2 are absent" in done.stderr
    assert json.loads(done.stdout)["keys"] == [
        {"key": 18446744073709551615, "found": True, "value": [0, 0, 0]}, {"key": 8, "found": False}]
    fails(store, 2, "get", "vecs", "seven", "--direct", says="keys are u64")
    store.publish("words", ["cat\ta\\x00b"], "--key", "bytes", "--value", "bytes")
    assert store.fkv("get", "words", "cat", "--direct").stdout == "cat\ta\\x00b\n"
    raw = subprocess.run([fkvtest.FKV, "get", "words", "cat", "--raw", "--store", store.url], capture_output=True, check=True)
    assert raw.stdout == b"a\0b"


def test_diff_of_other_shapes(store):
    store.publish("t", ROWS[:10], "--key", "u64", "--value", "bytes")
    store.build("t", ["x\ty"], "--key", "bytes")
    store.fkv("publish", "t", "--allow-schema-change", "--max-change", "0")
    fails(store, 2, "diff", "t", says="nothing in common")
    store.build("t", ["x\t1,2"], "--key", "bytes", "--value", "f32[2]")
    store.fkv("publish", "t", "--allow-schema-change")
    assert as_json(store, "diff", "t", "2", "3")["changed"] == 1


def test_output_to_a_full_disk_is_an_error(ads):
    for args in (["ls"], ["log"], ["dump", "ads"], ["ls", "--json"], ["get", "ads", "1", "--direct"]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([fkvtest.FKV, *args, "--store", ads.path], stdout=full, stderr=subprocess.PIPE, check=False)
        assert done.returncode == 3, args
        assert b"standard output" in done.stderr


# --- corrupt and forged ---


def test_verify_names_the_bad_part_and_goes_on(ads):
    ads.publish("ads", ROWS + [(7777, "x")])
    assert as_json(ads, "verify")["bad"] == 0
    path = part_files(ads, "ads", 1)[0]
    damage(path, os.path.getsize(path) // 2)
    done = ads.fkv("verify", check=False)
    assert done.returncode == 5
    assert re.search(r"BAD  ads version 1: .*" + re.escape(os.path.basename(path)) + r".*chunk 0", done.stdout), done.stdout
    assert "ok   ads version 2" in done.stdout
    assert "1 of 2 versions are bad" in done.stderr
    done = ads.fkv("verify", "--json", check=False)
    assert done.returncode == 5
    assert [v["ok"] for v in json.loads(done.stdout)["versions"]] == [False, True]
    fails(ads, 5, "dump", "ads", "1", says=os.path.basename(path))
    ads.fkv("verify", "ads", "2")
    os.truncate(path, 4096)
    fails(ads, 5, "verify", "ads", "1")
    os.unlink(path)
    fails(ads, 5, "verify", "ads", "1")


def test_a_forged_version_json_is_caught_by_its_digest(ads):
    path = os.path.join(ads.path, "tables/ads/v/1/version.json")
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    document["keys"] = 5
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
    fails(ads, 5, "verify", "ads", says=[])
    fails(ads, 5, "get", "ads", "1", "--direct", says=["version.json", "digest"])
    # A build over it, or beside it, does not trust it either.
    done = ads.fkv("build", "ads", "/dev/null", "--format", "tsv", check=False)
    assert done.returncode == 5, done.stderr


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"seq": 3}', "\0" * 100, "{" * 5000, '{"format": 99}'])
def test_a_forged_log_record_stops_at_the_last_good_one(ads, text):
    with open(os.path.join(ads.path, "log", "0000000003.json"), "w", encoding="utf-8") as file:
        file.write(text)
    for args in (["ls"], ["log"], ["rollback", "ads"], ["publish", "ads"], ["gc"]):
        fails(ads, 5, *args, says="0000000003.json")


def test_a_record_that_breaks_the_rules_is_corrupt(ads):
    path = os.path.join(ads.path, "log", "0000000002.json")
    with open(path, encoding="utf-8") as file:
        record = file.read()
    with open(os.path.join(ads.path, "log", "0000000003.json"), "w", encoding="utf-8") as file:
        file.write(re.sub(r'"version": ?1', '"version":55', record))
    fails(ads, 5, "ls", says="0000000003.json")


def test_a_task_is_named_with_its_table(ads):
    ads.build("ads", ROWS + [(901, "first")], "--task", "T2")
    ads.build("ads", ROWS + [(902, "second")], "--task", "T1")
    fails(ads, 2, "publish", "ads", "T2", says="T2")
    assert as_json(ads, "publish", "ads", "--no-activate")[0]["task"] == "T1", "the one sealed last"
    assert as_json(ads, "publish", "ads=T2")[0]["task"] == "T2"
    assert ads.fkv("get", "ads", "901", "--direct").stdout == "901\tfirst\n"


def test_a_task_name_that_is_taken_is_told_with_what_to_do(ads):
    ads.build("ads", ROWS, "--task", "mine")
    done = ads.fkv("build", "ads", os.path.join(os.path.dirname(ads.path), "ads.tsv"), "--task", "mine", check=False)
    assert done.returncode == 3
    for text in ("tables/ads/staging/mine", "fkv publish ads=mine", "another --task"):
        assert text in done.stderr, done.stderr


def test_a_delta_refuses_another_layout_than_its_base(store, work_dir):
    path = os.path.join(work_dir, "in.tsv")
    with open(path, "w", encoding="utf-8") as file:
        file.write("1\tx\n")
    store.fkv("build", "t", path, "--key", "u64", "--value", "bytes", "--shards", "3", "--publish")
    fails(store, 2, "build", "t", path, "--delta", "--shards", "4", says=["--shards", "base's 3, found 4"])
    fails(store, 2, "build", "t", path, "--delta", "--hash-seed", "1", says="--hash-seed")
    store.fkv("build", "t", path, "--delta", "--shards", "3", "--publish")


@pytest.mark.parametrize("ending, says", [("csv", "cut short"), ("tsv", "cut short")])
def test_a_delta_that_was_cut_short_deletes_nothing(ads, work_dir, ending, says):
    path = os.path.join(work_dir, f"delta.{ending}")
    with open(path, "w", encoding="utf-8") as file:
        file.write("7\n12")  # of "12,new" or "123,new"
    message = fails(ads, 5, "build", "ads", path, "--delta", says=says)
    assert f"{path}:2" in message, message
    with open(path, "a", encoding="utf-8") as file:
        file.write("\n")
    ads.fkv("build", "ads", path, "--delta", "--publish")
    assert ads.fkv("get", "ads", "12", "--direct", check=False).returncode == 1


def test_numbers_too_large_are_refused_not_cut(ads, work_dir):
    path = os.path.join(work_dir, "in.tsv")
    with open(path, "w", encoding="utf-8") as file:
        file.write("1\tx\n")
    ads.build("ads", ROWS, "--task", "mine")
    for args in (["build", "ads", path, "--shards", "4294967297"], ["build", "ads", path, "--threads", "4294967297"],
                 ["publish", "ads", "--quorum", "4294967297"], ["bench", "ads", "--threads", "4294967297"]):
        fails(ads, 2, *args, says=[args[-2], "expected a whole number from", "4294967297"])


def test_a_directory_is_no_input(ads, work_dir):
    fails(ads, 2, "build", "ads", work_dir, "--format", "tsv", says=["expected a file of rows, found a directory"])


def test_verify_calls_a_missing_part_corrupt_and_names_it(ads):
    part = part_files(ads, "ads", 1)[0]
    os.rename(part, part + ".away")
    done = ads.fkv("verify", check=False)
    assert done.returncode == 5, done.stdout + done.stderr
    assert os.path.basename(part) in done.stdout and "is missing" in done.stdout
    fails(ads, 5, "dump", "ads", says=os.path.basename(part))
    os.rename(part + ".away", part)
    assert as_json(ads, "verify")["bad"] == 0


def test_a_build_with_a_damaged_part_is_not_published(ads):
    ads.build("ads", ROWS, "--task", "mine")
    parts = os.path.join(ads.path, "tables/ads/staging/mine/parts")
    part = os.path.join(parts, os.listdir(parts)[0])
    damage(part, 10)
    fails(ads, 5, "publish", "ads=mine", says=os.path.basename(part))
    damage(part, 10)
    ads.fkv("publish", "ads=mine")


@pytest.mark.parametrize("change", [
    lambda d: d.update(keys=101), lambda d: d["parts"][0].update(keys=101), lambda d: d["schema"].update(shards=2),
    lambda d: d["schema"].update(hash_seed="00000000000000ff"), lambda d: d["schema"].update(value="f32[2]"),
    lambda d: d["schema"].update(key="bytes"), lambda d: d.update(base=1), lambda d: d.update(levels=2),
    lambda d: d.update(levels=2, base=1), lambda d: d.update(parts=[]), lambda d: d["parts"][0].update(file="../../x"),
    lambda d: d["parts"][0].update(bytes=1 << 60), lambda d: d["parts"][0].update(bytes=4096),
    lambda d: d["parts"][0].update(chunks=[]), lambda d: d["parts"][0].update(shard=7), lambda d: d.update(format=9),
    lambda d: d.pop("schema"), lambda d: d.update(keys=-1), lambda d: d.update(keys="many"), lambda d: d.clear()])
def test_a_build_with_a_forged_version_json_is_not_published(ads, change):
    ads.build("ads", ROWS, "--task", "mine")
    path = os.path.join(ads.path, "tables/ads/staging/mine/version.json")
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    change(document)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
    done = ads.fkv("publish", "ads=mine", check=False)
    assert done.returncode in (3, 5), f"{done.returncode} {done.stderr}"
    assert done.stderr.startswith("fkv: ")
    assert as_json(ads, "ls", "ads")["current"] == 1
    assert as_json(ads, "verify")["checked"] == 1


def test_links_out_of_the_store_are_not_followed(ads, work_dir):
    secret = os.path.join(work_dir, "secret")
    os.makedirs(secret)
    with open(os.path.join(secret, "version.json"), "w", encoding="utf-8") as file:
        file.write("{}")
    os.makedirs(os.path.join(ads.path, "tables/ads/staging"), exist_ok=True)
    os.symlink(secret, os.path.join(ads.path, "tables/ads/staging/evil"))
    done = ads.fkv("publish", "ads=evil", check=False)
    assert done.returncode != 0
    ads.fkv("gc", "--staging-age", "0", "--sealed-age", "0", check=False)
    assert os.path.exists(os.path.join(secret, "version.json"))
