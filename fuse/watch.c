/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/watch.h"

#include "base/scope.h"
#include "fuse/log.h"
#include "fuse/tree.h"
#include "node/priority.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* How often the worker looks for work nobody announced: a failed fetch to be tried again. */
#define WORK_PAUSE_NS INT64_C(1000000000)
#define WAIT_MIN_NS   INT64_C(1000000)
/* How long the flipper waits without looking up. */
#define FLIP_WAIT_NS INT64_C(60000000000)
/* How long stopping waits for I/O that cannot be cancelled. */
#define STOP_NS INT64_C(2000000000)

struct watch {
    struct invalidate *invalidate;
    struct node *node;
    int64_t poll_ns;
    pthread_t follower;
    pthread_t worker;
    pthread_t flipper;
    pthread_t teller;
    unsigned n_started;   /* of the four, in this order */
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    bool stopping;
    bool is_flipped;     /* since the last round of follow: the fleet waits to hear of it */
    bool is_untold;      /* the same of the teller: the kernel and the log */
    uint64_t n_followed; /* rounds of follow */
    uint64_t n_rested;   /* the round of follow after which work last found nothing to do */
};

int watch_new(struct invalidate *invalidate, int64_t poll_ns, struct watch **out)
{
    pthread_condattr_t attr;
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return -ENOMEM;
    watch->invalidate = invalidate;
    watch->poll_ns = poll_ns;
    pthread_mutex_init(&watch->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->changed, &attr);
    pthread_condattr_destroy(&attr);
    *out = watch;
    return 0;
}

void watch_free(struct watch *watch)
{
    if (!watch)
        return;
    pthread_cond_destroy(&watch->changed);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

/* The table's links, and the attributes of what takes its owner, mode and time from the current
 * version. */
static void invalidate_table(struct invalidate *invalidate, struct table *table)
{
    static const enum tree_kind kinds[] = {TREE_TABLE, TREE_BATCH, TREE_VERSIONS};
    struct tree_node node = {.table = table_index(table)};
    uint64_t current = 0;
    uint64_t previous = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        node.kind = kinds[i];
        invalidate_attr(invalidate, tree_ino(&node));
    }
    /* The kernel asks for a link's target each time, so only the name of a link that is no more has
     * to go. */
    node.kind = TREE_TABLE;
    table_links(table, &current, &previous);
    if (!current)
        invalidate_entry(invalidate, tree_ino(&node), tree_name(TREE_CURRENT));
    if (!previous)
        invalidate_entry(invalidate, tree_ino(&node), tree_name(TREE_PREVIOUS));
}

/* A version came, went, was loaded or unloaded. */
static void invalidate_version(struct invalidate *invalidate, struct table *table, uint64_t id)
{
    char name[24];
    struct tree_node node = {.kind = TREE_VERSIONS, .table = table_index(table)};
    uint64_t versions_ino = tree_ino(&node);
    struct version *version = table_pin_version(table, id);
    bool is_loaded = version && version_is_loaded(version);
    invalidate_attr(invalidate, versions_ino);
    if (id == 0 || id > TREE_VERSION_MAX) {
        version_unpin(version);
        return;
    }
    node.kind = TREE_VERSION;
    node.version = id;
    invalidate_attr(invalidate, tree_ino(&node));
    if (!is_loaded) {
        invalidate_entry(invalidate, tree_ino(&node), tree_name(TREE_VERSION_BATCH));
        invalidate_entry(invalidate, tree_ino(&node), tree_name(TREE_KEYS));
    }
    snprintf(name, sizeof name, "%llu", (unsigned long long)id);
    if (!version)
        invalidate_entry(invalidate, versions_ino, name);
    version_unpin(version);
}

static void say_switched(struct table *table, const char *text)
{
    uint64_t current = 0;
    uint64_t previous = 0;
    table_links(table, &current, &previous);
    log_info("table %s: current is %llu, previous %llu%s%s", table_name(table),
             (unsigned long long)current, (unsigned long long)previous, text ? ": " : "",
             text ? text : "");
}

void watch_event(void *context, enum node_event_kind kind, struct table *table, uint64_t version,
                 const char *text)
{
    struct watch *watch = context;
    const char *name = table ? table_name(table) : "";
    switch (kind) {
    case NODE_EVENT_TABLE:
        log_info("table %s: here", name);
        break;
    case NODE_EVENT_SWITCHED:
        say_switched(table, text);
        invalidate_table(watch->invalidate, table);
        break;
    case NODE_EVENT_VERSION:
        log_debug("table %s: version %llu: %s", name, (unsigned long long)version,
                  text ? text : "changed");
        invalidate_version(watch->invalidate, table, version);
        break;
    case NODE_EVENT_NOTICE:
        log_info("%s", text ? text : name);
        break;
    case NODE_EVENT_WARNING:
        log_warning("%s", text ? text : name);
        break;
    }
}

static struct timespec after_ns(int64_t ns)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ns / 1000000000;
    at.tv_nsec += ns % 1000000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

/* Until it is time for the next round; false when there is none. */
static bool pause_follow(struct watch *watch, int64_t wait_ns)
{
    int ret = 0;
    scope_lock(&watch->lock);
    watch->n_followed++;
    pthread_cond_broadcast(&watch->changed);
    if (wait_ns > watch->poll_ns)
        wait_ns = watch->poll_ns;
    if (wait_ns < WAIT_MIN_NS)
        wait_ns = WAIT_MIN_NS;
    const struct timespec until = after_ns(wait_ns);
    while (!watch->stopping && !watch->is_flipped && ret != ETIMEDOUT)
        ret = pthread_cond_timedwait(&watch->changed, &watch->lock, &until);
    watch->is_flipped = false;
    return !watch->stopping;
}

/* A store that hangs at the end is given up by watch_stop(). */
static void *follow(void *context)
{
    struct watch *watch = context;
    int64_t wait_ns = 0;
    do {
        struct err err = {0};
        wait_ns = watch->poll_ns;
        node_follow(watch->node, &wait_ns, &err);
    } while (pause_follow(watch, wait_ns));
    node_farewell(watch->node);
    return NULL;
}

/* Waits for another round of follow, or for the pause to end. */
static bool rest(struct watch *watch, uint64_t seen)
{
    const struct timespec until = after_ns(WORK_PAUSE_NS);
    int ret = 0;
    scope_lock(&watch->lock);
    watch->n_rested = seen;
    pthread_cond_broadcast(&watch->changed);
    while (!watch->stopping && watch->n_followed == seen && ret != ETIMEDOUT)
        ret = pthread_cond_timedwait(&watch->changed, &watch->lock, &until);
    return !watch->stopping;
}

static uint64_t rounds_followed(struct watch *watch, bool *stopping)
{
    scope_lock(&watch->lock);
    *stopping = watch->stopping;
    return watch->n_followed;
}

static void *work(void *context)
{
    struct watch *watch = context;
    priority_low();
    for (;;) {
        bool stopping = false;
        uint64_t seen = rounds_followed(watch, &stopping);
        if (stopping)
            return NULL;
        if (!node_work(watch->node) && !rest(watch, seen))
            return NULL;
    }
}

static bool note_flip(struct watch *watch, bool is_flipped)
{
    scope_lock(&watch->lock);
    if (is_flipped) {
        watch->is_flipped = true;
        watch->is_untold = true;
        pthread_cond_broadcast(&watch->changed);
    }
    return !watch->stopping;
}

static void *flip(void *context)
{
    struct watch *watch = context;
    priority_high();
    while (note_flip(watch, node_flip(watch->node, FLIP_WAIT_NS)))
        ;
    return NULL;
}

static bool wait_for_flip(struct watch *watch)
{
    scope_lock(&watch->lock);
    while (!watch->stopping && !watch->is_untold)
        pthread_cond_wait(&watch->changed, &watch->lock);
    watch->is_untold = false;
    return !watch->stopping;
}

/* In the flipper's stead, which must not wait for a log that stalls; nor does this wait for a store,
 * as follow may. */
static void *tell(void *context)
{
    struct watch *watch = context;
    while (wait_for_flip(watch))
        node_tell_notes(watch->node);
    return NULL;
}

static int start_threads(struct watch *watch)
{
    int ret = pthread_create(&watch->follower, NULL, follow, watch);
    watch->n_started = !ret;
    if (!ret)
        ret = pthread_create(&watch->worker, NULL, work, watch);
    watch->n_started += !ret;
    if (!ret)
        ret = pthread_create(&watch->flipper, NULL, flip, watch);
    watch->n_started += !ret;
    if (!ret)
        ret = pthread_create(&watch->teller, NULL, tell, watch);
    watch->n_started += !ret;
    return -ret;
}

int watch_start(struct watch *watch, struct node *node)
{
    watch->node = node;
    int ret = start_threads(watch);
    if (ret)
        watch_stop(watch);
    return ret;
}

void watch_settle(struct watch *watch, int64_t max_ns)
{
    const struct timespec until = after_ns(max_ns);
    int ret = 0;
    scope_lock(&watch->lock);
    while (watch->n_rested == 0 && ret != ETIMEDOUT)
        ret = pthread_cond_timedwait(&watch->changed, &watch->lock, &until);
}

/* Tried again and again, since ThreadSanitizer takes no notice of pthread_clockjoin_np(). What was
 * waited goes off left_ns. */
static int join_within(pthread_t thread, int64_t *left_ns)
{
    const struct timespec pause = {.tv_nsec = WAIT_MIN_NS};
    int ret = pthread_tryjoin_np(thread, NULL);
    while (ret == EBUSY && *left_ns > 0) {
        nanosleep(&pause, NULL);
        *left_ns -= WAIT_MIN_NS;
        ret = pthread_tryjoin_np(thread, NULL);
    }
    return ret == EBUSY ? ETIMEDOUT : ret;
}

int watch_stop(struct watch *watch)
{
    const pthread_t *const threads[] = {&watch->follower, &watch->worker, &watch->flipper,
                                        &watch->teller};
    unsigned n_started = watch->n_started;
    int ret = 0;
    if (!n_started)
        return 0;
    watch->n_started = 0;
    pthread_mutex_lock(&watch->lock);
    watch->stopping = true;
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
    node_cancel(watch->node);
    int64_t left_ns = STOP_NS;
    for (unsigned i = 0; i < n_started && !ret; i++)
        ret = join_within(*threads[i], &left_ns);
    return -ret;
}
