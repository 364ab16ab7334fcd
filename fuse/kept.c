/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/kept.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

struct kept {
    const struct version *version;
    struct file_key key;
    uint64_t len;
    struct quota_user *user;
    struct buf *_Atomic value; /* set once; NULL until then */
};

int kept_new(const struct version *version, const struct file_key *key, uint64_t len,
             struct quota_user *user, struct kept **out)
{
    struct kept *kept = calloc(1, sizeof *kept);
    if (!kept)
        return -ENOMEM;
    kept->version = version;
    kept->key = *key;
    kept->len = len;
    kept->user = user;
    *out = kept;
    return 0;
}

static void value_drop(struct quota_user *user, struct buf *value)
{
    if (!value)
        return;
    quota_change(user, QUOTA_MESSAGE_BYTES, value->cap, 0);
    buf_release(value);
    free(value);
}

void kept_free(struct kept *kept)
{
    if (!kept)
        return;
    value_drop(kept->user, atomic_load_explicit(&kept->value, memory_order_acquire));
    quota_leave(kept->user);
    free(kept);
}

/* Keeps what was made, if the user may have that much and nobody was first. */
static const struct buf *keep(struct kept *kept, struct buf *made)
{
    struct buf *value = malloc(sizeof *value);
    if (!value || !quota_take(kept->user, QUOTA_MESSAGE_BYTES, made->cap)) {
        free(value);
        return made;
    }
    *value = *made;
    *made = (struct buf){0};
    struct buf *found = NULL;
    if (atomic_compare_exchange_strong(&kept->value, &found, value))
        return value;
    value_drop(kept->user, value);
    return found;
}

int kept_read(struct kept *kept, size_t size, uint64_t off, struct disk_worker *worker,
              struct buf *made, const struct buf **out)
{
    bool is_whole = off == 0 && size >= kept->len;
    *out = atomic_load_explicit(&kept->value, memory_order_acquire);
    if (*out)
        return 0;
    int ret = value_read(kept->version, &kept->key, worker, made);
    if (!ret)
        *out = is_whole ? made : keep(kept, made);
    return ret;
}
