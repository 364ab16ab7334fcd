/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/written.h"

#include "fuse/disk.h"

#include <errno.h>
#include <string.h>

enum {
    GUESS_MIN = 64 << 10, /* first try at a body; values that vary may need more */
    GUESS_KEY = 256,      /* the same, for each key of a table on disk */
    TRIES = 4,            /* a table may switch to longer values between tries */
    WASTE_MAX = 64 << 10, /* more than that of unused room is given back */
};

static const size_t head_len = sizeof(struct fkv_lookup);

static void charge(struct written *written, size_t before, size_t now)
{
    metric_add(&written->stats->message_bytes, now);
    metric_sub(&written->stats->message_bytes, before);
    written->charged = now;
}

void written_release(struct written *written)
{
    quota_change(written->user, QUOTA_MESSAGE_BYTES, written->charged, 0);
    charge(written, written->charged, 0);
}

/* Makes the room for a try ours, instead of that for the one before. */
static bool take_room(struct written *written, size_t cap)
{
    size_t now = head_len + cap;
    size_t before = written->charged;
    if (now <= MESSAGE_SMALL || now <= before)
        quota_change(written->user, QUOTA_MESSAGE_BYTES, before, now);
    else if (!quota_take(written->user, QUOTA_MESSAGE_BYTES, now - before))
        return false;
    charge(written, before, now);
    return true;
}

/* Answers into a new blob of room for the reply and cap bytes of body. */
static struct blob *try_room(const struct written *written, size_t cap, struct wire_reply *reply)
{
    struct blob *blob = blob_new(head_len + cap);
    if (!blob)
        return NULL;
    const struct answer_space space = {.keys = written->blob->data + written->request.keys_off,
                                       .out = blob->data + head_len,
                                       .out_cap = cap};
    answer_batch(written->source, &written->request, &space, written->disk, reply);
    memcpy(blob->data, written->blob->data, head_len);
    blob->len = head_len + (reply->error ? 0 : reply->body_len);
    return blob;
}

static uint64_t body_max(const struct written *written)
{
    uint64_t out_len = written->request.out_len;
    return out_len < FKV_BODY_MAX ? out_len : FKV_BODY_MAX;
}

/* Room for a first try. What did not fit is read from disk again, so more is tried there, if the
 * user has it. */
static size_t first_room(struct written *written)
{
    uint64_t max = body_max(written);
    uint64_t small = GUESS_MIN < max ? GUESS_MIN : max;
    uint64_t guess = GUESS_MIN;
    if (written->disk)
        guess += (uint64_t)GUESS_KEY * written->request.n_keys;
    if (guess > max)
        guess = max;
    if (take_room(written, guess))
        return guess;
    take_room(written, small);
    return small;
}

/* A reply waits until its client reads it: without much more room than it needs. */
static struct blob *without_waste(struct blob *blob)
{
    if (blob->cap - blob->len <= WASTE_MAX)
        return blob;
    struct blob *copy = blob_new(blob->len);
    if (!copy)
        return blob;
    memcpy(copy->data, blob->data, blob->len);
    copy->len = blob->len;
    blob_unref(blob);
    return copy;
}

int written_answer(struct written *written, struct blob **out)
{
    struct wire_reply reply = {0};
    uint64_t max = body_max(written);
    struct blob *blob = try_room(written, first_room(written), &reply);
    for (int i = 1; blob && i < TRIES && reply.error == -ENOSPC && reply.body_len <= max; i++) {
        uint64_t cap = reply.body_len;
        if (!take_room(written, cap))
            break;
        blob_unref(blob);
        blob = try_room(written, cap, &reply);
    }
    if (!blob)
        return -ENOMEM;
    if (reply.error == DISK_NEEDED) {
        blob_unref(blob);
        return DISK_NEEDED;
    }
    /* When others hold the memory, neither fewer keys nor more room would help. */
    if (reply.error == -ENOSPC && reply.body_len <= max)
        reply.error = -ENOMEM;
    wire_reply_encode(&reply, blob->data);
    *out = without_waste(blob);
    return 0;
}
