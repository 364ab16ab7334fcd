/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/args.h"

#include "base/quantity.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int arg_u64(const char *text, uint64_t *out)
{
    char *end = NULL;
    if (!isdigit((unsigned char)text[0]))
        return -EINVAL;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno || *end || n > INT64_MAX)
        return -EINVAL;
    *out = n;
    return 0;
}

/* A non-negative decimal number and what follows it. */
static int number(const char *text, double *out, const char **rest)
{
    char *end = NULL;
    if (!isdigit((unsigned char)text[0]) || text[1] == 'x' || text[1] == 'X')
        return -EINVAL;
    *out = strtod(text, &end);
    *rest = end;
    return isfinite(*out) ? 0 : -EINVAL;
}

int arg_percent(const char *text, double *out)
{
    const char *rest = NULL;
    double n = 0;
    if (number(text, &n, &rest) || (*rest && strcmp(rest, "%") != 0))
        return -EINVAL;
    *out = n;
    return 0;
}

static void wrong(struct argp_state *state, const char *flag, const char *expected,
                  const char *found)
{
    argp_error(state, "%s: expected %s, found '%s'", flag, expected, found);
}

uint64_t arg_need_u64(struct argp_state *state, const char *flag, const char *text)
{
    uint64_t n = 0;
    if (arg_u64(text, &n))
        wrong(state, flag, "a whole number", text);
    return n;
}

uint32_t arg_need_u32(struct argp_state *state, const char *flag, const char *text, uint32_t min,
                      uint32_t max)
{
    uint64_t n = 0;
    if (arg_u64(text, &n) || n < min || n > max) {
        argp_error(state, "%s: expected a whole number from %u to %u, found '%s'", flag, min, max,
                   text);
        return min;
    }
    return (uint32_t)n;
}

uint64_t arg_need_size(struct argp_state *state, const char *flag, const char *text)
{
    uint64_t n = 0;
    if (quantity_size(text, &n))
        wrong(state, flag, "bytes like 512M or 2G", text);
    return n;
}

int64_t arg_need_duration(struct argp_state *state, const char *flag, const char *text)
{
    int64_t ns = 0;
    if (quantity_duration_ns(text, &ns))
        wrong(state, flag, "a time like 30, 500ms, 5m or 2h", text);
    return ns;
}

double arg_need_percent(struct argp_state *state, const char *flag, const char *text)
{
    double n = 0;
    if (arg_percent(text, &n))
        wrong(state, flag, "a percentage like 20", text);
    return n;
}

void arg_split_pair(const char *text, struct arg_pair *out)
{
    size_t len = strcspn(text, "=");
    out->rest = text[len] ? text + len + 1 : NULL;
    if (len > sizeof out->table - 1)
        len = sizeof out->table - 1;
    memcpy(out->table, text, len);
    out->table[len] = '\0';
}
