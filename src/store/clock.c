/* SPDX-License-Identifier: Apache-2.0 */
#include "store/clock.h"

#include "store/store_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND_NS 1000000000LL

/* ext4 stamps files with the kernel's tick, up to 10 ms old at 100 Hz; the stamp is taken to be half of that old. */
#define TICK_NS 10000000LL

/* So that nanoseconds of it, and of a sum with CLOCK_MONOTONIC, fit. */
#define SECONDS_MAX 8000000000LL

static int64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return t.tv_sec * SECOND_NS + t.tv_nsec;
}

struct store_clock store_clock_local(void)
{
    return (struct store_clock){.offset_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC)};
}

int64_t store_clock_now_ns(const struct store_clock *clock)
{
    return clock_ns(CLOCK_MONOTONIC) + clock->offset_ns;
}

/* A file is made between two looks at our own clock. */
int store_clock_read(struct store *store, const char *dir, struct store_clock *out, struct err *err)
{
    char near[STORE_PATH_MAX];
    char temporary[STORE_PATH_MAX];
    struct backend_file *file = NULL;
    struct store_stat st = {0};
    int len = snprintf(near, sizeof near, "%s/clock", dir);
    if (len < 0 || (size_t)len >= sizeof near)
        return err_set(err, -E2BIG, "a path longer than %d bytes", STORE_PATH_MAX - 1);
    int64_t begin = clock_ns(CLOCK_MONOTONIC);
    int ret = store_create_temporary(store, near, temporary, &file, err);
    if (ret)
        return ret;
    int64_t end = clock_ns(CLOCK_MONOTONIC);
    store->backend->ops->close_file(file);
    ret = store->backend->ops->stat(store->backend, temporary, &st, err);
    store_drop_temporary(store, temporary);
    if (ret)
        return ret;
    if (st.mtime.tv_sec < 0 || st.mtime.tv_sec > SECONDS_MAX)
        return err_set(err, -EBADMSG, "%s/%s: expected a time after 1970, found %lld seconds",
                       store->url, temporary, (long long)st.mtime.tv_sec);
    int64_t at = st.mtime.tv_sec * SECOND_NS + st.mtime.tv_nsec + TICK_NS / 2;
    *out = (struct store_clock){
        .offset_ns = at - (begin + (end - begin) / 2),
        .error_ns = (end - begin) / 2 + TICK_NS / 2,
    };
    return 0;
}

/* A reading as close as this is not tried again for a closer one. */
#define ERROR_GOOD_NS 10000000LL

/* Two clocks drift apart by no more than 1 in 10,000: ten times what quartz does. */
enum { DRIFT = 10000, READ_TRIES = 4 };

static struct store_clock aged(const struct store_clock *clock, int64_t age_ns)
{
    return (struct store_clock){clock->offset_ns, clock->error_ns + age_ns / DRIFT};
}

static bool is_apart(const struct store_clock *a, const struct store_clock *b)
{
    return llabs(a->offset_ns - b->offset_ns) > a->error_ns + b->error_ns;
}

struct store_clock store_clock_better(const struct store_clock *old, int64_t age_ns,
                                      const struct store_clock *read)
{
    struct store_clock was = aged(old, age_ns);
    return read->error_ns <= was.error_ns || is_apart(read, &was) ? *read : was;
}

/* One reading, and what it took. */
static int read_timed(struct store *store, const char *dir, struct store_clock *out,
                      int64_t *cost_ns, struct err *err)
{
    int64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
    int ret = store_clock_read(store, dir, out, err);
    int64_t took_ns = clock_ns(CLOCK_MONOTONIC) - begin_ns;
    if (!ret && (!*cost_ns || took_ns < *cost_ns))
        *cost_ns = took_ns;
    return ret;
}

int store_time_read(struct store_time *time, struct store *store, const char *dir, struct err *err)
{
    struct store_clock best = {0};
    struct store_clock read = {0};
    int64_t cost_ns = 0;
    int64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
    int ret = read_timed(store, dir, &best, &cost_ns, err);
    time->was_set = false;
    if (ret && !time->is_stores) {
        time->clock = store_clock_local();
        time->read_ns = begin_ns;
    }
    if (ret)
        return ret;
    for (int n = 1; n < READ_TRIES && best.error_ns > ERROR_GOOD_NS; n++)
        if (!read_timed(store, dir, &read, &cost_ns, NULL))
            best = store_clock_better(&best, 0, &read);
    int64_t age_ns = begin_ns - time->read_ns;
    if (time->is_stores) {
        struct store_clock was = aged(&time->clock, age_ns);
        time->was_set = is_apart(&best, &was);
        best = store_clock_better(&time->clock, age_ns, &best);
    }
    time->clock = best;
    time->read_ns = begin_ns;
    time->is_stores = true;
    time->cost_ns = cost_ns;
    return 0;
}
