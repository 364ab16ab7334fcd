/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/progress.h"
#include "builder/cli/text.h"
#include "builder/layout.h"
#include "builder/plan.h"
#include "builder/version_content.h"
#include "builder/version_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { OPTION_CONTENT = 0x6300 };

struct args {
    struct cli_common common;
    const char *table;
    const char *version;
    bool content;
};

/* What was looked at so far. */
struct tally {
    bool wants_content;
    json_t *list; /* NULL for text */
    struct progress *line;
    uint64_t n_versions;
    uint64_t n_bad;
    uint64_t bytes;
    int worst; /* the code of the first bad one */
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_CONTENT:
        args->content = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            argp_error(state, "unexpected argument '%s'", arg);
        *(state->arg_num ? &args->version : &args->table) = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"content", OPTION_CONTENT, NULL, 0,
     "Tell the digest of all keys and values: the same for versions that say the same", 0},
    {0},
};

static const char doc[] = "Reads versions back from the store and checks them against the "
                          "manifest: the digest of version.json, the digest of every part "
                          "and of every 4 MiB chunk, the structure of every part. Without a "
                          "VERSION, all of the table; without a TABLE, all of the store."
                          "\v"
                          "Says which part and which chunk is bad, goes on with the others, and "
                          "exits with 5 in the end.\n"
                          "\n"
                          "Examples:\n"
                          "  fkv verify ads current\n"
                          "  fkv verify ads 43 --content\n"
                          "  fkv verify --json | jq '.versions[] | select(.ok | not)'\n";

static void report(struct tally *tally, const char *table, const struct version_entry *v,
                   const char *content, int rc, const struct err *why)
{
    tally->n_versions++;
    tally->bytes += v->len;
    tally->n_bad += rc != 0;
    if (rc && !tally->worst)
        tally->worst = rc;
    if (tally->list) {
        json_t *one = json_object();
        json_put_string(one, "table", table);
        json_put_u64(one, "version", v->version);
        json_put_u64(one, "bytes", v->len);
        json_put_bool(one, "ok", !rc);
        if (rc)
            json_put_string(one, "error", err_text(why, rc));
        else if (content[0])
            json_put_string(one, "content", content);
        json_append(tally->list, one);
    } else if (rc) {
        printf("BAD  %s version %" PRIu64 ": %s\n", table, v->version, err_text(why, rc));
    } else {
        char size[TEXT_MAX];
        text_size(v->len, size);
        printf("ok   %s version %" PRIu64 ": %s%s%s\n", table, v->version, size,
               content[0] ? ", content " : "", content);
    }
    fflush(stdout);
}

/* What the version says, once all of it is known to be whole. */
static int content_read(const struct session *session, const char *table,
                        const struct version_entry *v, char out[DIGEST_HEX_LEN + 1],
                        struct err *err)
{
    char dir[LAYOUT_PATH_MAX];
    struct version_desc desc = {0};
    struct engine_local engine;
    struct stream_plan plan;
    struct content_digest content = {0};
    uint32_t n_threads = plan_threads(&(struct job){0});
    layout_version_dir(table, v->version, dir);
    int rc = version_desc_read(session->store, dir, &v->digest, &desc, err);
    if (rc)
        return rc;
    plan_reading(&desc, JOB_MEMORY_DEFAULT, n_threads, &plan);
    engine_local_init(&engine, n_threads, NULL);
    struct shard_stream_params stream = {
        .store = session->store, .dir = dir, .desc = &desc, .memory = plan.memory};
    rc = version_content_run(&engine.engine, &stream, plan.n_at_once, &content, err);
    if (!rc)
        content_digest_text(&content, out);
    version_desc_release(&desc);
    return rc;
}

static void verify_one(const struct session *session, const char *table,
                       const struct version_entry *v, struct tally *tally)
{
    struct version_reader *reader = NULL;
    struct err why = {0};
    char content[DIGEST_HEX_LEN + 1] = "";
    progress_show(tally->line, "verifying %s version %" PRIu64, table, v->version);
    int rc = session_read_version(session, table, v, &reader, &why);
    version_reader_close(reader);
    if (!rc && tally->wants_content)
        rc = content_read(session, table, v, content, &why);
    report(tally, table, v, content, rc, &why);
}

static void verify_table(const struct session *session, const struct table_state *table,
                         struct tally *tally)
{
    for (size_t i = 0; i < table->n_versions; i++) {
        if (table->versions[i].state != VERSION_FORGOTTEN)
            verify_one(session, table->name, &table->versions[i], tally);
    }
}

static int verify_named(const struct session *session, const struct args *args, struct tally *tally,
                        struct err *err)
{
    const struct table_state *table = NULL;
    const struct version_entry *v = NULL;
    int rc = session_table(session, args->table, &table, err);
    if (!rc && args->version)
        rc = session_version(session, args->table, args->version, &v, err);
    if (rc)
        return rc;
    if (v)
        verify_one(session, table->name, v, tally);
    else
        verify_table(session, table, tally);
    return 0;
}

static int conclude(struct tally *tally, struct err *err)
{
    int rc = 0;
    if (tally->list) {
        json_t *out = json_object();
        json_put_u64(out, "checked", tally->n_versions);
        json_put_u64(out, "bad", tally->n_bad);
        json_put_u64(out, "bytes", tally->bytes);
        json_put(out, "versions", tally->list);
        tally->list = NULL;
        rc = cli_print_json(out, err);
    }
    if (!rc && tally->n_bad)
        rc = err_set(err, tally->worst,
                     "%" PRIu64 " of %" PRIu64
                     " versions are bad; keep nodes off them with fkv rollback or fkv quarantine",
                     tally->n_bad, tally->n_versions);
    return rc;
}

int cmd_verify(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "[TABLE [VERSION]]",
                                     .doc = doc,
                                     .children = cli_children};
    struct args args = {0};
    scope_session struct session session = {0};
    cli_parse(&argp, argc, argv, &args);
    int rc = session_open(&args.common, &session, err);
    if (rc)
        return rc;
    struct tally tally = {.wants_content = args.content,
                          .line = progress_new(),
                          .list = args.common.json ? json_array() : NULL};
    const struct state *state = manifest_state(session.manifest);
    if (args.table)
        rc = verify_named(&session, &args, &tally, err);
    for (size_t i = 0; !args.table && i < state->n_tables; i++)
        verify_table(&session, &state->tables[i], &tally);
    progress_free(tally.line);
    if (!rc)
        rc = conclude(&tally, err);
    json_decref(tally.list);
    return rc;
}
