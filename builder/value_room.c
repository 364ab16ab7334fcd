/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All parts of a level have the same dictionary, so the one that is ready is kept while parts change: a part's is compared with it
 * once, and made ready (some 20 us) only if it is another.
 */
#include "builder/value_room.h"

#include "codec/zstd_value.h"

#include <errno.h>
#include <string.h>

void value_room_release(struct value_room *room)
{
    zstd_decoder_free(room->decoder);
    zstd_dictionary_free(room->dictionary);
    buf_release(&room->plain);
    *room = (struct value_room){0};
}

static int dictionary_ready(struct value_room *room, struct paged_bytes wanted)
{
    if (wanted.data == room->from.data && wanted.len == room->from.len)
        return 0;
    bool is_same = wanted.len && wanted.len == room->from.len &&
                   memcmp(wanted.data, room->from.data, wanted.len) == 0;
    if (!is_same) {
        zstd_dictionary_free(room->dictionary);
        room->dictionary = NULL;
        room->from = (struct paged_bytes){0};
        int ret = zstd_dictionary_new(wanted.data, wanted.len, &room->dictionary, NULL);
        if (ret)
            return ret;
    }
    room->from = wanted;
    return 0;
}

int value_room_unpack(struct value_room *room, const struct any_part *part,
                      struct part_entry *entry)
{
    const struct paged_info *info = any_part_paged(part);
    uint64_t len = 0;
    if (entry->tombstone || !info || info->compression == COMPRESSION_NONE)
        return 0;
    uint32_t wanted = info->part.value_len;
    int ret = zstd_value_len(entry->value, entry->value_len, &len);
    if (ret || (wanted ? len != wanted : len > VALUE_LEN_MAX))
        return -EBADMSG;
    if (!room->decoder)
        room->decoder = zstd_decoder_new();
    if (!room->decoder)
        return -ENOMEM;
    buf_clear(&room->plain);
    ret = dictionary_ready(room, any_part_dictionary(part));
    if (!ret)
        ret = buf_reserve(&room->plain, (size_t)len + 1);
    if (!ret)
        ret = zstd_value_decode(room->decoder, room->dictionary, entry->value, entry->value_len,
                                room->plain.data, (size_t)len);
    if (ret)
        return ret;
    entry->value = room->plain.data;
    entry->value_len = (uint32_t)len;
    return 0;
}
