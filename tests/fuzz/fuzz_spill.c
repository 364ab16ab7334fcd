/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole spill file, its last SPILL_FOOTER_LEN bytes the footer. The digests of footer, sample and index are made to fit, so
 * that what is behind them is decoded; blocks keep the digests that the index tells of them.
 */
#include "../lib/memory_backend.h"
#include "../lib/spill_fixture.h"
#include "sealed.h"

#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct store *store = NULL;
    struct buf file = {0};
    struct digest digest;
    struct spill spill;
    struct err err = {0};
    if (len < SPILL_FOOTER_LEN)
        return 0;
    expect(buf_add(&file, data, len) == 0);
    spill_fixture_seal(&file, &digest);
    expect(store_open_backend(memory_backend_new(), "memory:", &store, NULL) == 0);
    expect(store_put(store, "a.run", file.data, file.len, NULL) == 0);
    int ret = spill_open(&spill, store, "a.run", &digest, &err);
    expect(ret == 0 || (err.code == ret && err.text[0]));
    if (ret == 0) {
        struct value_sample sample = {0};
        uint64_t n = 0;
        spill_sample(&spill, &sample, NULL);
        value_sample_release(&sample);
        ret = spill_fixture_read(&spill, &n, &err);
        expect(ret == 0 || ret == -EBADMSG);
        spill_close(&spill);
    }
    store_close(store);
    buf_release(&file);
    return 0;
}
