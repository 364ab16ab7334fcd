/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/handle.h"

#include "base/scope.h"
#include "fuse/listing.h"
#include "fuse/status.h"

#include <errno.h>

static struct handle *handle_new(struct view *view, const struct tree_node *node)
{
    struct handle *handle = calloc(1, sizeof *handle);
    if (!handle)
        return NULL;
    atomic_init(&handle->refs, 1);
    handle->node = *node;
    handle->fd = -1;
    scope_lock(&view->handles_lock);
    handle->next = view->handles;
    handle->link = &view->handles;
    if (handle->next)
        handle->next->link = &handle->next;
    view->handles = handle;
    return handle;
}

static void unlink_handle(struct view *view, struct handle *handle)
{
    scope_lock(&view->handles_lock);
    *handle->link = handle->next;
    if (handle->next)
        handle->next->link = handle->link;
}

void handle_ref(struct handle *handle)
{
    atomic_fetch_add_explicit(&handle->refs, 1, memory_order_relaxed);
}

void handle_close(struct view *view, struct handle *handle)
{
    if (!handle || atomic_fetch_sub_explicit(&handle->refs, 1, memory_order_acq_rel) != 1)
        return;
    unlink_handle(view, handle);
    session_close(handle->session);
    kept_free(handle->kept);
    buf_release(&handle->text);
    if (handle->fd >= 0) {
        close(handle->fd);
        atomic_fetch_sub_explicit(&view->n_open_parts, 1, memory_order_relaxed);
    }
    if (handle->version) {
        version_unpin(handle->version);
        metric_sub(&view->stats->leases, 1);
    }
    free(handle);
}

void handle_close_all(struct view *view)
{
    while (view->handles)
        handle_close(view, view->handles);
}

/* Leases the version that the node is in. */
static int lease(struct view *view, const struct tree_node *node, struct handle *handle)
{
    handle->version = view_pin(view, node);
    if (!handle->version)
        return -ESTALE;
    metric_add(&view->stats->leases, 1);
    return 0;
}

static int open_lookup(struct view *view, uid_t uid, struct handle *handle)
{
    struct table *table = view_table(view, &handle->node);
    if (!table)
        return -ENOENT;
    if (handle->node.kind == TREE_VERSION_BATCH) {
        int ret = lease(view, &handle->node, handle);
        if (ret)
            return ret;
        version_pin(handle->version); /* one for the lease, one for the session */
    }
    struct quota_user *user = quota_join(view->quota, uid);
    int ret =
        user ? session_open(table, handle->version, view->stats, user, &handle->session) : -ENOMEM;
    if (ret) {
        quota_leave(user);
        version_unpin(handle->version);
    }
    return ret;
}

static int keep_value(struct view *view, uid_t uid, const struct file_key *key, uint64_t len,
                      struct handle *handle)
{
    struct quota_user *user = quota_join(view->quota, uid);
    int ret = user ? kept_new(handle->version, key, len, user, &handle->kept) : -ENOMEM;
    if (ret)
        quota_leave(user);
    return ret;
}

static int open_key(struct view *view, uid_t uid, struct handle *handle)
{
    struct keyfile keyfile;
    if (!keyfiles_get(view->keyfiles, handle->node.serial, &keyfile))
        return -ESTALE;
    const struct tree_node keys = {
        .kind = TREE_KEYS, .table = keyfile.table, .version = keyfile.version};
    struct file_key key;
    int ret = lease(view, &keys, handle);
    if (!ret)
        ret = value_key_of(handle->version, keyfile.name, &key);
    if (ret)
        return ret;
    if (value_is_on_disk(handle->version))
        return keep_value(view, uid, &key, keyfile.value_len, handle);
    return value_find(handle->version, &key, &handle->value);
}

static int open_part(struct view *view, struct handle *handle)
{
    int ret = lease(view, &handle->node, handle);
    if (ret)
        return ret;
    if (handle->node.part >= version_n_parts(handle->version))
        return -ESTALE;
    /* Clients must not take the descriptors that loading and the store need. */
    unsigned n_open = atomic_fetch_add_explicit(&view->n_open_parts, 1, memory_order_relaxed);
    int fd = n_open < view->open_parts_max ? version_part_open(handle->version, handle->node.part)
                                           : -ENFILE;
    if (fd < 0) {
        atomic_fetch_sub_explicit(&view->n_open_parts, 1, memory_order_relaxed);
        return fd;
    }
    handle->fd = fd;
    return 0;
}

static int open_by_kind(struct view *view, uid_t uid, struct handle *handle)
{
    switch (handle->node.kind) {
    case TREE_STATUS:
        return status_json(view, &handle->text);
    case TREE_METRICS:
        return status_metrics(view, &handle->text);
    case TREE_BATCH:
    case TREE_VERSION_BATCH:
        return open_lookup(view, uid, handle);
    case TREE_VERSION_JSON:
        return lease(view, &handle->node, handle);
    case TREE_PART:
        return open_part(view, handle);
    case TREE_KEY:
        return open_key(view, uid, handle);
    default:
        return -EINVAL;
    }
}

int handle_open_file(struct view *view, const struct tree_node *node, uid_t uid,
                     struct handle **out)
{
    struct handle *handle = handle_new(view, node);
    if (!handle)
        return -ENOMEM;
    int ret = open_by_kind(view, uid, handle);
    if (ret) {
        handle_close(view, handle);
        return ret;
    }
    *out = handle;
    return 0;
}

int handle_open_dir(struct view *view, const struct tree_node *node, struct handle **out)
{
    bool leases = node->kind == TREE_VERSION || node->kind == TREE_KEYS || node->kind == TREE_PARTS;
    struct handle *handle = handle_new(view, node);
    if (!handle)
        return -ENOMEM;
    int ret = leases ? lease(view, node, handle) : 0;
    if (!ret)
        ret = listing_write(view, node, handle->version, &handle->text);
    if (ret) {
        handle_close(view, handle);
        return ret;
    }
    *out = handle;
    return 0;
}

const uint8_t *handle_bytes(const struct handle *handle, size_t *len, uint8_t **made)
{
    if (handle->node.kind == TREE_VERSION_JSON)
        return (const uint8_t *)version_json(handle->version, len);
    if (handle->node.kind == TREE_KEY) {
        *len = handle->value.len;
        return single_bytes(&handle->value, made);
    }
    *len = handle->text.len;
    return handle->text.data;
}
