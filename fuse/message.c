/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/message.h"

#include "base/bytes.h"

#include <errno.h>
#include <stdlib.h>

/* The shortest first piece that the kernel can have made of a longer write. */
enum { CUT_LEN_MIN = FKV_MESSAGE_MAX - 8192 };

struct blob *blob_new(size_t cap)
{
    size_t len = align_up(sizeof(struct blob) + cap, _Alignof(struct blob));
    struct blob *blob = aligned_alloc(_Alignof(struct blob), len);
    if (!blob)
        return NULL;
    atomic_init(&blob->refs, 1);
    blob->cap = cap;
    blob->len = 0;
    return blob;
}

void blob_unref(struct blob *blob)
{
    if (blob && atomic_fetch_sub_explicit(&blob->refs, 1, memory_order_acq_rel) == 1)
        free(blob);
}

void message_release(struct message *message)
{
    blob_unref(message->request);
    blob_unref(message->reply);
    *message = (struct message){0};
}

void message_forget_request(struct message *message)
{
    blob_unref(message->request);
    message->request = NULL;
}

/* How long the whole request is, by the header that starts its first piece. */
static int expected_len(const void *data, size_t len, size_t *out, struct err *err)
{
    struct fkv_lookup lookup;
    uint64_t end = 0;
    if (len < sizeof lookup)
        return err_set(err, -EPROTO, "message: expected at least %zu bytes, found %zu",
                       sizeof lookup, len);
    memcpy(&lookup, data, sizeof lookup);
    if (!add_u64(lookup.keys_off, lookup.keys_len, &end))
        return err_set(err, -EPROTO, "message: keys_off and keys_len are out of range");
    if (end > FKV_MESSAGE_MAX || len > FKV_MESSAGE_MAX)
        return err_set(err, -E2BIG, "message: expected at most %u bytes, found %llu",
                       FKV_MESSAGE_MAX, (unsigned long long)end);
    *out = end > len && len >= CUT_LEN_MIN ? (size_t)end : len;
    return 0;
}

static int begin(struct message *message, const void *data, size_t len, struct err *err)
{
    size_t expected = 0;
    int ret = expected_len(data, len, &expected, err);
    if (ret)
        return ret;
    message->request = blob_new(expected);
    if (!message->request)
        return err_set(err, -ENOMEM, "message: no memory");
    message->expected = expected;
    return 0;
}

int message_add(struct message *message, const void *data, size_t len, struct err *err)
{
    if (message->request && message->request->len == message->expected)
        message_forget_request(message); /* the one before, answered */
    if (!message->request) {
        blob_unref(message->reply);
        message->reply = NULL;
        int ret = begin(message, data, len, err);
        if (ret)
            return ret;
    }
    struct blob *request = message->request;
    size_t left = request->cap - request->len;
    if (len > left) {
        message_forget_request(message);
        return err_set(err, -EPROTO, "message: expected its last %zu bytes, found %zu", left, len);
    }
    memcpy(request->data + request->len, data, len);
    request->len += len;
    return request->len == message->expected;
}

struct message_piece message_next(struct message *message, size_t max)
{
    struct blob *reply = message->reply;
    struct message_piece piece = {0};
    if (!reply)
        return piece;
    size_t left = reply->len - message->n_read;
    if (left == 0) {
        blob_unref(reply);
        message->reply = NULL;
        return piece;
    }
    atomic_fetch_add_explicit(&reply->refs, 1, memory_order_relaxed);
    piece.blob = reply;
    piece.data = reply->data + message->n_read;
    piece.len = left < max ? left : max;
    message->n_read += piece.len;
    return piece;
}
