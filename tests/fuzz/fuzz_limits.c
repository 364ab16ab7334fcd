/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of validators from any JSON: what decodes can be encoded, and decodes to the same again. */
#include "builder/validate_json.h"
#include "sealed.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct validate_limits limits;
    struct validate_limits again;
    struct buf text = {0};
    struct buf twice = {0};
    struct err err = {0};
    json_t *json = NULL;
    json_t *made = NULL;
    json_t *remade = NULL;
    if (json_parse(data, len, "job.json", &json, NULL))
        return 0;
    validate_limits_default(&limits);
    validate_limits_default(&again);
    int ret = validate_limits_decode((struct json_at){json, "job.json"}, &limits, &err);
    if (ret) {
        expect(err.code == ret && err.text[0]);
        json_decref(json);
        return 0;
    }
    expect(limits.n_commands <= VALIDATE_COMMANDS_MAX && limits.command_timeout_ns > 0);
    expect(validate_limits_encode(&limits, &made) == 0 && json_write(made, false, &text) == 0);
    expect(validate_limits_decode((struct json_at){made, "again"}, &again, NULL) == 0);
    expect(validate_limits_encode(&again, &remade) == 0 && json_write(remade, false, &twice) == 0);
    expect(text.len == twice.len && memcmp(text.data, twice.data, text.len) == 0);
    buf_release(&text);
    buf_release(&twice);
    json_decref(json);
    json_decref(made);
    json_decref(remade);
    return 0;
}
