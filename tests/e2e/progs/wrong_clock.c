/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a program, it makes its CLOCK_REALTIME wrong by as many nanoseconds as the file named by WRONG_CLOCK holds (an
 * int64_t), from the moment somebody writes them there. All other clocks are right, and so are the times of files.
 *
 * Threads: any. Memory: one page, mapped for good. Errors: without the file the clock is right.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const _Atomic int64_t *ahead_ns;
static int (*true_clock)(clockid_t, struct timespec *);

__attribute__((constructor)) static void wrong_clock_init(void)
{
    const char *path = getenv("WRONG_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *symbol = dlsym(RTLD_NEXT, "clock_gettime");
    memcpy(&true_clock, &symbol, sizeof symbol);
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof *ahead_ns, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED)
        ahead_ns = map;
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *out)
{
    if (!true_clock)
        wrong_clock_init();
    int ret = true_clock(clock, out);
    if (ret || !ahead_ns || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
        return ret;
    int64_t ns = out->tv_sec * INT64_C(1000000000) + out->tv_nsec + atomic_load(ahead_ns);
    *out = (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    return 0;
}

__attribute__((visibility("default"))) int gettimeofday(struct timeval *restrict out,
                                                        void *restrict zone)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

__attribute__((visibility("default"))) time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
