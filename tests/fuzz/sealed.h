/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sealed: gives a fuzzer's bytes the checksum that they need to get past the seal.
 *
 * Threads: one at a time. Memory: the caller releases the buffer. Errors: none; aborts without memory.
 */
#ifndef FKV_TESTS_SEALED_H
#define FKV_TESTS_SEALED_H

#include "base/buf.h"
#include "base/hash.h"

#include <stdlib.h>

static inline struct buf sealed(const uint8_t *data, size_t len)
{
    struct buf text = {0};
    struct digest digest;
    char hex[DIGEST_HEX_LEN + 1];
    digest_of(data, len, &digest);
    digest_to_hex(&digest, hex);
    if (buf_add(&text, data, len) || buf_printf(&text, ",\"checksum\":\"%s\"}\n", hex))
        abort();
    return text;
}

static inline void expect(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
