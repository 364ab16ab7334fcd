/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mph: the perfect hash inside a partition: hash -> bucket -> pilot -> slot.
 *
 * A key's placement hash is used in three independent ways: its 32 high bits, scaled by the
 * number of partitions, choose the partition (so hash order is partition order); its 32 low bits,
 * scaled, choose a bucket of about MPH_BUCKET_KEYS keys; and the whole hash, mixed with the
 * bucket's 8-bit pilot, chooses the slot. The pilots are what a build searches for, so that no
 * two keys share a slot.
 *
 * The functions below are part of the format (docs/FORMAT.md): change one and old parts cannot be
 * read. Each result is below its last argument whatever the other arguments are, so forged pilots
 * lead to a wrong slot at worst.
 *
 * Threads: pure functions; a struct mph_scratch belongs to one thread.
 * Memory: the scratch keeps its arrays from one build to the next.
 */
#ifndef FKV_FORMAT_MPH_H
#define FKV_FORMAT_MPH_H

#include <stdint.h>

/* Odd constants: the golden ratio, and a multiplier of good spectral quality (Steele & Vigna,
 * 2021). */
#define MPH_PILOT_MUL 0x9E3779B97F4A7C15ULL
#define MPH_SLOT_MUL  0xF1357AEA2E62A9C5ULL

enum { MPH_BUCKET_KEYS = 3, MPH_PILOTS = 256 };

/* The high 32 bits of the hash scaled to [0, n): partition of a level (n = shards * partitions),
 * or, with n = shards, the shard. n is at least 1. */
static inline uint32_t mph_partition(uint64_t hash, uint32_t n)
{
    return (uint32_t)(((hash >> 32) * n) >> 32);
}

static inline uint32_t mph_bucket(uint64_t hash, uint32_t n_buckets)
{
    return (uint32_t)(((hash & 0xFFFFFFFF) * n_buckets) >> 32);
}

static inline uint32_t mph_slot(uint64_t hash, uint8_t pilot, uint32_t n_slots)
{
    uint64_t mixed = (hash ^ (pilot * MPH_PILOT_MUL)) * MPH_SLOT_MUL;
    return (uint32_t)(((mixed >> 32) * n_slots) >> 32);
}

/* One byte of the hash that neither the partition nor the bucket's high bits depend on. */
static inline uint8_t mph_fingerprint(uint64_t hash)
{
    return (uint8_t)(hash >> 32);
}

static inline uint32_t mph_n_buckets(uint32_t n_keys)
{
    return n_keys / MPH_BUCKET_KEYS + 1;
}

struct mph_scratch;
struct mph_scratch *mph_scratch_new(void);
void mph_scratch_free(struct mph_scratch *scratch);

/*
 * Finds pilots[0, n_buckets) so that the n distinct hashes take distinct slots below n_slots >= n.
 * The result depends on the arguments only. -EAGAIN when the search gave up (try another n_slots),
 * -E2BIG when one bucket has too many of the hashes (another n_slots changes nothing), -ENOMEM.
 */
int mph_build(struct mph_scratch *scratch, const uint64_t *hashes, uint32_t n, uint32_t n_slots,
              uint32_t n_buckets, uint8_t *pilots);

#endif
