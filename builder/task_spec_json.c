/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A document is a few tables of members (members.h), a section each, with all fields in one struct task_spec. What a
 * table cannot say (a member that is one of several words, or goes with a struct schema_given) has two functions below.
 */
#include "builder/task_spec_json.h"

#include "builder/input.h"
#include "builder/task_members.h"
#include "builder/validate_json.h"
#include "format/block_layout.h"
#include "manifest/record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_TEXT_MAX = 255, PATH_TEXT_MAX = 4095, SQL_MAX = 1 << 20 };

enum { SECTION_TOP, SECTION_SCHEMA, SECTION_SLURM, SECTION_CHECKPOINT, N_SECTIONS };

static const struct member_book book;

static int no_memory(const struct member_at *at, struct err *err)
{
    return err_sys(err, -ENOMEM, "%s", at->document);
}

/* ---- inputs ---- */

static int decode_inputs(const struct member_at *at, const json_t *value, void *object,
                         struct err *err)
{
    struct job *job = &((struct task_spec *)object)->job;
    const char **words = NULL;
    if (job->format == INPUT_SQL)
        return member_fault(at, value, err, "no inputs beside sql");
    int ret = member_list(at, value, INPUTS_MAX, PATH_TEXT_MAX, &words, &job->n_inputs, err);
    if (!ret)
        job->inputs = words;
    return ret;
}

static int encode_inputs(const struct member_at *at, const void *object, json_t **out,
                         struct err *err)
{
    const struct job *job = &((const struct task_spec *)object)->job;
    if (job->format == INPUT_SQL || !job->n_inputs)
        return 0;
    return member_put_list(at, job->inputs, job->n_inputs, out, err);
}

/* A query is the only input, in a format of its own. */
static int decode_sql(const struct member_at *at, const json_t *value, void *object,
                      struct err *err)
{
    struct job *job = &((struct task_spec *)object)->job;
    const char *text = NULL;
    if (job->inputs)
        return member_fault(at, value, err, "no sql beside inputs");
    if (job->format != INPUT_AUTO)
        return member_fault(at, value, err, "no sql beside a format");
    int ret = member_text(at, value, SQL_MAX, false, &text, err);
    if (ret)
        return ret;
    const char **words = calloc(1, sizeof *words);
    if (!words)
        return no_memory(at, err);
    words[0] = text;
    job->inputs = words;
    job->n_inputs = 1;
    job->format = INPUT_SQL;
    return 0;
}

static int encode_sql(const struct member_at *at, const void *object, json_t **out, struct err *err)
{
    const struct job *job = &((const struct task_spec *)object)->job;
    return job->format == INPUT_SQL && job->n_inputs ? member_put_text(at, job->inputs[0], out, err)
                                                     : 0;
}

static const char *const format_words[] = {"auto",   "tsv",     "csv", "jsonl",
                                           "record", "parquet", NULL};

static int decode_format(const struct member_at *at, const json_t *value, void *object,
                         struct err *err)
{
    struct job *job = &((struct task_spec *)object)->job;
    int word = 0;
    if (job->format == INPUT_SQL)
        return member_fault(at, value, err, "no format beside sql");
    int ret = member_word(at, value, format_words, &word, err);
    if (!ret)
        job->format = (enum input_format)word;
    return ret;
}

static int encode_format(const struct member_at *at, const void *object, json_t **out,
                         struct err *err)
{
    const struct job *job = &((const struct task_spec *)object)->job;
    return job->format == INPUT_SQL ? 0 : member_put_text(at, format_words[job->format], out, err);
}

/* ---- how values are stored ---- */

static int decode_compress(const struct member_at *at, const json_t *value, void *object,
                           struct err *err)
{
    static const char *const words[] = {"auto", "none", "zstd", NULL};
    struct job *job = &((struct task_spec *)object)->job;
    const char *text = json_string_value(value);
    size_t n = text && !strncmp(text, "zstd:", 5) ? strspn(text + 5, "0123456789") : 0;
    if (n) {
        long level = n <= 2 && !text[5 + n] ? strtol(text + 5, NULL, 10) : 0;
        if (level < 1 || level > 19)
            return member_fault(at, value, err, "\"zstd:1\" to \"zstd:19\"");
        job->compress = COMPRESS_ZSTD;
        job->compress_level = (int)level;
        return 0;
    }
    int word = 0;
    int ret = member_word(at, value, words, &word, err);
    if (ret)
        return ret;
    job->compress = (enum compress_policy)word;
    job->compress_level = 0;
    return 0;
}

static int encode_compress(const struct member_at *at, const void *object, json_t **out,
                           struct err *err)
{
    const struct job *job = &((const struct task_spec *)object)->job;
    char text[16] = "";
    if (job->compress == COMPRESS_ZSTD && job->compress_level)
        snprintf(text, sizeof text, "zstd:%d", job->compress_level);
    else if (job->compress != COMPRESS_AUTO)
        snprintf(text, sizeof text, "%s", job->compress == COMPRESS_ZSTD ? "zstd" : "none");
    return text[0] ? member_put_text(at, text, out, err) : 0;
}

static int decode_filter(const struct member_at *at, const json_t *value, void *object,
                         struct err *err)
{
    if (!json_is_boolean(value))
        return member_fault(at, value, err, "true or false");
    ((struct task_spec *)object)->job.no_filter = json_is_false(value);
    return 0;
}

static int encode_filter(const struct member_at *at, const void *object, json_t **out,
                         struct err *err)
{
    if (((const struct task_spec *)object)->job.no_filter)
        *out = json_false();
    return 0;
}

/* ---- sections ---- */

static int decode_section(const struct member_at *at, const json_t *value, void *object,
                          struct err *err)
{
    for (size_t i = SECTION_SCHEMA; i < N_SECTIONS; i++) {
        const char *section = book.tables[i].section;
        if (!strncmp(section, at->name, strcspn(section, ".")))
            return members_decode(&book, i, value, at->document, object, err);
    }
    return member_fault(at, value, err, "no such section");
}

/* A section that says nothing is left out. */
static int encode_section(const struct member_at *at, const void *object, json_t **out,
                          struct err *err)
{
    scope_json json_t *json = NULL;
    for (size_t i = SECTION_SCHEMA; i < N_SECTIONS; i++) {
        const char *section = book.tables[i].section;
        if (strncmp(section, at->name, strcspn(section, ".")) != 0)
            continue;
        int ret = members_encode(&book.tables[i], at->document, object, &json, err);
        if (ret)
            return ret;
    }
    if (json_object_size(json))
        *out = json_incref(json);
    return 0;
}

static int decode_options(const struct member_at *at, const json_t *value, void *object,
                          struct err *err)
{
    struct slurm_options *slurm = &((struct task_spec *)object)->slurm;
    const char **words = NULL;
    int ret = member_list(at, value, SLURM_WORDS_MAX, PATH_TEXT_MAX, &words, &slurm->n_extra, err);
    if (!ret)
        slurm->extra = words;
    return ret;
}

static int encode_options(const struct member_at *at, const void *object, json_t **out,
                          struct err *err)
{
    const struct slurm_options *slurm = &((const struct task_spec *)object)->slurm;
    return slurm->n_extra ? member_put_list(at, slurm->extra, slurm->n_extra, out, err) : 0;
}

/* Not said and 1 are the same. */
static int decode_cpus(const struct member_at *at, const json_t *value, void *object,
                       struct err *err)
{
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < 1 || n > THREADS_MAX)
        return member_fault(at, value, err, "a whole number from 1 to %d", (int)THREADS_MAX);
    ((struct task_spec *)object)->slurm.cpus = (uint32_t)n;
    return 0;
}

static int encode_cpus(const struct member_at *at, const void *object, json_t **out,
                       struct err *err)
{
    uint32_t cpus = ((const struct task_spec *)object)->slurm.cpus;
    if (cpus <= 1)
        return 0;
    *out = json_integer(cpus);
    return *out ? 0 : no_memory(at, err);
}

/* A chain always has one level, so that one would be merged for ever. */
static int decode_levels(const struct member_at *at, const json_t *value, void *object,
                         struct err *err)
{
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < 0 || n == 1 || n > LEVELS_MAX)
        return member_fault(at, value, err, "2 to %d levels, or 0 for no limit", (int)LEVELS_MAX);
    ((struct task_spec *)object)->checkpoint.levels = (uint32_t)n;
    return 0;
}

static int encode_levels(const struct member_at *at, const void *object, json_t **out,
                         struct err *err)
{
    uint32_t levels = ((const struct task_spec *)object)->checkpoint.levels;
    if (!levels)
        return 0;
    *out = json_integer(levels);
    return *out ? 0 : no_memory(at, err);
}

static int decode_validators(const struct member_at *at, const json_t *value, void *object,
                             struct err *err)
{
    char name[NAME_TEXT_MAX + 1];
    if (!json_is_object(value))
        return member_fault(at, value, err, "a section");
    snprintf(name, sizeof name, "%s: %s", at->document, at->name);
    struct json_at section = {value, name};
    return validate_limits_decode(section, &((struct task_spec *)object)->limits, err);
}

static int encode_validators(const struct member_at *at, const void *object, json_t **out,
                             struct err *err)
{
    int ret = validate_limits_encode(&((const struct task_spec *)object)->limits, out);
    return ret ? err_sys(err, ret, "%s: validators", at->document) : 0;
}

/* ---- the tables ---- */

static const char *const duplicates_words[] = {"error", "first", "last", NULL};
static const char *const engine_words[] = {"local", "slurm", "none", NULL};
static const char *const then_words[] = {"stop", "publish", "activate", NULL};

#define AT(field) offsetof(struct task_spec, field)
#define OWN(member, function)                                                                      \
    {                                                                                              \
        .name = member, .kind = MEMBER_OWN, .decode = decode_##function,                           \
        .encode = encode_##function                                                                \
    }
#define TEXT(member, field, most)                                                                  \
    {                                                                                              \
        .name = member, .kind = MEMBER_TEXT, .offset = AT(field), .max = (most)                    \
    }
#define FLAG(member, field)                                                                        \
    {                                                                                              \
        .name = member, .kind = MEMBER_BOOL, .offset = AT(field)                                   \
    }
#define WORD(member, field, list)                                                                  \
    {                                                                                              \
        .name = member, .kind = MEMBER_WORD, .offset = AT(field), .words = (list)                  \
    }
#define U32(member, field, least, most)                                                            \
    {                                                                                              \
        .name = member, .kind = MEMBER_U32, .offset = AT(field), .min = (least), .max = (most)     \
    }
#define U64(member, field, least)                                                                  \
    {                                                                                              \
        .name = member, .kind = MEMBER_U64, .offset = AT(field), .min = (least), .max = INT64_MAX  \
    }
#define SIZE(member, field, least)                                                                 \
    {                                                                                              \
        .name = member, .kind = MEMBER_SIZE, .offset = AT(field), .min = (least), .max = INT64_MAX \
    }
#define REAL(member, field)                                                                        \
    {                                                                                              \
        .name = member, .kind = MEMBER_REAL, .offset = AT(field)                                   \
    }

/* The order of the canonical text. inputs, sql and format are read in this order too. */
static const struct member top[] = {
    TEXT("table", job.table, NAME_TEXT_MAX),
    TEXT("task", job.task, NAME_TEXT_MAX),
    OWN("inputs", inputs),
    OWN("sql", sql),
    OWN("format", format),
    FLAG("header", job.header),
    TEXT("key_column", job.key_column, NAME_TEXT_MAX),
    TEXT("value_column", job.value_column, NAME_TEXT_MAX),
    OWN("schema", section),
    FLAG("delta", job.is_delta),
    U64("base", job.base, 1),
    FLAG("diff_base", job.diff_base),
    REAL("min_distance", job.min_distance),
    WORD("duplicates", job.duplicates, duplicates_words),
    U64("max_bad", job.max_bad, 0),
    OWN("compress", compress),
    OWN("filter", filter),
    U32("block_pages", job.block_pages, 1, BLOCK_SHORT_PAGES),
    SIZE("memory", job.memory, JOB_MEMORY_MIN),
    U32("threads", job.n_threads, 1, THREADS_MAX),
    TEXT("scratch", job.scratch, PATH_TEXT_MAX),
    TEXT("author", job.author, RECORD_TEXT_MAX),
    SIZE("piece", piece_len, 1),
    U32("reduce_tasks", n_reduce, 1, SHARDS_MAX),
    WORD("engine", engine, engine_words),
    OWN("slurm", section),
    WORD("then", then, then_words),
    U32("quorum", quorum, 0, UINT32_MAX),
    {.name = "timeout", .kind = MEMBER_DURATION, .offset = AT(timeout_ns)},
    TEXT("reason", reason, RECORD_TEXT_MAX),
    OWN("checkpoint", section),
    OWN("validators", validators),
};

static const struct member slurm[] = {
    TEXT("partition", slurm.partition, NAME_TEXT_MAX),
    TEXT("account", slurm.account, NAME_TEXT_MAX),
    TEXT("qos", slurm.qos, NAME_TEXT_MAX),
    TEXT("time", slurm.time_limit, NAME_TEXT_MAX),
    OWN("cpus", cpus),
    U32("at_once", slurm.n_at_once, 1, UINT32_MAX),
    OWN("options", options),
    TEXT("fkv", slurm.fkv, PATH_TEXT_MAX),
};

static const struct member checkpoint[] = {
    OWN("levels", levels),
    REAL("share", checkpoint.share),
};

#define COUNT(list) (sizeof(list) / sizeof *(list))

static const struct member_table tables[N_SECTIONS] = {
    [SECTION_TOP] = {"", top, COUNT(top)},
    [SECTION_SCHEMA] = {"schema.", task_schema_members, TASK_SCHEMA_MEMBERS},
    [SECTION_SLURM] = {"slurm.", slurm, COUNT(slurm)},
    [SECTION_CHECKPOINT] = {"checkpoint.", checkpoint, COUNT(checkpoint)},
};

static const struct member_book book = {tables, N_SECTIONS};

/* ---- whole documents ---- */

void task_spec_default(struct task_spec *out)
{
    *out = (struct task_spec){
        .job = {.memory = JOB_MEMORY_DEFAULT, .schema = {.kind = KIND_MEM, .mode = 0444}},
        .slurm = {.cpus = 1},
        .timeout_ns = TASK_TIMEOUT_NS,
        .reason = "",
    };
    validate_limits_default(&out->limits);
}

void task_document_release(struct task_document *document)
{
    if (!document)
        return;
    /* Their types are const as the spec's are, whose users do not change them. */
    free((void *)document->inputs);
    free((void *)document->sbatch);
    json_decref(document->json);
    memset(document, 0, sizeof *document);
}

int task_spec_decode_json(json_t *json, const char *name, struct task_document *out,
                          struct err *err)
{
    struct task_document document = {.json = json};
    struct task_spec *spec = &document.spec;
    task_spec_default(spec);
    int ret = members_decode(&book, SECTION_TOP, json, name, spec, err);
    document.inputs = spec->job.inputs;
    document.sbatch = spec->slurm.extra;
    if (ret) {
        task_document_release(&document);
        return ret;
    }
    spec->job.is_delta |= spec->job.diff_base;
    /* A table compared as a whole has no rows that delete: its keys are all there are. */
    spec->job.tombstones_file_mode = spec->job.is_delta && !spec->job.diff_base;
    *out = document;
    return 0;
}

int task_spec_decode(const void *text, size_t len, const char *name, struct task_document *out,
                     struct err *err)
{
    json_t *json = NULL;
    if (len > TASK_JSON_MAX)
        return err_set(err, -EBADMSG, "%s: expected at most %d bytes, found %zu", name,
                       (int)TASK_JSON_MAX, len);
    int ret = json_parse(text, len, name, &json, err);
    return ret ? ret : task_spec_decode_json(json, name, out, err);
}

int task_spec_encode(const struct task_spec *spec, struct buf *out, struct err *err)
{
    scope_json json_t *json = NULL;
    size_t before = out->len;
    int ret = members_encode(&tables[SECTION_TOP], "task", spec, &json, err);
    if (ret)
        return ret;
    if (json_write(json, true, out))
        return err_sys(err, -ENOMEM, "task");
    if (out->len - before > TASK_JSON_MAX) {
        size_t len = out->len - before;
        out->len = before;
        return err_set(err, -E2BIG, "task: %zu inputs make a document of %zu bytes, at most %d",
                       spec->job.n_inputs, len, (int)TASK_JSON_MAX);
    }
    return 0;
}
