/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/options.h"

#include "base/bytes.h"
#include "fuse/disk.h"
#include "fuse/worker.h"

#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    KEY_STORE = 's',
    KEY_MOUNT = 'm',
    KEY_CACHE = 'c',
    KEY_MEMORY = 'M',
    KEY_NODE = 'n',
    KEY_LABEL = 'l',
    KEY_FOREGROUND = 'f',
    KEY_POLL = 0x100,
    KEY_KEEP,
    KEY_CACHE_LIMIT,
    KEY_FETCH_LIMIT,
    KEY_THREADS,
    KEY_DISK_THREADS,
    KEY_BLOCK_CACHE,
    KEY_CACHE_VALUES,
    KEY_LOG_LEVEL,
    KEY_OWN_USER,
};

enum {
    LINKS_FOLLOWED_MAX = 16,
    POLL_MS_DEFAULT = 250,
    POLL_MS_MAX = 600000,
    KEEP_DEFAULT_CACHED = 3,
    KEEP_MAX = 1000,
    /* Values alone take a key's memory to a fraction of its block's, but only short ones are kept, and
     * neighbours come by blocks: which of the two pays depends on the table. Half each is never far
     * from the better one. */
    VALUES_DEFAULT_PERCENT = 50,
};

/* A gigabit line, and a tenth of a processor here and at the server. */
#define FETCH_DEFAULT_LIMIT (64ULL << 20)

const char *argp_program_version = "fkvd " FKV_VERSION;
const char *argp_program_bug_address = "<https://github.com/fkv/fkv/issues>";

static const char doc[] =
    "Serves the feature tables of a store under a mount point, the same on every host."
    "\v"
    "fkvd follows the store's manifest: it fetches each version that should be served here, checks "
    "it, loads it into memory, and switches to it while readers go on. What it has is in its cache "
    "directory too, so it starts, and serves, when the store cannot be reached.\n"
    "\n"
    "  fkvd --store /srv/fkv --memory 16G /fkv\n"
    "  ls /fkv/ads/ ; cat /fkv/ads/current/key/12345\n"
    "  cat /fkv/.fkvd/status.json /fkv/.fkvd/metrics\n"
    "\n"
    "An emergency on this host alone, which needs no store:\n"
    "\n"
    "  ln -sfn v/41 /fkv/ads/current     stay at version 41\n"
    "  rm /fkv/ads/current               follow the manifest again\n"
    "\n"
    "Without --foreground, fkvd returns when the mount answers, and says why when it cannot. "
    "SIGTERM "
    "ends it and unmounts. After a crash, starting it again is all there is to do.\n"
    "\n"
    "SIZE is a number of bytes, or of KiB, MiB, GiB, TiB with K, M, G, T after it.";

static const struct argp_option option_table[] = {
    {"store", KEY_STORE, "URL", 0,
     "The store: a directory, file:///dir or nfs://server/export/dir (default: $FKV_STORE)", 0},
    {"mount", KEY_MOUNT, "DIR", 0,
     "Where to mount; made when missing (default: $FKV_MOUNT or /fkv); DIR alone says the same", 0},
    {"cache", KEY_CACHE, "DIR", 0,
     "Local copies of versions, on a fast disk (default /var/cache/fkv); one daemon each", 1},
    {"memory", KEY_MEMORY, "SIZE", 0,
     "The most that loaded versions may take (default: half of this machine's)", 1},
    {"block-cache", KEY_BLOCK_CACHE, "SIZE", 0,
     "Memory to cache tables on disk in, beyond --memory; 0: none (default: a sixteenth of this "
     "machine's)",
     1},
    {"cache-values", KEY_CACHE_VALUES, "PERCENT", 0,
     "The share of --block-cache that keeps single values rather than blocks (default 50)", 1},
    {"cache-limit", KEY_CACHE_LIMIT, "SIZE", 0,
     "The most that the cache may take (default: what its disk holds, less 64M)", 1},
    {"fetch-limit", KEY_FETCH_LIMIT, "SIZE", 0,
     "Fetch at most so much a second; 0: no limit (default 64M)", 1},
    {"keep", KEY_KEEP, "N", 0, "Former versions a table keeps in the cache (default 3)", 1},
    {"node", KEY_NODE, "NAME", 0, "This node's name in the fleet (default: the host name)", 2},
    {"label", KEY_LABEL, "LABEL", 0, "A group this node is in, for `fkv pin`; may be repeated", 2},
    {"poll", KEY_POLL, "MS", 0, "Look for new manifest records this often (default 250)", 2},
    {"threads", KEY_THREADS, "N", 0, "Threads that answer (default: two a CPU, 4 to 64)", 3},
    {"disk-threads", KEY_DISK_THREADS, "N", 0,
     "Threads that look up in tables on disk (default: one a CPU, 2 to 16)", 3},
    {"own-user-only", KEY_OWN_USER, NULL, 0,
     "Do not let other users in (else table modes decide; an ordinary user needs user_allow_other "
     "in /etc/fuse.conf for that)",
     3},
    {"foreground", KEY_FOREGROUND, NULL, 0, "Stay in the foreground, log to stderr", 4},
    {"log-level", KEY_LOG_LEVEL, "LEVEL", 0, "error, warning, info (default) or debug", 4},
    {0},
};

static uint64_t number_of(struct argp_state *state, const char *what, const char *text,
                          uint64_t min, uint64_t max)
{
    char *end = NULL;
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || number < min || number > max)
        argp_error(state, "%s: expected a number from %llu to %llu, found \"%s\"", what,
                   (unsigned long long)min, (unsigned long long)max, text);
    return number;
}

static uint64_t size_of(struct argp_state *state, const char *what, const char *text, uint64_t min)
{
    static const char units[] = "KMGT";
    char *end = NULL;
    uint64_t size = 0;
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;
    uint64_t scale = unit ? 1ull << 10 * (unit - units + 1) : 1;
    bool is_good = text[0] >= '0' && text[0] <= '9' && !errno && number >= min &&
                   (*end == 0 || (unit && end[1] == 0)) && mul_u64(number, scale, &size);
    if (!is_good)
        argp_error(state, "%s: expected a size such as 512M or 16G, found \"%s\"", what, text);
    return size;
}

/* Absolute, with its parent resolved; DIR itself may be a dead mount, which cannot be looked at. */
static char *direct_path(struct argp_state *state, const char *text)
{
    char parent[PATH_MAX];
    char resolved[PATH_MAX];
    char *path = NULL;
    size_t len = strlen(text);
    while (len > 1 && text[len - 1] == '/')
        len--;
    if (len == 0 || len >= sizeof parent)
        argp_error(state, "--mount: expected a directory, found \"%s\"", text);
    snprintf(parent, sizeof parent, "%.*s", (int)len, text);
    char *slash = strrchr(parent, '/');
    const char *name = slash ? slash + 1 : parent;
    if (name[0] == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        argp_error(state, "--mount: expected a directory with a name, found \"%s\"", text);
    const char *base = text + (name - parent);
    if (slash)
        *(slash == parent ? slash + 1 : slash) = 0;
    if (!realpath(slash ? parent : ".", resolved))
        argp_failure(state, 1, errno, "--mount %s: its parent directory", text);
    const char *join = strcmp(resolved, "/") == 0 ? "" : "/";
    if (asprintf(&path, "%s%s%.*s", resolved, join, (int)(len - (size_t)(base - text)), base) < 0)
        argp_failure(state, 1, ENOMEM, "--mount");
    return path;
}

/* The same, also when DIR is a link: the kernel knows a mount by where it really is. */
static char *mount_path(struct argp_state *state, const char *text)
{
    char target[PATH_MAX];
    char *path = direct_path(state, text);
    for (int i = 0; i < LINKS_FOLLOWED_MAX; i++) {
        ssize_t len = readlink(path, target, sizeof target - 1);
        char *next = NULL;
        if (len < 0)
            return path;
        target[len] = 0;
        int parent_len = target[0] == '/' ? 0 : (int)(strrchr(path, '/') + 1 - path);
        if (asprintf(&next, "%.*s%s", parent_len, path, target) < 0)
            argp_failure(state, 1, ENOMEM, "--mount");
        free(path);
        path = direct_path(state, next);
        free(next);
    }
    argp_failure(state, 1, ELOOP, "--mount %s", text);
    return path;
}

/* A detached daemon leaves its directory, so a relative path is completed here; a URL is none. */
static char *absolute_path(struct argp_state *state, const char *text)
{
    char here[PATH_MAX];
    char *path = NULL;
    if (text[0] == '/' || strstr(text, "://"))
        path = strdup(text);
    else if (!getcwd(here, sizeof here) || asprintf(&path, "%s/%s", here, text) < 0)
        path = NULL;
    if (!path)
        argp_failure(state, 1, errno, "%s", text);
    return path;
}

static void set_path(char **path, char *value)
{
    free(*path);
    *path = value;
}

static void add_label(struct argp_state *state, struct options *options, const char *label)
{
    struct node_config *node = &options->node;
    if (node->n_labels == NODE_LABELS_MAX)
        argp_error(state, "--label: at most %d", NODE_LABELS_MAX);
    node->labels[node->n_labels++] = label;
}

static void check_complete(struct argp_state *state, struct options *options)
{
    const char *store = getenv("FKV_STORE");
    const char *mount = getenv("FKV_MOUNT");
    if (!options->store && store && store[0])
        options->store = absolute_path(state, store);
    if (!options->store)
        argp_error(state, "--store (or $FKV_STORE) is missing: where the tables are published, "
                          "such as /srv/fkv");
    if (!options->mount)
        options->mount = mount_path(state, mount && mount[0] ? mount : "/fkv");
}

static error_t on_option(int key, char *arg, struct argp_state *state)
{
    struct options *options = state->input;
    struct node_config *node = &options->node;
    switch (key) {
    case KEY_STORE:
        set_path(&options->store, absolute_path(state, arg));
        return 0;
    case KEY_MOUNT:
        set_path(&options->mount, mount_path(state, arg));
        return 0;
    case KEY_CACHE:
        set_path(&options->cache, absolute_path(state, arg));
        return 0;
    case KEY_MEMORY:
        node->memory_budget = size_of(state, "--memory", arg, 1);
        return 0;
    case KEY_KEEP:
        node->keep_cached = (uint32_t)number_of(state, "--keep", arg, 0, KEEP_MAX);
        return 0;
    case KEY_CACHE_LIMIT:
        node->cache_limit = size_of(state, "--cache-limit", arg, 1);
        return 0;
    case KEY_FETCH_LIMIT:
        node->fetch_limit = size_of(state, "--fetch-limit", arg, 0);
        return 0;
    case KEY_NODE:
        node->name = arg;
        return 0;
    case KEY_LABEL:
        add_label(state, options, arg);
        return 0;
    case KEY_POLL:
        node->poll_ns = (int64_t)number_of(state, "--poll", arg, 1, POLL_MS_MAX) * 1000000;
        return 0;
    case KEY_THREADS:
        options->n_threads = number_of(state, "--threads", arg, 1, WORKERS_MAX);
        return 0;
    case KEY_DISK_THREADS:
        options->n_disk_threads = number_of(state, "--disk-threads", arg, 1, DISK_THREADS_MAX);
        return 0;
    case KEY_BLOCK_CACHE:
        node->block_cache = size_of(state, "--block-cache", arg, 0);
        return 0;
    case KEY_CACHE_VALUES:
        node->values_percent = (unsigned)number_of(state, "--cache-values", arg, 0, 100);
        return 0;
    case KEY_OWN_USER:
        options->allow_other = false;
        return 0;
    case KEY_FOREGROUND:
        options->foreground = true;
        return 0;
    case KEY_LOG_LEVEL:
        if (log_level_of(arg, &options->log_level))
            argp_error(state, "--log-level: expected error, warning, info or debug, found \"%s\"",
                       arg);
        return 0;
    case ARGP_KEY_ARG:
        if (options->mount)
            argp_error(state, "expected one mount point, found \"%s\" too", arg);
        options->mount = mount_path(state, arg);
        return 0;
    case ARGP_KEY_END:
        check_complete(state, options);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static char *host_name(void)
{
    char name[HOST_NAME_MAX + 1] = "localhost";
    gethostname(name, sizeof name - 1);
    return strdup(name);
}

void options_parse(int argc, char **argv, struct options *out)
{
    static const struct argp argp = {option_table, on_option, "[DIR]", doc, NULL, NULL, NULL};
    long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    struct options options = {
        .name = host_name(),
        .n_threads = n_cpus < 2    ? 4
                     : n_cpus < 32 ? 2 * (size_t)n_cpus
                                   : 64,
        .n_disk_threads = n_cpus < 2    ? 2
                          : n_cpus < 16 ? (size_t)n_cpus
                                        : 16,
        .allow_other = true,
        .log_level = LOG_LEVEL_INFO,
        .node = {.cache_dir = "/var/cache/fkv",
                 .memory_budget = memory / 2,
                 .block_cache = memory / 16,
                 .values_percent = VALUES_DEFAULT_PERCENT,
                 .keep_cached = KEEP_DEFAULT_CACHED,
                 .fetch_limit = FETCH_DEFAULT_LIMIT,
                 .poll_ns = POLL_MS_DEFAULT * INT64_C(1000000)},
    };
    argp_err_exit_status = 2;
    options.node.name = options.name;
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    options.node.store_url = options.store;
    if (options.cache)
        options.node.cache_dir = options.cache;
    *out = options;
}

void options_release(struct options *options)
{
    free(options->store);
    free(options->cache);
    free(options->mount);
    free(options->name);
}
