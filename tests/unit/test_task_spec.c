/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "builder/spelling.h"
#include "builder/task_spec_json.h"
#include "failing_malloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every member there is, in canonical order and form. */
static const char whole[] = "{\n"
                            "  \"table\": \"ads\",\n"
                            "  \"task\": \"hourly-7\",\n"
                            "  \"inputs\": [\n"
                            "    \"/in/a.tsv\",\n"
                            "    \"/in/b \\\"ü\\\".tsv\"\n"
                            "  ],\n"
                            "  \"format\": \"tsv\",\n"
                            "  \"header\": true,\n"
                            "  \"key_column\": \"id\",\n"
                            "  \"value_column\": \"vec\",\n"
                            "  \"schema\": {\n"
                            "    \"kind\": \"blk\",\n"
                            "    \"key\": \"bytes\",\n"
                            "    \"value\": \"f16[100]\",\n"
                            "    \"shards\": 8,\n"
                            "    \"hash_seed\": \"fedcba9876543210\",\n"
                            "    \"owner\": \"ads\",\n"
                            "    \"group\": \"rank\",\n"
                            "    \"mode\": \"0440\"\n"
                            "  },\n"
                            "  \"delta\": true,\n"
                            "  \"base\": 41,\n"
                            "  \"diff_base\": true,\n"
                            "  \"min_distance\": 0.125,\n"
                            "  \"duplicates\": \"last\",\n"
                            "  \"max_bad\": 10,\n"
                            "  \"compress\": \"zstd:9\",\n"
                            "  \"filter\": false,\n"
                            "  \"block_pages\": 4,\n"
                            "  \"memory\": 1073741824,\n"
                            "  \"threads\": 6,\n"
                            "  \"scratch\": \"/ssd\",\n"
                            "  \"author\": \"ann@host\",\n"
                            "  \"piece\": 536870912,\n"
                            "  \"reduce_tasks\": 4,\n"
                            "  \"engine\": \"slurm\",\n"
                            "  \"slurm\": {\n"
                            "    \"partition\": \"batch\",\n"
                            "    \"account\": \"ranking\",\n"
                            "    \"qos\": \"high\",\n"
                            "    \"time\": \"1:00:00\",\n"
                            "    \"cpus\": 4,\n"
                            "    \"at_once\": 20,\n"
                            "    \"options\": [\n"
                            "      \"--exclusive\",\n"
                            "      \"--nice=5\"\n"
                            "    ],\n"
                            "    \"fkv\": \"/opt/fkv/bin/fkv\"\n"
                            "  },\n"
                            "  \"then\": \"activate\",\n"
                            "  \"quorum\": 3,\n"
                            "  \"timeout\": \"1500000000ns\",\n"
                            "  \"reason\": \"hourly\",\n"
                            "  \"checkpoint\": {\n"
                            "    \"levels\": 24,\n"
                            "    \"share\": 0.5\n"
                            "  },\n"
                            "  \"validators\": {\n"
                            "    \"rows_min\": {\n"
                            "      \"min\": 1000\n"
                            "    },\n"
                            "    \"rows_change\": {\n"
                            "      \"max_pct\": 12.5\n"
                            "    },\n"
                            "    \"not_finite\": {\n"
                            "      \"max\": 2\n"
                            "    },\n"
                            "    \"schema_change\": {\n"
                            "      \"allow\": true\n"
                            "    }\n"
                            "  }\n"
                            "}\n";

static int decode(const char *text, struct task_document *out, struct err *err)
{
    return task_spec_decode(text, strlen(text), "job.toml", out, err);
}

static void decode_well(const char *text, struct task_document *out)
{
    struct err err = {0};
    int ret = decode(text, out, &err);
    if (ret)
        fail_msg("%s: %d %s", text, ret, err.text);
}

static void assert_encodes(const struct task_spec *spec, const char *expected)
{
    struct buf text = {0};
    struct err err = {0};
    int ret = task_spec_encode(spec, &text, &err);
    if (ret)
        fail_msg("%d %s", ret, err.text);
    assert_int_equal(buf_add_byte(&text, 0), 0);
    assert_string_equal((const char *)text.data, expected);
    buf_release(&text);
}

static void task_spec__reads_every_member_of_a_job(void **state)
{
    struct task_document document = {0};
    decode_well(whole, &document);
    const struct job *job = &document.spec.job;
    assert_string_equal(job->table, "ads");
    assert_string_equal(job->task, "hourly-7");
    assert_int_equal(job->n_inputs, 2);
    assert_string_equal(job->inputs[1], "/in/b \"ü\".tsv");
    assert_int_equal(job->format, INPUT_TSV);
    assert_true(job->header);
    assert_string_equal(job->key_column, "id");
    assert_string_equal(job->value_column, "vec");
    assert_int_equal(job->schema.kind, KIND_BLK);
    assert_int_equal(job->schema.key_type, KEY_BYTES);
    assert_int_equal(job->schema.elem, ELEM_F16);
    assert_int_equal(job->schema.dim, 100);
    assert_int_equal(job->schema.n_shards, 8);
    assert_true(job->schema.hash_seed == 0xfedcba9876543210);
    assert_string_equal(job->schema.owner, "ads");
    assert_string_equal(job->schema.group, "rank");
    assert_int_equal(job->schema.mode, 0440);
    assert_true(job->given.kind && job->given.key && job->given.value && job->given.shards &&
                job->given.seed && job->given.owner && job->given.group && job->given.mode);
    assert_true(job->is_delta && job->diff_base && !job->tombstones_file_mode);
    assert_int_equal(job->base, 41);
    assert_true(job->min_distance == 0.125);
    assert_int_equal(job->duplicates, DUPLICATE_LAST);
    assert_int_equal(job->max_bad, 10);
    assert_int_equal(job->compress, COMPRESS_ZSTD);
    assert_int_equal(job->compress_level, 9);
    assert_true(job->no_filter);
    assert_int_equal(job->block_pages, 4);
    assert_int_equal(job->memory, 1 << 30);
    assert_int_equal(job->n_threads, 6);
    assert_string_equal(job->scratch, "/ssd");
    assert_string_equal(job->author, "ann@host");
    task_document_release(&document);
}

static void task_spec__reads_every_member_of_a_task(void **state)
{
    struct task_document document = {0};
    decode_well(whole, &document);
    const struct task_spec *spec = &document.spec;
    assert_int_equal(spec->piece_len, 512 << 20);
    assert_int_equal(spec->n_reduce, 4);
    assert_int_equal(spec->engine, TASK_SLURM);
    assert_string_equal(spec->slurm.partition, "batch");
    assert_string_equal(spec->slurm.account, "ranking");
    assert_string_equal(spec->slurm.qos, "high");
    assert_string_equal(spec->slurm.time_limit, "1:00:00");
    assert_int_equal(spec->slurm.cpus, 4);
    assert_int_equal(spec->slurm.n_at_once, 20);
    assert_int_equal(spec->slurm.n_extra, 2);
    assert_string_equal(spec->slurm.extra[1], "--nice=5");
    assert_string_equal(spec->slurm.fkv, "/opt/fkv/bin/fkv");
    assert_int_equal(spec->then, TASK_ACTIVATE);
    assert_int_equal(spec->quorum, 3);
    assert_int_equal(spec->timeout_ns, 1500000000);
    assert_string_equal(spec->reason, "hourly");
    assert_int_equal(spec->checkpoint.levels, 24);
    assert_true(spec->checkpoint.share == 0.5);
    task_document_release(&document);
}

static void task_spec__comes_back_byte_by_byte(void **state)
{
    struct task_document document = {0};
    decode_well(whole, &document);
    assert_encodes(&document.spec, whole);
    task_document_release(&document);
}

/* An empty document: the defaults, nothing given. */
static const char least[] = "{\n"
                            "  \"format\": \"auto\",\n"
                            "  \"duplicates\": \"error\",\n"
                            "  \"memory\": 2147483648,\n"
                            "  \"engine\": \"local\",\n"
                            "  \"then\": \"stop\",\n"
                            "  \"timeout\": 600,\n"
                            "  \"validators\": {\n"
                            "    \"rows_min\": {\n"
                            "      \"min\": 1\n"
                            "    },\n"
                            "    \"rows_change\": {\n"
                            "      \"max_pct\": 20.0\n"
                            "    }\n"
                            "  }\n"
                            "}\n";

static void task_spec__an_empty_document_has_the_defaults(void **state)
{
    struct task_document document = {0};
    decode_well("{}", &document);
    const struct task_spec *spec = &document.spec;
    static const struct schema_given nothing = {0};
    assert_memory_equal(&spec->job.given, &nothing, sizeof nothing);
    assert_null(spec->job.table);
    assert_null(spec->job.inputs);
    assert_int_equal(spec->job.schema.kind, KIND_MEM);
    assert_int_equal(spec->job.schema.mode, 0444);
    assert_int_equal(spec->job.schema.n_shards, 0);
    assert_int_equal(spec->job.memory, JOB_MEMORY_DEFAULT);
    assert_int_equal(spec->slurm.cpus, 1);
    assert_int_equal(spec->timeout_ns, 600000000000);
    assert_string_equal(spec->reason, "");
    assert_int_equal(spec->limits.min_rows, 1);
    assert_encodes(spec, least);
    task_document_release(&document);
    decode_well(least, &document);
    assert_encodes(&document.spec, least);
    task_document_release(&document);
}

/* What may be said in several ways is written in one. */
static void task_spec__writes_one_form_of_each_value(void **state)
{
    static const struct {
        const char *said;
        const char *written;
    } cases[] = {
        {"{\"memory\": \"2G\"}", "\"memory\": 2147483648,"},
        {"{\"memory\": \"64M\"}", "\"memory\": 67108864,"},
        {"{\"piece\": \"1.5K\"}", "\"piece\": 1536,"},
        {"{\"timeout\": \"10m\"}", "\"timeout\": 600,"},
        {"{\"timeout\": 30}", "\"timeout\": 30,"},
        {"{\"timeout\": 0}", "\"timeout\": 0,"},
        {"{\"timeout\": \"250ms\"}", "\"timeout\": \"250000000ns\","},
        {"{\"min_distance\": 2}", "\"min_distance\": 2.0,"},
        {"{\"min_distance\": 0.1}", "\"min_distance\": 0.10000000000000001,"},
        {"{\"schema\": {\"hash_seed\": \"Ab\"}}", "\"hash_seed\": \"00000000000000ab\""},
        {"{\"compress\": \"zstd\"}", "\"compress\": \"zstd\","},
        {"{\"compress\": \"none\"}", "\"compress\": \"none\","},
        {"{\"compress\": \"zstd:19\"}", "\"compress\": \"zstd:19\","},
        {"{\"sql\": \"select 1,\\n 2\"}", "\"sql\": \"select 1,\\n 2\","},
        {"{\"schema\": {\"kind\": \"mem\"}}", "\"kind\": \"mem\""},
        {"{\"schema\": {\"kind\": \"idx\"}}", "\"kind\": \"idx\""},
        {"{\"schema\": {\"key\": \"u64\"}}", "\"key\": \"u64\""},
        {"{\"schema\": {\"value\": \"bytes[8]\"}}", "\"value\": \"bytes[8]\""},
        {"{\"schema\": {\"value\": \"bytes\"}}", "\"value\": \"bytes\""},
        {"{\"format\": \"parquet\"}", "\"format\": \"parquet\","},
        {"{\"format\": \"record\"}", "\"format\": \"record\","},
        {"{\"then\": \"publish\"}", "\"then\": \"publish\","},
        {"{\"base\": 9223372036854775807}", "\"base\": 9223372036854775807,"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct task_document document = {0};
        struct task_document again = {0};
        struct buf text = {0};
        decode_well(cases[i].said, &document);
        assert_int_equal(task_spec_encode(&document.spec, &text, NULL), 0);
        assert_int_equal(buf_add_byte(&text, 0), 0);
        if (!strstr((const char *)text.data, cases[i].written))
            fail_msg("%s: %s", cases[i].said, (const char *)text.data);
        decode_well((const char *)text.data, &again);
        assert_encodes(&again.spec, (const char *)text.data);
        task_document_release(&document);
        task_document_release(&again);
        buf_release(&text);
    }
}

static void task_spec__leaves_out_what_is_zero(void **state)
{
    struct task_document document = {0};
    decode_well(
        "{\"delta\": false, \"header\": false, \"filter\": true, \"max_bad\": 0, \"quorum\": 0, "
        "\"compress\": \"auto\", \"min_distance\": -0.0, \"slurm\": {\"cpus\": 1}, "
        "\"checkpoint\": {\"levels\": 0, \"share\": 0}, \"schema\": {}, \"inputs\": []}",
        &document);
    assert_encodes(&document.spec, least);
    task_document_release(&document);
}

static void task_spec__rows_without_a_value_delete_in_a_delta_only(void **state)
{
    struct task_document document = {0};
    decode_well("{\"delta\": true}", &document);
    assert_true(document.spec.job.tombstones_file_mode);
    task_document_release(&document);
    decode_well("{}", &document);
    assert_false(document.spec.job.tombstones_file_mode);
    task_document_release(&document);
    decode_well("{\"diff_base\": true}", &document);
    assert_true(document.spec.job.is_delta && !document.spec.job.tombstones_file_mode);
    task_document_release(&document);
}

static void task_spec__a_query_is_the_only_input(void **state)
{
    struct task_document document = {0};
    decode_well("{\"sql\": \"from 'a.parquet'\"}", &document);
    assert_int_equal(document.spec.job.format, INPUT_SQL);
    assert_int_equal(document.spec.job.n_inputs, 1);
    assert_string_equal(document.spec.job.inputs[0], "from 'a.parquet'");
    task_document_release(&document);
}

struct refusal {
    const char *text;
    const char *says; /* after "job.toml: " */
};

static void refuses(const struct refusal *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct task_document document = {0};
        struct err err = {0};
        char says[1024];
        int ret = decode(cases[i].text, &document, &err);
        snprintf(says, sizeof says, "job.toml: %s", cases[i].says);
        if (ret != -EBADMSG || strncmp(err.text, says, strlen(says)) != 0)
            fail_msg("%s\n  expected %s\n  found %d %s", cases[i].text, says, ret, err.text);
        assert_null(document.json);
        assert_null(document.inputs);
    }
}

static void task_spec__refuses_unknown_members_and_names_the_nearest(void **state)
{
    static const struct refusal cases[] = {
        {"{\"tabel\": \"x\"}", "tabel: no such member; did you mean table?"},
        {"{\"input\": []}", "input: no such member; did you mean inputs?"},
        {"{\"keycolumn\": 1}", "keycolumn: no such member; did you mean key_column?"},
        {"{\"kind\": \"mem\"}", "kind: no such member; did you mean schema.kind?"},
        {"{\"partition\": \"x\"}", "partition: no such member; did you mean slurm.partition?"},
        {"{\"schema\": {\"shard\": 1}}",
         "schema.shard: no such member; did you mean schema.shards?"},
        {"{\"slurm\": {\"then\": \"stop\"}}", "slurm.then: no such member; did you mean then, "
                                              "which stands before the first section?"},
        {"{\"checkpoint\": {\"level\": 1}}",
         "checkpoint.level: no such member; did you mean checkpoint.levels?"},
        {"{\"checkpoint\": {\"wibble\": 1}}",
         "checkpoint.wibble: no such member; expected one of levels, share"},
        {"{\"x\\ny\": 1}", "x?y: no such member; expected one of table, task, inputs, "},
        {"{\"\": 1}", ": no such member; expected one of table, "},
        {"{\"validators\": {\"rows\": 1}}", "validators: "},
        {"{\"validators\": {\"rows_min\": {\"max\": 1}}}", "validators: "},
    };
    refuses(cases, sizeof cases / sizeof *cases);
}

static void task_spec__refuses_wrong_types_and_ranges_by_name(void **state)
{
    static const struct refusal cases[] = {
        {"[]", "expected a JSON object"},
        {"{\"table\": 7}", "table: expected a text of 1 to 255 bytes, found 7"},
        {"{\"table\": \"\"}", "table: expected a text of 1 to 255 bytes, found \"\""},
        {"{\"table\": null}", "table: expected a text of 1 to 255 bytes, found null"},
        {"{\"table\": \"a\\u0007b\"}",
         "table: expected one line without control characters, found \"a?b\""},
        {"{\"table\": \"a\\u009b2Jb\"}",
         "table: expected one line without control characters, found \"a?2Jb\""},
        {"{\"task\": [1]}", "task: expected a text of 1 to 255 bytes, found a list"},
        {"{\"inputs\": \"a\"}", "inputs: expected a list of at most 1048576 texts, found \"a\""},
        {"{\"inputs\": [\"a\", 3]}", "inputs[1]: expected a text of 1 to 4095 bytes, found 3"},
        {"{\"inputs\": [\"\"]}", "inputs[0]: expected a text"},
        {"{\"format\": \"xml\"}", "format: expected \"auto\", \"tsv\", \"csv\", \"jsonl\", "
                                  "\"record\" or \"parquet\", found \"xml\""},
        {"{\"format\": \"sql\"}", "format: expected \"auto\""},
        {"{\"sql\": \"x\", \"inputs\": [\"a\"]}",
         "sql: expected no sql beside inputs, found \"x\""},
        {"{\"sql\": \"x\", \"format\": \"tsv\"}", "format: expected no format beside sql"},
        {"{\"sql\": 1}", "sql: expected a text"},
        {"{\"header\": 1}", "header: expected true or false, found 1"},
        {"{\"key_column\": 2}", "key_column: expected a text of 1 to 255 bytes, found 2"},
        {"{\"schema\": \"u64\"}", "schema: expected a section, found \"u64\""},
        {"{\"schema\": {\"kind\": \"lsm\"}}",
         "schema.kind: expected \"mem\", \"blk\" or \"idx\", found \"lsm\""},
        {"{\"schema\": {\"key\": \"u32\"}}",
         "schema.key: expected \"u64\" or \"bytes\", found \"u32\""},
        {"{\"schema\": {\"value\": \"f64[3]\"}}", "schema.value: expected \"bytes\", "},
        {"{\"schema\": {\"value\": 8}}", "schema.value: expected \"bytes\", "},
        {"{\"schema\": {\"shards\": 0}}",
         "schema.shards: expected a whole number from 1 to 4096, found 0"},
        {"{\"schema\": {\"shards\": 4097}}", "schema.shards: expected"},
        {"{\"schema\": {\"shards\": 1.0}}", "schema.shards: expected"},
        {"{\"schema\": {\"hash_seed\": 1}}", "schema.hash_seed: expected a text of 1 to 16"},
        {"{\"schema\": {\"hash_seed\": \"0x1\"}}", "schema.hash_seed: expected"},
        {"{\"schema\": {\"hash_seed\": \"00000000000000000\"}}", "schema.hash_seed: expected"},
        {"{\"schema\": {\"owner\": \"\"}}", "schema.owner: expected a text of 1 to 63 bytes"},
        {"{\"schema\": {\"group\": 100}}", "schema.group: expected a text of 1 to 63 bytes"},
        {"{\"schema\": {\"mode\": \"444\"}}", "schema.mode: expected permissions"},
        {"{\"schema\": {\"mode\": 444}}", "schema.mode: expected permissions"},
        {"{\"schema\": {\"mode\": \"0844\"}}", "schema.mode: expected permissions"},
        {"{\"delta\": \"yes\"}", "delta: expected true or false, found \"yes\""},
        {"{\"base\": 0}", "base: expected a whole number from 1 to 9223372036854775807, found 0"},
        {"{\"base\": \"current\"}", "base: expected a whole number"},
        {"{\"diff_base\": 1}", "diff_base: expected true or false"},
        {"{\"min_distance\": -0.5}", "min_distance: expected a number, not negative, found -0.5"},
        {"{\"min_distance\": \"1\"}", "min_distance: expected a number"},
        {"{\"duplicates\": \"any\"}", "duplicates: expected \"error\", \"first\" or \"last\""},
        {"{\"max_bad\": -1}", "max_bad: expected a whole number from 0 to"},
        {"{\"compress\": \"lz4\"}",
         "compress: expected \"auto\", \"none\" or \"zstd\", found \"lz4\""},
        {"{\"compress\": \"zstd:0\"}",
         "compress: expected \"zstd:1\" to \"zstd:19\", found \"zstd:0\""},
        {"{\"compress\": \"zstd:20\"}", "compress: expected \"zstd:1\""},
        {"{\"compress\": \"zstd:9x\"}", "compress: expected \"zstd:1\""},
        {"{\"compress\": \"zstd:\"}", "compress: expected \"auto\""},
        {"{\"compress\": true}", "compress: expected \"auto\""},
        {"{\"filter\": \"no\"}", "filter: expected true or false"},
        {"{\"block_pages\": 17}", "block_pages: expected a whole number from 1 to 16, found 17"},
        {"{\"memory\": \"1M\"}",
         "memory: expected 67108864 to 9223372036854775807 bytes, found \"1M\""},
        {"{\"memory\": \"much\"}",
         "memory: expected bytes, as a number or like \"512M\" or \"2G\""},
        {"{\"memory\": 1.5}", "memory: expected bytes"},
        {"{\"memory\": -1}", "memory: expected bytes"},
        {"{\"threads\": 1025}", "threads: expected a whole number from 1 to 1024, found 1025"},
        {"{\"scratch\": false}", "scratch: expected a text of 1 to 4095 bytes, found false"},
        {"{\"author\": {}}", "author: expected a text of 1 to 1024 bytes, found a section"},
        {"{\"piece\": 0}", "piece: expected 1 to 9223372036854775807 bytes, found 0"},
        {"{\"reduce_tasks\": 4097}", "reduce_tasks: expected a whole number from 1 to 4096"},
        {"{\"engine\": \"k8s\"}",
         "engine: expected \"local\", \"slurm\" or \"none\", found \"k8s\""},
        {"{\"slurm\": []}", "slurm: expected a section, found a list"},
        {"{\"slurm\": {\"time\": 60}}", "slurm.time: expected a text of 1 to 255 bytes, found 60"},
        {"{\"slurm\": {\"cpus\": 0}}",
         "slurm.cpus: expected a whole number from 1 to 1024, found 0"},
        {"{\"slurm\": {\"at_once\": 0}}",
         "slurm.at_once: expected a whole number from 1 to 4294967295"},
        {"{\"slurm\": {\"options\": \"-x\"}}",
         "slurm.options: expected a list of at most 256 texts"},
        {"{\"slurm\": {\"options\": [true]}}", "slurm.options[0]: expected a text"},
        {"{\"slurm\": {\"fkv\": 1}}", "slurm.fkv: expected a text"},
        {"{\"slurm\": {\"partition\": 1}}", "slurm.partition: expected a text"},
        {"{\"slurm\": {\"account\": 1}}", "slurm.account: expected a text"},
        {"{\"slurm\": {\"qos\": 1}}", "slurm.qos: expected a text"},
        {"{\"then\": \"rest\"}",
         "then: expected \"stop\", \"publish\" or \"activate\", found \"rest\""},
        {"{\"quorum\": 4294967296}", "quorum: expected a whole number from 0 to 4294967295"},
        {"{\"timeout\": \"soon\"}", "timeout: expected seconds, or a time like"},
        {"{\"timeout\": -1}", "timeout: expected seconds"},
        {"{\"timeout\": 9223372037}", "timeout: expected seconds"},
        {"{\"reason\": \"a\\nb\"}", "reason: expected one line"},
        {"{\"checkpoint\": {\"levels\": 1}}", "checkpoint.levels: expected 2 to 64 levels, or 0"},
        {"{\"checkpoint\": {\"levels\": 65}}", "checkpoint.levels: expected 2 to 64"},
        {"{\"checkpoint\": {\"share\": -1}}", "checkpoint.share: expected a number"},
        {"{\"checkpoint\": 24}", "checkpoint: expected a section, found 24"},
        {"{\"validators\": 1}", "validators: expected a section, found 1"},
        {"{\"table\": \"a\", \"table\": \"b\"}", "expected a JSON object, found a fault at line 1"},
        {"{\"table\": \"\\u0000\"}", "expected a JSON object, found a fault"},
        {"{} x", "expected a JSON object, found a fault"},
    };
    refuses(cases, sizeof cases / sizeof *cases);
}

static void task_spec__long_words_are_cut_in_errors(void **state)
{
    char text[400];
    struct task_document document = {0};
    struct err err = {0};
    memset(text, 0, sizeof text);
    strcpy(text, "{\"engine\": \"");
    for (int i = 0; i < 100; i++)
        strcat(text, "ü");
    strcat(text, "\"}");
    assert_int_equal(decode(text, &document, &err), -EBADMSG);
    assert_true(strlen(err.text) < 150);
    assert_non_null(strstr(err.text, "…\""));
}

static void task_spec__does_not_write_what_json_cannot_hold(void **state)
{
    struct task_spec spec;
    struct buf text = {0};
    struct err err = {0};
    const char *const inputs[] = {"good", "b\xff"};
    task_spec_default(&spec);
    spec.job.inputs = inputs;
    spec.job.n_inputs = 2;
    assert_int_equal(task_spec_encode(&spec, &text, &err), -EINVAL);
    assert_string_equal(err.text, "task: inputs[1]: expected UTF-8, found other bytes");
    spec.job.n_inputs = 1;
    spec.job.base = UINT64_MAX;
    assert_int_equal(task_spec_encode(&spec, &text, &err), -EINVAL);
    assert_non_null(strstr(err.text, "task: base: expected at most 9223372036854775807"));
    assert_int_equal(text.len, 0);
    buf_release(&text);
}

static void task_spec__documents_have_a_size_bound(void **state)
{
    struct task_document document = {0};
    struct err err = {0};
    assert_int_equal(task_spec_decode("{}", TASK_JSON_MAX + 1, "job.json", &document, &err),
                     -EBADMSG);
    assert_string_equal(err.text, "job.json: expected at most 67108864 bytes, found 67108865");
}

static void task_spec__many_inputs_fit(void **state)
{
    enum { N = 100000 };
    struct buf text = {0};
    struct task_document document = {0};
    struct err err = {0};
    assert_int_equal(buf_printf(&text, "{\"inputs\": ["), 0);
    for (int i = 0; i < N; i++)
        assert_int_equal(buf_printf(&text, "%s\"/in/%06d.tsv\"", i ? "," : "", i), 0);
    assert_int_equal(buf_printf(&text, "]}"), 0);
    assert_int_equal(task_spec_decode(text.data, text.len, "job.json", &document, &err), 0);
    assert_int_equal(document.spec.job.n_inputs, N);
    assert_string_equal(document.spec.job.inputs[N - 1], "/in/099999.tsv");
    task_document_release(&document);
    buf_release(&text);
}

/* Whichever allocation fails once the document is parsed: an error, and nothing kept. */
static void task_spec__survives_want_of_memory(void **state)
{
    bool failed = true;
    for (unsigned nth = 1; failed; nth++) {
        struct task_document document = {0};
        struct buf text = {0};
        struct err err = {0};
        json_t *json = NULL;
        assert_int_equal(json_parse(whole, sizeof whole - 1, "job.toml", &json, NULL), 0);
        failing_malloc_arm(nth);
        int decoded = task_spec_decode_json(json, "job.toml", &document, &err);
        int encoded = decoded ? 0 : task_spec_encode(&document.spec, &text, &err);
        failed = failing_malloc_disarm();
        task_document_release(&document);
        int ret = decoded ? decoded : encoded;
        if (ret != (failed ? -ENOMEM : 0) || err.code != ret)
            fail_msg("allocation %u: %d %d %s", nth, decoded, encoded, err.text);
        assert_int_equal(text.len, ret ? 0 : sizeof whole - 1);
        buf_release(&text);
    }
}

static void spelling__counts_letters_that_differ(void **state)
{
    assert_int_equal(spelling_distance("table", "table"), 0);
    assert_int_equal(spelling_distance("tabel", "table"), 1);
    assert_int_equal(spelling_distance("input", "inputs"), 1);
    assert_int_equal(spelling_distance("shcema", "schema"), 1);
    assert_int_equal(spelling_distance("max-bad", "max_bad"), 1);
    assert_int_equal(spelling_distance("abc", "xyz"), SPELLING_FAR);
    assert_int_equal(spelling_distance("", "xyz"), SPELLING_FAR);
    assert_int_equal(spelling_distance("a_word_that_is_much_too_long", "a_word"), SPELLING_FAR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(task_spec__reads_every_member_of_a_job),
        cmocka_unit_test(task_spec__reads_every_member_of_a_task),
        cmocka_unit_test(task_spec__comes_back_byte_by_byte),
        cmocka_unit_test(task_spec__an_empty_document_has_the_defaults),
        cmocka_unit_test(task_spec__writes_one_form_of_each_value),
        cmocka_unit_test(task_spec__leaves_out_what_is_zero),
        cmocka_unit_test(task_spec__rows_without_a_value_delete_in_a_delta_only),
        cmocka_unit_test(task_spec__a_query_is_the_only_input),
        cmocka_unit_test(task_spec__refuses_unknown_members_and_names_the_nearest),
        cmocka_unit_test(task_spec__refuses_wrong_types_and_ranges_by_name),
        cmocka_unit_test(task_spec__long_words_are_cut_in_errors),
        cmocka_unit_test(task_spec__does_not_write_what_json_cannot_hold),
        cmocka_unit_test(task_spec__documents_have_a_size_bound),
        cmocka_unit_test(task_spec__many_inputs_fit),
        cmocka_unit_test(task_spec__survives_want_of_memory),
        cmocka_unit_test(spelling__counts_letters_that_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
