/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_scan: reads one JSON text in place, without allocating; for rows, millions a second.
 * (Documents of fkv's own go through base/json.h.)
 *
 * Strict as RFC 8259, with one addition: NaN, Infinity and -Infinity pass as numbers, because Python writes them.
 *
 * Threads: one at a time. Memory: strings are decoded over their own text, which is therefore spoilt.
 * Errors: -EBADMSG with the byte and what was expected; the scanner stays where it was.
 */
#ifndef FKV_BUILDER_JSON_SCAN_H
#define FKV_BUILDER_JSON_SCAN_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct json_scan {
    char *text;
    size_t len;
    size_t pos;
};

/* The first byte of the next token (0 at the end), with the space before it skipped. */
char json_scan_peek(struct json_scan *scan);

/* Takes c when it is the next token. */
bool json_scan_take(struct json_scan *scan, char c);
int json_scan_expect(struct json_scan *scan, char c, struct err *err);

/* A string, decoded to UTF-8 bytes (checked). */
int json_scan_string(struct json_scan *scan, char **out, size_t *len, struct err *err);

/* A value of any kind, skipped; *out and *len are its text. Nested 64 deep at most. */
int json_scan_skip(struct json_scan *scan, char **out, size_t *len, struct err *err);

/* Decodes len characters of base64 (RFC 4648, padded) over themselves. */
int json_scan_base64(char *text, size_t *len, struct err *err);

#endif
