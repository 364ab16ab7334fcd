/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value: one key's value as the content of a file: v/<id>/key/<key>.
 *
 * u64 keys are written in decimal, byte keys percent-escaped (base/percent.h). The content is the
 * value's bytes; vectors come as little-endian f32.
 *
 * Threads: any. Memory: value_release(). Errors: -ENOENT for an absent key or text that is no key,
 * -ESTALE when the version is not loaded, -ENOMEM, -EIO.
 */
#ifndef FKV_FUSE_VALUE_H
#define FKV_FUSE_VALUE_H

#include "fuse/message.h"
#include "node/version.h"

enum { VALUE_KEY_MAX = 255, VALUE_NAME_MAX = 3 * VALUE_KEY_MAX };

struct value_key {
    uint32_t len; /* 8 for a u64 key, whose bytes are little-endian */
    uint8_t bytes[VALUE_KEY_MAX];
};

struct value {
    struct blob *body;
    const uint8_t *data;
    size_t len;
};

int value_key_of(const struct version *version, const char *name, struct value_key *out);
int value_read(const struct version *version, const struct value_key *key, struct value *out);
void value_release(struct value *value);

#endif
