/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/request.h"

#include "base/bytes.h"

#include <errno.h>
#include <string.h>

_Static_assert(sizeof(struct fkv_info) == 64, "struct fkv_info is 64 bytes");
_Static_assert(sizeof(struct fkv_attach) == 16, "struct fkv_attach is 16 bytes");
_Static_assert(sizeof(struct fkv_lookup) == 128, "struct fkv_lookup is 128 bytes");
_Static_assert(offsetof(struct fkv_lookup, error) == 64, "the reply is the second half");
_Static_assert(offsetof(struct fkv_lookup, has_more) == 112, "has_more was reserved once");
_Static_assert(sizeof(struct fkv_loc) == 8, "struct fkv_loc is 8 bytes");

enum { KEY_LEN_MIN = 1, KEY_LEN_MAX = 255, OUT_ALIGN = 64, ERRNO_MAX = 4095, PAGE_LEN = 4096 };
enum { BOUND_LEN_MAX = KEY_LEN_MAX + 1 }; /* the longest key and a NUL: what follows it */

static int magic_check(uint32_t magic, struct err *err)
{
    if (magic == FKV_MAGIC)
        return 0;
    return err_set(err, -EPROTO, "magic: expected 0x%08x, found 0x%08x", FKV_MAGIC, magic);
}

static int flags_check(uint32_t flags, uint64_t version, struct err *err)
{
    uint32_t form = flags & FKV_FORM_MASK;
    uint32_t want = flags & FKV_WANT_MASK;
    uint32_t known = FKV_FORM_MASK | FKV_WANT_MASK | FKV_SCAN;
    if (flags & ~known || form > FKV_FORM_F32 || want > FKV_WANT_AT_LEAST)
        return err_set(err, -EPROTO, "flags: expected known ones, found 0x%x", flags);
    if (want == FKV_WANT_EXACT && version == 0)
        return err_set(err, -EPROTO, "version: expected a number with FKV_WANT_EXACT, found 0");
    return 0;
}

/* Do n_keys keys of that type fit keys_len bytes? The keys themselves are checked as they are
 * read. */
static int keys_check(uint32_t key_type, uint32_t n_keys, uint64_t keys_len, struct err *err)
{
    if (n_keys > FKV_KEYS_MAX)
        return err_set(err, -E2BIG, "n_keys: expected at most %u, found %u", FKV_KEYS_MAX, n_keys);
    uint64_t n = n_keys;
    uint64_t min = 0;
    uint64_t max = 0;
    switch (key_type) {
    case FKV_KEY_U64:
        min = max = n * sizeof(uint64_t);
        break;
    case FKV_KEY_BYTES:
        min = n * (sizeof(uint32_t) + KEY_LEN_MIN);
        max = n * (sizeof(uint32_t) + KEY_LEN_MAX);
        break;
    default:
        return err_set(err, -EPROTO, "key_type: expected 1 or 2, found %u", key_type);
    }
    if (keys_len < min || keys_len > max)
        return err_set(err, -EPROTO, "keys_len: expected %llu to %llu for %u keys, found %llu",
                       (unsigned long long)min, (unsigned long long)max, n_keys,
                       (unsigned long long)keys_len);
    return 0;
}

/* Do two bounds of that type fit keys_len bytes? Their ends are checked as they are read. */
static int bounds_check(uint32_t key_type, uint32_t n_max, uint64_t keys_len, struct err *err)
{
    if (n_max > FKV_KEYS_MAX)
        return err_set(err, -E2BIG, "n_keys: expected at most %u records, found %u", FKV_KEYS_MAX,
                       n_max);
    if (n_max == 0)
        return err_set(err, -EPROTO, "n_keys: expected at least 1 record of a scan, found 0");
    if (key_type != FKV_KEY_U64 && key_type != FKV_KEY_BYTES)
        return err_set(err, -EPROTO, "key_type: expected 1 or 2, found %u", key_type);
    uint64_t min = 2 * (key_type == FKV_KEY_U64 ? sizeof(uint64_t) : sizeof(uint32_t));
    uint64_t max = key_type == FKV_KEY_U64 ? min : min + 2ull * BOUND_LEN_MAX;
    if (keys_len >= min && keys_len <= max)
        return 0;
    return err_set(err, -EPROTO, "keys_len: expected %llu to %llu for two bounds, found %llu",
                   (unsigned long long)min, (unsigned long long)max, (unsigned long long)keys_len);
}

static int range_check(const char *what, uint64_t off, uint64_t len, uint64_t space,
                       struct err *err)
{
    if (range_within(off, len, space))
        return 0;
    return err_set(err, -EPROTO,
                   "%s: expected a range within %llu bytes, found %llu bytes at offset %llu", what,
                   (unsigned long long)space, (unsigned long long)len, (unsigned long long)off);
}

static int places_check(const struct wire_request *request, enum wire_carrier carrier,
                        uint64_t space, struct err *err)
{
    int ret = range_check("keys", request->keys_off, request->keys_len, space, err);
    if (ret)
        return ret;
    if (carrier == WIRE_MESSAGE) {
        if (request->keys_off < sizeof(struct fkv_lookup))
            return err_set(err, -EPROTO, "keys_off: expected at least %zu in a message, found %llu",
                           sizeof(struct fkv_lookup), (unsigned long long)request->keys_off);
        return 0;
    }
    if (request->out_off % OUT_ALIGN)
        return err_set(err, -EPROTO, "out_off: expected a multiple of %d, found %llu", OUT_ALIGN,
                       (unsigned long long)request->out_off);
    return range_check("out", request->out_off, request->out_len, space, err);
}

int wire_request_decode(const void *data, size_t len, enum wire_carrier carrier, uint64_t space,
                        struct wire_request *out, struct err *err)
{
    struct fkv_lookup lookup;
    if (len < sizeof lookup)
        return err_set(err, -EPROTO, "request: expected at least %zu bytes, found %zu",
                       sizeof lookup, len);
    memcpy(&lookup, data, sizeof lookup);
    int ret = magic_check(lookup.magic, err);
    if (ret)
        return ret;
    ret = flags_check(lookup.flags, lookup.version, err);
    if (ret)
        return ret;
    if (lookup.value_len || lookup.has_more || lookup.reserved1)
        return err_set(err, -EPROTO,
                       "value_len and reserved fields: expected zeros, found other bits");
    ret = lookup.flags & FKV_SCAN
              ? bounds_check(lookup.key_type, lookup.n_keys, lookup.keys_len, err)
              : keys_check(lookup.key_type, lookup.n_keys, lookup.keys_len, err);
    if (ret)
        return ret;
    struct wire_request request = {
        .flags = lookup.flags,
        .n_keys = lookup.n_keys,
        .key_type = lookup.key_type,
        .version = lookup.version,
        .deadline_ns = lookup.deadline_ns,
        .keys_off = lookup.keys_off,
        .keys_len = lookup.keys_len,
        .out_off = carrier == WIRE_SHARED ? lookup.out_off : 0,
        .out_len = lookup.out_len,
    };
    ret = places_check(&request, carrier, space, err);
    if (ret)
        return ret;
    *out = request;
    return 0;
}

int wire_attach_decode(const void *data, size_t len, struct fkv_attach *out, struct err *err)
{
    struct fkv_attach attach;
    if (len < sizeof attach)
        return err_set(err, -EPROTO, "attach: expected %zu bytes, found %zu", sizeof attach, len);
    memcpy(&attach, data, sizeof attach);
    int ret = magic_check(attach.magic, err);
    if (ret)
        return ret;
    if (attach.fd < 0)
        return err_set(err, -EBADF, "fd: expected a descriptor, found %d", attach.fd);
    if (attach.len > FKV_ARENA_MAX)
        return err_set(err, -E2BIG, "len: expected at most %llu, found %llu", FKV_ARENA_MAX,
                       (unsigned long long)attach.len);
    if (attach.len == 0 || attach.len % PAGE_LEN)
        return err_set(err, -EINVAL, "len: expected a multiple of %d above 0, found %llu", PAGE_LEN,
                       (unsigned long long)attach.len);
    *out = attach;
    return 0;
}

void wire_reply_encode(const struct wire_reply *reply, void *data)
{
    struct fkv_lookup lookup;
    size_t half = offsetof(struct fkv_lookup, error);
    memset(&lookup, 0, sizeof lookup);
    lookup.error = reply->error;
    lookup.n_found = reply->n_found;
    lookup.served = reply->served;
    lookup.values_off = reply->values_off;
    lookup.locs_off = reply->locs_off;
    lookup.stride = reply->stride;
    lookup.value_len = reply->value_len;
    lookup.body_len = reply->body_len;
    lookup.has_more = reply->has_more;
    memcpy((uint8_t *)data + half, (uint8_t *)&lookup + half, sizeof lookup - half);
}

/* Status, then values at a stride, or locs and values, each within the body. */
static int body_check(const struct wire_reply *reply, uint32_t n_keys, uint64_t out_len,
                      struct err *err)
{
    if (reply->body_len > out_len)
        return err_set(err, -EPROTO, "body_len: expected at most %llu, found %llu",
                       (unsigned long long)out_len, (unsigned long long)reply->body_len);
    if (reply->n_found > n_keys)
        return err_set(err, -EPROTO, "n_found: expected at most %u, found %u", n_keys,
                       reply->n_found);
    int ret = range_check("status", 0, n_keys, reply->body_len, err);
    if (ret)
        return ret;
    if (reply->value_len > reply->stride)
        return err_set(err, -EPROTO, "value_len: expected at most the stride, %u, found %u",
                       reply->stride, reply->value_len);
    uint64_t values_len = (uint64_t)reply->stride * n_keys;
    ret = range_check("values", reply->values_off, values_len, reply->body_len, err);
    if (ret || reply->locs_off == 0)
        return ret;
    if (reply->stride)
        return err_set(err, -EPROTO, "stride: expected 0 with locs, found %u", reply->stride);
    uint64_t locs_len = (uint64_t)n_keys * sizeof(struct fkv_loc);
    return range_check("locs", reply->locs_off, locs_len, reply->body_len, err);
}

/* Records within the room; at least one when there are more, so that a walk always moves on. */
static int scan_check(const struct wire_reply *reply, uint32_t n_max, uint64_t out_len,
                      struct err *err)
{
    if (reply->body_len > out_len)
        return err_set(err, -EPROTO, "body_len: expected at most %llu, found %llu",
                       (unsigned long long)out_len, (unsigned long long)reply->body_len);
    if (reply->n_found > n_max)
        return err_set(err, -EPROTO, "n_found: expected at most %u, found %u", n_max,
                       reply->n_found);
    if (reply->has_more > 1 || (reply->has_more && !reply->n_found))
        return err_set(err, -EPROTO, "has_more: expected 0, or 1 behind a record; found %llu",
                       (unsigned long long)reply->has_more);
    return 0;
}

/* What stands in a reply, of which only the magic and the error are checked. */
static int reply_parse(const void *data, size_t len, struct wire_reply *out, struct err *err)
{
    struct fkv_lookup lookup;
    if (len < sizeof lookup)
        return err_set(err, -EPROTO, "reply: expected at least %zu bytes, found %zu", sizeof lookup,
                       len);
    memcpy(&lookup, data, sizeof lookup);
    int ret = magic_check(lookup.magic, err);
    if (ret)
        return ret;
    if (lookup.error > 0 || lookup.error < -ERRNO_MAX)
        return err_set(err, -EPROTO, "error: expected 0 or a negative errno, found %d",
                       lookup.error);
    *out = (struct wire_reply){
        .error = lookup.error,
        .n_found = lookup.n_found,
        .served = lookup.served,
        .values_off = lookup.values_off,
        .locs_off = lookup.locs_off,
        .stride = lookup.stride,
        .value_len = lookup.value_len,
        .body_len = lookup.body_len,
        .has_more = lookup.has_more,
    };
    return 0;
}

int wire_reply_decode(const void *data, size_t len, uint32_t n_keys, uint64_t out_len,
                      struct wire_reply *out, struct err *err)
{
    struct wire_reply reply;
    int ret = reply_parse(data, len, &reply, err);
    if (!ret && !reply.error)
        ret = body_check(&reply, n_keys, out_len, err);
    if (ret)
        return ret;
    *out = reply;
    return 0;
}

int wire_scan_reply_decode(const void *data, size_t len, uint32_t n_max, uint64_t out_len,
                           struct wire_reply *out, struct err *err)
{
    struct wire_reply reply;
    int ret = reply_parse(data, len, &reply, err);
    if (!ret && !reply.error)
        ret = scan_check(&reply, n_max, out_len, err);
    if (ret)
        return ret;
    *out = reply;
    return 0;
}
