/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_flips LINK...: when did each of these links (a table's `current` in several mounts) change?
 *
 * Reads targets from standard input, one a line. For each it looks at all links in turn, once in PERIOD_US, until all of them read that
 * target, and prints one line of JSON:
 *
 *   {"done": true, "links": [[last_old_ns, first_new_ns], …]}        CLOCK_MONOTONIC
 *
 * last_old_ns is when the last look that still found another target began, first_new_ns when the first one that found the new target
 * ended: the link changed between them, so no claim is finer than this program's own looking. One thread for all links, which
 * sleeps between rounds: with few CPUs, a thread that spins for each link would be what it measures.
 */
#include "bench_util.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <unistd.h>

enum { LINKS_MAX = 64, PERIOD_US = 1000, DEADLINE_S = 60, TARGET_MAX = 64 };

struct link_watch {
    int dir;
    uint64_t last_old_ns;
    uint64_t first_new_ns; /* 0: not yet */
};

/* Opened once, so that a look is one request to the daemon. */
static int open_parent(const char *link)
{
    char *path = strdup(link);
    BENCH_MUST(path);
    int fd = open(dirname(path), O_PATH | O_DIRECTORY | O_CLOEXEC);
    free(path);
    return fd;
}

static bool reads(int dir, const char *target)
{
    char found[TARGET_MAX] = {0};
    ssize_t n = readlinkat(dir, "current", found, sizeof found - 1);
    return n >= 0 && strcmp(found, target) == 0;
}

/* One look at each link that has not changed yet; how many are left. */
static size_t look(struct link_watch *links, size_t n_links, const char *target)
{
    size_t n_left = 0;
    for (size_t i = 0; i < n_links; i++) {
        if (links[i].first_new_ns)
            continue;
        uint64_t begin_ns = bench_now_ns();
        if (reads(links[i].dir, target)) {
            links[i].first_new_ns = bench_now_ns();
        } else {
            links[i].last_old_ns = begin_ns;
            n_left++;
        }
    }
    return n_left;
}

static void sleep_until(uint64_t at_ns)
{
    struct timespec at = {.tv_sec = (time_t)(at_ns / 1000000000),
                          .tv_nsec = (long)(at_ns % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

static void watch(struct link_watch *links, size_t n_links, const char *target)
{
    uint64_t begin_ns = bench_now_ns();
    uint64_t next_ns = begin_ns;
    for (size_t i = 0; i < n_links; i++)
        links[i].last_old_ns = links[i].first_new_ns = 0;
    size_t n_left = look(links, n_links, target);
    while (n_left && bench_now_ns() - begin_ns < DEADLINE_S * 1000000000ull) {
        uint64_t now_ns = bench_now_ns();
        next_ns = next_ns + PERIOD_US * 1000ull > now_ns ? next_ns + PERIOD_US * 1000ull : now_ns;
        sleep_until(next_ns);
        n_left = look(links, n_links, target);
    }
    printf("{\"done\": %s, \"links\": [", n_left ? "false" : "true");
    for (size_t i = 0; i < n_links; i++)
        printf("%s[%llu, %llu]", i ? ", " : "", (unsigned long long)links[i].last_old_ns,
               (unsigned long long)links[i].first_new_ns);
    printf("]}\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static struct link_watch links[LINKS_MAX];
    char line[TARGET_MAX];
    size_t n_links = (size_t)argc - 1;
    if (argc < 2 || n_links > LINKS_MAX) {
        fprintf(stderr, "usage: bench_flips LINK... (at most %d, each named \"current\")\n",
                LINKS_MAX);
        return 2;
    }
    for (size_t i = 0; i < n_links; i++) {
        links[i].dir = open_parent(argv[i + 1]);
        BENCH_MUST(links[i].dir >= 0);
    }
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        watch(links, n_links, line);
    }
    return 0;
}
