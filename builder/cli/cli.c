/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/cli.h"

#include "builder/layout.h"
#include "builder/version_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTION_JSON = 0x4a00 };

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
    struct cli_common *common = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        common->store_url = getenv("FKV_STORE");
        return 0;
    case 's':
        common->store_url = arg;
        common->store_given = true;
        return 0;
    case OPTION_JSON:
        common->json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

#define STORE_OPTION                                                                               \
    {                                                                                              \
        "store", 's', "URL", 0,                                                                    \
            "The store: /srv/fkv, file:///srv/fkv or nfs://server/dir (default: $FKV_STORE)", 90   \
    }

static const struct argp_option options_both[] = {
    STORE_OPTION,
    {"json", OPTION_JSON, NULL, 0, "Print one JSON document instead of text", 90},
    {0},
};
static const struct argp_option options_store[] = {STORE_OPTION, {0}};

const struct argp cli_argp = {.options = options_both, .parser = parse_common};
static const struct argp argp_store = {.options = options_store, .parser = parse_common};

const struct argp_child cli_children[] = {{&cli_argp, 0, NULL, 0}, {0}};
const struct argp_child cli_children_quiet[] = {{&argp_store, 0, NULL, 0}, {0}};

void cli_parse(const struct argp *argp, int argc, char **argv, void *args)
{
    argp_parse(argp, argc, argv, 0, NULL, args);
}

int session_open_store(const struct cli_common *common, struct store **out, struct err *err)
{
    if (!common->store_url || !common->store_url[0])
        return err_set(err, -EINVAL,
                       "no store named: say --store URL or set FKV_STORE, for example "
                       "FKV_STORE=file:///srv/fkv");
    return store_open(common->store_url, out, err);
}

int session_open(const struct cli_common *common, struct session *out, struct err *err)
{
    struct session session = {0};
    int rc = session_open_store(common, &session.store, err);
    if (!rc)
        rc = manifest_open(session.store, &session.manifest, err);
    if (rc)
        session_close(&session);
    else
        *out = session;
    return rc;
}

void session_close(struct session *session)
{
    if (session->manifest)
        manifest_close(session->manifest);
    if (session->store)
        store_close(session->store);
    *session = (struct session){0};
}

static int no_table(const struct session *session, const char *name, struct err *err)
{
    const struct state *state = manifest_state(session->manifest);
    struct buf names = {0};
    for (size_t i = 0; i < state->n_tables && names.len < 200; i++)
        buf_printf(&names, "%s%s", i ? ", " : "", state->tables[i].name);
    int rc =
        err_set(err, -ENOENT, "no table %s in %s; %s%.*s", name, store_url(session->store),
                names.len ? "there are: " : "it has no tables yet: fkv build, then fkv publish",
                (int)names.len, names.data ? (const char *)names.data : "");
    buf_release(&names);
    return rc;
}

int session_table(const struct session *session, const char *name, const struct table_state **out,
                  struct err *err)
{
    int rc = table_name_check(name, err);
    if (rc)
        return rc;
    const struct table_state *table = state_find_table(manifest_state(session->manifest), name);
    if (!table)
        return no_table(session, name, err);
    *out = table;
    return 0;
}

int session_version(const struct session *session, const char *name, const char *text,
                    const struct version_entry **out, struct err *err)
{
    const struct table_state *table = NULL;
    uint64_t version = 0;
    int rc = session_table(session, name, &table, err);
    if (!rc)
        rc = table_state_resolve(table, text, &version, err);
    if (rc)
        return rc;
    const struct version_entry *entry = table_state_find(table, version);
    if (!entry)
        return err_set(err, -ENOENT, "table %s has no version %s; see: fkv ls %s", name, text,
                       name);
    *out = entry;
    return 0;
}

/* version.json has the digest in the manifest; these figures are in both. */
static int check_entry(const char *table, const struct version_entry *v,
                       const struct version_desc *desc, struct err *err)
{
    if (desc->version == v->version && desc->n_keys == v->n_keys && desc->base == v->base)
        return 0;
    return err_set(err, -EBADMSG,
                   "table %s: the manifest says version %" PRIu64 ", %" PRIu64
                   " keys, base %" PRIu64 "; its version.json says version %" PRIu64 ", %" PRIu64
                   " keys, base %" PRIu64,
                   table, v->version, v->n_keys, v->base, desc->version, desc->n_keys, desc->base);
}

int session_read_version(const struct session *session, const char *table,
                         const struct version_entry *version, struct version_reader **out,
                         struct err *err)
{
    char dir[LAYOUT_PATH_MAX];
    if (version->state == VERSION_FORGOTTEN)
        return err_set(err, -ENOENT,
                       "table %s: gc has removed the files of version %" PRIu64 "; see: fkv ls %s",
                       table, version->version, table);
    layout_version_dir(table, version->version, dir);
    struct version_reader *reader = NULL;
    int rc = version_reader_open(session->store, dir, &version->digest, &reader, err);
    if (!rc)
        rc = check_entry(table, version, version_reader_desc(reader), err);
    if (rc)
        version_reader_close(reader);
    else
        *out = reader;
    if (rc == -ENOENT) /* the manifest names it, so it must be there */
        return err_wrap(err, -EBADMSG, "a file of a published version is missing");
    return rc;
}

static int fixed_ops(void *context, const struct state *state, struct op_list *ops, struct err *err)
{
    *ops = *(const struct op_list *)context;
    return 0;
}

int session_append(struct session *session, const char *reason, struct op *ops, size_t n_ops,
                   uint64_t *seq, struct err *err)
{
    struct op_list list = {.ops = ops, .n_ops = n_ops};
    return manifest_append(session->manifest, reason ? reason : "", fixed_ops, &list, seq, err);
}

int cli_flush(struct err *err)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    return err_sys(err, errno ? -errno : -EIO, "writing to standard output");
}

int cli_print_json(json_t *json, struct err *err)
{
    struct buf text = {0};
    int rc = json ? json_write(json, true, &text) : -ENOMEM;
    json_decref(json);
    if (rc)
        err_sys(err, rc, "writing JSON");
    else
        fwrite(text.data, 1, text.len, stdout);
    buf_release(&text);
    return rc ? rc : cli_flush(err);
}

const char *version_state_text(const struct table_state *table, const struct version_entry *v)
{
    switch (v->state) {
    case VERSION_CANDIDATE:
        return "candidate";
    case VERSION_CURRENT:
        return "current";
    case VERSION_FORMER:
        return v->version == table->previous ? "previous" : "former";
    case VERSION_RETIRED:
        return "retired";
    case VERSION_FORGOTTEN:
        return "forgotten";
    }
    return "?";
}
