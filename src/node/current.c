/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split reference counts.
 *
 * The difficulty: between reading the pointer and counting itself in, a reader owns nothing, and
 * the object may be freed under it. So the word holds both the pointer (low 48 bits, all that user
 * space has) and a count of tickets (high 16 bits), and one fetch_add takes the pointer and a
 * ticket at once. While tickets are out, the object cannot go:
 *
 *   pin      fetch_add(word, one ticket) -> pointer p; p.count += 1 (the pin); give the ticket back
 *   give     if the word still holds p and has tickets: CAS one away; else the switcher moved it to
 *            p.count: p.count -= 1
 *   switch   old = exchange(word, new pointer, no tickets); old.count += tickets - HELD
 *
 * A link's own hold on its object is HELD, far more than all tickets and pins together, so that
 * p.count cannot pass through zero between a reader giving its ticket back to p.count and the
 * switcher having moved it there.
 *
 * Tickets of one object are alike. With A -> B -> A a reader from the first A may take another's
 * ticket from the word of the second; the other then finds none there and takes from p.count the
 * one moved for the first. Each ticket put out is taken back once, from either place: word + moved
 * always equals the tickets out, and who finds the word empty owns one that was moved.
 *
 * Why not a lock: a reader preempted inside it would stop all lookups. Why not hazard slots: they
 * need a slot for each thread, and the threads are libfuse's. 16 bits of tickets stand for threads
 * between two instructions, not for pins.
 */
#include "node/current.h"

#include <stddef.h>

#define TICKET       (1ULL << 48)
#define POINTER_MASK (TICKET - 1)
#define HELD         (1LL << 40)

_Static_assert(sizeof(void *) == 8, "the pointer must leave room for tickets");

void counted_init(struct counted *object, void (*release)(struct counted *object))
{
    atomic_init(&object->count, 1);
    object->release = release;
}

/* Acquire and release order: what any pinner did happens before the release that frees. */
static void count_add(struct counted *object, int64_t n)
{
    if (atomic_fetch_add_explicit(&object->count, n, memory_order_acq_rel) + n == 0)
        object->release(object);
}

void counted_pin(struct counted *object)
{
    atomic_fetch_add_explicit(&object->count, 1, memory_order_relaxed);
}

void counted_unpin(struct counted *object)
{
    if (object)
        count_add(object, -1);
}

int counted_is_sole(const struct counted *object)
{
    return atomic_load_explicit(&object->count, memory_order_acquire) == 1;
}

static struct counted *word_object(uint64_t word)
{
    return (struct counted *)(uintptr_t)(word & POINTER_MASK);
}

static void ticket_give_back(struct current *current, struct counted *object)
{
    uint64_t word = atomic_load_explicit(&current->word, memory_order_relaxed);
    while (word_object(word) == object && word >= TICKET) {
        if (atomic_compare_exchange_weak_explicit(&current->word, &word, word - TICKET,
                                                  memory_order_release, memory_order_relaxed))
            return;
    }
    if (object)
        count_add(object, -1);
}

struct counted *current_pin(struct current *current)
{
    uint64_t word = atomic_fetch_add_explicit(&current->word, TICKET, memory_order_acquire);
    struct counted *object = word_object(word);
    if (object)
        counted_pin(object);
    ticket_give_back(current, object);
    return object;
}

void current_switch(struct current *current, struct counted *object)
{
    if (object)
        atomic_fetch_add_explicit(&object->count, HELD, memory_order_relaxed);
    uint64_t word =
        atomic_exchange_explicit(&current->word, (uint64_t)(uintptr_t)object, memory_order_acq_rel);
    struct counted *former = word_object(word);
    if (former)
        count_add(former, (int64_t)(word / TICKET) - HELD);
}
