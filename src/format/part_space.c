/* SPDX-License-Identifier: Apache-2.0 */
#include "format/part_space.h"

#include "format/filter.h"
#include "format/paged_layout.h"
#include "format/part_view.h"

#include <errno.h>

const char *space_name(enum space space)
{
    static const char *const names[SPACE_N] = {"keys",       "index",   "filter",
                                               "values",     "heads",   "tombstones",
                                               "dictionary", "padding", "footer"};
    return names[space];
}

/* What is left of len bytes is padding. */
static int settle(struct part_space *space, uint64_t len, const char *name, struct err *err)
{
    uint64_t sum = 0;
    space->len[SPACE_PADDING] = 0;
    for (int i = 0; i < SPACE_N; i++) {
        if (!add_u64(sum, space->len[i], &sum) || sum > len)
            return err_set(err, -EBADMSG,
                           "%s: footer: its sections have more bytes than the part, %llu", name,
                           (unsigned long long)len);
    }
    space->len[SPACE_PADDING] = len - sum;
    return 0;
}

static int measure_paged(const struct paged_footer *footer, uint64_t len, const char *name,
                         struct part_space *out, struct err *err)
{
    struct paged_info info;
    uint64_t tail_off = 0;
    uint64_t sections[PAGED_SECTIONS];
    int ret = paged_tail(footer, len, name, &tail_off, &info, err);
    if (ret)
        return ret;
    for (int i = 0; i < PAGED_SECTIONS; i++) {
        sections[i] = load_le64(&footer->sections[i].len);
        if (sections[i] > len)
            return err_set(err, -EBADMSG, "%s: footer: a section of %llu bytes in a part of %llu",
                           name, (unsigned long long)sections[i], (unsigned long long)len);
    }
    uint64_t n = info.part.n_keys + info.part.n_tombstones;
    bool is_blk = info.kind == PAGED_BLK;
    *out = (struct part_space){
        .kind = is_blk ? KIND_BLK : KIND_IDX,
        .info = info.part,
        .compression = info.compression,
        .values_hold_keys = info.shape.has_keys,
        .memory = len - tail_off,
        .n_blocks = info.n_blocks,
    };
    uint64_t *part = out->len;
    part[SPACE_HEADS] = sizeof(struct block_head) * info.n_blocks +
                        (info.shape.record_len ? 0 : block_end_len(&info.shape, 1) * n);
    part[SPACE_VALUES] = info.records_len;
    part[SPACE_DICTIONARY] = sections[PAGED_DICTIONARY];
    part[SPACE_FILTER] = sections[PAGED_FILTER_PLACES] + sections[PAGED_FILTER];
    part[SPACE_FOOTER] = PART_FOOTER_LEN;
    if (is_blk) {
        part[SPACE_KEYS] = sizeof(uint64_t) * n;
        part[SPACE_INDEX] = sections[BLK_BUCKETS] + sections[BLK_FENCES];
        part[SPACE_TOMBSTONES] = info.shape.has_tombstones ? (n + 7) / 8 : 0;
    } else {
        part[SPACE_KEYS] = sections[IDX_KEYS_PLACES] + sections[IDX_KEYS];
        part[SPACE_INDEX] = sections[IDX_STARTS_PLACES] + sections[IDX_STARTS];
        part[SPACE_TOMBSTONES] = sections[IDX_TOMBSTONES];
    }
    return settle(out, len, name, err);
}

/* Keys with a slot; the others are among the collisions. */
static int slots_used(const struct part_footer *footer, const struct part_info *info,
                      const char *name, uint64_t *out, struct err *err)
{
    uint64_t n = 0;
    uint64_t n_others = load_le64(&footer->collisions.len) / sizeof(struct part_collision);
    uint64_t n_slots = load_le64(&footer->n_slots);
    if (!add_u64(info->n_keys, info->n_tombstones, &n) || n < n_others || n - n_others > n_slots)
        return err_set(err, -EBADMSG, "%s: footer: %llu keys and %llu tombstones in %llu slots",
                       name, (unsigned long long)info->n_keys,
                       (unsigned long long)info->n_tombstones, (unsigned long long)n_slots);
    *out = n - n_others;
    return 0;
}

static int measure_mem(const struct part_footer *footer, uint64_t len, const char *name,
                       struct part_space *out, struct err *err)
{
    uint64_t n = 0;
    uint64_t values = 0;
    uint64_t n_slots = load_le64(&footer->n_slots);
    struct part_section sections[] = {footer->pilots, footer->fingerprints, footer->tombstones,
                                      footer->directory, footer->collisions};
    *out = (struct part_space){.kind = KIND_MEM, .memory = len, .n_slots = n_slots};
    int ret = part_footer_decode(footer, name, &out->info, err);
    if (!ret)
        ret = slots_used(footer, &out->info, name, &n, err);
    for (size_t i = 0; !ret && i < sizeof sections / sizeof *sections; i++) {
        if (!range_within(load_le64(&sections[i].off), load_le64(&sections[i].len), len))
            ret = err_set(err, -EBADMSG, "%s: footer: a section lies outside the part", name);
    }
    if (!ret && (n_slots > len || !mul_u64(out->info.n_keys, out->info.value_len, &values)))
        ret = err_set(err, -EBADMSG, "%s: footer: %llu slots in a part of %llu bytes", name,
                      (unsigned long long)n_slots, (unsigned long long)len);
    if (ret)
        return ret;
    uint64_t *part = out->len;
    bool is_inline = part_layout_of(out->info.key_type, out->info.value_len) == LAYOUT_INLINE;
    part[SPACE_KEYS] = PART_SLOT_HASH_LEN * n;
    part[SPACE_INDEX] = load_le64(&footer->pilots.len) + load_le64(&footer->directory.len) +
                        load_le64(&footer->collisions.len);
    part[SPACE_FILTER] = load_le64(&footer->fingerprints.len);
    part[SPACE_TOMBSTONES] = load_le64(&footer->tombstones.len);
    part[SPACE_FOOTER] = PART_FOOTER_LEN;
    if (is_inline) {
        part[SPACE_VALUES] = values;
    } else {
        part[SPACE_INDEX] += (PART_HEAP_STRIDE - PART_SLOT_HASH_LEN) * n;
        out->values_hold_keys = out->info.key_type == KEY_BYTES;
        out->directory_off = load_le64(&footer->directory.off);
        out->directory_len = load_le64(&footer->directory.len);
    }
    return settle(out, len, name, err);
}

int part_space_measure(const void *footer, uint64_t len, const char *name, struct part_space *out,
                       struct err *err)
{
    const struct part_footer *mem = footer;
    uint32_t layout = load_le32(&mem->layout);
    if (len < PART_FOOTER_LEN || len % PART_ALIGN)
        return err_set(err, -EBADMSG, "%s: expected a multiple of %d bytes, found %llu: truncated?",
                       name, PART_ALIGN, (unsigned long long)len);
    return layout == PAGED_BLK || layout == PAGED_IDX ? measure_paged(footer, len, name, out, err)
                                                      : measure_mem(mem, len, name, out, err);
}

int part_space_add_heaps(struct part_space *space, const void *directory, const char *name,
                         struct err *err)
{
    const struct part_dir_entry *entries = directory;
    uint64_t heaps = 0;
    for (uint64_t i = 0; i < space->directory_len / sizeof *entries; i++) {
        if (!add_u64(heaps, load_le64(&entries[i].heap_len), &heaps) ||
            heaps > space->len[SPACE_PADDING])
            return err_set(err, -EBADMSG, "%s: partition %llu lies outside the part", name,
                           (unsigned long long)i);
    }
    space->len[SPACE_VALUES] += heaps;
    space->len[SPACE_PADDING] -= heaps;
    return 0;
}
