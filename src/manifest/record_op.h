/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record_op: one operation as a JSON object; record.c puts them together.
 *
 * Threads: plain data. Memory: none. Errors: those of record.h.
 */
#ifndef FKV_MANIFEST_RECORD_OP_H
#define FKV_MANIFEST_RECORD_OP_H

#include "base/json.h"
#include "manifest/record.h"

/* Fills an empty object. op has passed op_check(). */
int op_encode(const struct op *op, json_t *object);

int op_decode(struct json_at at, struct op *out, struct err *err);

/* A required member of 32 hex digits. */
int json_get_digest(struct json_at at, const char *key, struct digest *out, struct err *err);

#endif
