/* SPDX-License-Identifier: Apache-2.0 */
#include "store/clock.h"

#include "store/store_impl.h"

#include <errno.h>
#include <stdio.h>

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
