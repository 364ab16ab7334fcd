/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The follow thread's dealings with the store: open, fold what is new, notice when it is lost.
 *
 * The state last folded is kept as a copy, so that plans go on from it while the store is away;
 * when it comes back, the store and the log are opened anew, which also survives a store that was
 * remounted under us.
 */
#include "node/node_impl.h"

#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RETRY_FIRST_NS  500000000LL
#define RETRY_MAX_NS    (5 * 1000000000LL)
#define SAVE_CONTACT_NS (60 * 1000000000LL)
/* Silence of the store that no error told of: a mounted one just hangs. */
#define HANG_NS (10 * 1000000000LL)

/* The store and what is known through it. */
static void close_store(struct follower *follower)
{
    manifest_close(follower->manifest);
    store_close(follower->store);
    follower->manifest = NULL;
    follower->store = NULL;
    follower->n_requests = 0;
}

void follower_close(struct follower *follower)
{
    close_store(follower);
    state_release(&follower->state);
    follower->has_state = false;
}

static void set_store_error(struct node *node, const char *text)
{
    scope_lock(&node->lock);
    snprintf(node->store_error, sizeof node->store_error, "%s", text);
}

void node_count_requests(struct node *node, const struct store *store, uint64_t *counted)
{
    uint64_t n = store ? store_n_requests(store) : 0;
    atomic_fetch_add(&node->n_requests, n - *counted);
    *counted = n;
}

/* Says each trouble once, not on every try. */
static void complain(struct node *node, const char *text)
{
    struct follower *follower = &node->follower;
    set_store_error(node, text);
    if (!strcmp(follower->complaint, text))
        return;
    snprintf(follower->complaint, sizeof follower->complaint, "%s", text);
    node_tell(node, NODE_EVENT_WARNING, NULL, 0, "store %s: %s", node->store_url, text);
}

void node_lose_contact(struct node *node, const struct err *err, int code)
{
    struct follower *follower = &node->follower;
    complain(node, err_text(err, code));
    node_count_requests(node, follower->store, &follower->n_requests);
    if (follower->retry_wait_ns == 0)
        atomic_fetch_add(&node->n_losses, 1);
    close_store(follower);
    int64_t wait_ns = follower->retry_wait_ns ? follower->retry_wait_ns * 2 : RETRY_FIRST_NS;
    follower->retry_wait_ns = wait_ns < RETRY_MAX_NS ? wait_ns : RETRY_MAX_NS;
    follower->retry_ns = clock_now_ns(CLOCK_MONOTONIC) + follower->retry_wait_ns;
}

/* The cache knows versions by number: numbers of another store, or of a log that was set back, mean
 * other content. */
static int check_same_store(struct node *node, struct err *err)
{
    const struct manifest *manifest = node->follower.manifest;
    const char *id = manifest_store_id(manifest);
    uint64_t seq = manifest_state(manifest)->seq;
    if (node->store_id[0] && strcmp(node->store_id, id))
        return err_set(
            err, -EPERM,
            "the cache %s belongs to store %s, found store %s: use another cache directory",
            cache_dir(node->cache), node->store_id, id);
    if (seq < node->seq)
        return err_set(
            err, -EPERM,
            "the log ends at record %llu, this node has seen %llu: has the store been set "
            "back? To accept that, empty the cache %s",
            (unsigned long long)seq, (unsigned long long)node->seq, cache_dir(node->cache));
    return 0;
}

static int open_store(struct node *node, struct err *err)
{
    struct follower *follower = &node->follower;
    follower->clock_due_ns = 0; /* it may be another server, or its clock was set meanwhile */
    int ret = store_open(node->store_url, &follower->store, err);
    if (!ret)
        ret = manifest_open(follower->store, &follower->manifest, err);
    if (!ret)
        ret = check_same_store(node, err);
    return ret;
}

static int take_state(struct node *node, struct err *err)
{
    struct follower *follower = &node->follower;
    const struct state *state = manifest_state(follower->manifest);
    struct state copy = {0};
    int ret = state_copy(state, &copy);
    if (ret)
        return err_sys(err, ret, "a copy of the state");
    state_release(&follower->state);
    follower->state = copy;
    follower->has_state = true;
    scope_lock(&node->lock);
    node->seq = state->seq;
    snprintf(node->store_id, sizeof node->store_id, "%s", manifest_store_id(follower->manifest));
    node->is_dirty = true;
    node->changes++;
    return 0;
}

/* Under the lock: what failed for want of the store, or while it was going, is tried at once. */
static void retry_fetches(struct node *node)
{
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t t = 0; t < n_tables; t++) {
        for (size_t s = 0; s < node->tables[t]->n_slots; s++) {
            struct slot *slot = node->tables[t]->slots[s];
            if (!slot->cached && slot->activity == SLOT_IDLE &&
                (slot->lacks_store || !slot_has_failed(slot)))
                slot->retry_ns = 0;
        }
    }
}

static void note_contact(struct node *node)
{
    struct follower *follower = &node->follower;
    bool was_lost = follower->retry_wait_ns != 0;
    follower->retry_wait_ns = 0;
    if (follower->complaint[0])
        node_tell(node, NODE_EVENT_NOTICE, NULL, 0, "store %s: in contact again", node->store_url);
    follower->complaint[0] = 0;
    scope_lock(&node->lock);
    int64_t now_ns = clock_now_ns(CLOCK_REALTIME);
    if (now_ns - node->contact_ns > SAVE_CONTACT_NS || now_ns < node->contact_ns)
        node->is_dirty = true;
    node->contact_ns = now_ns;
    int64_t monotonic_ns = clock_now_ns(CLOCK_MONOTONIC);
    int64_t hang_ns = 2 * node->poll_ns > HANG_NS ? 2 * node->poll_ns : HANG_NS;
    if (was_lost ||
        (node->contact_monotonic_ns && monotonic_ns - node->contact_monotonic_ns > hang_ns))
        node->contact_since_ns = monotonic_ns;
    else if (!node->contact_monotonic_ns) /* as far as we can tell, it was always there */
        node->contact_since_ns = node->started_ns;
    node->contact_monotonic_ns = monotonic_ns;
    node->store_error[0] = 0;
    if (was_lost)
        retry_fetches(node);
}

bool node_contact(struct node *node, bool *is_new)
{
    struct follower *follower = &node->follower;
    struct err err = {0};
    size_t n_new = 0;
    int ret;
    *is_new = false;
    if (follower->manifest) {
        ret = manifest_refresh(follower->manifest, &n_new, &err);
    } else {
        if (clock_now_ns(CLOCK_MONOTONIC) < follower->retry_ns)
            return false;
        ret = open_store(node, &err);
        n_new = 1;
    }
    /* A record we cannot read: what came before it still counts, and the store itself is there. */
    bool is_bad_record = (ret == -EBADMSG || ret == -ENOTSUP) && follower->manifest;
    struct err take_err = {0};
    if ((!ret || is_bad_record) && n_new) {
        int taken = take_state(node, &take_err);
        *is_new = taken == 0;
        if (taken && !ret) {
            ret = taken;
            err = take_err;
        }
    }
    if (ret && !is_bad_record) {
        node_lose_contact(node, &err, ret);
        return false;
    }
    if (is_bad_record)
        complain(node, err_text(&err, ret));
    else
        note_contact(node);
    return true;
}

bool node_is_in_contact(const struct node *node)
{
    return node->contact_monotonic_ns && !node->store_error[0];
}

double node_contact_age(const struct node *node)
{
    if (!node->contact_ns)
        return -1;
    int64_t age_ns = node->contact_monotonic_ns
                         ? clock_now_ns(CLOCK_MONOTONIC) - node->contact_monotonic_ns
                         : clock_now_ns(CLOCK_REALTIME) - node->contact_ns;
    return age_ns > 0 ? (double)age_ns / 1e9 : 0;
}
