/* SPDX-License-Identifier: Apache-2.0 */
/* validation.json from any bytes: what decodes can be shown, encoded, and decodes to the same again. */
#include "builder/validation.h"
#include "sealed.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct validation made, again;
    struct buf text = {0};
    struct err err = {0};
    memset(&made, 0, sizeof made);
    int ret = validation_decode(data, len, "validation.json", &made, &err);
    if (ret) {
        expect(err.code == ret && err.text[0]);
        return 0;
    }
    expect(made.report.n_findings <= VALIDATE_FINDINGS_MAX);
    for (size_t i = 0; i < made.report.n_findings; i++)
        expect(text_check("text", made.report.findings[i].text, VALIDATE_TEXT_MAX, NULL) == 0);
    json_t *json = validation_encode(&made);
    expect(json && json_write(json, false, &text) == 0);
    json_decref(json);
    memset(&again, 0, sizeof again);
    expect(validation_decode(text.data, text.len, "again", &again, NULL) == 0);
    expect(memcmp(&made, &again, sizeof made) == 0);
    buf_release(&text);
    return 0;
}
