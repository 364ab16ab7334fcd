/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two things the parser cannot take, each found by a fuzzer or by reading it:
 *
 *   - It builds a tree and takes it down again by recursion, and bounds only how deep lists and inline tables nest; a key of half a
 *     million dots would end the program's stack. So dots and brackets are counted first. That needs to know what stands within strings
 *     and comments, and no more: where this is wrong about it, the text is no TOML, and the parser stops there.
 *   - Where it asks whether a letter is white space, version 3.3 has no defined answer for some from U+00A0 to U+FEFF. So letters
 *     from U+0080 to U+FFFF are moved up to plane 15 (private use), where it knows that there is none, and moved down again
 *     in what comes out. Lines and columns stay as they are. Letters that are in plane 15 already could not be told from
 *     those, and are refused.
 */
#include "builder/toml_text.h"

#include "base/utf8.h"
#include "builder/toml.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum { BOM_LEN = 3 };

struct scan {
    const char *text;
    size_t len;
    size_t pos;
    size_t line;
    size_t line_begin;
    unsigned n_dots;     /* of the key being read */
    unsigned n_brackets; /* open */
};

static int refuse(const struct scan *scan, const char *name, const char *what, struct err *err)
{
    size_t column = 1;
    for (size_t i = scan->line_begin; i < scan->pos; i++)
        column += (scan->text[i] & 0xC0) != 0x80;
    return err_set(err, -EBADMSG, "%s: line %zu, column %zu: %s", name, scan->line, column, what);
}

static bool is_at(const struct scan *scan, const char *word, size_t len)
{
    return scan->len - scan->pos >= len && memcmp(scan->text + scan->pos, word, len) == 0;
}

/* One letter on, over lines. */
static void step(struct scan *scan)
{
    if (scan->text[scan->pos++] == '\n') {
        scan->line++;
        scan->line_begin = scan->pos;
    }
}

/* ---- how deep it nests ---- */

/* Up to two quotes may stand right before the three that end it. */
static void skip_long_string(struct scan *scan, char quote, const char three[3])
{
    scan->pos += 3;
    while (scan->pos < scan->len && !is_at(scan, three, 3)) {
        if (quote == '"' && scan->text[scan->pos] == '\\')
            scan->pos++;
        if (scan->pos < scan->len)
            step(scan);
    }
    for (int i = 0; i < 5 && scan->pos < scan->len && scan->text[scan->pos] == quote; i++)
        scan->pos++;
}

static void skip_string(struct scan *scan)
{
    const char quote = scan->text[scan->pos];
    const char three[3] = {quote, quote, quote};
    if (is_at(scan, three, 3)) {
        skip_long_string(scan, quote, three);
        return;
    }
    /* A line end within it is an error, which the parser finds. */
    for (scan->pos++; scan->pos < scan->len && scan->text[scan->pos] != '\n'; scan->pos++) {
        if (scan->text[scan->pos] == quote) {
            scan->pos++;
            return;
        }
        if (quote == '"' && scan->text[scan->pos] == '\\' && !is_at(scan, "\\\n", 2) &&
            scan->pos + 1 < scan->len)
            scan->pos++;
    }
}

/* The parser refuses the other line ends, and must not come as far as what follows them. */
static void skip_comment(struct scan *scan)
{
    while (scan->pos < scan->len && !memchr("\n\v\f\r", scan->text[scan->pos], 4))
        scan->pos++;
}

/* False when one more level is one too many. */
static bool count(struct scan *scan, char letter)
{
    if (letter == '.')
        return ++scan->n_dots < TOML_DEPTH_MAX;
    if (memchr("[]{}=,\n", letter, 7))
        scan->n_dots = 0;
    if (letter == '[' || letter == '{')
        return ++scan->n_brackets <= TOML_DEPTH_MAX;
    if ((letter == ']' || letter == '}') && scan->n_brackets)
        scan->n_brackets--;
    return true;
}

static int check_depth(const char *text, size_t len, const char *name, struct err *err)
{
    struct scan scan = {.text = text, .len = len, .line = 1};
    while (scan.pos < scan.len) {
        char letter = text[scan.pos];
        if (letter == '"' || letter == '\'') {
            skip_string(&scan);
        } else if (letter == '#') {
            skip_comment(&scan);
        } else {
            if (!count(&scan, letter)) {
                return refuse(&scan, name, "expected fewer levels of tables and lists, found more",
                              err);
            }
            step(&scan);
        }
    }
    return 0;
}

/* ---- its letters ---- */

enum { RAISED = 0xF0000, RAISED_LEN = 4 };

static uint32_t letter_at(const char *text, size_t len)
{
    static const uint8_t masks[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t code = (uint8_t)text[0] & masks[len];
    for (size_t i = 1; i < len; i++)
        code = code << 6 | ((uint8_t)text[i] & 0x3F);
    return code;
}

/* Of U+0080 to U+FFFFF. */
static int add_letter(struct buf *out, uint32_t code)
{
    uint8_t bytes[4];
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, code >>= 6)
        bytes[i] = (uint8_t)(0x80 | (code & 0x3F));
    bytes[0] = (uint8_t)(code | (n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0));
    return buf_add(out, bytes, n);
}

static bool is_raised(uint32_t code)
{
    return code >= RAISED && code <= RAISED + 0xFFFF;
}

/* As itself, or by an escape of eight digits. */
static bool is_private(const struct scan *scan, size_t n)
{
    const char *text = scan->text + scan->pos;
    if (n == RAISED_LEN)
        return is_raised(letter_at(text, n));
    return scan->len - scan->pos >= 6 && !memcmp(text, "\\U", 2) &&
           !strncasecmp(text + 2, "000f", 4);
}

static int raise_letters(const char *text, size_t len, const char *name, struct buf *out,
                         struct err *err)
{
    struct scan scan = {.text = text, .len = len, .line = 1};
    if (is_at(&scan, "\xEF\xBB\xBF", BOM_LEN))
        scan.pos = scan.line_begin = BOM_LEN;
    while (scan.pos < len) {
        size_t n = utf8_len(text + scan.pos, len - scan.pos);
        if (n == 0)
            return refuse(&scan, name, "expected UTF-8, found other bytes", err);
        if (is_private(&scan, n))
            return refuse(&scan, name, "expected no letters of plane 15 (U+F0000 and on)", err);
        int ret = n == 2 || n == 3 ? add_letter(out, RAISED + letter_at(text + scan.pos, n))
                                   : buf_add(out, text + scan.pos, n);
        if (ret)
            return err_sys(err, ret, "%s: reading TOML", name);
        if (n == 1)
            step(&scan);
        else
            scan.pos += n;
    }
    return 0;
}

int toml_text_prepare(const char *text, size_t len, const char *name, struct buf *out,
                      struct err *err)
{
    int ret = check_depth(text, len, name, err);
    return ret ? ret : raise_letters(text, len, name, out, err);
}

int toml_text_restore(const char *text, size_t len, struct buf *out)
{
    int ret = 0;
    for (size_t i = 0; i < len && !ret;) {
        /* A description may be cut within a letter. */
        size_t n = utf8_len(text + i, len - i);
        bool was_raised = n == RAISED_LEN && is_raised(letter_at(text + i, n));
        n = n ? n : 1;
        ret = was_raised ? add_letter(out, letter_at(text + i, n) - RAISED)
                         : buf_add(out, text + i, n);
        i += n;
    }
    return ret;
}
