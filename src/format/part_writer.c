/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a part front to back.
 *
 * Entries of one partition are kept until the first of a later one comes; heap records go out as
 * they arrive. Then the pilots are searched, the slots laid out and written, and only what the
 * sections behind the partitions need stays in memory.
 */
#include "format/part_writer.h"

#include "base/buf.h"
#include "base/hash.h"
#include "base/scope.h"
#include "format/mph.h"
#include "format/part_layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A delta keeps its base's seed, so only a full build helps against keys that this one crowds together. */
#define ANOTHER_SEED "; a full build with another --hash-seed is needed"

enum { STAGE_LEN = 1 << 20, N_ATTEMPTS = 24, AHEAD = 16 };

struct part_writer {
    struct schema schema;
    uint32_t shard;
    uint32_t level;
    uint32_t n_partitions;
    enum part_layout layout;
    uint32_t stride;
    struct part_sink sink;
    uint64_t off;     /* bytes given to add_bytes() so far */
    struct buf stage; /* of them, not yet given to the sink */
    int failed;       /* the first failure; every later call returns it */

    /* The partition under way. */
    uint32_t partition;
    uint64_t heap_off;
    struct buf hashes;     /* u64 each */
    struct buf payloads;   /* stride - 8 bytes each */
    struct buf tombs;      /* one byte each */
    uint32_t n;            /* keys in it, collisions not counted */
    uint32_t n_tombstones; /* of them */

    /* The entry before, to find wrong order and repeats. */
    bool has_prev;
    uint64_t prev_hash;
    uint8_t prev_key_len;
    uint8_t prev_key[KEY_BYTES_MAX];

    /* What the sections at the end need. */
    struct buf pilots;
    struct buf fingerprints;
    struct buf tomb_bits;
    struct buf directory;
    struct buf collisions;
    uint64_t n_slots;
    uint64_t n_keys_total;
    uint64_t n_tombstones_total;

    struct mph_scratch *scratch;
    struct buf slots;
    struct buf used;
};

uint32_t part_partitions(const struct schema *schema, uint64_t n_entries)
{
    uint64_t stride = part_stride_of(schema->key_type, schema->value_len);
    uint64_t n_keys = PART_PARTITION_BYTES / stride;
    if (n_keys > PART_KEYS_MAX)
        n_keys = PART_KEYS_MAX;
    uint64_t n = n_entries / (n_keys * schema->n_shards) + 1;
    uint64_t max = UINT32_MAX / schema->n_shards;
    return (uint32_t)(n < max ? n : max);
}

int part_writer_new(const struct part_params *params, struct part_sink sink,
                    struct part_writer **out, struct err *err)
{
    int ret = schema_check(params->schema, err);
    if (ret)
        return ret;
    uint64_t n_total = (uint64_t)params->schema->n_shards * params->n_partitions;
    if (params->shard >= params->schema->n_shards || params->level >= LEVELS_MAX || n_total == 0 ||
        n_total > UINT32_MAX)
        return err_set(
            err, -EINVAL, "part: shard %u of %u, level %u, %u partitions are out of range",
            params->shard, params->schema->n_shards, params->level, params->n_partitions);
    struct part_writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return err_sys(err, -ENOMEM, "part writer");
    writer->scratch = mph_scratch_new();
    if (!writer->scratch) {
        part_writer_free(writer);
        return err_sys(err, -ENOMEM, "part writer");
    }
    writer->schema = *params->schema;
    writer->shard = params->shard;
    writer->level = params->level;
    writer->n_partitions = params->n_partitions;
    writer->layout = part_layout_of(writer->schema.key_type, writer->schema.value_len);
    writer->stride = part_stride_of(writer->schema.key_type, writer->schema.value_len);
    writer->sink = sink;
    *out = writer;
    return 0;
}

void part_writer_free(struct part_writer *writer)
{
    if (!writer)
        return;
    buf_release(&writer->stage);
    buf_release(&writer->hashes);
    buf_release(&writer->payloads);
    buf_release(&writer->tombs);
    buf_release(&writer->pilots);
    buf_release(&writer->fingerprints);
    buf_release(&writer->tomb_bits);
    buf_release(&writer->directory);
    buf_release(&writer->collisions);
    buf_release(&writer->slots);
    buf_release(&writer->used);
    mph_scratch_free(writer->scratch);
    free(writer);
}

/* ---- bytes out ---- */

static int stage_flush(struct part_writer *writer, struct err *err)
{
    int ret = 0;
    if (writer->stage.len)
        ret = writer->sink.append(writer->sink.context, writer->stage.data, writer->stage.len, err);
    buf_clear(&writer->stage);
    return ret;
}

static int add_bytes(struct part_writer *writer, const void *data, size_t len, struct err *err)
{
    int ret = 0;
    writer->off += len;
    if (writer->stage.len + len > STAGE_LEN && (ret = stage_flush(writer, err)))
        return ret;
    if (len >= STAGE_LEN)
        return writer->sink.append(writer->sink.context, data, len, err);
    if (len && buf_add(&writer->stage, data, len))
        return err_sys(err, -ENOMEM, "part writer");
    return 0;
}

static int add_padding(struct part_writer *writer, uint64_t align, struct err *err)
{
    static const uint8_t zeros[PART_ALIGN];
    return add_bytes(writer, zeros, align_up(writer->off, align) - writer->off, err);
}

/* Makes buf n zero bytes long. */
static int buf_zeros(struct buf *buf, size_t n)
{
    buf_clear(buf);
    int ret = buf_reserve(buf, n);
    if (!ret && n) {
        memset(buf->data, 0, n);
        buf->len = n;
    }
    return ret;
}

static int buf_add_zeros(struct buf *buf, size_t n)
{
    int ret = buf_reserve(buf, n);
    if (!ret && n) {
        memset(buf->data + buf->len, 0, n);
        buf->len += n;
    }
    return ret;
}

/* ---- one partition ---- */

/* Room for n keys, and the pilots that spread them. A partition without keys gets two slots, so
 * that each can hold a hash that leads to the other. */
static int search_pilots(struct part_writer *writer, uint8_t **pilots, uint32_t *n_slots,
                         uint32_t n_buckets, struct err *err)
{
    uint32_t n = writer->n;
    size_t before = writer->pilots.len;
    int ret = buf_add_zeros(&writer->pilots, n_buckets);
    if (ret)
        return err_sys(err, ret, "part writer");
    *pilots = writer->pilots.data + before;
    *n_slots = n == 0 ? 2 : n + n / 25 + 1;
    for (int i = 0; n && i < N_ATTEMPTS; i++) {
        ret = mph_build(writer->scratch, (const uint64_t *)(const void *)writer->hashes.data, n,
                        *n_slots, n_buckets, *pilots);
        if (ret != -EAGAIN)
            break;
        *n_slots += *n_slots / 32 + 1;
    }
    if (ret == -EAGAIN || ret == -E2BIG)
        return err_set(err, -E2BIG, "part: shard %u, partition %u: %s" ANOTHER_SEED, writer->shard,
                       writer->partition,
                       ret == -E2BIG ? "too many of its keys fall into one bucket"
                                     : "its keys cannot be spread");
    return ret ? err_sys(err, ret, "part writer") : 0;
}

/* The smallest hash in the partition's range, counted up, that leads to another slot than `slot`.
 * */
static uint64_t hash_elsewhere(uint32_t slot, uint32_t n_slots)
{
    uint64_t hash = 0;
    while (mph_slot(hash, 0, n_slots) == slot)
        hash++;
    return hash;
}

static void slot_fill(struct part_writer *writer, uint32_t slot, uint32_t i)
{
    size_t payload_len = writer->stride - PART_SLOT_HASH_LEN;
    uint8_t *p = writer->slots.data + (size_t)slot * writer->stride;
    memcpy(p, writer->hashes.data + i * sizeof(uint64_t), sizeof(uint64_t));
    memcpy(p + PART_SLOT_HASH_LEN, writer->payloads.data + i * payload_len, payload_len);
    writer->used.data[slot] = 1;
    if (writer->level && writer->tombs.data[i]) {
        uint64_t bit = writer->n_slots + slot;
        writer->tomb_bits.data[bit / 8] |= (uint8_t)(1 << (bit % 8));
    }
}

/* Room for a partition's slots, their fingerprints and tombstone bits. */
static int slots_reserve(struct part_writer *writer, uint32_t n_slots)
{
    size_t n_tomb_bytes = writer->level ? (writer->n_slots + n_slots + 7) / 8 : 0;
    buf_clear(&writer->slots);
    int ret = buf_reserve(&writer->slots, (size_t)n_slots * writer->stride);
    if (!ret)
        ret = buf_zeros(&writer->used, n_slots);
    if (!ret && n_tomb_bytes > writer->tomb_bits.len)
        ret = buf_add_zeros(&writer->tomb_bits, n_tomb_bytes - writer->tomb_bits.len);
    if (!ret && writer->level)
        ret = buf_reserve(&writer->fingerprints, n_slots);
    return ret;
}

static int slots_lay_out(struct part_writer *writer, const uint8_t *pilots, uint32_t n_slots,
                         uint32_t n_buckets)
{
    const uint64_t *hashes = (const uint64_t *)(const void *)writer->hashes.data;
    int ret = slots_reserve(writer, n_slots);
    if (ret)
        return ret;
    /* Slots come in random order: each is asked for some entries before it is written. */
    uint32_t ahead[AHEAD] = {0};
    for (uint32_t i = 0; i < writer->n + AHEAD; i++) {
        if (i >= AHEAD)
            slot_fill(writer, ahead[i % AHEAD], i - AHEAD);
        if (i >= writer->n)
            continue;
        uint32_t slot = mph_slot(hashes[i], pilots[mph_bucket(hashes[i], n_buckets)], n_slots);
        ahead[i % AHEAD] = slot;
        __builtin_prefetch(writer->slots.data + (size_t)slot * writer->stride, 1);
        __builtin_prefetch(writer->slots.data + (size_t)(slot + 1) * writer->stride - 1, 1);
    }
    for (uint32_t s = 0; s < n_slots; s++) {
        uint8_t *slot = writer->slots.data + (size_t)s * writer->stride;
        if (!writer->used.data[s]) {
            memset(slot, 0, writer->stride);
            store_le64(slot, writer->n ? hashes[0] : hash_elsewhere(s, n_slots));
        }
        if (writer->level)
            writer->fingerprints.data[writer->fingerprints.len++] =
                mph_fingerprint(load_le64(slot));
    }
    writer->slots.len = (size_t)n_slots * writer->stride;
    return 0;
}

static int partition_finish(struct part_writer *writer, struct err *err)
{
    struct part_dir_entry entry = {0};
    uint32_t n_buckets = mph_n_buckets(writer->n);
    uint32_t n_slots = 0;
    uint8_t *pilots = NULL;
    uint64_t heap_len = writer->layout == LAYOUT_HEAP ? writer->off - writer->heap_off : 0;
    int ret = 0;

    store_le64(&entry.first_pilot, writer->pilots.len);
    store_le64(&entry.first_slot, writer->n_slots);
    if ((ret = search_pilots(writer, &pilots, &n_slots, n_buckets, err)))
        return ret;
    if ((ret = slots_lay_out(writer, pilots, n_slots, n_buckets)))
        return err_sys(err, ret, "part writer");
    if ((ret = add_padding(writer, PART_SECTION_ALIGN, err)))
        return ret;
    store_le64(&entry.heap_off, writer->heap_off);
    store_le64(&entry.heap_len, heap_len);
    store_le64(&entry.slots_off, writer->off);
    store_le32(&entry.n_slots, n_slots);
    store_le32(&entry.n_buckets, n_buckets);
    store_le32(&entry.n_keys, writer->n - writer->n_tombstones);
    store_le32(&entry.n_tombstones, writer->n_tombstones);
    if ((ret = buf_add(&writer->directory, &entry, sizeof entry)))
        return err_sys(err, ret, "part writer");
    if ((ret = add_bytes(writer, writer->slots.data, writer->slots.len, err)) ||
        (ret = add_padding(writer, PART_SECTION_ALIGN, err)))
        return ret;
    writer->n_slots += n_slots;
    writer->partition++;
    writer->heap_off = writer->off;
    writer->n = 0;
    writer->n_tombstones = 0;
    buf_clear(&writer->hashes);
    buf_clear(&writer->payloads);
    buf_clear(&writer->tombs);
    return 0;
}

/* ---- entries in ---- */

static int entry_check(const struct part_writer *writer, const struct part_entry *entry,
                       struct err *err)
{
    const struct schema *schema = &writer->schema;
    if (writer->has_prev && entry->hash < writer->prev_hash)
        return err_set(err, -EINVAL, "part: entries must come in order of hash");
    if (schema_shard(schema, entry->hash) != writer->shard)
        return err_set(err, -EINVAL, "part: an entry of shard %u was given to shard %u",
                       schema_shard(schema, entry->hash), writer->shard);
    if (schema->key_type == KEY_U64 && entry->hash != schema_hash_u64(schema, entry->key))
        return err_set(err, -EINVAL, "part: key %llu came with a wrong hash",
                       (unsigned long long)entry->key);
    if (schema->key_type == KEY_BYTES && entry->key_len == 0)
        return err_set(err, -EINVAL, "part: a key has 1 to %d bytes, found none", KEY_BYTES_MAX);
    if (entry->tombstone)
        return writer->level ? 0 : err_set(err, -EINVAL, "part: level 0 cannot hold a tombstone");
    if (entry->value_len > VALUE_LEN_MAX)
        return err_set(err, -EINVAL, "part: a value of %u bytes is longer than %d",
                       entry->value_len, VALUE_LEN_MAX);
    if (schema_value_is_fixed(schema) && entry->value_len != schema->value_len)
        return err_set(err, -EINVAL, "part: expected values of %u bytes, found %u",
                       schema->value_len, entry->value_len);
    return 0;
}

/* 0: another key than the one before, 1: one of the same hash; -EEXIST, -EINVAL. */
static int order_check(const struct part_writer *writer, const struct part_entry *entry,
                       struct err *err)
{
    if (!writer->has_prev || entry->hash != writer->prev_hash)
        return 0;
    if (writer->schema.key_type == KEY_U64)
        return err_set(err, -EEXIST, "part: key %llu was given twice",
                       (unsigned long long)entry->key);
    size_t common = entry->key_len < writer->prev_key_len ? entry->key_len : writer->prev_key_len;
    int order = memcmp(writer->prev_key, entry->key_bytes, common);
    if (order == 0)
        order = (int)writer->prev_key_len - (int)entry->key_len;
    if (order == 0)
        return err_set(err, -EEXIST, "part: key \"%.*s\" was given twice", (int)entry->key_len,
                       (const char *)entry->key_bytes);
    if (order > 0)
        return err_set(err, -EINVAL, "part: keys of one hash must come in order of key");
    return 1;
}

/* Writes the record and makes its reference. */
static int heap_add(struct part_writer *writer, const struct part_entry *entry, uint64_t *ref,
                    struct err *err)
{
    uint64_t off = writer->off - writer->heap_off;
    uint32_t len = entry->tombstone ? 0 : entry->value_len;
    int ret = 0;
    if (off + len + PART_ALIGN > PART_HEAP_MAX)
        return err_set(err, -E2BIG, "part: shard %u, partition %u holds more than %llu bytes",
                       writer->shard, writer->partition, (unsigned long long)PART_HEAP_MAX);
    if (writer->schema.key_type == KEY_BYTES) {
        uint8_t head[1 + KEY_BYTES_MAX];
        head[0] = entry->key_len;
        memcpy(head + 1, entry->key_bytes, entry->key_len);
        if ((ret = add_bytes(writer, head, 1 + (size_t)entry->key_len, err)))
            return ret;
    }
    if ((ret = add_bytes(writer, entry->value, len, err)) ||
        (ret = add_padding(writer, PART_HEAP_ALIGN, err)))
        return ret;
    if (writer->schema.key_type == KEY_BYTES)
        len += 1 + (uint32_t)entry->key_len;
    *ref = part_ref_make(off, len);
    return 0;
}

static int collision_add(struct part_writer *writer, const struct part_entry *entry, uint64_t ref)
{
    struct part_collision collision;
    store_le64(&collision.hash, entry->hash);
    store_le64(&collision.ref, ref);
    store_le64(&collision.is_tombstone, entry->tombstone);
    return buf_add(&writer->collisions, &collision, sizeof collision);
}

/* Runs once a key, so the three arrays are written in place and not through buf_add(). */
static int payload_add(struct part_writer *writer, const struct part_entry *entry, uint64_t ref)
{
    size_t len = writer->stride - PART_SLOT_HASH_LEN;
    size_t value_len = entry->tombstone ? 0 : entry->value_len;
    int ret = buf_reserve(&writer->hashes, sizeof entry->hash);
    if (!ret)
        ret = buf_reserve(&writer->tombs, 1);
    if (!ret)
        ret = buf_reserve(&writer->payloads, len);
    if (ret)
        return ret;
    uint8_t *payload = writer->payloads.data + writer->payloads.len;
    store_le64(writer->hashes.data + writer->hashes.len, entry->hash);
    writer->tombs.data[writer->tombs.len] = entry->tombstone;
    if (writer->layout == LAYOUT_HEAP) {
        store_le64(payload, ref);
    } else {
        if (value_len)
            memcpy(payload, entry->value, value_len);
        memset(payload + value_len, 0, len - value_len);
    }
    writer->hashes.len += sizeof entry->hash;
    writer->tombs.len += 1;
    writer->payloads.len += len;
    return 0;
}

static int entry_add(struct part_writer *writer, const struct part_entry *entry, struct err *err)
{
    uint64_t ref = 0;
    int ret = entry_check(writer, entry, err);
    if (ret)
        return ret;
    int collides = order_check(writer, entry, err);
    if (collides < 0)
        return collides;
    uint32_t n_total = writer->schema.n_shards * writer->n_partitions;
    uint32_t partition = mph_partition(entry->hash, n_total) - writer->shard * writer->n_partitions;
    while (writer->partition < partition)
        if ((ret = partition_finish(writer, err)))
            return ret;
    if (writer->n >= PART_PARTITION_KEYS_MAX)
        return err_set(err, -E2BIG, "part: shard %u, partition %u: more than %d keys" ANOTHER_SEED,
                       writer->shard, partition, PART_PARTITION_KEYS_MAX);
    if (writer->layout == LAYOUT_HEAP && (ret = heap_add(writer, entry, &ref, err)))
        return ret;
    ret = collides ? collision_add(writer, entry, ref) : payload_add(writer, entry, ref);
    if (ret)
        return err_sys(err, ret, "part writer");
    writer->n += !collides;
    writer->n_tombstones += !collides && entry->tombstone;
    writer->n_keys_total += !entry->tombstone;
    writer->n_tombstones_total += entry->tombstone;
    writer->has_prev = true;
    writer->prev_hash = entry->hash;
    writer->prev_key_len = entry->key_len;
    if (writer->schema.key_type == KEY_BYTES)
        memcpy(writer->prev_key, entry->key_bytes, entry->key_len);
    return 0;
}

int part_writer_add(struct part_writer *writer, const struct part_entry *entry, struct err *err)
{
    if (writer->failed)
        return err_set(err, writer->failed, "part writer: an earlier call failed");
    writer->failed = entry_add(writer, entry, err);
    return writer->failed;
}

/* ---- the end ---- */

static int section_add(struct part_writer *writer, const struct buf *content,
                       struct part_section *section, struct err *err)
{
    int ret = add_padding(writer, PART_SECTION_ALIGN, err);
    if (ret)
        return ret;
    store_le64(&section->off, writer->off);
    store_le64(&section->len, content->len);
    return add_bytes(writer, content->data, content->len, err);
}

static void footer_describe(const struct part_writer *writer, struct part_footer *footer)
{
    memcpy(footer->magic, PART_MAGIC, sizeof footer->magic);
    store_le32(&footer->format, PART_FORMAT);
    store_le32(&footer->layout, writer->layout);
    store_le32(&footer->key_type, writer->schema.key_type);
    store_le32(&footer->value_len, writer->schema.value_len);
    store_le32(&footer->shard, writer->shard);
    store_le32(&footer->n_shards, writer->schema.n_shards);
    store_le32(&footer->level, writer->level);
    store_le32(&footer->n_partitions, writer->n_partitions);
    store_le32(&footer->stride, writer->stride);
    store_le64(&footer->hash_seed, writer->schema.hash_seed);
    store_le64(&footer->n_keys, writer->n_keys_total);
    store_le64(&footer->n_tombstones, writer->n_tombstones_total);
    store_le64(&footer->n_slots, writer->n_slots);
}

static int finish(struct part_writer *writer, struct err *err)
{
    static const uint8_t zeros[PART_FOOTER_LEN];
    struct part_footer footer = {0};
    int ret = 0;
    while (writer->partition < writer->n_partitions)
        if ((ret = partition_finish(writer, err)))
            return ret;
    footer_describe(writer, &footer);
    if ((ret = section_add(writer, &writer->pilots, &footer.pilots, err)) ||
        (ret = section_add(writer, &writer->fingerprints, &footer.fingerprints, err)) ||
        (ret = section_add(writer, &writer->tomb_bits, &footer.tombstones, err)) ||
        (ret = section_add(writer, &writer->directory, &footer.directory, err)) ||
        (ret = section_add(writer, &writer->collisions, &footer.collisions, err)) ||
        (ret = add_padding(writer, PART_ALIGN, err)))
        return ret;
    store_le64(&footer.checksum, hash_checksum(&footer, offsetof(struct part_footer, checksum)));
    if ((ret = add_bytes(writer, &footer, sizeof footer, err)) ||
        (ret = add_bytes(writer, zeros, PART_FOOTER_LEN - sizeof footer, err)))
        return ret;
    return stage_flush(writer, err);
}

int part_writer_finish(struct part_writer *writer, struct part_info *info, struct err *err)
{
    if (writer->failed)
        return err_set(err, writer->failed, "part writer: an earlier call failed");
    int ret = finish(writer, err);
    writer->failed = ret ? ret : -EINVAL; /* a finished writer takes nothing more */
    if (ret || !info)
        return ret;
    *info = (struct part_info){
        .key_type = writer->schema.key_type,
        .value_len = writer->schema.value_len,
        .shard = writer->shard,
        .n_shards = writer->schema.n_shards,
        .level = writer->level,
        .hash_seed = writer->schema.hash_seed,
        .n_keys = writer->n_keys_total,
        .n_tombstones = writer->n_tombstones_total,
        .n_partitions = writer->n_partitions,
    };
    return 0;
}
