/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The magic bytes are the same in every frame and would be a tenth of a short one, so they are cut
 * off. The decoder puts them back in front of a copy: some tens of nanoseconds for a short value,
 * and no parameter of zstd that is not stable.
 */
#include "codec/zstd_value.h"

#include "base/bytes.h"

#include <errno.h>
#include <stdlib.h>
#define ZDICT_STATIC_LINKING_ONLY /* for the trainer with parameters; the library exports it */
#include <zdict.h>
#include <zstd.h>

enum {
    MAGIC_LEN = 4,
    RAW = 0x08,       /* the reserved bit of a frame's descriptor: no frame begins so */
    FORM_MASK = 0x3F, /* of the descriptor: all but the width of the length */
    FORM = 0x20,      /* one segment; no checksum, no dictionary's number */

    WINDOW_LOG = 24, /* any value is one segment */
    TRAINED_MIN = 8, /* samples that a dictionary can be made of */
    DICTIONARY_MIN = 256,

    /* What the trainer looks for: pieces of so many bytes, by how often each 8 bytes occur. */
    TRAIN_PIECE = 400,
    TRAIN_MATCH = 8,
    TRAIN_TABLE_LOG = 18,
};

struct zstd_decoder {
    ZSTD_DCtx *context;
    struct buf frame;
};

struct zstd_encoder {
    ZSTD_CCtx *plain;
    ZSTD_CCtx *with_dictionary; /* NULL without */
    struct buf frame;
};

/* ---- decoding ---- */

/* zstd's own type, seen through ours. */
int zstd_dictionary_new(const void *data, size_t len, struct zstd_dictionary **out, struct err *err)
{
    *out = NULL;
    if (len == 0)
        return 0;
    *out = (struct zstd_dictionary *)ZSTD_createDDict(data, len);
    return *out ? 0 : err_set(err, -EBADMSG, "dictionary of %zu bytes: it is not one", len);
}

void zstd_dictionary_free(struct zstd_dictionary *dictionary)
{
    ZSTD_freeDDict((ZSTD_DDict *)dictionary);
}

struct zstd_decoder *zstd_decoder_new(void)
{
    struct zstd_decoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder)
        return NULL;
    decoder->context = ZSTD_createDCtx();
    if (!decoder->context) {
        free(decoder);
        return NULL;
    }
    return decoder;
}

void zstd_decoder_free(struct zstd_decoder *decoder)
{
    if (!decoder)
        return;
    ZSTD_freeDCtx(decoder->context);
    buf_release(&decoder->frame);
    free(decoder);
}

int zstd_value_len(const void *stored, size_t len, uint64_t *value_len)
{
    const uint8_t *p = stored;
    uint8_t field[8] = {0};
    if (len >= 1 && p[0] == RAW) {
        *value_len = len - 1;
        return 0;
    }
    if (len < 1 || (p[0] & FORM_MASK) != FORM)
        return -EBADMSG;
    size_t width = (size_t)1 << (p[0] >> 6);
    if (len < 1 + width)
        return -EBADMSG;
    memcpy(field, p + 1, width);
    *value_len = load_le64(field) + (width == 2 ? 256 : 0); /* RFC 8878, 3.1.1.1.4 */
    return 0;
}

int zstd_value_decode(struct zstd_decoder *decoder, const struct zstd_dictionary *dictionary,
                      const void *stored, size_t len, void *out, size_t value_len)
{
    const uint8_t *p = stored;
    uint64_t said = 0;
    uint8_t magic[MAGIC_LEN];
    if (zstd_value_len(stored, len, &said) || said != value_len)
        return -EBADMSG;
    if (p[0] == RAW) {
        if (value_len)
            memcpy(out, p + 1, value_len);
        return 0;
    }
    store_le32(magic, ZSTD_MAGICNUMBER);
    buf_clear(&decoder->frame);
    if (buf_add(&decoder->frame, magic, sizeof magic) || buf_add(&decoder->frame, p, len))
        return -ENOMEM;
    bool is_with = dictionary && value_len <= ZSTD_DICTIONARY_VALUE_MAX;
    size_t n =
        is_with ? ZSTD_decompress_usingDDict(decoder->context, out, value_len, decoder->frame.data,
                                             decoder->frame.len, (const ZSTD_DDict *)dictionary)
                : ZSTD_decompressDCtx(decoder->context, out, value_len, decoder->frame.data,
                                      decoder->frame.len);
    return !ZSTD_isError(n) && n == value_len ? 0 : -EBADMSG;
}

/* ---- encoding ---- */

static ZSTD_CCtx *context_new(int level, const void *dictionary, size_t dictionary_len)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (!context)
        return NULL;
    size_t ret = ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
    if (!ZSTD_isError(ret))
        ret = ZSTD_CCtx_setParameter(context, ZSTD_c_dictIDFlag, 0);
    if (!ZSTD_isError(ret) && dictionary_len)
        ret = ZSTD_CCtx_loadDictionary(context, dictionary, dictionary_len);
    else if (!ZSTD_isError(ret))
        ret = ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, WINDOW_LOG);
    if (!ZSTD_isError(ret))
        return context;
    ZSTD_freeCCtx(context);
    return NULL;
}

int zstd_encoder_new(int level, const void *dictionary, size_t dictionary_len,
                     struct zstd_encoder **out, struct err *err)
{
    if (level < 1 || level > 19)
        return err_set(err, -EINVAL, "zstd: expected a level of 1 to 19, found %d", level);
    struct zstd_encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder)
        return err_sys(err, -ENOMEM, "zstd");
    encoder->plain = context_new(level, NULL, 0);
    if (dictionary_len)
        encoder->with_dictionary = context_new(level, dictionary, dictionary_len);
    if (!encoder->plain || (dictionary_len && !encoder->with_dictionary)) {
        zstd_encoder_free(encoder);
        return err_sys(err, -ENOMEM, "zstd");
    }
    *out = encoder;
    return 0;
}

void zstd_encoder_free(struct zstd_encoder *encoder)
{
    if (!encoder)
        return;
    ZSTD_freeCCtx(encoder->plain);
    ZSTD_freeCCtx(encoder->with_dictionary);
    buf_release(&encoder->frame);
    free(encoder);
}

int zstd_value_encode(struct zstd_encoder *encoder, const void *value, size_t len, struct buf *out)
{
    bool is_with = encoder->with_dictionary && len <= ZSTD_DICTIONARY_VALUE_MAX;
    ZSTD_CCtx *context = is_with ? encoder->with_dictionary : encoder->plain;
    size_t cap = ZSTD_compressBound(len);
    buf_clear(out);
    buf_clear(&encoder->frame);
    if (buf_reserve(&encoder->frame, cap) || buf_reserve(out, len + 1))
        return -ENOMEM;
    size_t n = len ? ZSTD_compress2(context, encoder->frame.data, cap, value, len) : 0;
    const uint8_t *frame = encoder->frame.data + MAGIC_LEN;
    /* What does not get shorter, or has another form than ours, is kept as it is. */
    if (n > MAGIC_LEN && !ZSTD_isError(n) && n - MAGIC_LEN < len + 1 &&
        (frame[0] & FORM_MASK) == FORM)
        return buf_add(out, frame, n - MAGIC_LEN);
    buf_add_byte(out, RAW);
    return buf_add(out, value, len);
}

/*
 * ZDICT_trainFromBuffer() tries many parameters, which takes several times as long and gains about
 * a percent. It also trains on three quarters of the samples and does not see when these have fewer
 * bytes than one match (libzstd 1.5.4): then it reads beyond them. Here all samples are trained on.
 */
int zstd_train(const void *samples, const size_t *lens, unsigned n, size_t cap, struct buf *out,
               struct err *err)
{
    ZDICT_fastCover_params_t params = {
        .k = TRAIN_PIECE, .d = TRAIN_MATCH, .f = TRAIN_TABLE_LOG, .accel = 1};
    size_t total = 0;
    buf_clear(out);
    for (unsigned i = 0; i < n; i++)
        total += lens[i];
    if (n < TRAINED_MIN || cap < DICTIONARY_MIN || total < DICTIONARY_MIN)
        return 0;
    if (buf_reserve(out, cap))
        return err_sys(err, -ENOMEM, "dictionary of %zu bytes", cap);
    size_t len = ZDICT_trainFromBuffer_fastCover(out->data, cap, samples, lens, n, params);
    out->len = ZDICT_isError(len) ? 0 : len;
    return 0;
}
