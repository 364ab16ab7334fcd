/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8: is this text?
 *
 * Threads: pure functions. Memory: none. Errors: none.
 */
#ifndef FKV_BASE_UTF8_H
#define FKV_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Bytes of the UTF-8 character at text, of which left (at least 1) may be read; 0 when it is none: overlong forms, surrogates
 * and numbers above 10FFFF included.
 */
static inline size_t utf8_len(const void *text, size_t left)
{
    const uint8_t *s = text;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (s[0] < 0x80)
        return 1;
    size_t len = s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF5 ? 4 : 0;
    if (len == 0 || len > left)
        return 0;
    uint32_t code = s[0] & (0x7FU >> len);
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3F);
    }
    bool is_good = code >= least[len] && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
    return is_good ? len : 0;
}

/* A character that moves a terminal's cursor or worse: of one byte, or U+0080 to U+009F. */
static inline bool utf8_is_control(const void *text, size_t len)
{
    const uint8_t *s = text;
    return len == 1 ? s[0] < 0x20 || s[0] == 0x7F : len == 2 && s[0] == 0xC2 && s[1] < 0xA0;
}

/* Makes of it, in place, what a terminal and a JSON document can bear: a '?' of each byte that is no character's, spaces of control
 * characters. */
static inline void utf8_clean(char *text, size_t len)
{
    for (size_t i = 0, n; i < len; i += n ? n : 1) {
        n = utf8_len(text + i, len - i);
        if (n == 0)
            text[i] = '?';
        else if (utf8_is_control(text + i, n))
            for (size_t k = 0; k < n; k++)
                text[i + k] = ' ';
    }
}

static inline bool utf8_is_text(const void *text, size_t len)
{
    const uint8_t *s = text;
    for (size_t i = 0; i < len;) {
        size_t n = utf8_len(s + i, len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

#endif
