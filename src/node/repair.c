/* SPDX-License-Identifier: Apache-2.0 */
#include "node/repair.h"

#include "base/scope.h"
#include "node/arrival.h"
#include "node/mismatch.h"
#include "node/node_impl.h"
#include "node/part_chunk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SLICE_NS (100 * 1000000LL)
/* Others want the disk too: after each chunk it rests as long as the chunk took, up to this. */
#define REST_MAX_NS    (50 * 1000000LL)
#define RETRY_STORE_NS (5 * 1000000000LL)
#define RETRY_NS       (60 * 1000000000LL)

void repair_init(struct repair *repair)
{
    *repair = (struct repair){.fd = -1, .due_ns = INT64_MAX};
}

static void end_pass(struct repair *repair)
{
    if (repair->fd >= 0)
        close(repair->fd);
    repair->fd = -1;
    version_unpin(repair->version);
    repair->version = NULL;
}

void repair_release(struct repair *repair)
{
    end_pass(repair);
    memory_release(&repair->chunk);
    store_close(repair->store);
    repair->store = NULL;
}

const char *repair_damage(const struct version *version)
{
    if (!version->disk)
        return NULL;
    for (size_t i = 0; i < version->files->desc.n_parts; i++)
        if (version->parts[i]->health.damage)
            return version->parts[i]->health.damage;
    return NULL;
}

static struct loaded_part *part_of(const struct repair *repair)
{
    return repair->version->parts[repair->part];
}

static const struct part_desc *desc_of(const struct repair *repair)
{
    return &repair->version->files->desc.parts[repair->part];
}

/* ---- which part ---- */

/* Under the lock: lookups' reports become something to be done. */
static void take_reports(struct slot *slot)
{
    const struct version *version = slot->loaded;
    for (size_t i = 0; i < version->files->desc.n_parts; i++) {
        struct loaded_part *part = version->parts[i];
        if (atomic_exchange(&part->disk->is_bad, false))
            part->health.is_waiting = true;
    }
}

/* Under the lock: begins with a part that waits and may be looked at now, or notes when one may. */
static void look_for_part(struct node *node, struct table *table, struct slot *slot, int64_t now_ns)
{
    struct repair *repair = &node->repair;
    struct version *version = slot->loaded;
    for (size_t i = 0; i < version->files->desc.n_parts; i++) {
        const struct part_health *health = &version->parts[i]->health;
        if (!health->is_waiting)
            continue;
        if (repair->version || health->retry_ns > now_ns) {
            int64_t at_ns = repair->version ? now_ns : health->retry_ns;
            repair->due_ns = at_ns < repair->due_ns ? at_ns : repair->due_ns;
            continue;
        }
        version_pin(version);
        repair->version = version;
        repair->table = table;
        repair->part = i;
    }
}

static void begin_pass(struct node *node)
{
    struct repair *repair = &node->repair;
    struct disk_shared *shared = disk_parts_shared(part_memory_disk(node->memory));
    int64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
    bool is_news = atomic_exchange(&shared->has_bad, false);
    if (!is_news && repair->due_ns > now_ns)
        return;
    scope_lock(&node->lock);
    repair->due_ns = INT64_MAX;
    size_t n_tables = atomic_load(&node->n_tables);
    for (size_t t = 0; t < n_tables; t++) {
        struct table *table = node->tables[t];
        for (size_t s = 0; s < table->n_slots; s++) {
            struct slot *slot = table->slots[s];
            if (!slot->loaded || !slot->loaded->disk)
                continue;
            take_reports(slot);
            look_for_part(node, table, slot, now_ns);
        }
    }
    if (!repair->version)
        return;
    struct part_health *health = &part_of(repair)->health;
    health->is_waiting = false;
    repair->page = atomic_load(&part_of(repair)->disk->bad_page);
    repair->first = health->has_chunk
                        ? health->chunk
                        : (uint32_t)((uint64_t)repair->page * BLOCK_PAGE / PART_CHUNK_LEN);
    if (repair->first >= desc_of(repair)->n_chunks)
        repair->first = 0;
    repair->next = 0;
    repair->n_bad = 0;
}

/* Under the lock. */
static bool is_still_here(const struct repair *repair)
{
    const struct slot *slot = table_find_slot(repair->table, repair->version->files->desc.version);
    return slot && slot->loaded == repair->version && slot->place != PLACE_GONE;
}

/* ---- one chunk ---- */

/* The first to be looked at, then the others in order. */
static uint32_t chunk_number(const struct repair *repair)
{
    if (repair->next == 0)
        return repair->first;
    return repair->next <= repair->first ? repair->next - 1 : repair->next;
}

static int fetch_chunk(struct node *node, uint32_t i, struct err *err)
{
    struct repair *repair = &node->repair;
    const struct part_desc *desc = desc_of(repair);
    struct store_reader *reader = NULL;
    char path[STORE_PATH_MAX];
    size_t len = part_chunk_len(desc, i);
    size_t n = 0;
    struct digest found;
    int ret = repair->store ? 0 : store_open(node->store_url, &repair->store, err);
    if (ret)
        return ret;
    snprintf(path, sizeof path, "tables/%s/v/%llu/parts/%s", repair->table->name,
             (unsigned long long)version_id(repair->version),
             version_part_name(repair->version, repair->part));
    ret = store_reader_open(repair->store, path, &reader, err);
    if (!ret)
        ret = store_reader_read(reader, (uint64_t)i * PART_CHUNK_LEN, repair->chunk.data, len, &n,
                                err);
    store_reader_close(reader);
    if (ret)
        return ret;
    limiter_book(&node->limiter, n, clock_now_ns(CLOCK_MONOTONIC)); /* fetches wait for it */
    atomic_fetch_add(&node->n_fetched_bytes, n);
    digest_of(repair->chunk.data, n, &found);
    if (n == len && digest_equal(&found, &desc->chunks[i]))
        return 0;
    atomic_fetch_add(&node->n_bad_chunks, 1);
    ret = digest_mismatch(&desc->chunks[i], &found, err);
    return err_wrap(err, ret, "%s in the store", path);
}

/* The file that answers, whatever its name is by now, open for writing. */
static int open_to_write(struct repair *repair, struct err *err)
{
    const struct reader_file *file = &part_of(repair)->disk->file;
    char path[64];
    if (repair->fd >= 0)
        return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", file->fd);
    int ret = fchmod(file->fd, 0600) ? -errno : 0;
    if (!ret) {
        repair->fd = open(path, O_RDWR | O_CLOEXEC | (file->is_direct ? O_DIRECT : 0));
        ret = repair->fd < 0 ? -errno : 0;
    }
    fchmod(file->fd, 0400);
    return ret ? err_sys(err, ret, "opening it to write") : 0;
}

static int write_chunk(struct repair *repair, uint32_t i, struct err *err)
{
    const struct part_desc *desc = desc_of(repair);
    const uint8_t *data = repair->chunk.data;
    size_t len = part_chunk_len(desc, i);
    size_t done = 0;
    int ret = open_to_write(repair, err);
    while (!ret && done < len) {
        ssize_t n = pwrite(repair->fd, data + done, len - done,
                           (off_t)((uint64_t)i * PART_CHUNK_LEN + done));
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            ret = err_sys(err, n == 0 ? -EIO : -errno, "writing chunk %u", i);
    }
    if (!ret && fdatasync(repair->fd))
        ret = err_sys(err, -errno, "writing chunk %u", i);
    if (!ret) /* what the disk has now, not what it was given */
        ret = part_chunk_check(&part_of(repair)->disk->file, desc, i, repair->chunk.data, err);
    return ret;
}

/* ---- what is told ---- */

__attribute__((format(printf, 2, 3))) static void note_damage(struct node *node, const char *fmt,
                                                              ...)
{
    struct repair *repair = &node->repair;
    struct part_health *health = &part_of(repair)->health;
    char text[ERR_TEXT_MAX + 256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    char *copy = strdup(text);
    uint64_t id = version_id(repair->version);
    pthread_mutex_lock(&node->lock);
    bool is_same = health->damage && copy && !strcmp(health->damage, copy);
    free(health->damage);
    health->damage = copy;
    node->changes++;
    pthread_mutex_unlock(&node->lock);
    if (!is_same)
        node_tell(node, NODE_EVENT_WARNING, repair->table, id, "table %s version %llu: %s",
                  repair->table->name, (unsigned long long)id, text);
}

static void tell_result(struct node *node, bool is_first)
{
    struct repair *repair = &node->repair;
    uint64_t id = version_id(repair->version);
    const char *name = version_part_name(repair->version, repair->part);
    if (repair->n_bad)
        node_tell(node, NODE_EVENT_NOTICE, repair->table, id,
                  "table %s version %llu: %s is repaired: %u of %u chunks were damaged on this "
                  "machine's disk and came from the store again",
                  repair->table->name, (unsigned long long)id, name, repair->n_bad,
                  desc_of(repair)->n_chunks);
    else if (is_first)
        node_tell(node, NODE_EVENT_WARNING, repair->table, id,
                  "table %s version %llu: %s: the block at page %u could not be read, and yet the "
                  "file is what was published: the disk or this machine's memory errs now and then",
                  repair->table->name, (unsigned long long)id, name, repair->page);
}

static void finish_pass(struct node *node)
{
    struct repair *repair = &node->repair;
    struct part_health *health = &part_of(repair)->health;
    int64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
    pthread_mutex_lock(&node->lock);
    bool is_first = !health->is_told;
    /* Should it be reported again, a whole pass for nothing is enough for a while. */
    health->retry_ns = repair->n_bad ? 0 : now_ns + RETRY_NS;
    health->is_told |= !repair->n_bad;
    health->has_chunk = false;
    /* What was reported meanwhile: were it still so, it would be again. */
    atomic_store(&part_of(repair)->disk->is_bad, false);
    free(health->damage);
    health->damage = NULL;
    node->changes++;
    pthread_mutex_unlock(&node->lock);
    if (repair->n_bad)
        atomic_fetch_add(&node->n_repairs, 1);
    tell_result(node, is_first);
    end_pass(repair);
}

/* It stays as it is for now: what is good in it is served. */
static void put_off(struct node *node, uint32_t i, int64_t wait_ns, int code, const struct err *why)
{
    struct repair *repair = &node->repair;
    struct part_health *health = &part_of(repair)->health;
    pthread_mutex_lock(&node->lock);
    health->is_waiting = true;
    health->chunk = i;
    health->has_chunk = true;
    health->retry_ns = clock_now_ns(CLOCK_MONOTONIC) + wait_ns;
    pthread_mutex_unlock(&node->lock);
    repair->due_ns = 0; /* to be worked out anew */
    note_damage(node,
                "%s is damaged on this machine's disk (chunk %u of %u; the block at page %u) and "
                "cannot be repaired now: %s; what is good in it is served",
                version_part_name(repair->version, repair->part), i, desc_of(repair)->n_chunks,
                repair->page, err_text(why, code));
    if (code != -EBADMSG) { /* perhaps the connection */
        store_close(repair->store);
        repair->store = NULL;
    }
    end_pass(repair);
}

/* ---- the pass ---- */

static void do_chunk(struct node *node)
{
    struct repair *repair = &node->repair;
    const struct part_desc *desc = desc_of(repair);
    struct err err = {0};
    int64_t wait_ns = RETRY_NS;
    uint32_t i = chunk_number(repair);
    int ret = part_chunk_check(&part_of(repair)->disk->file, desc, i, repair->chunk.data, &err);
    if (ret) {
        if (!part_of(repair)->health.damage)
            note_damage(node,
                        "%s is damaged on this machine's disk (%s; the block at page %u): it is "
                        "fetched again",
                        version_part_name(repair->version, repair->part), err_text(&err, ret),
                        repair->page);
        ret = fetch_chunk(node, i, &err);
        if (ret && ret != -EBADMSG)
            wait_ns = RETRY_STORE_NS;
        if (!ret)
            ret = write_chunk(repair, i, &err);
        repair->n_bad += !ret;
    }
    if (ret)
        put_off(node, i, wait_ns, ret, &err);
    else if (++repair->next == desc->n_chunks)
        finish_pass(node);
}

static void rest(int64_t ns)
{
    const struct timespec pause = {.tv_nsec = ns < REST_MAX_NS ? ns : REST_MAX_NS};
    nanosleep(&pause, NULL);
}

/* False when there is nothing to go on with. */
static bool may_go_on(struct node *node)
{
    struct repair *repair = &node->repair;
    if (!repair->version)
        return false;
    if (!repair->chunk.data && memory_alloc(PART_CHUNK_LEN, &repair->chunk, NULL)) {
        put_off(node, repair->first, RETRY_NS, -ENOMEM, NULL);
        return false;
    }
    pthread_mutex_lock(&node->lock);
    bool is_here = is_still_here(repair);
    pthread_mutex_unlock(&node->lock);
    if (!is_here)
        end_pass(repair);
    return is_here;
}

bool repair_step(struct node *node)
{
    struct repair *repair = &node->repair;
    int64_t begun_ns = clock_now_ns(CLOCK_MONOTONIC);
    int64_t now_ns = begun_ns;
    if (!repair->version)
        begin_pass(node);
    if (!repair->version)
        return false;
    while (now_ns - begun_ns < SLICE_NS && !atomic_load(&node->is_cancelled) && may_go_on(node)) {
        do_chunk(node);
        int64_t took_ns = clock_now_ns(CLOCK_MONOTONIC) - now_ns;
        if (repair->version)
            rest(took_ns);
        now_ns = clock_now_ns(CLOCK_MONOTONIC);
    }
    if (repair->version)
        return true;
    memory_release(&repair->chunk);
    return repair->due_ns <= now_ns;
}
