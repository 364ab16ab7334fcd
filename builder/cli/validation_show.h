/* SPDX-License-Identifier: Apache-2.0 */
/*
 * validation_show: what validators found of a version or a build, for `fkv ls` and `fkv stat`.
 *
 * Threads: one. Memory: new references. Errors: none: one that is not there, or cannot be read, is said to be so.
 */
#ifndef FKV_CLI_VALIDATION_SHOW_H
#define FKV_CLI_VALIDATION_SHOW_H

#include "base/json.h"
#include "store/store.h"

enum { VALIDATION_WORD_MAX = 64 };

/* "7 ok, 2 skipped"; "-" when there is none, "unreadable". */
void validation_word(struct store *store, const char *dir, char out[VALIDATION_WORD_MAX]);

/* Lines for people: when, by whom, a line a validator, how norms are distributed. */
void validation_print(struct store *store, const char *dir);

/* As it is kept; null when there is none, or when it cannot be read. */
json_t *validation_json(struct store *store, const char *dir);
/* The counts of passed, skipped and failed ones; null likewise. */
json_t *validation_counts_json(struct store *store, const char *dir);

#endif
