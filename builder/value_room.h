/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value_room: where the compressed values of parts are unpacked, one after another.
 *
 * Threads: one at a time, so each thread has its own. Memory: zero-initialise, and release; a decoder, a dictionary made ready and
 * the longest value so far. The parts whose values it is given must be there as long as it is.
 * Errors: -EBADMSG for a value that cannot be unpacked or has not the schema's length; -ENOMEM.
 */
#ifndef FKV_BUILDER_VALUE_ROOM_H
#define FKV_BUILDER_VALUE_ROOM_H

#include "base/buf.h"
#include "format/any_part.h"

struct zstd_decoder;
struct zstd_dictionary;

struct value_room {
    struct zstd_decoder *decoder;
    struct zstd_dictionary *dictionary; /* of `from` */
    struct paged_bytes from;            /* as it stands in the part met last */
    struct buf plain;
};

/* Makes an entry of the part, as any_part_next() or any_part_find() gave it, one with its plain value, which lives until the next
 * call; a value that is not compressed stays where it is. */
int value_room_unpack(struct value_room *room, const struct any_part *part,
                      struct part_entry *entry);
void value_room_release(struct value_room *room);

#endif
