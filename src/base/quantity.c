/* SPDX-License-Identifier: Apache-2.0 */
#include "base/quantity.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct amount {
    bool is_whole;
    uint64_t whole;
    double real; /* when it is not */
};

/* A non-negative decimal number and what follows it. */
static int amount_read(const char *text, struct amount *out, const char **rest)
{
    char *end = NULL;
    if (!isdigit((unsigned char)text[0]))
        return -EINVAL;
    errno = 0;
    out->whole = strtoull(text, &end, 10);
    out->is_whole = *end != '.' && *end != 'e' && *end != 'E';
    if (out->is_whole && errno)
        return -EINVAL;
    if (!out->is_whole) {
        out->real = strtod(text, &end);
        if (!isfinite(out->real))
            return -EINVAL;
    }
    *rest = end;
    return 0;
}

static int amount_scale(const struct amount *amount, uint64_t scale, uint64_t *out)
{
    uint64_t n = 0;
    if (amount->is_whole) {
        if (__builtin_mul_overflow(amount->whole, scale, &n) || n > INT64_MAX)
            return -EINVAL;
    } else {
        double real = amount->real * (double)scale;
        if (real > 9e18)
            return -EINVAL;
        n = (uint64_t)real;
    }
    *out = n;
    return 0;
}

int quantity_size(const char *text, uint64_t *out)
{
    static const char units[] = "KMGT";
    struct amount amount = {0};
    const char *rest = NULL;
    uint64_t scale = 1;
    if (amount_read(text, &amount, &rest))
        return -EINVAL;
    if (*rest && *rest != 'B') {
        const char *unit = strchr(units, toupper((unsigned char)*rest));
        if (!unit)
            return -EINVAL;
        scale = 1ULL << (10 * (unit - units + 1));
        rest++;
        rest += *rest == 'i';
    }
    rest += *rest == 'B';
    return *rest ? -EINVAL : amount_scale(&amount, scale, out);
}

int quantity_duration_ns(const char *text, int64_t *out)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {{"", 1000000000},     {"ns", 1},          {"ms", 1000000},
                 {"s", 1000000000},    {"m", 60000000000}, {"h", 3600000000000},
                 {"d", 86400000000000}};
    struct amount amount = {0};
    const char *rest = NULL;
    uint64_t ns = 0;
    if (amount_read(text, &amount, &rest))
        return -EINVAL;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(rest, units[i].unit) != 0)
            continue;
        if (amount_scale(&amount, units[i].ns, &ns))
            return -EINVAL;
        *out = (int64_t)ns;
        return 0;
    }
    return -EINVAL;
}
