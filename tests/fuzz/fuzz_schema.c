/* SPDX-License-Identifier: Apache-2.0 */
/* The texts of a schema: a value type that is taken is one that checks and is written back as it
 * was. */
#include "format/schema.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct schema schema = {.kind = KIND_MEM, .key_type = KEY_U64, .n_shards = 1};
    struct err err = {0};
    char back[VALUE_TEXT_MAX];
    char *text = calloc(len + 1, 1);
    if (!text)
        return 0;
    if (len)
        memcpy(text, data, len);
    int ret = schema_set_value(&schema, text, &err);
    if (ret == 0) {
        schema_value_text(&schema, back);
        if (strcmp(back, text) != 0 || schema_check(&schema, NULL))
            abort();
    } else if (err.code != ret || !err.text[0]) {
        abort();
    }
    key_type_from_name(text, &schema.key_type, NULL);
    table_kind_from_name(text, &schema.kind, NULL);
    free(text);
    return 0;
}
