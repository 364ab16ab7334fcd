/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal: a JSON object whose last member is the checksum of every byte before it.
 *
 *   {…,"checksum":"<32 hex digits>"}\n        XXH3-128 of the text up to, not including, the last comma
 *
 * A flipped bit leaves most JSON texts valid; the seal tells. Taking the checksum over bytes rather than over meaning spares
 * every reader a canonical form. The seal is the same in every format, so it is checked first.
 *
 * Threads: pure functions. Memory: *out is a new reference. Errors: -EBADMSG; -ENOTSUP; -ENOMEM.
 */
#ifndef FKV_MANIFEST_SEAL_H
#define FKV_MANIFEST_SEAL_H

#include "base/json.h"

/* Appends the text of a non-empty object that has no member "checksum". */
int seal_write(const json_t *object, struct buf *out);

/* Checks the seal and parses. The member "checksum" stays in the object. */
int seal_parse(const void *text, size_t len, const char *name, json_t **out, struct err *err);

/* Member "format": -EBADMSG when it is none, -ENOTSUP when it is another than ours. */
int json_check_format(const json_t *object, const char *name, uint32_t ours, struct err *err);

#endif
