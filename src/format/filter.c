/* SPDX-License-Identifier: Apache-2.0 */
#include "format/filter.h"

#include <errno.h>
#include <stdlib.h>

/* Checks one partition, which begins where the ones before it end. */
static int place_decode(const struct filter_entry *entry, uint64_t off, const uint8_t *bytes,
                        uint64_t len, struct filter_place *place)
{
    uint32_t span = load_le32(&entry->span);
    uint32_t bits = load_le16(&entry->window_bits);
    uint64_t window = bits < 32 ? 1ULL << bits : 0;
    if (load_le64(&entry->off) != off || window < 1 || window > FILTER_WINDOW_MAX ||
        span > FILTER_SLOTS_MAX || span % window ||
        (span && !range_within(off, span + 2 * window, len)))
        return -EBADMSG;
    *place = (struct filter_place){.slots = bytes + off,
                                   .span = span,
                                   .mask = (uint32_t)window - 1,
                                   .seed = load_le16(&entry->seed)};
    return 0;
}

int filter_open(const struct filter_entry *entries, uint32_t n, const uint8_t *bytes, uint64_t len,
                uint32_t shard, uint32_t n_shards, const char *name, struct filter *out,
                struct err *err)
{
    uint64_t off = 0;
    if (n == 0 || (uint64_t)n * n_shards > UINT32_MAX)
        return err_set(err, -EBADMSG, "%s: filter: %u partitions are out of range", name, n);
    struct filter_place *places = calloc(n, sizeof *places);
    if (!places)
        return err_sys(err, -ENOMEM, "%s: filter", name);
    for (uint32_t i = 0; i < n; i++) {
        if (place_decode(&entries[i], off, bytes, len, &places[i])) {
            free(places);
            return err_set(err, -EBADMSG, "%s: filter: partition %u is out of range", name, i);
        }
        if (places[i].span)
            off += places[i].span + 2 * ((uint64_t)places[i].mask + 1);
    }
    if (off != len) {
        free(places);
        return err_set(err, -EBADMSG, "%s: filter: expected %llu bytes, found %llu", name,
                       (unsigned long long)off, (unsigned long long)len);
    }
    *out = (struct filter){places, n_shards * n, shard * n, n};
    return 0;
}

void filter_release(struct filter *filter)
{
    free(filter->places);
    filter->places = NULL;
}
