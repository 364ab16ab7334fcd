/* SPDX-License-Identifier: Apache-2.0 */
#include "format/any_order.h"

#include "format/any_part_view.h"

#include <errno.h>
#include <string.h>

static int compare_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

int any_order_compare(enum table_kind kind, const struct part_entry *a, const struct part_entry *b)
{
    int order = kind == KIND_IDX ? 0 : compare_u64(a->hash, b->hash);
    if (order)
        return order;
    return a->key_bytes ? paged_key_order(a, b) : compare_u64(a->key, b->key);
}

void any_order_init(struct any_order *order, const struct any_part *part, size_t slice_len)
{
    *order = (struct any_order){.part = part};
    if (part->mem)
        part_order_init(&order->mem, part->mem, slice_len);
}

void any_order_release(struct any_order *order)
{
    part_order_release(&order->mem);
    *order = (struct any_order){0};
}

/* Keeps the key: where it lies may be overwritten by the next one. */
static void keep(struct any_order *order, const struct part_entry *entry)
{
    order->has_prev = true;
    order->prev = *entry;
    if (entry->key_bytes) {
        memcpy(order->prev_key, entry->key_bytes, entry->key_len);
        order->prev.key_bytes = order->prev_key;
    }
}

int any_order_next(struct any_order *order, struct part_entry *entry)
{
    const struct any_part *part = order->part;
    int got = part->mem ? part_order_next(&order->mem, entry)
                        : any_part_next(part, &order->cursor, entry);
    if (got <= 0)
        return got;
    if (order->has_prev && any_order_compare(part->kind, &order->prev, entry) >= 0)
        return -EBADMSG;
    keep(order, entry);
    return 1;
}
