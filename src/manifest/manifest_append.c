/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appending by put-if-absent.
 *
 *   fold to the end -> build -> check -> put_new(log/<next>) --ok--------> apply, maybe snapshot
 *        ^                                     |
 *        |                                     +--any failure--> fold to the end, looking for our nonce
 *        |                                                          found:     it was ours after all
 *        +------------------------- EEXIST, not found --------------+
 *                                                    other, not found: that failure
 *
 * The nonce stays the same over all tries of one append, so a record whose reply was lost is recognised whatever the
 * store said, and is never appended twice.
 */
#include "manifest/manifest_impl.h"

#include "manifest/author.h"
#include "manifest/log_name.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define EFFECTIVE_AHEAD_MAX_NS (3600 * 1000000000LL)

/* So many snapshots before a new one are looked for, to remove all but the newest. */
enum { SNAPSHOTS_SOUGHT = 10 };

struct append {
    struct manifest *manifest;
    manifest_build_fn build;
    void *context;
    struct record record; /* its texts are borrowed */
    struct buf text;
};

/* Up to 2 ms, so that two writers in step fall out of it. */
static void back_off(void)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        random = 1 << 20;
    struct timespec pause = {.tv_nsec = random % 2000000};
    nanosleep(&pause, NULL);
}

static void clean_reason(const char *reason, char out[RECORD_TEXT_MAX + 2])
{
    /* One byte beyond the limit is kept, so that the check says that it is too long. */
    size_t len = strnlen(reason, RECORD_TEXT_MAX + 1);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)reason[i];
        out[i] = c < 0x20 || c == 0x7F ? ' ' : reason[i];
    }
    out[len] = '\0';
}

/* A bad record in the log would stop every reader for good, so ours is read before it is written. */
static int read_back(const struct append *append, struct err *err)
{
    struct record record = {0};
    int ret =
        record_decode(append->text.data, append->text.len, "the record to append", &record, err);
    record_release(&record);
    return ret;
}

/* Nobody means a switch that is far away: whoever's clock said so was wrong, and all would wait for it. */
static int check_instants(const struct record *record, struct err *err)
{
    for (size_t i = 0; i < record->n_ops; i++)
        if (record->ops[i].effective_ns > record->time_ns &&
            record->ops[i].effective_ns - record->time_ns > EFFECTIVE_AHEAD_MAX_NS)
            return err_set(
                err, -EINVAL,
                "a switch that takes effect in more than an hour (%lld s) is refused: "
                "is a clock wrong?",
                (long long)((record->ops[i].effective_ns - record->time_ns) / 1000000000));
    return 0;
}

/* Makes the record from the newest state and checks it. */
static int prepare(struct append *append, struct err *err)
{
    const struct state *state = &append->manifest->state;
    struct op_list list = {0};
    int ret = append->build(append->context, state, &list, err);
    if (ret)
        return ret;
    append->record.seq = state->seq + 1;
    append->record.time_ns = manifest_now_ns(append->manifest);
    append->record.ops = list.ops;
    append->record.n_ops = list.n_ops;
    ret = check_instants(&append->record, err);
    if (ret)
        return ret;
    buf_clear(&append->text);
    ret = record_encode(&append->record, &append->text, err);
    if (!ret)
        ret = read_back(append, err);
    return ret ? ret : state_check(state, &append->record, err);
}

/* Leaves the one written just now and the one before it, should the new one turn out bad. */
static void remove_old_snapshots(struct manifest *manifest, uint64_t newest)
{
    uint64_t oldest = newest > SNAPSHOTS_SOUGHT * SNAPSHOT_EVERY
                          ? newest - SNAPSHOTS_SOUGHT * SNAPSHOT_EVERY
                          : SNAPSHOT_EVERY;
    bool has_second = false;
    for (uint64_t seq = newest - SNAPSHOT_EVERY; seq >= oldest; seq -= SNAPSHOT_EVERY) {
        char path[LOG_NAME_MAX];
        struct store_stat st;
        log_snapshot_path(seq, path);
        if (store_stat(manifest->store, path, &st, NULL))
            continue;
        if (has_second && store_remove(manifest->store, path, NULL))
            return;
        has_second = true;
    }
}

/*
 * At a multiple of SNAPSHOT_EVERY, where those who open the manifest look for it. Only speeds that up, so a failure is no
 * error.
 */
static void snapshot(struct manifest *manifest)
{
    uint64_t seq = manifest->state.seq;
    char path[LOG_NAME_MAX];
    struct buf text = {0};
    if (seq == 0 || seq % SNAPSHOT_EVERY != 0)
        return;
    log_snapshot_path(seq, path);
    if (state_encode(&manifest->state, &text, NULL) == 0 && text.len <= STATE_JSON_MAX &&
        store_put(manifest->store, path, text.data, text.len, NULL) == 0)
        remove_old_snapshots(manifest, seq);
    buf_release(&text);
}

/*
 * After a put that failed: 1 when the record is there all the same, 0 when another try makes sense, or the error
 * that ends the append.
 */
static int look_again(struct append *append, int put_ret, struct err *err)
{
    uint64_t own = 0;
    struct err local = {0};
    int ret = manifest_fold(append->manifest, append->record.nonce, &own, NULL, &local);
    if (own) {
        append->record.seq = own;
        return 1;
    }
    if (!ret)
        return put_ret == -EEXIST ? 0 : put_ret;
    /* Also when the number was taken: it may be us who took it. */
    if (put_ret == -EEXIST)
        err_set(err, ret, "%s", err_text(&local, ret));
    return err_wrap(err, put_ret == -EEXIST ? ret : put_ret,
                    "appending to the manifest failed, and so did reading it back "
                    "(look at `fkv log` before trying again)");
}

/* One try: 1 when appended, 0 to try again, negative to give up. */
static int try_once(struct append *append, struct err *err)
{
    struct manifest *manifest = append->manifest;
    char path[LOG_NAME_MAX];
    int ret = prepare(append, err);
    if (ret)
        return ret;
    log_record_path(append->record.seq, path);
    struct err local = {0};
    int64_t begin_ns = store_clock_now_ns(&manifest->time.clock);
    ret = store_put_new(manifest->store, path, append->text.data, append->text.len, &local);
    manifest->put_cost_ns = store_clock_now_ns(&manifest->time.clock) - begin_ns;
    if (ret) {
        ret = look_again(append, ret, &local);
        if (ret < 0 && err)
            *err = local;
        return ret;
    }
    ret = state_apply(&manifest->state, &append->record, err);
    /* The record is written and was checked: only memory can be short here, and the next refresh folds it. */
    return ret && ret != -ENOMEM ? ret : 1;
}

static int append_record(struct append *append, struct err *err)
{
    int ret = manifest_refresh(append->manifest, NULL, err);
    if (ret)
        return ret;
    for (int i = 0; i < APPEND_TRIES; i++) {
        ret = try_once(append, err);
        if (ret < 0)
            return ret;
        if (ret > 0) {
            snapshot(append->manifest);
            return 0;
        }
        back_off();
    }
    return err_set(err, -EAGAIN, "appending to the manifest: others were first %d times; try again",
                   APPEND_TRIES);
}

int manifest_append(struct manifest *manifest, const char *reason, manifest_build_fn build,
                    void *context, uint64_t *seq, struct err *err)
{
    char author[AUTHOR_MAX];
    char cleaned[RECORD_TEXT_MAX + 2];
    author_current(author);
    clean_reason(reason ? reason : "", cleaned);
    struct append append = {
        .manifest = manifest,
        .build = build,
        .context = context,
        .record = {.author = author, .reason = cleaned},
    };
    int ret = manifest_random_hex(append.record.nonce, err);
    if (!ret)
        ret = append_record(&append, err);
    if (!ret && seq)
        *seq = append.record.seq;
    buf_release(&append.text);
    return ret;
}
