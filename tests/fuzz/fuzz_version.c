/* SPDX-License-Identifier: Apache-2.0 */
/* version.json from any bytes: what decodes can be encoded, and decodes to the same again. */
#include "format/version.h"

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
    struct version_desc desc = {0};
    struct version_desc again = {0};
    struct buf text = {0};
    struct buf twice = {0};
    struct err err = {0};
    int ret = version_desc_decode(data, len, "version.json", &desc, &err);
    if (ret) {
        must(err.code == ret && err.text[0] && !desc.parts);
        return 0;
    }
    must(schema_check(&desc.schema, NULL) == 0);
    must(desc.n_parts == (size_t)desc.n_levels * desc.schema.n_shards);
    must(version_desc_encode(&desc, &text, NULL) == 0);
    must(version_desc_decode(text.data, text.len, "again", &again, NULL) == 0);
    must(version_desc_encode(&again, &twice, NULL) == 0);
    must(text.len == twice.len && memcmp(text.data, twice.data, text.len) == 0);
    must(version_desc_len(&desc) == version_desc_len(&again));
    version_desc_release(&desc);
    version_desc_release(&again);
    buf_release(&text);
    buf_release(&twice);
    return 0;
}
