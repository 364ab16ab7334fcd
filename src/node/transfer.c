/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A few carriers share one cursor over the chunks of all parts:
 *
 *   take     the next (part, chunk); who takes a part's first chunk opens it
 *   bring    from an earlier try, or through a reader of the carrier's own: read, check, write
 *   join     waits for its turn and adds the chunk to the digest of its part
 *   finish   who joined the last chunk
 *
 * Chunks are taken in order, so a turn comes when the slowest of a few reads has ended. One that
 * waits for a turn holds its chunk in memory: nothing is read twice.
 *
 * The first that fails stops all; so does the caller's thread, which only looks after them.
 */
#include "node/transfer.h"

#include "base/scope.h"
#include "io/load.h"
#include "node/arrival.h"
#include "node/mismatch.h"
#include "node/priority.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define STOP_CHECK_NS (20 * 1000000LL)

enum { CARRIERS = 8, CHUNK_TRIES = 3 };

/* A part and how far it is. */
struct leg {
    struct arrival arrival;
    bool is_open;
    uint32_t n_joined; /* whose turn it is */
};

struct transfer {
    const struct transfer_job *job;
    size_t slice; /* bytes read at a time */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* anything below */
    struct leg *legs;       /* as job->parts */
    size_t part;            /* the cursor */
    uint32_t chunk;
    unsigned n_carriers;
    bool is_stopping;
    int ret;
    struct err err;
};

struct carrier {
    struct transfer *transfer;
    pthread_t thread;
    struct store_reader *reader;
    size_t reader_part;
    struct memory memory; /* huge pages: cheaper to write from */
    uint8_t *chunk;       /* in it */
    struct err err;
};

/* What a carrier has taken. */
struct load {
    size_t part;
    uint32_t chunk;
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Under the lock: waits for a change, or until that instant (CLOCK_MONOTONIC). */
static int wait_changed(struct transfer *transfer, int64_t until_ns)
{
    const struct timespec until = {.tv_sec = until_ns / 1000000000LL,
                                   .tv_nsec = until_ns % 1000000000LL};
    return pthread_cond_timedwait(&transfer->changed, &transfer->lock, &until);
}

/* Under the lock. The first word stands. */
static void halt(struct transfer *transfer, int code, const struct err *err)
{
    if (!transfer->is_stopping) {
        transfer->ret = code;
        if (err)
            transfer->err = *err;
    }
    transfer->is_stopping = true;
    pthread_cond_broadcast(&transfer->changed);
}

static bool take(struct transfer *transfer, struct load *out)
{
    const struct transfer_job *job = transfer->job;
    scope_lock(&transfer->lock);
    if (transfer->is_stopping || transfer->part == job->n_parts)
        return false;
    *out = (struct load){transfer->part, transfer->chunk++};
    if (transfer->chunk >= job->parts[transfer->part]->n_chunks) {
        transfer->part++;
        transfer->chunk = 0;
    }
    return true;
}

static void part_path(const struct transfer_job *job, size_t part, char out[STORE_PATH_MAX])
{
    char name[PART_FILE_NAME_MAX];
    part_file_name(job->parts[part], name);
    snprintf(out, STORE_PATH_MAX, "%s/%s", job->dir, name);
}

/* The first chunk's carrier opens the part, the others wait for it. */
static int open_leg(struct carrier *carrier, const struct load *load)
{
    struct transfer *transfer = carrier->transfer;
    const struct transfer_job *job = transfer->job;
    struct leg *leg = &transfer->legs[load->part];
    int ret = 0;
    if (load->chunk == 0)
        ret = arrival_open(&leg->arrival, job->cache, job->parts[load->part], &carrier->err);
    scope_lock(&transfer->lock);
    if (!ret && load->chunk == 0) {
        leg->is_open = true;
        pthread_cond_broadcast(&transfer->changed);
    }
    while (!ret && !leg->is_open && !transfer->is_stopping)
        pthread_cond_wait(&transfer->changed, &transfer->lock);
    return ret ? ret : leg->is_open ? 0 : -ECANCELED;
}

static int open_reader(struct carrier *carrier, size_t part)
{
    const struct transfer_job *job = carrier->transfer->job;
    char path[STORE_PATH_MAX];
    if (carrier->reader && carrier->reader_part == part)
        return 0;
    store_reader_close(carrier->reader);
    carrier->reader = NULL;
    part_path(job, part, path);
    int ret = store_reader_open(job->store, path, &carrier->reader, &carrier->err);
    if (ret)
        return ret;
    carrier->reader_part = part;
    uint64_t len = store_reader_len(carrier->reader);
    if (len == job->parts[part]->len)
        return 0;
    return err_set(&carrier->err, -EBADMSG, "expected %llu bytes, found %llu",
                   (unsigned long long)job->parts[part]->len, (unsigned long long)len);
}

/* Until the limit lets len more bytes pass. */
static int wait_for_limit(struct transfer *transfer, size_t len)
{
    struct limiter *limiter = transfer->job->limiter;
    int64_t from_ns = limiter ? limiter_book(limiter, len, now_ns()) : 0;
    scope_lock(&transfer->lock);
    while (!transfer->is_stopping && from_ns > now_ns())
        wait_changed(transfer, from_ns);
    if (!transfer->is_stopping)
        return 0;
    if (limiter) /* the next fetch does not wait for what this one left */
        limiter_return(limiter, len);
    return -ECANCELED;
}

/* The bytes of a chunk, in slices that the limit lets pass one by one. */
static int read_bytes(struct carrier *carrier, uint64_t off, size_t len)
{
    struct transfer *transfer = carrier->transfer;
    size_t done = 0;
    while (done < len) {
        size_t slice = len - done < transfer->slice ? len - done : transfer->slice;
        size_t n = 0;
        int ret = wait_for_limit(transfer, slice);
        if (!ret)
            ret = store_reader_read(carrier->reader, off + done, carrier->chunk + done, slice, &n,
                                    &carrier->err);
        if (ret)
            return ret;
        atomic_fetch_add_explicit(transfer->job->fetched_bytes, n, memory_order_relaxed);
        progress_add(transfer->job->progress, n);
        done += n;
        if (n < slice)
            break;
    }
    if (done == len)
        return 0;
    return err_set(&carrier->err, -EBADMSG, "expected %zu bytes at %llu, found %zu", len,
                   (unsigned long long)off, done);
}

/* A bad chunk may have been damaged on the way and is read again. */
static int read_chunk(struct carrier *carrier, const struct load *load)
{
    const struct transfer_job *job = carrier->transfer->job;
    const struct part_desc *part = job->parts[load->part];
    size_t len = part_chunk_len(part, load->chunk);
    struct digest found = {{0}};
    for (int n = 0; n < CHUNK_TRIES; n++) {
        int ret = read_bytes(carrier, (uint64_t)load->chunk * PART_CHUNK_LEN, len);
        if (ret)
            return ret;
        digest_of(carrier->chunk, len, &found);
        if (digest_equal(&found, &part->chunks[load->chunk]))
            return 0;
        atomic_fetch_add_explicit(job->bad_chunks, 1, memory_order_relaxed);
        progress_add(job->progress, -(uint64_t)len);
    }
    int ret = digest_mismatch(&part->chunks[load->chunk], &found, &carrier->err);
    return err_wrap(&carrier->err, ret, "chunk %u of %u is corrupt", load->chunk, part->n_chunks);
}

static int fetch_chunk(struct carrier *carrier, const struct load *load)
{
    const struct transfer *transfer = carrier->transfer;
    int ret = open_reader(carrier, load->part);
    if (!ret)
        ret = read_chunk(carrier, load);
    if (ret)
        return ret;
    return arrival_put(&transfer->legs[load->part].arrival, load->chunk, carrier->chunk,
                       &carrier->err);
}

/* Waits for the chunks before it. Only who has the turn touches the digest. */
static int join(struct carrier *carrier, const struct load *load)
{
    struct transfer *transfer = carrier->transfer;
    struct leg *leg = &transfer->legs[load->part];
    pthread_mutex_lock(&transfer->lock);
    while (leg->n_joined != load->chunk && !transfer->is_stopping)
        pthread_cond_wait(&transfer->changed, &transfer->lock);
    bool is_my_turn = leg->n_joined == load->chunk;
    pthread_mutex_unlock(&transfer->lock);
    if (!is_my_turn)
        return -ECANCELED;
    arrival_join(&leg->arrival, load->chunk, carrier->chunk);
    scope_lock(&transfer->lock);
    leg->n_joined++;
    pthread_cond_broadcast(&transfer->changed);
    return 0;
}

/* Who joined the last chunk has the part for himself. */
static int finish(struct carrier *carrier, size_t part)
{
    struct leg *leg = &carrier->transfer->legs[part];
    int ret = arrival_finish(&leg->arrival, &carrier->err);
    arrival_release(&leg->arrival);
    return ret;
}

static int bring(struct carrier *carrier, const struct load *load)
{
    const struct transfer *transfer = carrier->transfer;
    const struct part_desc *part = transfer->job->parts[load->part];
    char path[STORE_PATH_MAX];
    int ret = open_leg(carrier, load);
    if (!ret && arrival_has(&transfer->legs[load->part].arrival, load->chunk, carrier->chunk))
        progress_add(transfer->job->progress, part_chunk_len(part, load->chunk));
    else if (!ret)
        ret = fetch_chunk(carrier, load);
    if (!ret)
        ret = join(carrier, load);
    if (!ret && load->chunk + 1 == part->n_chunks)
        ret = finish(carrier, load->part);
    if (ret != -EBADMSG)
        return ret;
    part_path(transfer->job, load->part, path);
    return err_wrap(&carrier->err, ret, "%s in the store", path);
}

static void *carry(void *context)
{
    struct carrier *carrier = context;
    struct transfer *transfer = carrier->transfer;
    struct load load;
    int ret = 0;
    priority_low();
    while (!ret && take(transfer, &load))
        ret = bring(carrier, &load);
    store_reader_close(carrier->reader);
    scope_lock(&transfer->lock);
    if (ret)
        halt(transfer, ret, &carrier->err);
    transfer->n_carriers--;
    pthread_cond_broadcast(&transfer->changed);
    return NULL;
}

/* Until the carriers have ended; passes the caller's wish to stop on to them. */
static void look_after(struct transfer *transfer)
{
    scope_lock(&transfer->lock);
    while (transfer->n_carriers) {
        wait_changed(transfer, now_ns() + STOP_CHECK_NS);
        pthread_mutex_unlock(&transfer->lock);
        int code = stop_check(transfer->job->stop);
        pthread_mutex_lock(&transfer->lock);
        if (code)
            halt(transfer, code, NULL);
    }
}

static size_t count_chunks(const struct transfer_job *job)
{
    size_t n = 0;
    for (size_t i = 0; i < job->n_parts; i++)
        n += job->parts[i]->n_chunks;
    return n;
}

/* As many as there is work, thread and memory for; one at least. */
static int run_carriers(struct transfer *transfer)
{
    struct carrier carriers[CARRIERS] = {0};
    const struct limiter *limiter = transfer->job->limiter;
    size_t n_chunks = count_chunks(transfer->job);
    /* With a low limit chunks end one by one: what is not whole is lost when it gives way. */
    size_t n_max = limiter ? limiter_threads(limiter, PART_CHUNK_LEN, CARRIERS) : CARRIERS;
    size_t n = 0;
    transfer->n_carriers = CARRIERS;
    for (; n < n_max && n < n_chunks; n++) {
        carriers[n].transfer = transfer;
        if (memory_alloc(PART_CHUNK_LEN, &carriers[n].memory, NULL))
            break;
        carriers[n].chunk = carriers[n].memory.data;
        if (pthread_create(&carriers[n].thread, NULL, carry, &carriers[n])) {
            memory_release(&carriers[n].memory);
            break;
        }
    }
    pthread_mutex_lock(&transfer->lock);
    transfer->n_carriers -= (unsigned)(CARRIERS - n);
    pthread_mutex_unlock(&transfer->lock);
    look_after(transfer);
    for (size_t i = 0; i < n; i++) {
        pthread_join(carriers[i].thread, NULL);
        memory_release(&carriers[i].memory);
    }
    return n ? transfer->ret : -ENOMEM;
}

int transfer_run(const struct transfer_job *job, struct err *err)
{
    pthread_condattr_t attr;
    struct transfer transfer = {.job = job, .slice = PART_CHUNK_LEN};
    if (job->n_parts == 0)
        return 0;
    transfer.legs = calloc(job->n_parts, sizeof *transfer.legs);
    if (!transfer.legs)
        return err_sys(err, -ENOMEM, "%zu parts", job->n_parts);
    for (size_t i = 0; i < job->n_parts; i++)
        transfer.legs[i].arrival.fd = -1;
    if (job->limiter)
        transfer.slice = limiter_slice(job->limiter, PART_CHUNK_LEN);
    pthread_mutex_init(&transfer.lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&transfer.changed, &attr);
    pthread_condattr_destroy(&attr);
    int ret = run_carriers(&transfer);
    if (ret && transfer.err.text[0] && err)
        *err = transfer.err;
    else if (ret)
        err_sys(err, ret, "%s", job->dir);
    pthread_cond_destroy(&transfer.changed);
    pthread_mutex_destroy(&transfer.lock);
    for (size_t i = 0; i < job->n_parts; i++)
        arrival_release(&transfer.legs[i].arrival);
    free(transfer.legs);
    return ret;
}
