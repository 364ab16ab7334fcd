/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wants are sorted by place, least significant byte first, stable. Bytes in which no two places differ
 * cost no pass: of the eight, two to four are left.
 */
#include "query/disk_plan.h"

#include <string.h>

enum { DIGITS = 8, RADIX = 256, FEW = 32 };

static void sort_few(struct disk_want *wants, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        struct disk_want want = wants[i];
        uint32_t j = i;
        for (; j > 0 && wants[j - 1].place > want.place; j--)
            wants[j] = wants[j - 1];
        wants[j] = want;
    }
}

static void sort_digit(const struct disk_want *from, struct disk_want *to, uint32_t n,
                       unsigned shift)
{
    uint32_t at[RADIX] = {0};
    uint32_t end = 0;
    for (uint32_t i = 0; i < n; i++)
        at[from[i].place >> shift & (RADIX - 1)]++;
    for (uint32_t digit = 0; digit < RADIX; digit++) {
        uint32_t count = at[digit];
        at[digit] = end;
        end += count;
    }
    for (uint32_t i = 0; i < n; i++)
        to[at[from[i].place >> shift & (RADIX - 1)]++] = from[i];
}

static void sort_many(struct disk_plan *plan)
{
    struct disk_want *from = plan->wants;
    struct disk_want *to = plan->spare;
    uint64_t varies = 0;
    for (uint32_t i = 1; i < plan->n_wants; i++)
        varies |= from[i].place ^ from[0].place;
    for (unsigned digit = 0; digit < DIGITS; digit++) {
        if (!(varies >> (8 * digit) & (RADIX - 1)))
            continue;
        sort_digit(from, to, plan->n_wants, 8 * digit);
        struct disk_want *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != plan->wants)
        memcpy(plan->wants, from, plan->n_wants * sizeof *from);
}

static bool is_same(const struct disk_want *a, const struct disk_want *b)
{
    return a->place == b->place && a->n_pages == b->n_pages;
}

void disk_plan_reads(struct disk_plan *plan)
{
    const struct disk_want *wants = plan->wants;
    plan->n_reads = 0;
    if (plan->n_wants <= FEW)
        sort_few(plan->wants, plan->n_wants);
    else
        sort_many(plan);
    for (uint32_t first = 0; first < plan->n_wants;) {
        const struct disk_want *want = &wants[first];
        uint32_t end = first + 1;
        while (end < plan->n_wants && is_same(&wants[end], want))
            end++;
        plan->reads[plan->n_reads++] = (struct disk_read){.part = (uint32_t)(want->place >> 32),
                                                          .page = (uint32_t)want->place,
                                                          .n_pages = want->n_pages,
                                                          .first = first,
                                                          .n = end - first};
        first = end;
    }
}
