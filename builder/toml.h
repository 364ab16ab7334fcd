/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toml: a TOML document as JSON, so that one set of rules reads both.
 *
 * The only part of fkv in C++, as the parser is (toml++). Dates and times, infinities and NaN have no JSON and are refused, by
 * place and name; so are tables and lists that nest more than TOML_DEPTH_MAX deep.
 *
 * Threads: a pure function. Memory: none is kept; nothing is thrown out of it.
 * Errors: -EBADMSG with the document's name, line and column; -ENOMEM. *json is as before then.
 */
#ifndef FKV_BUILDER_TOML_H
#define FKV_BUILDER_TOML_H

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>

enum {
    TOML_LEN_MAX = 1 << 20,
    TOML_DEPTH_MAX = 16,
};

/* Appends one JSON object on one line. Members come in the order of their names, as the parser keeps them. */
int toml_to_json(const char *text, size_t len, const char *name, struct buf *json, struct err *err);

#endif
