/* SPDX-License-Identifier: Apache-2.0 */
/*
 * current: a counted object, and the link that lets readers pin the object of the moment without
 * a lock.
 *
 * Invariant: an object's release runs exactly once, after the last pin was dropped and no link
 * holds it.
 *
 * Threads: everything from any thread. counted_* and current_pin() never wait; current_switch() is
 * one exchange.
 * Memory: an object pinned by current_pin() lives until counted_unpin(). Errors: none.
 */
#ifndef FKV_NODE_CURRENT_H
#define FKV_NODE_CURRENT_H

#include <stdatomic.h>
#include <stdint.h>

struct counted {
    _Atomic int64_t count;
    void (*release)(struct counted *object); /* by whoever drops the last pin: keep it short */
};

/* One pin, the caller's. */
void counted_init(struct counted *object, void (*release)(struct counted *object));
void counted_pin(struct counted *object);
void counted_unpin(struct counted *object); /* NULL is fine */
/* True when the caller's pin is the only one, so that nobody else can make a new one. */
int counted_is_sole(const struct counted *object);

struct current {
    _Atomic uint64_t word;
};

/* The object of the moment, pinned; NULL when there is none. */
struct counted *current_pin(struct current *current);

/* Makes object (NULL: none) the one of the moment; the link holds a pin of its own on it. Pins on
 * the former one stay good. */
void current_switch(struct current *current, struct counted *object);

#endif
