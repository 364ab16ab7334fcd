/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zstd_value: values compressed one by one, with a dictionary trained on their like.
 *
 * A stored value is a zstd frame (RFC 8878) without its four magic bytes, in the form that begins
 * with the length of what it holds: its first byte & 0x3F is 0x20. A value that compression would
 * not shorten is stored as the byte 0x08, which begins no frame, and the value. So a stored value
 * is at most one byte longer than the value. Values of up to ZSTD_DICTIONARY_VALUE_MAX bytes are
 * compressed with the dictionary, if there is one; longer ones have enough of their own.
 *
 * Threads: a dictionary is immutable and shared; coders belong to one thread. Memory: a decoder
 * about 160 KiB and room for its longest stored value; an encoder some MiB at higher levels.
 * Errors: -EBADMSG for stored bytes that are no value, -ENOMEM, -EINVAL.
 */
#ifndef FKV_CODEC_ZSTD_VALUE_H
#define FKV_CODEC_ZSTD_VALUE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

enum {
    ZSTD_DICTIONARY_VALUE_MAX = 64 << 10,
    ZSTD_VALUE_LEVEL = 3, /* what `fkv build` uses unless told otherwise */
};

/* ---- decoding ---- */

/* A dictionary made ready for decoding; data may be freed afterwards. len 0: none, *out is NULL. */
struct zstd_dictionary;
int zstd_dictionary_new(const void *data, size_t len, struct zstd_dictionary **out,
                        struct err *err);
void zstd_dictionary_free(struct zstd_dictionary *dictionary);

/* NULL without memory. */
struct zstd_decoder;
struct zstd_decoder *zstd_decoder_new(void);
void zstd_decoder_free(struct zstd_decoder *decoder);

/* The length of the value that stored[0, len) holds, by what it says itself. */
int zstd_value_len(const void *stored, size_t len, uint64_t *value_len);

/*
 * Decodes stored[0, len) into exactly value_len bytes at out, the length that zstd_value_len()
 * gave: nothing more is written, whatever the bytes say.
 */
int zstd_value_decode(struct zstd_decoder *decoder, const struct zstd_dictionary *dictionary,
                      const void *stored, size_t len, void *out, size_t value_len);

/* ---- encoding ---- */

/* level as zstd's: 1 (fast) to 19 (small). */
struct zstd_encoder;
int zstd_encoder_new(int level, const void *dictionary, size_t dictionary_len,
                     struct zstd_encoder **out, struct err *err);
void zstd_encoder_free(struct zstd_encoder *encoder);

/* Replaces the content of *out by the stored value; the same value gives the same bytes. */
int zstd_value_encode(struct zstd_encoder *encoder, const void *value, size_t len, struct buf *out);

/*
 * Trains a dictionary of at most cap bytes on n samples, one after another in `samples`, and
 * replaces the content of *out by it: empty when they are too few or have nothing in common.
 * A hundred times cap of samples is plenty.
 */
int zstd_train(const void *samples, const size_t *lens, unsigned n, size_t cap, struct buf *out,
               struct err *err);

#endif
