/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/json_scan.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

enum { DEPTH_MAX = 64 };

static int expected(const struct json_scan *scan, const char *what, struct err *err)
{
    if (scan->pos >= scan->len)
        return err_set(err, -EBADMSG, "JSON: expected %s, found the end of the row", what);
    unsigned char c = (unsigned char)scan->text[scan->pos];
    if (c > 0x20 && c < 0x7F)
        return err_set(err, -EBADMSG, "JSON: expected %s at byte %zu, found '%c'", what, scan->pos,
                       c);
    return err_set(err, -EBADMSG, "JSON: expected %s at byte %zu, found byte 0x%02x", what,
                   scan->pos, c);
}

char json_scan_peek(struct json_scan *scan)
{
    while (scan->pos < scan->len) {
        char c = scan->text[scan->pos];
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            return c;
        scan->pos++;
    }
    return 0;
}

bool json_scan_take(struct json_scan *scan, char c)
{
    if (json_scan_peek(scan) != c || scan->pos >= scan->len)
        return false;
    scan->pos++;
    return true;
}

int json_scan_expect(struct json_scan *scan, char c, struct err *err)
{
    if (json_scan_take(scan, c))
        return 0;
    char what[4] = {'\'', c, '\'', 0};
    return expected(scan, what, err);
}

static int hex4(const char *text, uint32_t *out)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = text[i];
        char low = (char)(c | 0x20);
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            digit = (uint32_t)(low - 'a' + 10);
        else
            return -EBADMSG;
        value = value << 4 | digit;
    }
    *out = value;
    return 0;
}

static char *utf8_put(char *to, uint32_t code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xC0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *to++ = (char)(0xE0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3F));
        *to++ = (char)(0x80 | (code & 0x3F));
    } else {
        *to++ = (char)(0xF0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3F));
        *to++ = (char)(0x80 | (code >> 6 & 0x3F));
        *to++ = (char)(0x80 | (code & 0x3F));
    }
    return to;
}

/* \uXXXX, pos at the 'u'; a surrogate pair takes two. */
static int unicode_escape(struct json_scan *scan, char **to, struct err *err)
{
    uint32_t code = 0;
    size_t left = scan->len - scan->pos;
    if (left < 5 || hex4(scan->text + scan->pos + 1, &code))
        return expected(scan, "\\u and four hex digits", err);
    size_t used = 5;
    if (code >= 0xD800 && code < 0xE000) {
        uint32_t low = 0;
        const char *next = scan->text + scan->pos + 5;
        if (code >= 0xDC00 || left < 11 || next[0] != '\\' || next[1] != 'u' ||
            hex4(next + 2, &low) || low < 0xDC00 || low >= 0xE000)
            return expected(scan, "a whole surrogate pair", err);
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        used = 11;
    }
    scan->pos += used;
    *to = utf8_put(*to, code);
    return 0;
}

/* pos at the character behind the backslash. */
static int string_escape(struct json_scan *scan, char **to, struct err *err)
{
    static const char from[] = "\"\\/bfnrt";
    static const char into[] = "\"\\/\b\f\n\r\t";
    char c = scan->pos < scan->len ? scan->text[scan->pos] : 0;
    if (c == 'u')
        return unicode_escape(scan, to, err);
    const char *at = c ? strchr(from, c) : NULL;
    if (!at)
        return expected(scan, "an escape", err);
    *(*to)++ = into[at - from];
    scan->pos++;
    return 0;
}

/* Copies bytes that are not special; leaves pos at one that is. */
static int string_plain(struct json_scan *scan, char **to, struct err *err)
{
    while (scan->pos < scan->len) {
        uint8_t c = (uint8_t)scan->text[scan->pos];
        if (c == '"' || c == '\\')
            return 0;
        if (c < 0x20)
            return expected(scan, "control characters to be escaped", err);
        size_t n = 1;
        if (c >= 0x80)
            n = utf8_len(scan->text + scan->pos, scan->len - scan->pos);
        if (n == 0)
            return expected(scan, "well-formed UTF-8", err);
        for (; n; n--)
            *(*to)++ = scan->text[scan->pos++];
    }
    return expected(scan, "a closing quote", err);
}

int json_scan_string(struct json_scan *scan, char **out, size_t *len, struct err *err)
{
    int ret = json_scan_expect(scan, '"', err);
    if (ret)
        return ret;
    char *begin = scan->text + scan->pos;
    char *to = begin;
    for (;;) {
        ret = string_plain(scan, &to, err);
        if (ret)
            return ret;
        if (scan->text[scan->pos++] == '"')
            break;
        ret = string_escape(scan, &to, err);
        if (ret)
            return ret;
    }
    *out = begin;
    *len = (size_t)(to - begin);
    return 0;
}

static size_t digits(const struct json_scan *scan, size_t pos)
{
    size_t n = 0;
    while (pos + n < scan->len && scan->text[pos + n] >= '0' && scan->text[pos + n] <= '9')
        n++;
    return n;
}

static bool skip_word(struct json_scan *scan)
{
    static const char *const words[] = {"true",     "false",     "null", "NaN",
                                        "Infinity", "-Infinity", NULL};
    for (int i = 0; words[i]; i++) {
        size_t len = strlen(words[i]);
        if (scan->len - scan->pos >= len && memcmp(scan->text + scan->pos, words[i], len) == 0) {
            scan->pos += len;
            return true;
        }
    }
    return false;
}

static int skip_scalar(struct json_scan *scan, struct err *err)
{
    if (json_scan_peek(scan) == 0)
        return expected(scan, "a value", err);
    if (skip_word(scan))
        return 0;
    size_t pos = scan->pos;
    pos += scan->text[pos] == '-';
    size_t n = digits(scan, pos);
    if (n == 0)
        return expected(scan, "a value", err);
    if (n > 1 && scan->text[pos] == '0')
        return expected(scan, "a number without leading zeros", err);
    pos += n;
    if (pos < scan->len && scan->text[pos] == '.') {
        n = digits(scan, pos + 1);
        if (n == 0)
            return expected(scan, "digits behind the point of a number", err);
        pos += 1 + n;
    }
    if (pos < scan->len && (scan->text[pos] | 0x20) == 'e') {
        pos++;
        pos += pos < scan->len && (scan->text[pos] == '-' || scan->text[pos] == '+');
        n = digits(scan, pos);
        if (n == 0)
            return expected(scan, "digits in the exponent of a number", err);
        pos += n;
    }
    scan->pos = pos;
    return 0;
}

/* What stands before the next value in an object: its name and a colon. */
static int skip_name(struct json_scan *scan, struct err *err)
{
    char *text = NULL;
    size_t len = 0;
    int ret = json_scan_string(scan, &text, &len, err);
    return ret ? ret : json_scan_expect(scan, ':', err);
}

/* Behind a value: closes what ends here and takes the comma before the next value. */
static int skip_ends(struct json_scan *scan, char *stack, int *depth, struct err *err)
{
    while (*depth && json_scan_take(scan, stack[*depth - 1]))
        --*depth;
    if (*depth == 0)
        return 0;
    int ret = json_scan_expect(scan, ',', err);
    return !ret && stack[*depth - 1] == '}' ? skip_name(scan, err) : ret;
}

int json_scan_skip(struct json_scan *scan, char **out, size_t *len, struct err *err)
{
    char stack[DEPTH_MAX];
    int depth = 0;
    json_scan_peek(scan);
    size_t begin = scan->pos;
    do {
        char c = json_scan_peek(scan);
        int ret = 0;
        if (c == '[' || c == '{') {
            if (depth == DEPTH_MAX)
                return expected(scan, "at most 64 levels", err);
            scan->pos++;
            stack[depth++] = c == '[' ? ']' : '}';
            if (json_scan_peek(scan) != stack[depth - 1]) {
                ret = c == '{' ? skip_name(scan, err) : 0;
                if (ret)
                    return ret;
                continue;
            }
        } else if (c == '"') {
            char *text = NULL;
            size_t text_len = 0;
            ret = json_scan_string(scan, &text, &text_len, err);
        } else {
            ret = skip_scalar(scan, err);
        }
        if (!ret)
            ret = skip_ends(scan, stack, &depth, err);
        if (ret)
            return ret;
    } while (depth);
    *out = scan->text + begin;
    *len = scan->pos - begin;
    return 0;
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int json_scan_base64(char *text, size_t *len, struct err *err)
{
    size_t n = *len;
    if (n % 4)
        return err_set(err, -EBADMSG,
                       "b64: expected a multiple of 4 base64 characters with padding, found %zu",
                       n);
    size_t pad = n && text[n - 1] == '=' ? 1 + (text[n - 2] == '=') : 0;
    char *to = text;
    for (size_t i = 0; i < n; i += 4) {
        uint32_t word = 0;
        size_t n_digits = i + 4 == n ? 4 - pad : 4;
        for (size_t k = 0; k < 4; k++) {
            int digit = k < n_digits ? base64_digit(text[i + k]) : 0;
            if (digit < 0)
                return err_set(err, -EBADMSG,
                               "b64: expected base64, found a fault at character %zu", i + k + 1);
            word = word << 6 | (uint32_t)digit;
        }
        for (size_t k = 0; k + 1 < n_digits; k++)
            *to++ = (char)(word >> (16 - 8 * k));
    }
    *len = (size_t)(to - text);
    return 0;
}
