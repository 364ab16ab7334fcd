/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arrival: one part on its way into the cache.
 *
 * Chunks are put at their offsets in any order; what an earlier try left is kept chunk by chunk.
 * Then each joins the digest of the whole, in order.
 *
 * Threads: has and put from any, each with a chunk of its own; join, in order, and finish from one
 * at a time. Memory: arrival_release(). A chunk's memory is ARRIVAL_ALIGN aligned, with room for
 * PART_CHUNK_LEN.
 * Errors: -ENOSPC, -EIO …; -EBADMSG from finish.
 */
#ifndef FKV_NODE_ARRIVAL_H
#define FKV_NODE_ARRIVAL_H

#include "format/version.h"
#include "node/cache.h"

enum { ARRIVAL_ALIGN = 4096 };

struct arrival {
    const struct part_desc *part;
    const struct cache *cache;
    int fd;
    bool is_resumed; /* something was there */
    struct digest_state *digest;
};

static inline size_t part_chunk_len(const struct part_desc *part, uint32_t i)
{
    uint64_t left = part->len - (uint64_t)i * PART_CHUNK_LEN;
    return left < PART_CHUNK_LEN ? (size_t)left : PART_CHUNK_LEN;
}

int arrival_open(struct arrival *arrival, const struct cache *cache, const struct part_desc *part,
                 struct err *err);
/* Closed ones and zeroes with fd -1 are fine. */
void arrival_release(struct arrival *arrival);

/* True when the good i-th chunk is there; it is in chunk then. */
bool arrival_has(const struct arrival *arrival, uint32_t i, uint8_t *chunk);
int arrival_put(const struct arrival *arrival, uint32_t i, const uint8_t *chunk, struct err *err);
void arrival_join(const struct arrival *arrival, uint32_t i, const uint8_t *chunk);
/* All chunks have joined: checks the whole and gives it its durable name. */
int arrival_finish(const struct arrival *arrival, struct err *err);

#endif
