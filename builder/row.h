/* SPDX-License-Identifier: Apache-2.0 */
/*
 * row: a row's text to a typed key and a stored value.
 *
 * Keys: u64 is decimal digits, 0 to 18446744073709551615, no sign, no space (a JSON string or number); bytes are 1 to 255 bytes.
 * Values: bytes as they are; vectors as number_vector() reads them, then in the schema's element type. NaN and Inf are
 * taken as written ("nan", "inf"), and the validators of a publish count them; a vector stored as i8 cannot hold them. A
 * finite element that f16 or bf16 cannot hold is a bad row, never a silent Inf.
 * A record's key is its bytes; for u64, 8 of them, little-endian. Its value is a table's bytes, or dim f32, little-endian, under the
 * same rules as text; or, in a table of f16, dim f16, which are taken as they are.
 * Typed fields (Parquet, SQL) are taken as they are, under the same rules.
 * A delta's row without a value field, with a NULL for a value, or one that says so, deletes its key.
 *
 * Threads: a row_parser belongs to one thread. Memory: entries point into the row and the parser, until the next row.
 * Errors: -EBADMSG with what was expected and found.
 */
#ifndef FKV_BUILDER_ROW_H
#define FKV_BUILDER_ROW_H

#include "builder/input.h"
#include "format/part.h"
#include "format/schema.h"

struct row_parser {
    const struct schema *schema;
    bool is_delta;
    bool bare_key_deletes; /* a row that ends after its key deletes it */
    float *floats;
    uint8_t *stored;
};

int row_parser_init(struct row_parser *parser, const struct job *job, const struct schema *schema);
void row_parser_release(struct row_parser *parser);

/* entry->hash included. */
int row_parse(struct row_parser *parser, const struct input_row *row, struct part_entry *entry,
              struct err *err);

/* The longest row worth reading for this schema: twice its largest value (escapes), or 32 bytes an element, and 1 MiB. */
size_t row_len_max(const struct schema *schema);

#endif
