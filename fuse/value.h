/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value: one key's value as the content of a file: v/<id>/key/<key>.
 *
 * u64 keys are written in decimal, byte keys percent-escaped (base/percent.h). The content is the
 * value's bytes; vectors come as little-endian f32.
 *
 * A value may have megabytes and a client may open it thousands of times, so nothing is copied: what
 * is stored is read where it lies, and vectors are converted for each read.
 *
 * Threads: any. Memory: a value points into its version, which must stay pinned. Errors: -ENOENT
 * for an absent key or text that is no key, -ESTALE when the version is not loaded, -EIO.
 */
#ifndef FKV_FUSE_VALUE_H
#define FKV_FUSE_VALUE_H

#include "node/version.h"
#include "query/single.h"

enum { VALUE_KEY_MAX = 255, VALUE_NAME_MAX = 3 * VALUE_KEY_MAX };

struct value_key {
    uint32_t len; /* 8 for a u64 key, whose bytes are little-endian */
    uint8_t bytes[VALUE_KEY_MAX];
};

int value_key_of(const struct version *version, const char *name, struct value_key *out);
int value_find(const struct version *version, const struct value_key *key, struct single *out);

#endif
