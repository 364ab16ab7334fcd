/* SPDX-License-Identifier: Apache-2.0 */
/*
 * name: the names that people give, checked before they become paths.
 *
 * Threads: pure functions. Errors: -EINVAL with the rule.
 */
#ifndef FKV_MANIFEST_NAME_H
#define FKV_MANIFEST_NAME_H

#include "base/err.h"

#include <stddef.h>

enum {
    TABLE_NAME_MAX = 63,
    NODE_NAME_MAX = 127,
    LABEL_NAME_MAX = NODE_NAME_MAX - 6, /* "label:" stands before it in a pin */
    TAG_NAME_MAX = 63,
    TASK_NAME_MAX = 63,
};

/* [a-z0-9][a-z0-9_-]{0,62} */
int table_name_check(const char *name, struct err *err);
/* [A-Za-z0-9][A-Za-z0-9._-]{0,126}: a host name, or what --node says. */
int node_name_check(const char *name, struct err *err);
/* As a node name, of at most LABEL_NAME_MAX bytes: what groups of nodes are pinned by. */
int label_name_check(const char *name, struct err *err);
/* As a table name, but not all digits, "current" or "previous": a tag stands where those may. */
int tag_name_check(const char *name, struct err *err);
/* [A-Za-z0-9][A-Za-z0-9._-]{0,62} */
int task_name_check(const char *name, struct err *err);
/* Whom a pin holds: a node's name, or "label:" and a label. */
int pin_name_check(const char *name, struct err *err);

/* Free text for people: UTF-8 without control characters, at most max bytes. what names it in the error. */
int text_check(const char *what, const char *text, size_t max, struct err *err);

#endif
