/* SPDX-License-Identifier: Apache-2.0 */
#include "node/node_impl.h"

#include <errno.h>
#include <string.h>

enum { UNPIN_RECORDS_MAX = 1000 };

/* A record of before the pin may be folded after it: it took off, if any, another one. */
static bool record_unpins(const struct record *record, int64_t pin_ns, const char *table,
                          const char *node_name)
{
    if (record->time_ns < pin_ns)
        return false;
    for (size_t i = 0; i < record->n_ops; i++) {
        const struct op *op = &record->ops[i];
        if (op->kind == OP_UNPIN && !strcmp(op->table, table) && !strcmp(op->name, node_name))
            return true;
    }
    return false;
}

void node_look_for_unpin(struct node *node, struct table *table)
{
    pthread_mutex_lock(&node->lock);
    uint64_t pin = table->local_pin;
    uint64_t seq = table->pin_seq;
    int64_t pin_ns = table->pin_ns;
    uint64_t epoch = table->epoch;
    pthread_mutex_unlock(&node->lock);
    uint64_t end = node->follower.state.seq;
    bool is_unpinned = false;
    if (!pin || seq >= end)
        return;
    for (int n = 0; n < UNPIN_RECORDS_MAX && seq < end && !is_unpinned; n++) {
        struct record record = {0};
        int ret = manifest_read_record(node->follower.manifest, seq + 1, &record, NULL);
        if (ret && ret != -ENOENT)
            break; /* looked at again in the next round */
        is_unpinned = !ret && record_unpins(&record, pin_ns, table->name, node->name);
        record_release(&record);
        seq++;
    }
    pthread_mutex_lock(&node->lock);
    bool is_same = table->epoch == epoch;
    if (is_same) {
        table->pin_seq = seq;
        node->is_dirty = true;
        if (is_unpinned) {
            table->local_pin = 0;
            table->epoch++;
            node->changes++;
        }
    }
    pthread_mutex_unlock(&node->lock);
    if (is_same && is_unpinned)
        node_tell(node, NODE_EVENT_NOTICE, table, pin,
                  "the local pin to version %llu was taken off by record %llu",
                  (unsigned long long)pin, (unsigned long long)seq);
}
