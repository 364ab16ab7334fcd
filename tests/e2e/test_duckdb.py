# SPDX-License-Identifier: Apache-2.0
"""Parquet files and SQL as inputs, read through a real DuckDB; the files are written by it too.

What a table holds must not depend on how its rows came: each test of values builds the same rows from TSV and compares the digests of the parts.
"""

import json
import os
import shutil
import signal
import struct
import subprocess
import time

import duckdbtest
import fkvtest
import pytest


@pytest.fixture(scope="module", autouse=True)
def library():
    """Every fkv of this module finds the library."""
    before = os.environ.get("FKV_DUCKDB")
    os.environ["FKV_DUCKDB"] = duckdbtest.library_path()
    yield os.environ["FKV_DUCKDB"]
    if before is None:
        del os.environ["FKV_DUCKDB"]
    else:
        os.environ["FKV_DUCKDB"] = before


@pytest.fixture
def parquet(work_dir):
    """parquet(name, query, options=""): the path of a file that holds the query's rows."""
    def write(name, query, options=""):
        path = os.path.join(work_dir, name)
        quoted = path.replace("'", "''")
        with duckdbtest.Duck() as duck:
            duck.run(f"COPY ({query}) TO '{quoted}' (FORMAT parquet{', ' + options if options else ''})")
        return path
    return write


def build(store, table, *args, check=True):
    return store.fkv("build", table, *args, "--json", check=check)


def digests(store, built):
    """What version.json says of a build's parts, digests first of all."""
    task = json.loads(built.stdout)
    path = os.path.join(store.path, "tables", task["table"], "staging", task["task"], "version.json")
    with open(path, encoding="utf-8") as file:
        parts = json.load(file)["parts"]
    assert all(part["xxh3_128"] for part in parts)
    return parts


def tsv(work_dir, rows):
    path = os.path.join(work_dir, "same.tsv")
    with open(path, "wb") as file:
        for row in rows:
            file.write(b"\t".join(v if isinstance(v, bytes) else str(v).encode() for v in row) + b"\n")
    return path


def refused(done, *words, status=2):
    assert done.returncode == status, f"{done.returncode}: {done.stderr}"
    for word in words:
        assert word in done.stderr, done.stderr
    assert done.stderr.count("\n") <= 2, done.stderr


# --- values ---


def test_parquet__the_same_rows_as_tsv_give_the_same_bytes(store, parquet, work_dir):
    n = 100_000
    path = parquet("v.parquet", f"SELECT i::UBIGINT AS id, [i / 8, i % 7 - 3, -0.5]::FLOAT[] AS v FROM range({n}) t(i)",
                   "ROW_GROUP_SIZE 10000")
    schema = ("--key", "u64", "--value", "f32[3]", "--shards", "3")
    same = tsv(work_dir, ((i, f"{i / 8},{i % 7 - 3},-0.5") for i in range(n)))
    by_text = build(store, "t", same, *schema)
    by_parquet = build(store, "t", path, *schema)
    assert json.loads(by_parquet.stdout)["rows"] == n
    assert digests(store, by_parquet) == digests(store, by_text)


@pytest.mark.parametrize("elem", ["f32", "f16", "bf16", "i8"])
@pytest.mark.parametrize("column", ["FLOAT[]", "DOUBLE[]", "FLOAT[4]", "DOUBLE[4]"])
def test_parquet__vectors_of_every_kind(store, parquet, work_dir, elem, column):
    path = parquet("v.parquet", f"SELECT i AS id, [i / 16, -i, 0.1, i % 3]::{column} AS v FROM range(3000) t(i)")
    schema = ("--key", "u64", "--value", f"{elem}[4]")
    same = tsv(work_dir, ((i, f"{i / 16} {-i} 0.1 {i % 3}") for i in range(3000)))
    assert digests(store, build(store, "t", path, *schema)) == digests(store, build(store, "t", same, *schema))


@pytest.mark.parametrize("kind", ["TINYINT", "UTINYINT", "SMALLINT", "USMALLINT", "INTEGER", "UINTEGER", "BIGINT", "UBIGINT"])
def test_parquet__integers_become_elements(store, parquet, work_dir, kind):
    path = parquet("v.parquet", f"SELECT i::{kind} AS id, [i, i + 1]::{kind}[] AS v, (i + 2)::{kind} AS one FROM range(100) t(i)")
    lists = build(store, "t", path, "--key", "u64", "--value", "f32[2]")
    assert digests(store, lists) == digests(
        store, build(store, "t", tsv(work_dir, ((i, f"{i},{i + 1}") for i in range(100))), "--key", "u64", "--value", "f32[2]"))
    scalars = build(store, "u", path, "--key", "u64", "--value", "f32[1]", "--value-column", "one")
    assert digests(store, scalars) == digests(
        store, build(store, "u", tsv(work_dir, ((i, i + 2) for i in range(100))), "--key", "u64", "--value", "f32[1]"))


def test_parquet__strings_and_blobs_of_all_lengths(store, parquet, work_dir):
    path = parquet("b.parquet", "SELECT 'key-' || repeat('k', i % 40) || i AS k, repeat(chr((65 + i % 26)::INTEGER), i % 30)::BLOB AS b, "
                                "repeat('é', i % 30) AS s FROM range(5000) t(i)")
    schema = ("--key", "bytes", "--value", "bytes")
    keys = [f"key-{'k' * (i % 40)}{i}" for i in range(5000)]
    blobs = tsv(work_dir, ((k, chr(65 + i % 26) * (i % 30)) for i, k in enumerate(keys)))
    assert digests(store, build(store, "t", path, *schema)) == digests(store, build(store, "t", blobs, *schema))
    texts = tsv(work_dir, ((k, "é" * (i % 30)) for i, k in enumerate(keys)))
    assert digests(store, build(store, "u", path, *schema, "--value-column", "s")) == digests(
        store, build(store, "u", texts, *schema))


def test_parquet__special_numbers_are_taken_and_beyond_f32_is_bad(store, parquet, work_dir):
    path = parquet("s.parquet", "SELECT 1 AS k, ['nan'::DOUBLE, 'inf', '-inf', 1e-45, 3.4028234e38] AS v")
    schema = ("--key", "u64", "--value", "f32[5]")
    same = tsv(work_dir, [(1, "nan inf -inf 1e-45 3.4028234e38")])
    assert digests(store, build(store, "t", path, *schema)) == digests(store, build(store, "t", same, *schema))
    path = parquet("x.parquet", "SELECT 7 AS k, [1.0::DOUBLE, 1e300] AS v")
    refused(build(store, "t", path, "--key", "u64", "--value", "f32[2]", check=False),
            f"{path}:1: element 2", "range of f32", "1e+300", status=5)
    path = parquet("y.parquet", "SELECT 7 AS k, [70000.0::FLOAT] AS v")
    refused(build(store, "t", path, "--key", "u64", "--value", "f16[1]", check=False), "too large to be stored as f16", status=5)


def test_parquet__a_file_without_rows_is_an_empty_table(store, parquet):
    path = parquet("e.parquet", "SELECT 1 AS k, 'x' AS v WHERE false")
    assert json.loads(build(store, "t", path, "--key", "u64", "--value", "bytes").stdout)["n_keys"] == 0


def test_parquet__names_are_files_not_patterns(store, parquet, work_dir):
    for i, name in enumerate(["a*.parquet", "a[1].parquet", "it's ?.parquet", "k=3/x.parquet", "a1.parquet"]):
        os.makedirs(os.path.dirname(os.path.join(work_dir, name)), exist_ok=True)
        plain = parquet("plain", f"SELECT {i} AS k, 'v{i}' AS v")
        os.rename(plain, os.path.join(work_dir, name))
        built = build(store, f"t{i}", os.path.join(work_dir, name), "--key", "u64", "--value", "bytes")
        assert json.loads(built.stdout)["rows"] == 1


def test_parquet__many_files_and_formats_in_one_build(store, parquet, work_dir):
    paths = [parquet(f"p{n}.parquet", f"SELECT i AS k, 'v' || i AS v FROM range({n * 1000}, {n * 1000 + 1000}) t(i)") for n in range(5)]
    paths.append(tsv(work_dir, ((i, f"v{i}") for i in range(5000, 6000))))
    same = os.path.join(work_dir, "all.tsv")
    with open(same, "w", encoding="utf-8") as file:
        file.writelines(f"{i}\tv{i}\n" for i in range(6000))
    schema = ("--key", "u64", "--value", "bytes")
    assert digests(store, build(store, "t", *paths, *schema, "--threads", "4")) == digests(store, build(store, "t", same, *schema))


@pytest.mark.slow
def test_parquet__a_large_file_is_read_in_pieces(store, parquet):
    # Longer than a piece of fkv build; the table must not show that it was cut, nor a place where.
    query = "SELECT i AS k, CASE WHEN i = 599999 THEN 'short' ELSE md5(i::VARCHAR) || md5((-i)::VARCHAR) END AS v FROM range(600000) t(i)"
    path = parquet("big.parquet", query, "COMPRESSION uncompressed, ROW_GROUP_SIZE 50000")
    assert os.path.getsize(path) > 33 << 20
    schema = ("--key", "u64", "--value", "bytes")
    whole = build(store, "t", path, *schema, "--threads", "1")
    assert json.loads(whole.stdout)["rows"] == 600000
    cut = build(store, "t", path, *schema, "--threads", "4", "--memory", "3G")
    assert json.loads(cut.stdout)["input_bytes"] == json.loads(whole.stdout)["input_bytes"]
    assert digests(store, cut) == digests(store, whole)
    refused(build(store, "t", path, "--key", "u64", "--value", "bytes[64]", "--threads", "4", "--memory", "3G", check=False),
            f"{path}:600000: value: expected exactly 64 bytes, found 5", status=5)


# --- keys ---


@pytest.mark.slow
def test_keys__of_every_type_that_holds_them(store):
    top = 2 ** 64 - 1
    for kind in ("UBIGINT", "HUGEINT", "UHUGEINT", "VARCHAR", "BLOB"):
        text = f"'{top}'" if kind in ("VARCHAR", "BLOB") else top
        built = build(store, "t", "--sql", f"SELECT {text}::{kind}, 'x'", "--key", "u64", "--value", "bytes")
        same = build(store, "t", "--sql", f"FROM (VALUES ('{top}', 'x'))", "--key", "u64", "--value", "bytes")
        assert digests(store, built) == digests(store, same), kind


@pytest.mark.parametrize("key, words", [
    ("(range - 3)::BIGINT", "found -3"),
    ("(range - 3)::HUGEINT", "found one below 0"),
    ("18446744073709551616::HUGEINT", "at most 18446744073709551615"),
    ("NULL::BIGINT", "found NULL"),
    ("'12x'", "decimal digits"),
])
def test_keys__that_are_none_are_bad_rows(store, key, words):
    done = build(store, "t", "--sql", f"SELECT {key}, 'x' FROM range(2)", "--key", "u64", "--value", "bytes", check=False)
    refused(done, "query:1: key: ", words, status=5)


def test_keys__numbers_are_not_bytes(store):
    refused(build(store, "t", "--sql", "SELECT 1, 'x'", "--key", "bytes", "--value", "bytes", check=False),
            "query:1: key: expected a string", "column of integers", status=5)
    refused(build(store, "t", "--sql", "SELECT 'k', 1.5::FLOAT", "--key", "bytes", "--value", "bytes", check=False),
            "query:1: value: expected a string", "column of numbers", status=5)


# --- bad rows and NULL ---


def test_rows__bad_ones_are_named_by_their_number(store, parquet):
    path = parquet("v.parquet", "SELECT i AS k, CASE i WHEN 4999 THEN [1.0, 2.0] WHEN 7000 THEN [1.0, NULL, 3.0] "
                                "WHEN 8000 THEN NULL ELSE [1.0, 2.0, 3.0] END::FLOAT[] AS v FROM range(9000) t(i)")
    schema = ("--key", "u64", "--value", "f32[3]")
    refused(build(store, "t", path, *schema, check=False), f"{path}:5000: expected a vector of 3 elements, found 2", status=5)
    done = build(store, "t", path, *schema, "--max-bad", "3")
    assert json.loads(done.stdout)["bad_rows"] == 3
    for words in (":5000: expected a vector of 3", ":7001: element 2 of the vector: expected a number, found NULL",
                  ":8001: value: expected one, found NULL"):
        assert words in done.stderr, done.stderr


def test_rows__null_deletes_in_a_delta(store, parquet):
    store.fkv("build", "t", "--sql", "SELECT i, 'v' || i FROM range(10) t(i)", "--key", "u64", "--value", "bytes", "--publish")
    path = parquet("d.parquet", "SELECT i AS k, CASE WHEN i % 2 = 0 THEN 'new' END AS v FROM range(4) t(i)")
    delta = json.loads(build(store, "t", path, "--delta").stdout)
    assert (delta["n_keys"], delta["n_tombstones"]) == (2, 2)
    keys_only = parquet("k.parquet", "SELECT i AS k FROM range(3) t(i)")
    delta = json.loads(build(store, "t", keys_only, "--delta").stdout)
    assert (delta["n_keys"], delta["n_tombstones"]) == (0, 3)
    refused(build(store, "t", keys_only, check=False), "found a key only", status=5)


# --- columns ---


def test_columns__by_name_or_number(store, parquet):
    path = parquet("c.parquet", "SELECT 'no' AS a, 5 AS id, 'yes' AS \"the \"\"value\"\"\"")
    schema = ("--key", "u64", "--value", "bytes[3]")
    by_name = build(store, "t", path, *schema, "--key-column", "id", "--value-column", 'the "value"')
    by_number = build(store, "t", path, *schema, "--key-column", "2", "--value-column", "3")
    assert digests(store, by_name) == digests(store, by_number)


def test_columns__unknown_ones_are_told_with_those_there_are(store, parquet):
    path = parquet("c.parquet", "SELECT 5 AS id, 'x' AS body")
    schema = ("--key", "u64", "--value", "bytes")
    refused(build(store, "t", path, *schema, "--key-column", "key", check=False), path, '"id", "body"', 'found "key"')
    refused(build(store, "t", path, *schema, "--value-column", "3", check=False), "from 1 to 2")
    refused(build(store, "t", path, *schema, "--value-column", "1", check=False), "same column")
    refused(build(store, "t", "--sql", "SELECT 1 AS k, DATE '2020-01-01' AS d", *schema, check=False), "DATE", "::VARCHAR")
    refused(build(store, "t", "--sql", "SELECT 1 AS k, [1.5] AS v", *schema, check=False), "DECIMAL[]", "::FLOAT[]")
    refused(build(store, "t", "--sql", "SELECT 1.5 AS k, 'x' AS v", *schema, check=False), "DECIMAL", "::UBIGINT")


# --- files in trouble ---


def test_parquet__damaged_files_are_refused(store, parquet, work_dir):
    good = parquet("g.parquet", "SELECT i AS k, repeat('x', 50) || i AS v FROM range(20000) t(i)")
    with open(good, "rb") as file:
        data = file.read()
    def bad(name, content):
        path = os.path.join(work_dir, name)
        with open(path, "wb") as file:
            file.write(content)
        return build(store, "t", path, "--key", "u64", "--value", "bytes", check=False)
    refused(bad("empty.parquet", b""), "found 0 bytes", status=5)
    refused(bad("text.parquet", b"1\tone\n" * 100), "begins with PAR1", status=5)
    refused(bad("cut.parquet", data[:-100]), "cut short", status=5)
    refused(bad("page.parquet", data[:2000] + b"\xff" * 30000 + data[32000:]), "page.parquet", status=5)
    (footer,) = struct.unpack("<I", data[-8:-4])
    refused(bad("footer.parquet", data[:-8 - footer] + b"\xff" * footer + data[-8:]), "footer.parquet", status=5)
    refused(bad("length.parquet", data[:-8] + b"\xff\xff\xff\x7f" + data[-4:]), "length.parquet", status=5)
    refused(bad("crypt.parquet", b"PARE" + data[4:-4] + b"PARE"), "encrypted", status=5)
    refused(build(store, "t", os.path.join(work_dir, "none.parquet"), "--key", "u64", "--value", "bytes", check=False),
            "No such file", status=1)
    done = subprocess.run(f"cat '{good}' | '{fkvtest.FKV}' build t - --format parquet --key u64 --value bytes", shell=True,
                          env=dict(os.environ, FKV_STORE=store.url), capture_output=True, text=True, check=False)
    refused(done, "found a pipe")


# --- SQL ---


def test_sql__joins_and_sorts_like_anywhere_else(store, parquet, work_dir):
    left = parquet("l.parquet", "SELECT i AS id, 'name-' || i AS name FROM range(3000) t(i)")
    parquet("r1.parquet", "SELECT i AS id, [i, 2 * i]::FLOAT[] AS v FROM range(1500) t(i)")
    parquet("r2.parquet", "SELECT i AS id, [i, 2 * i]::FLOAT[] AS v FROM range(1500, 3000) t(i)")
    query = f"SELECT name, v FROM '{left}' JOIN '{work_dir}/r*.parquet' USING (id) ORDER BY name DESC"
    built = build(store, "t", "--sql", query, "--key", "bytes", "--value", "f16[2]")
    same = tsv(work_dir, ((f"name-{i}", f"{i},{2 * i}") for i in range(3000)))
    assert digests(store, built) == digests(store, build(store, "t", same, "--key", "bytes", "--value", "f16[2]"))


def test_sql__rows_come_in_the_same_order_every_time(store):
    # Which of the rows of a key is the first, and what a float sum rounds to, shows the order.
    query = "SELECT (hash(i) % 1000)::INTEGER AS k, [sum(sqrt(i)), any_value(i)]::FLOAT[] AS v FROM range(200000) t(i) GROUP BY k, i % 3"
    schema = ("--key", "u64", "--value", "f32[2]", "--duplicates", "first")
    parts = [digests(store, build(store, "t", "--sql", query, *schema, "--threads", n)) for n in ("1", "4", "4")]
    assert parts[0] == parts[1] == parts[2]


@pytest.mark.parametrize("query, words", [
    ("COPY (SELECT 1) TO '{dir}/out.csv'", "found COPY"),
    ("CREATE TABLE t AS SELECT 1", "found CREATE"),
    ("INSERT INTO t VALUES (1)", "found INSERT"),
    ("ATTACH '{dir}/x.db'", "found ATTACH"),
    ("EXPORT DATABASE '{dir}/x'", "found EXPORT"),
    ("SET threads = 4", "found SET"),
    ("PRAGMA enable_profiling", "found PRAGMA"),
    ("IMPORT DATABASE '{dir}'", "found IMPORT"),
    ("INSTALL httpfs", "found INSTALL"),
    ("CALL pragma_version()", "found CALL"),
    ("EXPLAIN SELECT 1", "found EXPLAIN"),
    ("SELECT 1, 'x'; COPY (SELECT 1) TO '{dir}/out.csv'", "found 2 statements"),
    ("WITH a AS (SELECT 1) INSERT INTO t FROM a", "Table with name t does not exist"),
    ("", "found nothing"),
    ("-- a remark only", "found nothing"),
    ("SELEC 1", "found SELEC"),
    ("  /* a */ -- b\n ((DROP TABLE t", "found DROP"),
    ("SELECT 1, FROM WHERE", "syntax error"),
    ("SELECT nosuch FROM range(3)", "nosuch"),
    ("SELECT $1, 'x'", "parameters"),
    ("SELECT k, v FROM 'https://localhost/x.parquet'", "needs an extension"),
    ("SELECT 1, 'x' FROM enable_logging(storage = 'file', storage_path = '{dir}/x')", "the function ENABLE_LOGGING"),
    ("WITH a AS MATERIALIZED (FROM enable_logging()) SELECT 1, 'x' FROM range(2) WHERE (SELECT count(*) FROM a) = 0", "the function ENABLE_LOGGING"),
    ("FROM query('FROM enable_pro' || 'filing(format = ''json'', save_location = ''{dir}/x.json'')')", "the function ENABLE_PROFILING"),
    ("FROM json_execute_serialized_sql(json_serialize_sql('FROM enable_logging()'))", "the function JSON_EXECUTE_SERIALIZED_SQL"),
    ("FROM checkpoint() SELECT 1, 'x'", "the function CHECKPOINT"),
])
def test_sql__only_one_query_that_reads(store, work_dir, query, words):
    done = build(store, "t", "--sql", query.replace("{dir}", work_dir), "--key", "u64", "--value", "bytes", check=False)
    refused(done, words)
    assert not os.path.exists(f"{work_dir}/out.csv") and not os.path.exists(f"{work_dir}/x.db") and not os.path.exists(f"{work_dir}/x")


@pytest.mark.parametrize("query", [
    "SELECT 1 AS \"name\", '\"name\": \"ENABLE_LOGGING\"'",
    "SELECT 1 AS checkpoint, 'x' AS enable_logging",
    "((SELECT 1, 'x')) -- a remark",
    "/* a */ VALUES (1, 'x');",
])
def test_sql__words_that_only_look_like_functions_are_read(store, query):
    build(store, "t", "--sql", query, "--key", "u64", "--value", "bytes")


def test_sql__what_fails_halfway_fails_the_build(store):
    query = "SELECT range, CASE WHEN range = 70000 THEN error('found it') ELSE 'x' END FROM range(100000)"
    refused(build(store, "t", "--sql", query, "--key", "u64", "--value", "bytes", check=False), "query", "found it")


def test_parquet__a_task_cuts_a_file_between_groups(store, parquet):
    path = parquet("big.parquet", "SELECT range AS k, 'value ' || hash(range) AS v FROM range(50000)", "ROW_GROUP_SIZE 4096")
    shape = ("--key-column", "k", "--value-column", "v", "--key", "u64", "--value", "bytes", "--shards", "3")
    task = json.loads(store.fkv("submit", "t", path, *shape, "--piece", "100K", "--task", "p", "--wait", "--json").stdout)
    assert task["state"] == "sealed" and task["pieces"] > 3 and task["rows"] == 50000
    built = build(store, "t", path, *shape, "--task", "b")
    assert digests(store, built) == digests(store, store.fkv("task", "show", "p", "--json"))


def test_sql__a_task_mapped_again_keeps_no_shard_of_other_rows(store, work_dir):
    path = os.path.join(work_dir, "rows.csv")
    query = f"SELECT column0, column1 FROM read_csv('{path}')"
    shape = ("--key", "u64", "--value", "bytes", "--shards", "4")

    def write(version):
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{key},{version}-{key}\n" for key in range(1000, 2000))

    write(1)
    store.fkv("submit", "t", "--sql", query, *shape, "--reduce-tasks", "4", "--engine", "none", "--task", "q")
    for stage in (["plan"], ["map", "--index", "0"], ["reduce", "--index", "0"]):
        store.fkv("stage", "q", *stage)
    write(2)
    store.fkv("task", "retry", "q", "--remap")
    store.fkv("stage", "q", "all")
    built = build(store, "t", "--sql", query, *shape, "--task", "b")
    assert digests(store, built) == digests(store, store.fkv("task", "show", "q", "--json"))


@pytest.mark.parametrize("command", ["build", "submit"])
def test_parquet__long_vectors_fit_a_little_memory(store, parquet, command):
    """2,048 of them at a time, more than once, are beyond DuckDB's share; a task's threads do not cut it smaller."""
    path = parquet("long.parquet", "SELECT i AS k, list_transform(range(1536), d -> (i + d)::FLOAT) AS v FROM range(5000) t(i)",
                   "ROW_GROUP_SIZE 2048")
    store.fkv(command, "t", path, "--key", "u64", "--value", "f32[1536]", "--memory", "128M", "--threads", "8",
              *(["--wait"] if command == "submit" else []))


def test_sql__its_words_are_checked(store, parquet):
    path = parquet("p.parquet", "SELECT 1 AS k, 'x' AS v")
    refused(build(store, "t", path, "--sql", "SELECT 1", check=False), "--sql")
    refused(build(store, "t", "--sql", "SELECT 1", "--header", check=False), "--header")
    refused(build(store, "t", check=False), "--sql")


@pytest.mark.slow
def test_sql__spills_within_its_memory_and_leaves_nothing(store, work_dir):
    scratch = os.path.join(work_dir, "scratch")
    os.mkdir(scratch)
    query = "SELECT i, repeat('v', 20) || i FROM range(2000000) t(i) ORDER BY hash(i)"
    done = build(store, "t", "--sql", query, "--key", "u64", "--value", "bytes", "--memory", "64M", "--scratch", scratch)
    assert json.loads(done.stdout)["rows"] == 2000000
    assert os.listdir(scratch) == []


def test_sql__an_interrupt_ends_a_long_query(store, work_dir):
    scratch = os.path.join(work_dir, "scratch")
    os.mkdir(scratch)
    query = "SELECT count(*), 'x' FROM range(10000000000) a, range(1000) b WHERE hash(a.range + b.range) = 5"
    process = subprocess.Popen([fkvtest.FKV, "build", "t", "--sql", query, "--key", "u64", "--value", "bytes", "--scratch", scratch],
                               env=dict(os.environ, FKV_STORE=store.url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        fkvtest.wait_until(lambda: os.listdir(scratch), "DuckDB is at work")
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=fkvtest.PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode not in (0, -signal.SIGKILL), errors
    assert "cancelled" in errors or "interrupted" in errors, errors
    assert os.listdir(scratch) == []


# --- the library ---


def without(path, **more):
    """The environment with FKV_DUCKDB set to path."""
    return dict(os.environ, FKV_DUCKDB=path, **more)


@pytest.mark.parametrize("content, words, status", [
    (None, "names a file that is not there", 1),
    (b"not a library", "does not load", 6),
    (b"", "does not load", 6),
])
def test_library__a_wrong_one_is_told(store, work_dir, content, words, status):
    path = os.path.join(work_dir, "libduckdb.so")
    if content is not None:
        with open(path, "wb") as file:
            file.write(content)
    done = subprocess.run([fkvtest.FKV, "build", "t", "--sql", "SELECT 1, 'x'", "--key", "u64", "--value", "bytes"],
                          env=without(path, FKV_STORE=store.url), capture_output=True, text=True, check=False)
    refused(done, words, path, status=status)
    if content is None:
        assert "npm package" in done.stderr and "libduckdb-linux-amd64.zip" in done.stderr


def test_library__one_of_another_machine_or_another_name_is_told(store, work_dir, library):
    other = os.path.join(work_dir, "libduckdb.so")
    with open(library, "rb") as file:
        head = bytearray(file.read(64 << 10))
    machine = 183 if os.uname().machine != "aarch64" else 62
    head[18:20] = machine.to_bytes(2, "little")
    with open(other, "wb") as file:
        file.write(head)
    args = [fkvtest.FKV, "build", "t", "--sql", "SELECT 1, 'x'", "--key", "u64", "--value", "bytes"]
    done = subprocess.run(args, env=without(other, FKV_STORE=store.url), capture_output=True, text=True, check=False)
    refused(done, "another kind of processor", status=6)
    done = subprocess.run(args, env=without("libz.so.1", FKV_STORE=store.url), capture_output=True, text=True, check=False)
    refused(done, "without the function duckdb_", status=6)


def test_library__is_found_where_the_loader_looks(store, work_dir, library):
    shutil.copy(library, os.path.join(work_dir, "libduckdb.so"))
    args = [fkvtest.FKV, "build", "t", "--sql", "SELECT 1, 'x'", "--key", "u64", "--value", "bytes"]
    env = without("", FKV_STORE=store.url, LD_LIBRARY_PATH=work_dir)
    assert subprocess.run(args, env=env, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("inputs", [["--sql", "SELECT 1, 'x'"], ["rows.parquet"]])
def test_library__a_task_without_it_is_refused_before_any_work(store, parquet, inputs):
    path = parquet("rows.parquet", "SELECT 1 AS k, 'x' AS v")
    args = ["submit", "t", *(path if word == "rows.parquet" else word for word in inputs), "--key", "u64", "--value", "bytes"]

    def fkv(*words):
        return subprocess.run([fkvtest.FKV, *words], env=without("/nonexistent", FKV_STORE=store.url), capture_output=True, text=True,
                              check=False)

    refused(fkv(*args), "names a file that is not there", "npm package", status=1)
    assert json.loads(store.fkv("task", "ls", "--json").stdout)["tasks"] == []
    done = fkv(*args, "--engine", "none", "--task", "elsewhere")
    assert done.returncode == 0 and "warning" in done.stderr and "npm package" in done.stderr, done.stderr
    refused(fkv("stage", "elsewhere", "plan"), "npm package", status=1)
    store.fkv("task", "retry", "elsewhere")
    store.fkv("stage", "elsewhere", "all")


def test_library__who_reads_no_parquet_needs_none(store):
    done = subprocess.run([fkvtest.FKV, "build", "t", "/dev/stdin", "--format", "tsv", "--key", "u64", "--value", "bytes"],
                          input="1\tone\n", env=without("/nonexistent", FKV_STORE=store.url), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
