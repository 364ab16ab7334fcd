/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast way of number_f32(): up to 19 digits fit a u64; when they are below 2^53 and the power of ten is at most 22, both
 * are exact doubles and one division or multiplication gives the correctly rounded double (Clinger, 1990). Rounding that to
 * f32 is a second rounding, which can go wrong only when the double lies exactly between two floats: then, and for all other
 * texts, strtof() decides.
 *
 * The commonest texts of all, -1.234567 and the like, have a way of their own: the fraction's digits are found and added up eight at
 * once in a register, without a branch that depends on how many there are.
 */
#include "builder/number.h"

#include "base/bytes.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Eight bytes from text, each digit turned to its value; *n is how many of them, from the first on, are digits. */
static uint64_t load_digits(const char *text, unsigned *n)
{
    uint64_t v = load_le64(text) ^ 0x3030303030303030ULL;
    /* A byte is a digit when it is below 10: then neither it nor it + 118 has its high bit set. */
    uint64_t others =
        (v | ((v & 0x7F7F7F7F7F7F7F7FULL) + 0x7676767676767676ULL)) & 0x8080808080808080ULL;
    *n = others ? (unsigned)__builtin_ctzll(others) / 8 : 8;
    return v;
}

/* The number that eight digit values make, the first one the highest: pairs, then fours, then all. */
static uint64_t join_digits(uint64_t v)
{
    v = (v * 10) + (v >> 8);
    return (((v & 0x000000FF000000FFULL) * (100 + (1000000ULL << 32))) +
            ((v >> 16 & 0x000000FF000000FFULL) * (1 + (10000ULL << 32)))) >>
           32;
}

/* Any length, with every step checked. */
static int long_u64(const char *text, size_t len, uint64_t *out)
{
    uint64_t value = 0;
    bool wraps = false;
    for (size_t i = 0; i < len; i++) {
        unsigned digit = (unsigned char)text[i] - '0';
        if (digit > 9)
            return -EINVAL;
        wraps |= __builtin_mul_overflow(value, 10, &value);
        wraps |= __builtin_add_overflow(value, digit, &value);
    }
    if (wraps)
        return -ERANGE;
    *out = value;
    return 0;
}

int number_u64(const char *text, size_t len, uint64_t *out)
{
    enum { SAFE_LEN = 19 }; /* digits that cannot overflow */
    uint64_t value = 0;
    size_t i = 0;
    if (len == 0)
        return -EINVAL;
    if (len > SAFE_LEN)
        return long_u64(text, len, out);
    for (; len - i >= 8; i += 8) {
        unsigned n;
        uint64_t v = load_digits(text + i, &n);
        if (n < 8)
            return -EINVAL;
        value = value * 100000000 + join_digits(v);
    }
    for (; i < len; i++) {
        unsigned digit = (unsigned char)text[i] - '0';
        if (digit > 9)
            return -EINVAL;
        value = value * 10 + digit;
    }
    *out = value;
    return 0;
}

static const double powers_of_ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                       1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                       1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static const uint32_t whole_scales[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};

static bool is_digit(char c)
{
    return (unsigned char)(c - '0') <= 9;
}

/* The text's shape and, when it is short enough, its exact digits. */
struct decimal {
    uint64_t digits;
    int n_digits; /* significant ones, leading zeros not counted; above 19 digits is not exact */
    int exponent; /* of ten */
    bool is_negative;
    size_t len; /* 0: not a decimal number */
};

/* Reads digits; returns where they end. */
static const char *take_digits(const char *p, const char *end, struct decimal *d)
{
    for (; p < end && is_digit(*p); p++) {
        unsigned digit = (unsigned)(*p - '0');
        if (d->n_digits < 19)
            d->digits = d->digits * 10 + digit;
        d->n_digits += d->n_digits > 0 || digit;
    }
    return p;
}

/* Reads "e-12"; a bare e is not part of the number. */
static const char *take_exponent(const char *p, const char *end, struct decimal *d)
{
    const char *at = p + 1;
    bool is_negative = at < end && *at == '-';
    at += at < end && (*at == '-' || *at == '+');
    if (at >= end || !is_digit(*at))
        return p;
    int exponent = 0;
    for (; at < end && is_digit(*at); at++)
        if (exponent < 100000)
            exponent = exponent * 10 + (*at - '0');
    d->exponent += is_negative ? -exponent : exponent;
    return at;
}

static void take_decimal(const char *text, const char *end, struct decimal *d)
{
    const char *p = text;
    *d = (struct decimal){0};
    if (p < end && (*p == '-' || *p == '+'))
        d->is_negative = *p++ == '-';
    const char *whole = p;
    p = take_digits(p, end, d);
    size_t n = (size_t)(p - whole);
    if (p < end && *p == '.') {
        const char *fraction = p + 1;
        const char *stop = take_digits(fraction, end, d);
        n += (size_t)(stop - fraction);
        d->exponent = (int)-(stop - fraction);
        p = stop;
    }
    if (n == 0)
        return;
    if (p < end && (*p | 0x20) == 'e')
        p = take_exponent(p, end, d);
    d->len = (size_t)(p - text);
}

/* The double that digits and exponent name, when the fast way is exact. */
static bool exact_double(const struct decimal *d, double *out)
{
    if (d->n_digits > 19 || d->digits >> 53 || d->exponent > 22 || d->exponent < -22)
        return false;
    double value = (double)d->digits;
    *out =
        d->exponent < 0 ? value / powers_of_ten[-d->exponent] : value * powers_of_ten[d->exponent];
    return true;
}

/* Does this double lie exactly between two floats? */
static bool is_tie(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & 0x1FFFFFFF) == 0x10000000;
}

/* Would rounding this double to f32 be a second rounding that matters, or give a subnormal or Inf? */
static bool double_rounds_twice(double value)
{
    return is_tie(value) || value < 0x1p-126 || value > 0x1.fffffep127;
}

/* nan, inf, infinity; 0 for other text. */
static size_t special(const char *text, size_t len, float *out)
{
    static const struct {
        const char *name;
        float value;
    } known[] = {{"infinity", INFINITY}, {"inf", INFINITY}, {"nan", NAN}};
    bool has_sign = len && (*text == '-' || *text == '+');
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t n = strlen(known[i].name);
        if (len >= n + has_sign && strncasecmp(text + has_sign, known[i].name, n) == 0) {
            *out = has_sign && *text == '-' ? -known[i].value : known[i].value;
            return n + has_sign;
        }
    }
    return 0;
}

/* The slow, always right way: strtof() on a copy. Digits past the 800th cannot change an f32 but for "not all zeros". */
static size_t slow_f32(const char *text, const struct decimal *d, float *out)
{
    enum { COPY_MAX = 1024 };
    char copy[COPY_MAX];
    if (d->len >= COPY_MAX)
        return 0;
    memcpy(copy, text, d->len);
    copy[d->len] = 0;
    char *end = NULL;
    float value = strtof(copy, &end);
    if (end != copy + d->len || isinf(value))
        return 0;
    *out = value;
    return d->len;
}

/* "-d.dddddd": one digit, a point, one to seven digits, and something else behind them; 0 for other texts. */
static size_t short_f32(const char *text, size_t len, float *out)
{
    if (len < 12)
        return 0;
    size_t sign = *text == '-';
    unsigned whole = (unsigned char)text[sign] - '0';
    unsigned n;
    uint64_t v = load_digits(text + sign + 2, &n);
    char behind = text[sign + 2 + (n & 7)];
    if (whole > 9 || text[sign + 1] != '.' || n - 1 > 6 || (behind | 0x20) == 'e')
        return 0;
    /* Zeros in front of the digits instead of what is behind them. */
    uint64_t fraction = join_digits(v << (64 - 8 * n));
    /* Eight digits at most: exact in a double, far from subnormal and from Inf, so that only a tie may round twice. */
    double value =
        (double)(int32_t)(whole * whole_scales[n] + (uint32_t)fraction) / powers_of_ten[n];
    if (is_tie(value))
        return 0;
    /* The sign by its bit: half of all elements are negative, and a branch would guess. */
    float magnitude = (float)value;
    uint32_t bits;
    memcpy(&bits, &magnitude, sizeof bits);
    bits |= (uint32_t)sign << 31;
    memcpy(out, &bits, sizeof bits);
    return sign + 2 + n;
}

/* Any other text. Kept out of line, so that the short way needs no registers saved. */
static __attribute__((noinline)) size_t long_f32(const char *text, size_t len, float *out)
{
    struct decimal d;
    take_decimal(text, text + len, &d);
    if (d.len == 0)
        return special(text, len, out);
    if (d.digits == 0 && d.n_digits == 0) {
        *out = d.is_negative ? -0.0F : 0.0F;
        return d.len;
    }
    double value;
    if (!exact_double(&d, &value) || double_rounds_twice(value))
        return slow_f32(text, &d, out);
    *out = (float)(d.is_negative ? -value : value);
    return d.len;
}

size_t number_f32(const char *text, size_t len, float *out)
{
    size_t n = short_f32(text, len, out);
    return n ? n : long_f32(text, len, out);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && is_blank(*p))
        p++;
    return p;
}

static int bad_element(const char *p, const char *end, uint32_t i, struct err *err)
{
    char shown[32];
    size_t n = 0;
    while (p + n < end && n < sizeof shown - 1 && p[n] != ',' && !is_blank(p[n])) {
        shown[n] = isprint((unsigned char)p[n]) ? p[n] : '?';
        n++;
    }
    shown[n] = 0;
    return err_set(err, -EBADMSG,
                   "element %u of the vector: expected a number within the range of f32, found "
                   "\"%s\"",
                   i + 1, shown);
}

static int wrong_dim(uint32_t dim, uint32_t n, bool has_more, struct err *err)
{
    return err_set(err, -EBADMSG, "expected a vector of %u elements, found %s", dim,
                   has_more ? "more"
                   : n == 0 ? "none"
                            : "fewer");
}

/* Behind an element: takes blanks, a comma, blanks. Sets *p to the next element, or to end. */
static bool take_separator(const char **p, const char *end)
{
    const char *at = skip_blanks(*p, end);
    bool has_comma = at < end && *at == ',';
    if (has_comma)
        at = skip_blanks(at + 1, end);
    bool is_ok = at == end ? !has_comma : at > *p;
    *p = at;
    return is_ok;
}

int number_vector(const char *text, size_t len, uint32_t dim, float *out, struct err *err)
{
    const char *end = text + len;
    const char *p = skip_blanks(text, end);
    while (end > p && is_blank(end[-1]))
        end--;
    if (p < end && *p == '[') {
        if (end - p < 2 || end[-1] != ']')
            return err_set(err, -EBADMSG, "expected a ] at the end of the vector");
        p = skip_blanks(p + 1, --end);
        while (end > p && is_blank(end[-1]))
            end--;
    }
    for (uint32_t i = 0; i < dim; i++) {
        if (p == end)
            return wrong_dim(dim, i, false, err);
        size_t n = number_f32(p, (size_t)(end - p), &out[i]);
        if (n == 0)
            return bad_element(p, end, i, err);
        const char *element = p;
        p += n;
        /* The common separator first: this loop is where a build of vectors spends its time. */
        if (end - p >= 2 && *p == ',' && !is_blank(p[1]))
            p++;
        else if (p != end && !take_separator(&p, end))
            return bad_element(element, end, i, err);
    }
    return p == end ? 0 : wrong_dim(dim, dim, true, err);
}
