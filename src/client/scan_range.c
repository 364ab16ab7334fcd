/* SPDX-License-Identifier: Apache-2.0 */
#include "client/scan_range.h"

#include "base/bytes.h"
#include "wire/fkv_protocol.h"

#include <errno.h>

/* The end of the keys that begin with it: its last byte that can be raised is, and what follows is
 * cut off. None when all are 0xff. */
static void set_prefix(struct scan_range *range, const uint8_t *prefix, uint32_t len)
{
    memcpy(range->from, prefix, len);
    memcpy(range->to, prefix, len);
    range->from_len = len;
    while (len && range->to[len - 1] == 0xff)
        len--;
    if (len)
        range->to[len - 1]++;
    range->to_len = len;
}

static int init_bytes(struct scan_range *range, const struct fkv_range *wish, struct err *err)
{
    if (wish->from_u64 || wish->to_u64)
        return err_set(err, -EINVAL, "the keys of this table are bytes: from_u64 and to_u64 are 0");
    if (wish->from_len > SCAN_BOUND_MAX || wish->to_len > SCAN_BOUND_MAX)
        return err_set(err, -EINVAL, "a bound of %zu bytes; at most %d",
                       wish->from_len > wish->to_len ? wish->from_len : wish->to_len,
                       SCAN_BOUND_MAX);
    if (wish->prefix_len && (wish->from_len || wish->to_len))
        return err_set(err, -EINVAL, "a range has a prefix or bounds, not both");
    if (wish->prefix_len >= SCAN_BOUND_MAX)
        return err_set(err, -EINVAL, "a prefix of %zu bytes; keys have at most %d",
                       wish->prefix_len, SCAN_BOUND_MAX - 1);
    if (wish->prefix_len) {
        set_prefix(range, (const uint8_t *)wish->prefix, (uint32_t)wish->prefix_len);
        return 0;
    }
    range->from_len = (uint32_t)wish->from_len;
    range->to_len = (uint32_t)wish->to_len;
    if (range->from_len)
        memcpy(range->from, wish->from, range->from_len);
    if (range->to_len)
        memcpy(range->to, wish->to, range->to_len);
    return 0;
}

int scan_range_init(struct scan_range *range, const struct fkv_range *wish, uint32_t key_type,
                    struct err *err)
{
    *range = (struct scan_range){.key_type = key_type};
    if (key_type == FKV_KEY_BYTES)
        return init_bytes(range, wish, err);
    if (wish->from_len || wish->to_len || wish->prefix_len)
        return err_set(err, -EINVAL,
                       "the keys of this table are u64: use from_u64 and to_u64, no prefix");
    range->from_u64 = wish->from_u64;
    range->to_u64 = wish->to_u64;
    return 0;
}

size_t scan_range_write(const struct scan_range *range, uint8_t out[SCAN_BOUNDS_LEN_MAX])
{
    if (range->key_type == FKV_KEY_U64) {
        store_le64(out, range->from_u64);
        store_le64(out + 8, range->to_u64);
        return 16;
    }
    store_le32(out, range->from_len);
    store_le32(out + 4, range->from_len + range->to_len);
    memcpy(out + 8, range->from, range->from_len);
    memcpy(out + 8 + range->from_len, range->to, range->to_len);
    return 8 + (size_t)range->from_len + range->to_len;
}

static int compare(const uint8_t *a, uint32_t a_len, const uint8_t *b, uint32_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

static bool pass_u64(struct scan_range *range, uint64_t key)
{
    if (key < range->from_u64 || (range->to_u64 && key >= range->to_u64) || range->is_over)
        return false;
    range->is_over = key == UINT64_MAX;
    range->from_u64 = range->is_over ? key : key + 1;
    return true;
}

static bool pass_bytes(struct scan_range *range, const uint8_t *key, uint8_t len)
{
    if (compare(key, len, range->from, range->from_len) < 0 ||
        (range->to_len && compare(key, len, range->to, range->to_len) >= 0))
        return false;
    memcpy(range->from, key, len);
    range->from[len] = 0;
    range->from_len = len + 1u;
    return true;
}

int scan_range_pass(struct scan_range *range, const uint8_t *key, uint8_t len, struct err *err)
{
    bool good = range->key_type == FKV_KEY_U64 ? pass_u64(range, load_le64(key))
                                               : pass_bytes(range, key, len);
    return good ? 0 : err_set(err, -EPROTO, "a scan's key is out of order, or out of its range");
}
