/* SPDX-License-Identifier: Apache-2.0 */
/* TOML from any bytes: what is read is one JSON object, which our reader of JSON takes; what is not has an error. */
#include "base/json.h"
#include "builder/toml.h"

#include <errno.h>
#include <stdlib.h>

static void must(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf text = {0};
    struct err err = {0};
    scope_json json_t *json = NULL;
    int ret = toml_to_json((const char *)data, len, "job.toml", &text, &err);
    if (ret) {
        must(ret == -EBADMSG && err.code == ret && err.text[0] && text.len == 0);
    } else {
        ret = json_parse(text.data, text.len, "job.toml", &json, &err);
        must(ret == 0);
    }
    buf_release(&text);
    return 0;
}
