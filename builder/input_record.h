/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input_record: FeatureKV's record file, the bytes its write tasks take.
 *
 * Records follow one another, without anything between them or around them; little-endian, packed:
 *
 *   u8 0xb2, u8 flag 0, u8 key length 1 to 255, u32 value length 1 to 2^32-1, key, value
 *
 * Nothing marks where a record begins but the one before it, so a damaged head is the end of what can be read.
 *
 * Threads: pure functions; record_border_find() as the stream. Memory: record_border_find() 64 KiB while it runs.
 * Errors: of the stream; -ENOMEM.
 */
#ifndef FKV_BUILDER_INPUT_RECORD_H
#define FKV_BUILDER_INPUT_RECORD_H

#include "base/bytes.h"
#include "base/err.h"

enum { REC_MAGIC = 0xb2, REC_HEAD_LEN = 7 };

struct rec_head {
    uint8_t magic;
    uint8_t flag;
    uint8_t key_len;
    le32 value_len;
};
_Static_assert(sizeof(struct rec_head) == REC_HEAD_LEN, "record heads are packed");

/* Bytes of the record whose head is at `at`, all REC_HEAD_LEN bytes of it; 0 when none begins there. */
static inline uint64_t rec_len(const void *at)
{
    const struct rec_head *head = at;
    uint32_t value_len = load_le32(&head->value_len);
    if (load_le16(head) != REC_MAGIC || head->key_len == 0 || value_len == 0)
        return 0;
    return (uint64_t)REC_HEAD_LEN + head->key_len + value_len;
}

/*
 * The first offset at or behind `from` where a record seems to begin: from it a chain of heads leads on, long enough to be no
 * chance, or to the file's end exactly. That end itself when there is no other. A value that holds records can mislead it.
 */
struct stream;
int record_border_find(struct stream *stream, uint64_t from, uint64_t *out, struct err *err);

#endif
