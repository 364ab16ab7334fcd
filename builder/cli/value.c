/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/value.h"

#include "base/utf8.h"
#include "codec/vector.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int value_add_escaped(struct buf *out, const uint8_t *data, size_t len)
{
    /* A field that begins like a byte order mark would lose it at the start of a file. */
    bool mark = len >= 3 && !memcmp(data, "\xef\xbb\xbf", 3);
    int rc = buf_reserve(out, 4 * len + 1);
    for (size_t i = 0; !rc && i < len; i++) {
        uint8_t c = data[i];
        if (c == '\t')
            rc = buf_add(out, "\\t", 2);
        else if (c == '\n')
            rc = buf_add(out, "\\n", 2);
        else if (c == '\r')
            rc = buf_add(out, "\\r", 2);
        else if (c == '\\')
            rc = buf_add(out, "\\\\", 2);
        else if (c < 0x20 || c == 0x7f || (mark && i < 3))
            rc = buf_printf(out, "\\x%02x", c);
        else
            rc = buf_add_byte(out, c);
    }
    return rc;
}

static int add_base64(struct buf *out, const uint8_t *data, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    int rc = 0;
    for (size_t i = 0; !rc && i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)data[i] << 16 | (n > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                        (n > 2 ? data[i + 2] : 0);
        char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63],
                        n > 1 ? digits[bits >> 6 & 63] : '=', n > 2 ? digits[bits & 63] : '='};
        rc = buf_add(out, four, sizeof four);
    }
    return rc;
}

int value_add_json_bytes(struct buf *out, const uint8_t *data, size_t len)
{
    int rc = 0;
    if (!utf8_is_text(data, len)) {
        rc = buf_printf(out, "{\"b64\": \"");
        if (!rc)
            rc = add_base64(out, data, len);
        return rc ? rc : buf_printf(out, "\"}");
    }
    rc = buf_add_byte(out, '"');
    for (size_t i = 0; !rc && i < len; i++) {
        uint8_t c = data[i];
        if (c == '"' || c == '\\')
            rc = buf_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            rc = buf_printf(out, "\\u%04x", c);
        else
            rc = buf_add_byte(out, c);
    }
    return rc ? rc : buf_add_byte(out, '"');
}

static int add_float(struct buf *out, float value)
{
    char text[32];
    if (isnan(value))
        return buf_printf(out, "NaN");
    if (isinf(value))
        return buf_printf(out, value < 0 ? "-Infinity" : "Infinity");
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (digits == 9 || strtof(text, NULL) == value)
            break;
    }
    return buf_add(out, text, strlen(text));
}

int value_add_floats(struct buf *out, const float *floats, uint32_t dim, const char *open,
                     const char *close)
{
    int rc = buf_printf(out, "%s", open);
    for (uint32_t i = 0; !rc && i < dim; i++) {
        if (i)
            rc = buf_add_byte(out, ',');
        if (!rc)
            rc = add_float(out, floats[i]);
    }
    return rc ? rc : buf_printf(out, "%s", close);
}

/* i8 is encoded with scale = max / 127 in f32, so the largest must divide to just that scale. */
static void settle_scale(const uint8_t *stored, uint32_t dim, float *floats)
{
    float scale;
    const int8_t *bytes = (const int8_t *)stored + sizeof scale;
    memcpy(&scale, stored, sizeof scale);
    float max = scale * 127.0f;
    float below = nextafterf(max, 0), above = nextafterf(max, INFINITY);
    if (max / 127.0f == scale)
        return;
    max = below / 127.0f == scale ? below : above;
    for (uint32_t i = 0; i < dim; i++) {
        if (bytes[i] == 127 || bytes[i] == -127)
            floats[i] = bytes[i] < 0 ? -max : max;
    }
}

void value_decode(const struct schema *schema, const uint8_t *stored, float *floats)
{
    vector_decoder(schema->elem)(stored, schema->dim, floats);
    if (schema->elem == ELEM_I8)
        settle_scale(stored, schema->dim, floats);
}

int value_add_key(struct buf *out, const struct schema *schema, const struct part_entry *entry,
                  bool json)
{
    if (schema->key_type == KEY_U64)
        return buf_printf(out, "%" PRIu64, entry->key);
    return json ? value_add_json_bytes(out, entry->key_bytes, entry->key_len)
                : value_add_escaped(out, entry->key_bytes, entry->key_len);
}

int value_add_stored(struct buf *out, const struct schema *schema, const uint8_t *value,
                     uint32_t len, float *floats, bool json)
{
    if (schema->elem == ELEM_NONE)
        return json ? value_add_json_bytes(out, value, len) : value_add_escaped(out, value, len);
    value_decode(schema, value, floats);
    return value_add_floats(out, floats, schema->dim, json ? "[" : "", json ? "]" : "");
}
