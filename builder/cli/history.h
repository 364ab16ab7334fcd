/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history: what the last records did to a table's current version, for those who waited meanwhile.
 *
 * Threads: one. Memory: plain data. Errors: those of reading records.
 */
#ifndef FKV_CLI_HISTORY_H
#define FKV_CLI_HISTORY_H

#include "builder/cli/cli.h"

struct history_switch {
    uint64_t seq;     /* the record; 0: none */
    uint64_t version; /* that it made current */
    char author[128];
};

/* The last switch of a table among the records after `after`. */
int history_last(const struct session *session, const char *table, uint64_t after,
                 struct history_switch *out, struct err *err);

/*
 * The first record after `after` that rolled the table back or switched it to an older version; current is the one it had then.
 * Publishers only go forward, so this was somebody's decision.
 */
int history_gone_back(const struct session *session, const char *table, uint64_t after,
                      uint64_t current, struct history_switch *out, struct err *err);

#endif
