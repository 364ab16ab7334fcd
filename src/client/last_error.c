/* SPDX-License-Identifier: Apache-2.0 */
#include "client/last_error.h"

#include "client/fkv.h"

#include <string.h>

static __thread char last_text[ERR_TEXT_MAX];

int last_error_set(int code, const struct err *err)
{
    const char *text = err_text(err, code);
    size_t len = strnlen(text, sizeof last_text - 1);
    memcpy(last_text, text, len);
    last_text[len] = 0;
    return code;
}

const char *fkv_last_error(void)
{
    return last_text;
}
