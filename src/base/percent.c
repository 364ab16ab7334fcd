/* SPDX-License-Identifier: Apache-2.0 */
#include "base/percent.h"

#include <errno.h>
#include <stdbool.h>

static bool is_plain(uint8_t byte, size_t at)
{
    if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
        (byte >= '0' && byte <= '9'))
        return true;
    return byte == '-' || byte == '_' || byte == '~' || (byte == '.' && at > 0);
}

int percent_encode(const void *data, size_t len, char *text, size_t cap)
{
    static const char hex[] = "0123456789ABCDEF";
    const uint8_t *bytes = data;
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        bool plain = is_plain(bytes[i], i);
        if (cap - n < (plain ? 2 : 4))
            return -ENOSPC;
        if (plain) {
            text[n++] = (char)bytes[i];
            continue;
        }
        text[n++] = '%';
        text[n++] = hex[bytes[i] >> 4];
        text[n++] = hex[bytes[i] & 15];
    }
    if (n >= cap)
        return -ENOSPC;
    text[n] = 0;
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int percent_decode(const char *text, uint8_t *data, size_t cap, size_t *len)
{
    size_t n = 0;
    while (*text) {
        uint8_t byte = (uint8_t)*text++;
        if (byte == '/')
            return -EINVAL;
        if (byte == '%') {
            int high = hex_digit(text[0]);
            int low = high < 0 ? -1 : hex_digit(text[1]);
            if (low < 0)
                return -EINVAL;
            byte = (uint8_t)(high << 4 | low);
            text += 2;
        }
        if (n == cap)
            return -ENOSPC;
        data[n++] = byte;
    }
    *len = n;
    return 0;
}
