/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_layout: the bytes of a part, spelt once. docs/FORMAT.md tells the same in prose.
 *
 *   partition 0: [heap records, each 8-aligned][pad to 64][slots]
 *   partition 1: …
 *   pilots | fingerprints (level > 0) | tombstone bits (level > 0) | directory | collisions, each
 *   64-aligned pad | footer (the last 4096 bytes)
 *
 * A slot is hash (8 bytes), then the value itself (LAYOUT_INLINE, padded to 8) or a reference
 * into the partition's heap (LAYOUT_HEAP). A slot that no key owns holds a hash that leads to
 * another slot.
 *
 * Threads, Memory: plain data.
 */
#ifndef FKV_FORMAT_PART_LAYOUT_H
#define FKV_FORMAT_PART_LAYOUT_H

#include "base/bytes.h"
#include "format/schema.h"

enum part_layout {
    LAYOUT_INLINE = 1,
    LAYOUT_HEAP = 2,
};

enum {
    PART_FORMAT = 1,
    PART_SECTION_ALIGN = 64,
    PART_HEAP_ALIGN = 8,
    PART_SLOT_HASH_LEN = 8,
    PART_HEAP_STRIDE = 16,
    PART_INLINE_MAX = 4096, /* longer fixed values go to the heap, whose build needs less memory */
    PART_REF_LEN_BITS = 25,
    PART_KEYS_MAX = 200000,          /* keys of a partition, aimed at */
    PART_PARTITION_BYTES = 16 << 20, /* and slots' bytes of a partition, aimed at */
    PART_PARTITION_KEYS_MAX = 1 << 24,
};

#define PART_MAGIC    "FKVPART\n"
#define PART_REF_LEN  ((1ULL << PART_REF_LEN_BITS) - 1)
#define PART_HEAP_MAX (1ULL << (64 - PART_REF_LEN_BITS + 3)) /* 4 TiB a partition */

static inline enum part_layout part_layout_of(enum key_type key_type, uint32_t value_len)
{
    bool is_inline = key_type == KEY_U64 && value_len != 0 && value_len <= PART_INLINE_MAX;
    return is_inline ? LAYOUT_INLINE : LAYOUT_HEAP;
}

static inline uint32_t part_stride_of(enum key_type key_type, uint32_t value_len)
{
    if (part_layout_of(key_type, value_len) == LAYOUT_HEAP)
        return PART_HEAP_STRIDE;
    return PART_SLOT_HASH_LEN + (uint32_t)align_up(value_len, 8);
}

/* A heap reference: the record's offset from the start of the partition's heap in units of 8
 * bytes, and its length. */
static inline uint64_t part_ref_make(uint64_t off, uint32_t len)
{
    return off / PART_HEAP_ALIGN << PART_REF_LEN_BITS | len;
}
static inline uint64_t part_ref_off(uint64_t ref)
{
    return (ref >> PART_REF_LEN_BITS) * PART_HEAP_ALIGN;
}
static inline uint32_t part_ref_len(uint64_t ref)
{
    return (uint32_t)(ref & PART_REF_LEN);
}

struct part_section {
    le64 off; /* from the start of the part */
    le64 len;
};

/* One partition, in the directory. */
struct part_dir_entry {
    le64 heap_off;
    le64 heap_len;
    le64 slots_off;
    le64 first_slot;  /* slots before it: index of its fingerprints and tombstone bits */
    le64 first_pilot; /* pilots before it */
    le32 n_slots;
    le32 n_buckets;
    le32 n_keys;
    le32 n_tombstones;
};
_Static_assert(sizeof(struct part_dir_entry) == 56, "on-disk size");

/* A key whose hash equals that of a smaller key (bytes keys only); sorted by hash, then key. */
struct part_collision {
    le64 hash;
    le64 ref; /* into the heap of the hash's partition */
    le64 is_tombstone;
};
_Static_assert(sizeof(struct part_collision) == 24, "on-disk size");

/* The footer, padded with zero bytes to PART_FOOTER_LEN. */
struct part_footer {
    uint8_t magic[8];
    le32 format;
    le32 layout;
    le32 key_type;
    le32 value_len;
    le32 shard;
    le32 n_shards;
    le32 level;
    le32 n_partitions;
    le32 stride;
    le32 reserved;
    le64 hash_seed;
    le64 n_keys;
    le64 n_tombstones;
    le64 n_slots;
    struct part_section pilots;
    struct part_section fingerprints;
    struct part_section tombstones;
    struct part_section directory;
    struct part_section collisions;
    le64 checksum; /* hash_checksum() of the footer before this member */
};
_Static_assert(sizeof(struct part_footer) == 168, "on-disk size");

#endif
