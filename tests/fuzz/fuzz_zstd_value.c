/* SPDX-License-Identifier: Apache-2.0 */
/* Forged stored values, with and without a dictionary: no byte beyond what they say is written. */
#include "codec/zstd_value.h"
#include "sealed.h"

#include <errno.h>
#include <stdio.h>

static struct zstd_dictionary *dictionary;
static struct zstd_decoder *decoder;

static void dictionary_make(void)
{
    struct buf samples = {0};
    struct buf trained = {0};
    static size_t lens[2000];
    for (size_t i = 0; i < 2000; i++) {
        size_t before = samples.len;
        expect(buf_printf(&samples, "{\"id\":%zu,\"country\":\"DE\",\"rank\":%zu}", i * 7919,
                          i % 13) == 0);
        lens[i] = samples.len - before;
    }
    expect(zstd_train(samples.data, lens, 2000, 4096, &trained, NULL) == 0 && trained.len);
    expect(zstd_dictionary_new(trained.data, trained.len, &dictionary, NULL) == 0);
    decoder = zstd_decoder_new();
    expect(decoder != NULL);
    buf_release(&samples);
    buf_release(&trained);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint64_t value_len = 0;
    if (!dictionary)
        dictionary_make();
    if (zstd_value_len(data, len, &value_len) || value_len > 1 << 20)
        return 0;
    uint8_t *out = malloc(value_len ? value_len : 1);
    for (int i = 0; i < 2; i++) {
        int ret = zstd_value_decode(decoder, i ? dictionary : NULL, data, len, out, value_len);
        expect(ret == 0 || ret == -EBADMSG);
    }
    free(out);
    return 0;
}
