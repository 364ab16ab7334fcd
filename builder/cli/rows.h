/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows: many keys and values on standard output as they come: TSV, JSON Lines, or one JSON document.
 *
 * Threads: one. Memory: some of the text at a time; rows_release(). Errors: those of writing.
 */
#ifndef FKV_CLI_ROWS_H
#define FKV_CLI_ROWS_H

#include "base/buf.h"
#include "base/err.h"
#include "format/part.h"

/* The first five are set before rows_begin(). */
struct rows {
    const char *table;
    bool json;       /* {"table": …, "version": …, "entries": […]} */
    bool jsonl;      /* a JSON object a line; neither: TSV */
    bool is_decoded; /* vectors are given as floats, not as stored */
    struct schema schema;
    float *floats;
    struct buf text;
    uint64_t n;
    uint64_t n_failed; /* keys whose values could not be had; they have no row */
};

int rows_begin(struct rows *rows, uint64_t version, struct err *err);
int rows_add(struct rows *rows, const struct part_entry *entry, struct err *err);
/* -EIO when some failed. */
int rows_finish(struct rows *rows, struct err *err);
void rows_release(struct rows *rows);

#endif
