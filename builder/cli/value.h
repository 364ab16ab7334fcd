/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value: keys and values as text that `fkv build` reads back to the same bytes, and as JSON.
 *
 *   TSV    bytes with \t \n \r \\ \0 and \xHH escapes; numbers separated by commas
 *   JSON   a string when the bytes are UTF-8, else {"b64": "…"}; an array of numbers
 *
 * Threads: pure functions. Memory: text is appended to the caller's buf.
 * Errors: 0 or -ENOMEM.
 */
#ifndef FKV_CLI_VALUE_H
#define FKV_CLI_VALUE_H

#include "base/buf.h"
#include "format/part.h"

int value_add_escaped(struct buf *out, const uint8_t *data, size_t len);
int value_add_json_bytes(struct buf *out, const uint8_t *data, size_t len);

/* Numbers with as few digits as give the same f32 again. open, close: "" and "", or "[" and "]". */
int value_add_floats(struct buf *out, const float *floats, uint32_t dim, const char *open,
                     const char *close);

/*
 * A stored vector as floats that encode to the same stored bytes. For i8 that takes care: the largest is moved by a last digit where
 * the scale would come out different.
 */
void value_decode(const struct schema *schema, const uint8_t *stored, float *floats);

/* A key, or a stored value with floats as scratch (dim of them), in one of the forms. */
int value_add_key(struct buf *out, const struct schema *schema, const struct part_entry *entry,
                  bool json);
int value_add_stored(struct buf *out, const struct schema *schema, const uint8_t *value,
                     uint32_t len, float *floats, bool json);

#endif
