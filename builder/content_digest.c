/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/content_digest.h"

#include "base/bytes.h"

#include <inttypes.h>
#include <stdio.h>

int content_digest_add(struct content_digest *digest, const struct part_entry *entry,
                       struct buf *room)
{
    le64 number;
    store_le64(&number, entry->key);
    const void *key = entry->key_bytes ? (const void *)entry->key_bytes : &number;
    uint8_t key_len = entry->key_bytes ? entry->key_len : sizeof number;
    buf_clear(room);
    int ret = buf_add_byte(room, key_len);
    if (!ret)
        ret = buf_add(room, key, key_len);
    if (!ret)
        ret = buf_add(room, entry->value, entry->value_len);
    if (ret)
        return ret;
    struct digest one;
    digest_of(room->data, room->len, &one);
    digest->lanes[0] += load_le64(one.b);
    digest->lanes[1] += load_le64(one.b + 8);
    digest->n++;
    return 0;
}

void content_digest_merge(struct content_digest *digest, const struct content_digest *more)
{
    digest->lanes[0] += more->lanes[0];
    digest->lanes[1] += more->lanes[1];
    digest->n += more->n;
}

bool content_digest_equal(const struct content_digest *a, const struct content_digest *b)
{
    return a->lanes[0] == b->lanes[0] && a->lanes[1] == b->lanes[1] && a->n == b->n;
}

void content_digest_text(const struct content_digest *digest, char out[DIGEST_HEX_LEN + 1])
{
    snprintf(out, DIGEST_HEX_LEN + 1, "%016" PRIx64 "%016" PRIx64, digest->lanes[0],
             digest->lanes[1]);
}
