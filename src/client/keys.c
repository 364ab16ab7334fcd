/* SPDX-License-Identifier: Apache-2.0 */
#include "client/keys.h"

#include "base/bytes.h"
#include "wire/fkv_protocol.h"

#include <errno.h>

uint32_t keys_type(const struct keys *keys)
{
    if (keys->bounds)
        return keys->bounds_type;
    return keys->u64 ? FKV_KEY_U64 : FKV_KEY_BYTES;
}

int keys_check(const struct keys *keys, struct err *err)
{
    if (keys->n > FKV_KEYS_MAX)
        return err_set(err, -E2BIG, "%u keys in one batch; at most %u", keys->n, FKV_KEYS_MAX);
    if (keys->u64 || keys->bounds)
        return 0;
    for (uint32_t i = 0; i < keys->n; i++) {
        if (!keys->lens[i] || !keys->bytes[i])
            return err_set(err, -EINVAL, "key %u is empty; a key has 1 to 255 bytes", i);
    }
    return 0;
}

size_t keys_len(const struct keys *keys, uint32_t from, uint32_t n)
{
    if (keys->bounds)
        return keys->bounds_len;
    if (keys->u64)
        return 8 * (size_t)n;
    size_t len = 4 * (size_t)n;
    for (uint32_t i = from; i < from + n; i++)
        len += keys->lens[i];
    return len;
}

void keys_write(const struct keys *keys, uint32_t from, uint32_t n, uint8_t *out)
{
    if (keys->bounds) {
        memcpy(out, keys->bounds, keys->bounds_len);
        return;
    }
    if (keys->u64) {
        if (n)
            memmove(out, keys->u64 + from, 8 * (size_t)n);
        return;
    }
    uint8_t *text = out + 4 * (size_t)n;
    uint32_t end = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t len = keys->lens[from + i];
        memcpy(text + end, keys->bytes[from + i], len);
        end += len;
        store_le32(out + 4 * (size_t)i, end);
    }
}

uint32_t keys_fit(const struct keys *keys, uint32_t from, uint32_t max, size_t space)
{
    uint32_t left = keys->n - from < max ? keys->n - from : max;
    uint32_t n = 0;
    size_t len = 0;
    while (n < left) {
        len += keys->u64 ? 8u : 4u + keys->lens[from + n];
        if (len > space)
            break;
        n++;
    }
    return n || !left ? n : 1;
}
