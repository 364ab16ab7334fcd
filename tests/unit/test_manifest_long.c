/* SPDX-License-Identifier: Apache-2.0 */
/* Logs of many records: opening them costs little, finds the end, and does not take a gap for it. And the store's time. */
#include "unit.h"

#include "log_fixture.h"
#include "manifest/log_name.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define SECOND_NS 1000000000LL

static int setup(void **state)
{
    struct log_fixture *f = calloc(1, sizeof *f);
    log_fixture_open(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    log_fixture_close(*state);
    free(*state);
    return 0;
}

/* A version, and then a tag that is set again and again: a log that grows and a state that does not. */
static int build_small(void *context, const struct state *state, struct op_list *ops,
                       struct err *err)
{
    static struct op op;
    op = (struct op){.kind = state->seq ? OP_TAG : OP_PUBLISH, .table = "ads", .version = 1};
    if (state->seq)
        strcpy(op.name, "stable");
    *ops = (struct op_list){&op, 1};
    return 0;
}

static void extend(struct log_fixture *f, uint64_t to)
{
    struct manifest *manifest = must_open(f->plain);
    while (manifest_state(manifest)->seq < to)
        assert_int_equal(manifest_append(manifest, "", build_small, NULL, NULL, NULL), 0);
    manifest_close(manifest);
}

static void remove_record(struct log_fixture *f, uint64_t seq, struct buf *text)
{
    char path[LOG_NAME_MAX];
    log_record_path(seq, path);
    assert_int_equal(store_get(f->plain, path, 1 << 20, text, NULL), 0);
    assert_int_equal(store_remove(f->plain, path, NULL), 0);
}

static void restore_record(struct log_fixture *f, uint64_t seq, struct buf *text)
{
    char path[LOG_NAME_MAX];
    log_record_path(seq, path);
    assert_int_equal(store_put_new(f->plain, path, text->data, text->len, NULL), 0);
    buf_release(text);
}

static bool listed;

static void note_list(void *context, const char *op, const char *path)
{
    listed = listed || strcmp(op, "list") == 0;
}

/* The number of records that an open found, and whether it had to list the log. */
static uint64_t open_seq(struct log_fixture *f, bool *was_listed)
{
    listed = false;
    f->faulty->before = note_list;
    struct manifest *manifest = must_open(f->store);
    uint64_t seq = manifest_state(manifest)->seq;
    manifest_close(manifest);
    f->faulty->before = NULL;
    *was_listed = listed;
    return seq;
}

static void open__finds_the_end_of_a_log_of_any_length(void **state)
{
    static const uint64_t ends[] = {999,  1000, 1001, 1099, 1100, 1101,
                                    1199, 1200, 1999, 2000, 2001, 2205};
    struct log_fixture *f = *state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        bool was_listed = false;
        extend(f, ends[i]);
        assert_int_equal(open_seq(f, &was_listed), ends[i]);
        assert_int_equal(was_listed, ends[i] < 1000);
    }
}

static void open__of_a_long_log_asks_little(void **state)
{
    struct log_fixture *f = *state;
    extend(f, 2201);
    f->faulty->n_calls = 0;
    manifest_close(must_open(f->store));
    /* store.json 3, the search 9, a snapshot 3, a record 3, the end 1 + 7 + 4 */
    assert_in_range(f->faulty->n_calls, 10, 35);
}

static void open__does_without_the_newest_snapshots(void **state)
{
    struct log_fixture *f = *state;
    bool was_listed = false;
    extend(f, 1250);
    assert_int_equal(store_put(f->plain, "log/snapshot-0000001200.json", "{", 1, NULL), 0);
    assert_int_equal(open_seq(f, &was_listed), 1250);
    assert_false(was_listed);
    assert_int_equal(store_remove(f->plain, "log/snapshot-0000001200.json", NULL), 0);
    assert_int_equal(open_seq(f, &was_listed), 1250);
    assert_false(was_listed);
    assert_int_equal(store_remove(f->plain, "log/snapshot-0000001100.json", NULL), 0);
    assert_int_equal(open_seq(f, &was_listed), 1250);
    assert_true(was_listed);
}

/* Opens a log in which records are missing: either it says so, or a snapshot holds them and the end is right. */
static void assert_noticed(struct log_fixture *f, uint64_t from, uint64_t to, uint64_t end)
{
    struct manifest *manifest = NULL;
    struct err err = {0};
    int ret = manifest_open(f->plain, &manifest, &err);
    if (ret == 0) {
        if (manifest_state(manifest)->seq != end)
            print_error("without %llu to %llu\n", (unsigned long long)from, (unsigned long long)to);
        assert_int_equal(manifest_state(manifest)->seq, end);
        assert_true(to <= manifest->snapshot_seq);
        manifest_close(manifest);
        return;
    }
    /* The first one that is missing after the snapshot that was read. */
    const char *word = strstr(err.text, "record ");
    uint64_t missing = word ? strtoull(word + strlen("record "), NULL, 10) : 0;
    if (missing < from || missing > to)
        print_error("without %llu to %llu: %s\n", (unsigned long long)from, (unsigned long long)to,
                    err.text);
    assert_int_equal(ret, -EBADMSG);
    assert_in_range(missing, from, to);
    assert_non_null(strstr(word, " is missing, though there is a record"));
}

static void gap__of_one_record_is_noticed_wherever_it_is(void **state)
{
    struct log_fixture *f = *state;
    enum { END = 1230 };
    extend(f, END);
    for (uint64_t seq = 1; seq < END; seq += seq < 1190 ? 13 : 1) {
        struct buf text = {0};
        remove_record(f, seq, &text);
        assert_noticed(f, seq, seq, END);
        restore_record(f, seq, &text);
    }
}

static void gap__of_many_records_is_noticed(void **state)
{
    struct log_fixture *f = *state;
    static const uint64_t lens[] = {2, 60, 101, 230};
    enum { END = 1650 };
    extend(f, END);
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        for (uint64_t from = 900; from + lens[i] < END; from += 67) {
            static struct buf texts[256];
            for (uint64_t j = 0; j < lens[i]; j++)
                remove_record(f, from + j, &texts[j]);
            /* What the fold has in its snapshot does not miss the rest; beyond that it must say so. */
            assert_noticed(f, from, from + lens[i] - 1, END);
            for (uint64_t j = 0; j < lens[i]; j++)
                restore_record(f, from + j, &texts[j]);
        }
    }
}

/* Somebody who appends a record at every look of ours at the log. */
struct writer {
    struct manifest *manifest;
    unsigned n_left;
};

static void append_meanwhile(void *context, const char *op, const char *path)
{
    struct writer *writer = context;
    if (!writer->n_left)
        return;
    writer->n_left--;
    assert_int_equal(manifest_append(writer->manifest, "", build_small, NULL, NULL, NULL), 0);
}

static void open__does_not_take_records_appended_meanwhile_for_a_gap(void **state)
{
    struct log_fixture *f = *state;
    extend(f, 1090);
    for (unsigned n = 1; n < 60; n += 3) {
        struct writer writer = {must_open(f->plain), n};
        f->faulty->before = append_meanwhile;
        f->faulty->context = &writer;
        struct manifest *manifest = must_open(f->store);
        uint64_t seq = manifest_state(manifest)->seq;
        assert_int_equal(manifest_refresh(manifest, NULL, NULL), 0);
        assert_in_range(manifest_state(manifest)->seq, seq, manifest_state(writer.manifest)->seq);
        f->faulty->before = NULL;
        manifest_close(manifest);
        manifest_close(writer.manifest);
    }
}

static void open__of_a_long_log_reports_each_failing_call(void **state)
{
    struct log_fixture *f = *state;
    extend(f, 1103);
    bool was_hit = true;
    unsigned nth = 1;
    for (; was_hit; nth++) {
        struct manifest *manifest = NULL;
        struct err err = {0};
        faulty_arm(f->faulty, nth, FAULTY_FAIL, -EIO);
        int ret = manifest_open(f->store, &manifest, &err);
        was_hit = f->faulty->was_hit;
        faulty_disarm(f->faulty);
        /* A snapshot that cannot be read is stepped over. */
        assert_true(ret == 0 || (ret == -EIO && err.text[0]));
        if (!ret)
            assert_int_equal(manifest_state(manifest)->seq, 1103);
        manifest_close(manifest);
    }
    assert_true(nth > 20);
}

/* A store whose clock is an hour ahead of ours. */
static const struct backend_ops *true_ops;

static int stat_ahead(struct backend *backend, const char *path, struct store_stat *out,
                      struct err *err)
{
    int ret = true_ops->stat(backend, path, out, err);
    if (!ret)
        out->mtime.tv_sec += 3600;
    return ret;
}

static int64_t here_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void assert_hour_ahead(int64_t time_ns, bool is_ahead)
{
    int64_t ahead_ns = time_ns - here_ns() - (is_ahead ? 3600 * SECOND_NS : 0);
    assert_true(ahead_ns > -10 * SECOND_NS && ahead_ns < 10 * SECOND_NS);
}

static void time__is_the_stores(void **state)
{
    struct log_fixture *f = *state;
    struct backend_ops ops = *f->memory->ops;
    struct record record = {0};
    true_ops = f->memory->ops;
    ops.stat = stat_ahead;
    f->memory->ops = &ops;
    struct manifest *manifest = must_open(f->store);
    assert_int_equal(must_append(manifest, "ads"), 1);
    assert_int_equal(manifest_read_record(manifest, 1, &record, NULL), 0);
    assert_hour_ahead(record.time_ns, true);
    record_release(&record);
    /* It was asked; now it need not be. */
    f->faulty->n_calls = 0;
    assert_hour_ahead(manifest_now_ns(manifest), true);
    assert_int_equal(f->faulty->n_calls, 0);
    /* Later it is asked again; one that is away leaves what it said last. */
    manifest->clock_until_ns = 1;
    faulty_arm(f->faulty, 1, FAULTY_DIE, -EIO);
    assert_hour_ahead(manifest_now_ns(manifest), true);
    assert_true(f->faulty->was_hit);
    faulty_disarm(f->faulty);
    manifest_close(manifest);
    f->memory->ops = true_ops;
}

static void time__is_our_own_when_the_store_cannot_be_asked(void **state)
{
    struct log_fixture *f = *state;
    struct backend_ops ops = *f->memory->ops;
    true_ops = f->memory->ops;
    ops.stat = stat_ahead;
    struct manifest *manifest = must_open(f->store);
    f->memory->ops = &ops;
    faulty_arm(f->faulty, 1, FAULTY_DIE, -EROFS);
    assert_hour_ahead(manifest_now_ns(manifest), false);
    faulty_disarm(f->faulty);
    /* Not asked again for every look at the clock, but for one who needs to know. */
    assert_hour_ahead(manifest_now_ns(manifest), false);
    int64_t now_ns = 0;
    faulty_arm(f->faulty, 1, FAULTY_DIE, -EROFS);
    assert_int_equal(manifest_read_clock(manifest, &now_ns, NULL), -EROFS);
    assert_hour_ahead(now_ns, false);
    faulty_disarm(f->faulty);
    assert_int_equal(manifest_read_clock(manifest, &now_ns, NULL), 0);
    assert_hour_ahead(now_ns, true);
    assert_int_equal(manifest_clock_set_ns(manifest), 0);
    assert_true(manifest_write_cost_ns(manifest) > 0);
    /* The server's clock is mended meanwhile. */
    f->memory->ops = true_ops;
    manifest_doubt_clock(manifest);
    assert_hour_ahead(manifest_now_ns(manifest), false);
    assert_hour_ahead(manifest_clock_set_ns(manifest), false);
    manifest_close(manifest);
    f->memory->ops = true_ops;
}

#define IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_MEMORY(open__finds_the_end_of_a_log_of_any_length),
        IN_MEMORY(open__of_a_long_log_asks_little),
        IN_MEMORY(open__does_without_the_newest_snapshots),
        IN_MEMORY(gap__of_one_record_is_noticed_wherever_it_is),
        IN_MEMORY(gap__of_many_records_is_noticed),
        IN_MEMORY(open__does_not_take_records_appended_meanwhile_for_a_gap),
        IN_MEMORY(open__of_a_long_log_reports_each_failing_call),
        IN_MEMORY(time__is_the_stores),
        IN_MEMORY(time__is_our_own_when_the_store_cannot_be_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
