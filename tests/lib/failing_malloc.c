/* SPDX-License-Identifier: Apache-2.0 */
#include "failing_malloc.h"

#include "base/json.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Threads allocate side by side. */
static atomic_uint n_left; /* allocations until the one that fails; 0: none fails */
static atomic_bool was_hit;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
void *__wrap_aligned_alloc(size_t align, size_t size);

static bool is_due(void)
{
    unsigned n = atomic_load(&n_left);
    while (n > 0 && !atomic_compare_exchange_weak(&n_left, &n, n - 1))
        continue;
    if (n != 1)
        return false;
    was_hit = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return is_due() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return is_due() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return is_due() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return is_due() ? NULL : __real_strdup(text);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
    return is_due() ? NULL : __real_aligned_alloc(align, size);
}

void failing_malloc_arm(unsigned nth)
{
    json_set_alloc_funcs(__wrap_malloc, free);
    was_hit = false;
    n_left = nth;
}

bool failing_malloc_disarm(void)
{
    n_left = 0;
    return was_hit;
}
