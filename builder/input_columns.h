/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input_columns: which columns of a TSV or CSV row hold key and value.
 *
 * Without a header and without columns asked for, a row has exactly two fields, so that a stray separator inside a value is an
 * error and not a value cut short. A delta's row may end after the key: then the row deletes it.
 *
 * Threads: pure functions. Errors: -EINVAL for a column that does not exist, -EBADMSG for a row with other fields.
 */
#ifndef FKV_BUILDER_INPUT_COLUMNS_H
#define FKV_BUILDER_INPUT_COLUMNS_H

#include "builder/input_format.h"

/* names[i] of lens[i] bytes are the header's n fields. */
int input_columns_choose(const struct input_options *options, const char *const *names,
                         const size_t *lens, uint32_t n, bool has_header, struct input_columns *out,
                         struct err *err);

/* Checks that a row of n fields has what columns ask for. */
int input_columns_count(const struct input_columns *columns, uint32_t n,
                        const struct input_row *row, const char *separator, struct err *err);

#endif
