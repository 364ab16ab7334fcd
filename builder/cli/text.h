/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text: figures as people read them, and columns that line up.
 *
 * Threads: one. Memory: a grid copies its cells; grid_print() empties it. Without memory a grid prints what it has.
 */
#ifndef FKV_CLI_TEXT_H
#define FKV_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { TEXT_MAX = 40 };

/* "17 B", "1.5 MiB" */
void text_size(uint64_t bytes, char out[TEXT_MAX]);
/* "1,234,567" */
void text_count(uint64_t n, char out[TEXT_MAX]);
/* "4 s", "12 min", "5 h", "3 d" */
void text_age(int64_t ns, char out[TEXT_MAX]);
/* How long something took: "0.4 ms", "12 ms", "3.2 s", "12 min" */
void text_took(int64_t ns, char out[TEXT_MAX]);
/* "2026-03-01 12:30:05" in local time; "-" for 0 */
void text_time(int64_t realtime_ns, char out[TEXT_MAX]);
/* "2026-03-01T12:30:05.250Z" */
void text_rfc3339(int64_t realtime_ns, char out[TEXT_MAX]);

struct grid {
    char **cells; /* row-major */
    size_t n_cells;
    size_t cap;
    size_t n_columns;
    unsigned right; /* bit i: column i is aligned to the right */
};

/* headers: names of columns, NULL at the end; one that starts with '>' is aligned to the right. */
void grid_init(struct grid *grid, const char *const *headers);
void grid_add(struct grid *grid, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void grid_print(struct grid *grid, FILE *file);
/* Empties it unprinted. */
void grid_free(struct grid *grid);

#endif
