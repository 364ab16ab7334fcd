/* SPDX-License-Identifier: Apache-2.0 */
#include "node/part_memory.h"

#include "base/bytes.h"
#include "base/scope.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { BUCKETS_FIRST = 256 };

struct part_memory {
    pthread_mutex_t lock;
    struct loaded_part **buckets; /* n_buckets, a power of two; chained */
    size_t n_buckets;
    size_t n_parts;
    uint64_t used;
    struct disk_parts *disk;
    _Atomic(struct grave *) graves;
};

int part_memory_new(uint64_t block_cache, unsigned values_percent, struct part_memory **out,
                    struct err *err)
{
    struct part_memory *registry = calloc(1, sizeof *registry);
    struct loaded_part **buckets = calloc(BUCKETS_FIRST, sizeof(struct loaded_part *));
    if (!registry || !buckets) {
        free(registry);
        free(buckets);
        return err_sys(err, -ENOMEM, "the registry of parts");
    }
    int ret = disk_parts_new(block_cache, values_percent, &registry->disk, err);
    if (ret) {
        free(registry);
        free(buckets);
        return ret;
    }
    registry->buckets = buckets;
    registry->n_buckets = BUCKETS_FIRST;
    pthread_mutex_init(&registry->lock, NULL);
    *out = registry;
    return 0;
}

void part_memory_free(struct part_memory *registry)
{
    if (!registry)
        return;
    part_memory_reap(registry);
    disk_parts_free(registry->disk);
    pthread_mutex_destroy(&registry->lock);
    free(registry->buckets);
    free(registry);
}

struct disk_parts *part_memory_disk(struct part_memory *registry)
{
    return registry->disk;
}

uint64_t part_memory_used(struct part_memory *registry)
{
    scope_lock(&registry->lock);
    return registry->used;
}

static struct loaded_part **bucket_of(struct part_memory *registry, const struct digest *digest)
{
    return &registry->buckets[load_le64(digest->b) & (registry->n_buckets - 1)];
}

static struct loaded_part *find(struct part_memory *registry, const struct digest *digest)
{
    struct loaded_part *part = *bucket_of(registry, digest);
    while (part && !digest_equal(&part->digest, digest))
        part = part->next;
    return part;
}

struct loaded_part *part_memory_peek(struct part_memory *registry, const struct digest *digest)
{
    scope_lock(&registry->lock);
    return find(registry, digest);
}

struct loaded_part *part_memory_hold(struct part_memory *registry, const struct digest *digest)
{
    scope_lock(&registry->lock);
    struct loaded_part *part = find(registry, digest);
    if (part)
        part->n_holders++;
    return part;
}

/* Doubles the buckets. Parts are few and large: this is rare and short. */
static void grow(struct part_memory *registry)
{
    size_t n_old = registry->n_buckets;
    struct loaded_part **old = registry->buckets;
    struct loaded_part **buckets = calloc(n_old * 2, sizeof(struct loaded_part *));
    if (!buckets)
        return; /* longer chains are only slower */
    registry->buckets = buckets;
    registry->n_buckets = n_old * 2;
    for (size_t i = 0; i < n_old; i++) {
        struct loaded_part *part = old[i];
        while (part) {
            struct loaded_part *next = part->next;
            struct loaded_part **bucket = bucket_of(registry, &part->digest);
            part->next = *bucket;
            *bucket = part;
            part = next;
        }
    }
    free(old);
}

int part_memory_add(struct part_memory *registry, const struct loaded_part *made,
                    struct loaded_part **out, struct err *err)
{
    struct loaded_part *part = calloc(1, sizeof *part);
    if (!part)
        return err_sys(err, -ENOMEM, "one more part in memory");
    *part = *made;
    part->n_holders = 1;
    scope_lock(&registry->lock);
    if (registry->n_parts >= registry->n_buckets)
        grow(registry);
    struct loaded_part **bucket = bucket_of(registry, &part->digest);
    part->next = *bucket;
    *bucket = part;
    registry->n_parts++;
    registry->used += part->memory.mapped;
    *out = part;
    return 0;
}

/* Takes the part out of the registry when this was its last hold. */
static bool let_go(struct part_memory *registry, struct loaded_part *part)
{
    scope_lock(&registry->lock);
    if (--part->n_holders > 0)
        return false;
    struct loaded_part **at = bucket_of(registry, &part->digest);
    while (*at != part)
        at = &(*at)->next;
    *at = part->next;
    registry->n_parts--;
    registry->used -= part->memory.mapped;
    return true;
}

void loaded_part_release(struct loaded_part *part)
{
    part_free(part->view);
    disk_part_close(part->disk);
    memory_release(&part->memory);
    free(part->health.damage);
}

void part_memory_release(struct part_memory *registry, struct loaded_part *part)
{
    if (!part || !let_go(registry, part))
        return;
    loaded_part_release(part);
    free(part);
}

void part_memory_bury(struct part_memory *registry, struct grave *grave)
{
    grave->next = atomic_load_explicit(&registry->graves, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&registry->graves, &grave->next, grave,
                                                  memory_order_release, memory_order_relaxed))
        ;
}

void part_memory_reap(struct part_memory *registry)
{
    struct grave *grave = atomic_exchange_explicit(&registry->graves, NULL, memory_order_acquire);
    while (grave) {
        struct grave *next = grave->next;
        grave->free(grave);
        grave = next;
    }
}
