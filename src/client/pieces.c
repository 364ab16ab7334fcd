/* SPDX-License-Identifier: Apache-2.0 */
#include "client/pieces.h"

#include "base/bytes.h"
#include "wire/fkv_protocol.h"

#include <errno.h>

void pieces_begin(struct pieces *pieces, uint32_t n_keys, struct buf *body)
{
    buf_clear(body);
    *pieces = (struct pieces){.body = body, .n_keys = n_keys};
}

/* Lays out the whole after the shape of its first piece, values still without bytes when they
 * vary. */
static int lay_out(struct pieces *pieces, const struct wire_reply *first)
{
    struct wire_reply *whole = &pieces->reply;
    uint64_t n = pieces->n_keys;
    whole->served = first->served;
    whole->stride = first->stride;
    whole->value_len = first->value_len;
    whole->locs_off = first->stride ? 0 : align_up(n, 8);
    whole->values_off =
        align_up(first->stride ? n : whole->locs_off + sizeof(struct fkv_loc) * n, 64);
    whole->body_len = whole->values_off + n * first->stride;
    int r = buf_reserve(pieces->body, whole->body_len);
    if (!r)
        pieces->body->len = whole->body_len;
    return r;
}

/* Appends the values of n keys whose lengths vary, and moves their locs along. */
static int add_varying(struct pieces *pieces, uint32_t n, const struct wire_reply *reply,
                       const uint8_t *body, struct err *err)
{
    static const uint8_t zeros[8];
    struct buf *to = pieces->body;
    uint64_t base = (to->len - pieces->reply.values_off) / 8;
    uint64_t len = reply->body_len - reply->values_off;
    if (base + len / 8 >= UINT32_MAX)
        return err_set(err, -E2BIG, "the batch's values exceed 32 GiB: ask fewer keys at once");
    int r = buf_add(to, body + reply->values_off, len);
    if (!r)
        r = buf_add(to, zeros, align_up(len, 8) - len);
    if (r)
        return r;
    uint8_t *locs = to->data + pieces->reply.locs_off + sizeof(struct fkv_loc) * pieces->n_added;
    for (uint32_t i = 0; i < n; i++) {
        struct fkv_loc loc;
        memcpy(&loc, body + reply->locs_off + sizeof loc * i, sizeof loc);
        loc.off8 += (uint32_t)base;
        memcpy(locs + sizeof loc * i, &loc, sizeof loc);
    }
    return 0;
}

int pieces_add(struct pieces *pieces, uint32_t n, const struct wire_reply *reply,
               const uint8_t *body, struct err *err)
{
    int r = pieces->n_added ? 0 : lay_out(pieces, reply);
    if (r)
        return err_set(err, r, "no memory for an answer of %u keys", pieces->n_keys);
    const struct wire_reply *whole = &pieces->reply;
    if (reply->served != whole->served || reply->stride != whole->stride ||
        reply->value_len != whole->value_len || n > pieces->n_keys - pieces->n_added)
        return err_set(
            err, -EPROTO,
            "two parts of one batch differ: version %llu, stride %u and version %llu, stride %u",
            (unsigned long long)whole->served, whole->stride, (unsigned long long)reply->served,
            reply->stride);
    memcpy(pieces->body->data + pieces->n_added, body, n);
    if (whole->stride)
        memcpy(pieces->body->data + whole->values_off + (size_t)whole->stride * pieces->n_added,
               body + reply->values_off, (size_t)whole->stride * n);
    else
        r = add_varying(pieces, n, reply, body, err);
    if (r)
        return r == -ENOMEM ? err_set(err, r, "no memory for an answer") : r;
    pieces->n_added += n;
    pieces->reply.n_found += reply->n_found;
    return 0;
}

const struct wire_reply *pieces_finish(struct pieces *pieces)
{
    pieces->reply.body_len = pieces->body->len;
    return &pieces->reply;
}
