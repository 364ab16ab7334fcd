/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli: what the commands of `fkv` share: the table of commands, common options, an open store with its manifest, and how a
 * table or version is named.
 *
 * A command returns 0 or -errno with err filled; main() prints it and turns it into an exit status (base/err.h). Mistakes in the
 * words of a command are argp's: it prints them and exits with 2.
 *
 * Threads: one. Memory: a command frees what it allocates. Errors: as in base/err.h.
 */
#ifndef FKV_CLI_CLI_H
#define FKV_CLI_CLI_H

#include "base/err.h"
#include "base/json.h"
#include "builder/cli/clock.h"
#include "manifest/manifest.h"
#include "store/store.h"

#include <argp.h>

struct command {
    const char *name;
    const char *args;    /* for the overview */
    const char *summary; /* one line */
    int (*run)(int argc, char **argv, struct err *err);
};

/* Ends with a NULL name. An entry without run is a heading. */
extern const struct command commands[];

/* Options that several commands take. A command's argp has cli_children as children, and its parser does
 * state->child_inputs[0] = &args->common on ARGP_KEY_INIT. */
struct cli_common {
    const char *store_url; /* --store, else $FKV_STORE; NULL: neither */
    bool store_given;      /* --store was there */
    bool json;
};
extern const struct argp cli_argp;             /* --store and --json; input: struct cli_common */
extern const struct argp_child cli_children[]; /* the same as the only child */
extern const struct argp_child cli_children_quiet[]; /* --store */

/* Runs argp with this program's conventions. Exits on a usage error and after --help. */
void cli_parse(const struct argp *argp, int argc, char **argv, void *args);

/* A store and its manifest, both open. */
struct session {
    struct store *store;
    struct manifest *manifest;
};
int session_open(const struct cli_common *common, struct session *out, struct err *err);
int session_open_store(const struct cli_common *common, struct store **out, struct err *err);
void session_close(struct session *session);
#define scope_session __attribute__((cleanup(session_close)))

/* The table of that name; -ENOENT names those there are. */
int session_table(const struct session *session, const char *name, const struct table_state **out,
                  struct err *err);
/* A version by number, tag, `current` or `previous`. */
int session_version(const struct session *session, const char *table, const char *text,
                    const struct version_entry **out, struct err *err);

/* Opens a version's directory on the store and checks all of it. Closed by the caller. */
struct version_reader;
int session_read_version(const struct session *session, const char *table,
                         const struct version_entry *version, struct version_reader **out,
                         struct err *err);

/* Appends ops that do not depend on the state beyond its rules. */
int session_append(struct session *session, const char *reason, struct op *ops, size_t n_ops,
                   uint64_t *seq, struct err *err);

/* Prints a document and drops it; -EIO when stdout does not take it. */
int cli_print_json(json_t *json, struct err *err);
/* Flushes stdout: -EIO (or the cause) when what was printed did not get out. */
int cli_flush(struct err *err);

const char *version_state_text(const struct table_state *table, const struct version_entry *v);

#endif
