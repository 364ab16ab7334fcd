# SPDX-License-Identifier: Apache-2.0
"""Validators of a publish: each refuses and passes by its limit, a command of the owner's own, and what is kept with a version."""

import json
import os
import random
import time
import unicodedata

import pytest

ROWS = [(i, f"v{i}") for i in range(100)]


@pytest.fixture
def ads(store):
    store.publish("ads", ROWS, "--key", "u64", "--value", "bytes")
    return store


def publish(store, *args):
    """Exit status, and the findings by name of the one table."""
    done = store.fkv("publish", *args, "--json", check=False)
    findings = json.loads(done.stdout)[0].get("validators", [])
    return done, {f["name"]: f for f in findings}


def read_json(store, *path):
    with open(os.path.join(store.path, *path), encoding="utf-8") as file:
        return json.load(file)


def vectors(seed, scale, n=3000):
    rng = random.Random(seed)
    return [(i, ",".join(f"{rng.gauss(0, scale):.5f}" for _ in range(8))) for i in range(n)]


@pytest.mark.kinds
@pytest.mark.parametrize("value", ["f32[8]", "f16[8]", "bf16[8]", "i8[8]"])
def test_norms_that_drift_are_refused_until_the_limit_allows_it(store, value):
    store.publish("vecs", vectors(1, 1), "--key", "u64", "--value", value)
    store.build("vecs", vectors(2, 1), "--task", "same")
    done, found = publish(store, "vecs=same", "--max-norm-drift", "0.1")
    assert done.returncode == 0 and found["norm_drift"]["verdict"] == "passed", done.stderr
    assert 0 <= found["norm_drift"]["figure"] < 0.1
    store.build("vecs", vectors(3, 1.5), "--task", "moved")
    done, found = publish(store, "vecs=moved", "--max-norm-drift", "0.1")
    assert done.returncode == 3 and "norm drift" in done.stderr, done.stderr
    assert found["norm_drift"]["verdict"] == "failed" and found["norm_drift"]["limit"] == 0.1
    assert found["norm_drift"]["figure"] > 0.3
    # It stays in staging, and says why.
    text = store.fkv("stat", "vecs", "--task", "moved").stdout
    assert "REFUSED" in text and "FAIL  norm drift" in text, text
    assert read_json(store, "tables/vecs/staging/moved/validation.json")["passed"] is False
    done, _ = publish(store, "vecs=moved", "--max-norm-drift", "0.9")
    assert done.returncode == 0, done.stderr
    assert read_json(store, "tables/vecs/v/3/validation.json")["passed"] is True
    # What is current now is what later ones are compared with.
    store.build("vecs", vectors(4, 1.5), "--task", "again")
    assert publish(store, "vecs=again", "--max-norm-drift", "0.1")[0].returncode == 0


def test_shares_are_limited_when_asked(store, work_dir):
    path = os.path.join(work_dir, "in.tsv")
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(f"{i}\t{'' if i < 10 else 'x'}\n" for i in range(96)) + "1\ty\n2\tz\nbad\tx\nworse\tx\n")
    store.fkv("build", "t", path, "--key", "u64", "--value", "bytes", "--max-bad", "2", "--duplicates", "first", "--task", "a")
    for flag, name, figure in [("--max-bad-rows", "bad_rows", 2), ("--max-duplicates", "duplicates", 2),
                               ("--max-empty", "empty_values", 1000 / 96)]:
        done, found = publish(store, "t=a", flag, f"{figure - 0.01}%")
        assert done.returncode == 3 and found[name]["verdict"] == "failed", done.stderr
        assert found[name]["figure"] == pytest.approx(figure)
    done, found = publish(store, "t=a", "--max-bad-rows", "2", "--max-duplicates", "2", "--max-empty", "10.5%")
    assert done.returncode == 0, done.stderr
    assert all(f["verdict"] != "failed" for f in found.values())


def test_a_share_of_vectors_may_hold_nan(store):
    store.build("t", [(i, "nan,1" if i < 5 else "1,1") for i in range(100)], "--key", "u64", "--value", "f32[2]", "--task", "a")
    assert publish(store, "t=a")[0].returncode == 3
    assert publish(store, "t=a", "--max-not-finite", "4.9%")[0].returncode == 3
    done, found = publish(store, "t=a", "--max-not-finite", "5%")
    assert done.returncode == 0 and found["not_finite"]["figure"] == 5


# --- commands ---


def test_a_command_passes_and_sees_the_build(ads, work_dir):
    ads.build("ads", ROWS, "--task", "b")
    copy = os.path.join(work_dir, "figures")
    check = f'cp "$FKV_FIGURES" {copy}; test -f "$FKV_BUILD_DIR/version.json" && echo "$FKV_TABLE $FKV_TASK $FKV_CURRENT:$FKV_BASE"'
    done, found = publish(ads, "ads=b", "--check", check)
    assert done.returncode == 0, done.stderr
    assert found["command"]["sentence"].endswith(": ads b 1:"), found["command"]
    assert read_json(ads, copy) == read_json(ads, "tables/ads/v/2/figures.json")


def test_a_command_that_fails_refuses_with_its_last_line(ads):
    ads.build("ads", ROWS, "--task", "b")
    done = ads.fkv("publish", "ads", "--check", "true", "--check", "echo a; echo clicks are down >&2; exit 7", check=False)
    assert done.returncode == 3
    assert "exit status 7: clicks are down" in done.stderr, done.stderr
    assert json.loads(ads.fkv("ls", "ads", "--json").stdout)["current"] == 1
    ads.fkv("publish", "ads", "--check", "true")


def test_a_command_that_hangs_is_killed_with_its_children(ads, work_dir):
    ads.build("ads", ROWS, "--task", "b")
    pid_file = os.path.join(work_dir, "pid")
    began = time.monotonic()
    done = ads.fkv("publish", "ads", "--check-timeout", "300ms", "--check", f"sleep 1000 & echo $! > {pid_file}; wait", check=False)
    assert done.returncode == 3 and "did not end within 0.3 s" in done.stderr, done.stderr
    assert time.monotonic() - began < 30
    with open(pid_file, encoding="utf-8") as file:
        pid = int(file.read())
    with pytest.raises(ProcessLookupError):
        for _ in range(500):
            os.kill(pid, 0)
            time.sleep(0.01)


def test_a_command_that_floods_its_output_is_cut(ads):
    ads.build("ads", ROWS, "--task", "b")
    done, found = publish(ads, "ads", "--check", "head -c 30000000 /dev/zero | tr '\\0' x; echo; echo end; exit 1")
    assert done.returncode == 3 and found["command"]["sentence"].endswith("exit status 1: end")
    done, found = publish(ads, "ads", "--check", "head -c 3000000 /dev/urandom; exit 1")
    assert done.returncode == 3 and len(found["command"]["sentence"]) < 400
    assert not [c for c in found["command"]["sentence"] if unicodedata.category(c) == "Cc"]
    assert os.path.getsize(os.path.join(ads.path, "tables/ads/staging/b/validation.json")) < 100_000


def test_commands_are_not_run_for_a_build_that_is_refused_anyway(ads, work_dir):
    ads.build("ads", ROWS[:10])
    mark = os.path.join(work_dir, "ran")
    done, found = publish(ads, "ads", "--check", f"touch {mark}")
    assert done.returncode == 3 and found["command"]["verdict"] == "skipped"
    assert not os.path.exists(mark)


# --- what is kept ---


def test_the_report_is_kept_with_the_version_and_shown(ads):
    stat = json.loads(ads.fkv("stat", "ads", "1", "--json").stdout)["validation"]
    assert stat["passed"] and stat["table"] == "ads" and "@" in stat["author"]
    assert stat["figures"]["rows"] == stat["figures"]["keys"] == 100
    text = ads.fkv("stat", "ads", "1").stdout
    assert all(f["sentence"] in text for f in stat["validators"])
    listing = json.loads(ads.fkv("ls", "ads", "--json").stdout)["versions"][0]
    assert listing["validation"] == {"passed": 5, "skipped": 4, "failed": 0}
    assert "5 ok, 4 skipped" in ads.fkv("ls", "ads").stdout


def test_a_report_that_is_damaged_or_missing_harms_nothing(ads):
    path = os.path.join(ads.path, "tables/ads/v/1/validation.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"format":1,"sentence":"\\u001b[2J"}')
    assert "unreadable" in ads.fkv("ls", "ads").stdout
    assert "validation.json" in ads.fkv("stat", "ads").stdout
    assert json.loads(ads.fkv("stat", "ads", "--json").stdout)["validation"] is None
    os.unlink(path)
    os.unlink(os.path.join(ads.path, "tables/ads/v/1/figures.json"))
    assert "nothing is kept" in ads.fkv("stat", "ads").stdout
    assert ads.fkv("ls", "ads").returncode == 0
    ads.build("ads", ROWS)
    ads.fkv("publish", "ads")
    ads.fkv("verify")


def test_build_and_publish_in_one_reads_the_build_once(store, work_dir):
    path = os.path.join(work_dir, "in.tsv")
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(f"{i}\tx{i}\n" for i in range(50)))
    args = ["build", "t", path, "--key", "u64", "--value", "bytes", "--publish", "--json"]
    found = {f["name"]: f for f in json.loads(store.fkv(*args).stdout)["published"][0]["validators"]}
    assert "when it was built" in found["read_back"]["sentence"] and found["rows_min"]["figure"] == 50
    assert store.fkv(*args, "--min-rows", "51", check=False).returncode == 3


def test_gc_removes_report_and_figures_with_the_version(ads):
    for _ in range(6):
        ads.publish("ads", ROWS)
    ads.fkv("keep", "ads", "1")
    ads.fkv("gc")
    assert not os.path.exists(os.path.join(ads.path, "tables/ads/v/1"))
    ads.build("ads", ROWS[:10], "--task", "refused")
    ads.fkv("publish", "ads", check=False)
    assert os.path.exists(os.path.join(ads.path, "tables/ads/staging/refused/validation.json"))
    ads.fkv("gc", "--staging-age", "0", "--sealed-age", "0")
    assert os.listdir(os.path.join(ads.path, "tables/ads/staging")) == []


def test_wrong_limits_are_told(ads):
    for args in (["--max-norm-drift", "2"], ["--max-norm-drift", "x"], ["--check", ""], ["--max-empty", "x"],
                 ["--check-timeout", "x"], ["--max-not-finite", "x%"]):
        done = ads.fkv("publish", "ads", *args, check=False)
        assert done.returncode == 2 and args[0] in done.stderr, done.stderr
