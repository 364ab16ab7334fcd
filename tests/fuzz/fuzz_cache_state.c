/* SPDX-License-Identifier: Apache-2.0 */
/* The cache's state.json from any bytes: what decodes can be encoded, and decodes to the same again. */
#include "node/cache_state.h"

#include <stdlib.h>
#include <string.h>

static void must(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct cache_state state = {0};
    struct cache_state again = {0};
    struct buf text = {0};
    struct buf twice = {0};
    struct err err = {0};
    int ret = cache_state_decode(data, len, "state.json", &state, &err);
    if (ret) {
        must(err.code == ret && err.text[0] && !state.tables);
        return 0;
    }
    must(cache_state_encode(&state, &text) == 0);
    must(cache_state_decode(text.data, text.len, "again", &again, NULL) == 0);
    must(cache_state_encode(&again, &twice) == 0);
    must(text.len == twice.len && memcmp(text.data, twice.data, text.len) == 0);
    for (size_t i = 0; i < state.n_tables; i++)
        must(table_name_check(state.tables[i].name, NULL) == 0);
    cache_state_release(&state);
    cache_state_release(&again);
    buf_release(&text);
    buf_release(&twice);
    return 0;
}
