/* SPDX-License-Identifier: Apache-2.0 */
#include "format/part.h"

#include "base/hash.h"
#include "format/part_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A part being opened: where it lies and what to call it. */
struct opening {
    const uint8_t *memory;
    uint64_t len; /* without the footer */
    const char *name;
    const struct part_footer *footer;
    struct part *part;
};

static int footer_check(const struct part_footer *footer, const char *name, struct err *err)
{
    if (memcmp(footer->magic, PART_MAGIC, sizeof footer->magic) != 0)
        return err_set(err, -EBADMSG, "%s: no part: the footer does not begin with its magic",
                       name);
    /* A newer format may have another checksum, so it is recognised first. */
    if (load_le32(&footer->format) > PART_FORMAT)
        return err_set(err, -ENOTSUP,
                       "%s: expected part format %d, found %u: a newer fkv can read it", name,
                       PART_FORMAT, load_le32(&footer->format));
    uint64_t checksum = hash_checksum(footer, offsetof(struct part_footer, checksum));
    if (load_le64(&footer->checksum) != checksum)
        return err_set(err, -EBADMSG, "%s: footer: expected checksum %016llx, found %016llx", name,
                       (unsigned long long)checksum,
                       (unsigned long long)load_le64(&footer->checksum));
    if (load_le32(&footer->format) != PART_FORMAT)
        return err_set(err, -EBADMSG, "%s: footer: expected part format %d, found %u", name,
                       PART_FORMAT, load_le32(&footer->format));
    return 0;
}

static int info_check(const struct part_footer *footer, const char *name, struct part_info *info,
                      struct err *err)
{
    *info = (struct part_info){
        .key_type = (enum key_type)load_le32(&footer->key_type),
        .value_len = load_le32(&footer->value_len),
        .shard = load_le32(&footer->shard),
        .n_shards = load_le32(&footer->n_shards),
        .level = load_le32(&footer->level),
        .hash_seed = load_le64(&footer->hash_seed),
        .n_keys = load_le64(&footer->n_keys),
        .n_tombstones = load_le64(&footer->n_tombstones),
        .n_partitions = load_le32(&footer->n_partitions),
    };
    if ((info->key_type != KEY_U64 && info->key_type != KEY_BYTES) ||
        info->value_len > VALUE_LEN_MAX)
        return err_set(err, -EBADMSG, "%s: footer: no such keys or values: type %d, %u bytes", name,
                       (int)info->key_type, info->value_len);
    enum part_layout layout = part_layout_of(info->key_type, info->value_len);
    uint32_t stride = part_stride_of(info->key_type, info->value_len);
    if (load_le32(&footer->layout) != layout || load_le32(&footer->stride) != stride)
        return err_set(err, -EBADMSG, "%s: footer: expected layout %d of stride %u, found %u of %u",
                       name, (int)layout, stride, load_le32(&footer->layout),
                       load_le32(&footer->stride));
    if (info->n_shards < 1 || info->n_shards > SHARDS_MAX || info->shard >= info->n_shards ||
        info->level >= LEVELS_MAX || info->n_partitions < 1 ||
        (uint64_t)info->n_partitions * info->n_shards > UINT32_MAX)
        return err_set(err, -EBADMSG,
                       "%s: footer: shard %u of %u, level %u, %u partitions are out of range", name,
                       info->shard, info->n_shards, info->level, info->n_partitions);
    if (info->level == 0 && info->n_tombstones)
        return err_set(err, -EBADMSG, "%s: footer: level 0 has no tombstones, found %llu", name,
                       (unsigned long long)info->n_tombstones);
    return 0;
}

int part_footer_decode(const struct part_footer *footer, const char *name, struct part_info *out,
                       struct err *err)
{
    int ret = footer_check(footer, name, err);
    return ret ? ret : info_check(footer, name, out, err);
}

/* A section of exactly len bytes. */
static int section_find(const struct opening *o, const struct part_section *section,
                        const char *what, uint64_t len, const uint8_t **out, struct err *err)
{
    uint64_t off = load_le64(&section->off);
    uint64_t found = load_le64(&section->len);
    if (found != len || off % PART_SECTION_ALIGN || !range_within(off, len, o->len))
        return err_set(err, -EBADMSG,
                       "%s: %s: expected %llu bytes within %llu, found %llu bytes at %llu", o->name,
                       what, (unsigned long long)len, (unsigned long long)o->len,
                       (unsigned long long)found, (unsigned long long)off);
    *out = o->memory + off;
    return 0;
}

/* The sections whose lengths follow from the partitions. */
struct sections {
    const uint8_t *pilots;
    const uint8_t *fingerprints;
    const uint8_t *tomb_bits;
    uint64_t n_pilots;
    uint64_t n_slots;
};

static int place_decode(const struct opening *o, const struct sections *sections, uint32_t i,
                        const struct part_dir_entry *entry, struct err *err)
{
    struct place *place = &o->part->places[i];
    struct place_more *more = &o->part->more[i];
    uint64_t heap_off = load_le64(&entry->heap_off);
    uint64_t heap_len = load_le64(&entry->heap_len);
    uint64_t slots_off = load_le64(&entry->slots_off);
    uint64_t first_slot = load_le64(&entry->first_slot);
    uint64_t first_pilot = load_le64(&entry->first_pilot);
    uint32_t n_slots = load_le32(&entry->n_slots);
    uint32_t n_buckets = load_le32(&entry->n_buckets);
    uint64_t n_entries = (uint64_t)load_le32(&entry->n_keys) + load_le32(&entry->n_tombstones);

    if (n_slots == 0 || n_buckets == 0 || n_entries > n_slots)
        return err_set(err, -EBADMSG,
                       "%s: partition %u: %u slots and %u buckets cannot hold %llu keys", o->name,
                       i, n_slots, n_buckets, (unsigned long long)n_entries);
    if (heap_off % PART_HEAP_ALIGN || slots_off % PART_SECTION_ALIGN ||
        !range_within(heap_off, heap_len, o->len) ||
        !range_within(slots_off, (uint64_t)n_slots * o->part->stride, o->len))
        return err_set(err, -EBADMSG, "%s: partition %u lies outside the part", o->name, i);
    if (first_slot != sections->n_slots || first_pilot != sections->n_pilots)
        return err_set(err, -EBADMSG,
                       "%s: partition %u: expected first slot %llu and pilot %llu, found %llu and "
                       "%llu",
                       o->name, i, (unsigned long long)sections->n_slots,
                       (unsigned long long)sections->n_pilots, (unsigned long long)first_slot,
                       (unsigned long long)first_pilot);
    bool is_base = o->part->info.level == 0;
    *place =
        (struct place){sections->pilots + first_pilot, o->memory + slots_off, n_slots, n_buckets};
    *more = (struct place_more){o->memory + heap_off,
                                heap_len,
                                is_base ? NULL : sections->fingerprints + first_slot,
                                is_base ? NULL : sections->tomb_bits,
                                first_slot,
                                o->part};
    return 0;
}

/* Finds the sections (their lengths are checked once the partitions are summed up) and the
 * partitions. */
static int places_decode(const struct opening *o, struct err *err)
{
    const struct part_footer *footer = o->footer;
    struct part *part = o->part;
    struct sections sections = {0};
    const uint8_t *directory = NULL;
    const uint8_t *collisions = NULL;
    uint64_t n_pilots = load_le64(&footer->pilots.len);
    uint64_t n_slots = load_le64(&footer->n_slots);
    uint64_t n_entries = 0;
    uint64_t n_collisions = load_le64(&footer->collisions.len) / sizeof(struct part_collision);
    bool is_base = part->info.level == 0;
    int ret = 0;

    if (n_slots > UINT64_MAX / 2)
        return err_set(err, -EBADMSG, "%s: footer: %llu slots are no count", o->name,
                       (unsigned long long)n_slots);
    if ((ret = section_find(o, &footer->pilots, "pilots", n_pilots, &sections.pilots, err)) ||
        (ret = section_find(o, &footer->fingerprints, "fingerprints", is_base ? 0 : n_slots,
                            &sections.fingerprints, err)) ||
        (ret = section_find(o, &footer->tombstones, "tombstones", is_base ? 0 : (n_slots + 7) / 8,
                            &sections.tomb_bits, err)) ||
        (ret = section_find(o, &footer->directory, "directory",
                            (uint64_t)part->info.n_partitions * sizeof(struct part_dir_entry),
                            &directory, err)) ||
        (ret = section_find(o, &footer->collisions, "collisions",
                            n_collisions * sizeof(struct part_collision), &collisions, err)))
        return ret;
    /* Only now is the number of partitions known to be of the file's size. */
    part->places = calloc(part->info.n_partitions, sizeof *part->places);
    part->more = calloc(part->info.n_partitions, sizeof *part->more);
    if (!part->places || !part->more)
        return err_sys(err, -ENOMEM, "%s", o->name);
    for (uint32_t i = 0; i < part->info.n_partitions; i++) {
        const struct part_dir_entry *entry = (const struct part_dir_entry *)directory + i;
        if ((ret = place_decode(o, &sections, i, entry, err)))
            return ret;
        sections.n_slots += part->places[i].n_slots;
        sections.n_pilots += part->places[i].n_buckets;
        n_entries += (uint64_t)load_le32(&entry->n_keys) + load_le32(&entry->n_tombstones);
        if (sections.n_slots > n_slots || sections.n_pilots > n_pilots)
            return err_set(err, -EBADMSG, "%s: partition %u lies outside the sections", o->name, i);
    }
    if (sections.n_slots != n_slots || sections.n_pilots != n_pilots)
        return err_set(err, -EBADMSG, "%s: partitions and sections differ in size", o->name);
    if (part->info.n_tombstones > UINT64_MAX - part->info.n_keys ||
        n_entries + n_collisions != part->info.n_keys + part->info.n_tombstones)
        return err_set(err, -EBADMSG, "%s: footer: expected %llu entries, found %llu + %llu",
                       o->name, (unsigned long long)(n_entries + n_collisions),
                       (unsigned long long)part->info.n_keys,
                       (unsigned long long)part->info.n_tombstones);
    if (n_collisions && part->info.key_type != KEY_BYTES)
        return err_set(err, -EBADMSG, "%s: collisions: u64 keys have none, found %llu", o->name,
                       (unsigned long long)n_collisions);
    part->collisions = (const struct part_collision *)collisions;
    part->n_collisions = n_collisions;
    return 0;
}

int part_open(const void *memory, size_t len, const char *name, struct part **out, struct err *err)
{
    if ((uintptr_t)memory % PART_SECTION_ALIGN)
        return err_set(err, -EINVAL, "%s: a part's memory must be aligned to %d bytes", name,
                       PART_SECTION_ALIGN);
    if (len < PART_FOOTER_LEN || len % PART_ALIGN)
        return err_set(err, -EBADMSG, "%s: expected a multiple of %d bytes, found %zu: truncated?",
                       name, PART_ALIGN, len);
    struct opening o = {.memory = memory, .len = len - PART_FOOTER_LEN, .name = name};
    o.footer = (const struct part_footer *)(o.memory + o.len);
    int ret = footer_check(o.footer, name, err);
    if (ret)
        return ret;
    o.part = calloc(1, sizeof *o.part);
    if (!o.part)
        return err_sys(err, -ENOMEM, "%s", name);
    ret = info_check(o.footer, name, &o.part->info, err);
    o.part->layout = part_layout_of(o.part->info.key_type, o.part->info.value_len);
    o.part->stride = part_stride_of(o.part->info.key_type, o.part->info.value_len);
    if (!ret)
        ret = places_decode(&o, err);
    if (ret)
        part_free(o.part);
    else
        *out = o.part;
    return ret;
}

void part_free(struct part *part)
{
    if (!part)
        return;
    free(part->places);
    free(part->more);
    free(part);
}

const struct part_info *part_info(const struct part *part)
{
    return &part->info;
}

/* ---- one slot ---- */

/* A bytes key that shares its hash with a smaller one. */
static enum probe probe_collisions(const struct part *part, const struct place_more *more,
                                   uint64_t hash, const uint8_t *key, uint32_t key_len,
                                   struct probe_value *value)
{
    uint64_t low = 0;
    uint64_t high = part->n_collisions;
    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        if (load_le64(&part->collisions[mid].hash) < hash)
            low = mid + 1;
        else
            high = mid;
    }
    for (; low < part->n_collisions && load_le64(&part->collisions[low].hash) == hash; low++) {
        uint32_t len = 0;
        uint32_t off = 0;
        const uint8_t *record = place_record(more, load_le64(&part->collisions[low].ref), &len);
        if (!record)
            return PROBE_CORRUPT;
        if (!record_has_key(record, len, key, key_len, &off))
            continue;
        *value = (struct probe_value){record + off, len - off};
        if (load_le64(&part->collisions[low].is_tombstone))
            return PROBE_TOMBSTONE;
        bool is_right = part->info.value_len == 0 || value->len == part->info.value_len;
        return is_right ? PROBE_FOUND : PROBE_CORRUPT;
    }
    return PROBE_ABSENT;
}

enum probe probe_slot(const struct place *place, const struct place_more *more, uint32_t slot,
                      uint64_t hash, const uint8_t *key, uint32_t key_len,
                      struct probe_value *value)
{
    const struct part *part = more->part;
    const uint8_t *p = place_slot_at(place, slot, part->stride);
    uint32_t off = 0;
    uint32_t len = 0;
    if (load_le64(p) != hash)
        return PROBE_ABSENT;
    if (part->layout == LAYOUT_INLINE) {
        *value = (struct probe_value){p + PART_SLOT_HASH_LEN, part->info.value_len};
        return place_is_tombstone(more, slot) ? PROBE_TOMBSTONE : PROBE_FOUND;
    }
    const uint8_t *record = place_record(more, load_le64(p + PART_SLOT_HASH_LEN), &len);
    if (!record)
        return PROBE_CORRUPT;
    if (key && !record_has_key(record, len, key, key_len, &off))
        return probe_collisions(part, more, hash, key, key_len, value);
    if (place_is_tombstone(more, slot))
        return PROBE_TOMBSTONE;
    *value = (struct probe_value){record + off, len - off};
    bool is_right = part->info.value_len == 0 || value->len == part->info.value_len;
    return is_right ? PROBE_FOUND : PROBE_CORRUPT;
}

/* ---- iteration ---- */

/* The cursor is partition << 32 | slot; after the last partition, its low half counts collisions.
 * */
static uint64_t cursor_make(uint32_t partition, uint64_t slot)
{
    return (uint64_t)partition << 32 | slot;
}

static int entry_make(const struct part *part, uint64_t hash, const uint8_t *payload,
                      const struct place_more *more, bool is_tombstone, struct part_entry *entry)
{
    *entry = (struct part_entry){.hash = hash, .tombstone = is_tombstone};
    uint32_t len = part->info.value_len;
    uint32_t off = 0;
    if (part->info.key_type == KEY_U64)
        entry->key = hash_u64_inverse(hash, part->info.hash_seed);
    if (part->layout == LAYOUT_HEAP) {
        payload = place_record(more, load_le64(payload), &len);
        if (!payload)
            return -EBADMSG;
        if (part->info.key_type == KEY_BYTES) {
            if (len < 2 || payload[0] == 0 || len < 1 + (uint32_t)payload[0])
                return -EBADMSG;
            entry->key_len = payload[0];
            entry->key_bytes = payload + 1;
            off = 1 + (uint32_t)entry->key_len;
        }
    }
    if (is_tombstone)
        return 1;
    entry->value = payload + off;
    entry->value_len = len - off;
    bool is_right = part->info.value_len == 0 || entry->value_len == part->info.value_len;
    return is_right ? 1 : -EBADMSG;
}

int part_slot_entry(const struct part *part, uint32_t partition, uint32_t slot,
                    struct part_entry *entry)
{
    const struct place_more *more = &part->more[partition];
    const uint8_t *p = place_slot_at(&part->places[partition], slot, part->stride);
    return entry_make(part, load_le64(p), p + PART_SLOT_HASH_LEN, more,
                      place_is_tombstone(more, slot), entry);
}

int part_collision_entry(const struct part *part, uint64_t i, struct part_entry *entry)
{
    const struct part_collision *collision = &part->collisions[i];
    uint64_t hash = load_le64(&collision->hash);
    uint32_t n_total = part->info.n_shards * part->info.n_partitions;
    uint32_t partition = mph_partition(hash, n_total) - part->info.shard * part->info.n_partitions;
    if (partition >= part->info.n_partitions)
        return -EBADMSG;
    return entry_make(part, hash, (const uint8_t *)&collision->ref, &part->more[partition],
                      load_le64(&collision->is_tombstone) != 0, entry);
}

static int next_collision(const struct part *part, uint64_t *cursor, struct part_entry *entry)
{
    uint64_t i = *cursor & UINT32_MAX;
    if (i >= part->n_collisions)
        return 0;
    ++*cursor;
    return part_collision_entry(part, i, entry);
}

int part_next(const struct part *part, uint64_t *cursor, struct part_entry *entry)
{
    uint32_t n_total = part->info.n_shards * part->info.n_partitions;
    uint32_t first = part->info.shard * part->info.n_partitions;
    uint32_t i = (uint32_t)(*cursor >> 32);
    uint32_t slot = (uint32_t)*cursor;
    for (; i < part->info.n_partitions; i++, slot = 0) {
        const struct place *place = &part->places[i];
        for (; slot < place->n_slots; slot++) {
            const uint8_t *p = place_slot_at(place, slot, part->stride);
            uint64_t hash = load_le64(p);
            /* A hash that does not lead here fills a slot without a key. */
            if (mph_partition(hash, n_total) != first + i || place_slot(place, hash) != slot)
                continue;
            *cursor = cursor_make(i, slot) + 1;
            return entry_make(part, hash, p + PART_SLOT_HASH_LEN, &part->more[i],
                              place_is_tombstone(&part->more[i], slot), entry);
        }
    }
    if (*cursor >> 32 < part->info.n_partitions)
        *cursor = cursor_make(part->info.n_partitions, 0);
    return next_collision(part, cursor, entry);
}
