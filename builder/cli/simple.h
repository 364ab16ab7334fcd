/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simple: what commands share that take a few words and append one record: --reason, the words, and saying what was done.
 *
 * Threads: one. Memory: words are argv's. Errors: those of the manifest's rules.
 */
#ifndef FKV_CLI_SIMPLE_H
#define FKV_CLI_SIMPLE_H

#include "builder/cli/cli.h"

enum { SIMPLE_WORDS_MAX = 256 };

struct simple {
    struct cli_common common;
    const char *reason;
    const char *words[SIMPLE_WORDS_MAX];
    size_t n_words;
};

/* --reason and the common options; input: struct simple. */
extern const struct argp_child simple_children[];

/* For a command's parser: takes a word on ARGP_KEY_ARG, and checks their number on ARGP_KEY_END. */
error_t simple_parse(struct simple *simple, int key, char *arg, struct argp_state *state,
                     size_t min, size_t max);

/* An op of that kind on words[0], with the version that `version` names (NULL: none). */
int simple_op(const struct session *session, const struct simple *simple, enum op_kind kind,
              const char *version, struct op *out, struct err *err);

/* Appends the ops and says so. */
int simple_append(struct session *session, const struct simple *simple, struct op *ops,
                  size_t n_ops, struct err *err);

/* What most commands are: open the store, make one op, append it. name goes into the op's name; may be NULL. */
int simple_run(const struct simple *simple, enum op_kind kind, const char *version,
               const char *name, struct err *err);

#endif
