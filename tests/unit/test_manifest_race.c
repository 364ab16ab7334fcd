/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two publishers and somebody who rolls back, all at once, over a store that loses replies and fails: what each was told is held
 * against the log.
 */
#include "unit.h"

#include "log_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

enum { N_WRITERS = 3, N_ROUNDS = 1000, N_TURNS = (N_ROUNDS + N_WRITERS - 1) / N_WRITERS };

/* What one append was told. */
struct told {
    int ret;
    uint64_t seq;
};

struct writer {
    struct backend *memory;
    const char *name;
    bool is_rolling_back;
    bool is_faulty;
    uint64_t seed;
    struct told told[N_TURNS];
    char trouble[ERR_TEXT_MAX]; /* "": none */
    struct op ops[2];
    unsigned n_built;
};

static uint32_t random_below(struct writer *writer, uint32_t n)
{
    writer->seed = writer->seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(writer->seed >> 33) % n;
}

/* A new version, current at once; or back from the current one. Each is true of the state it is made from only. */
static int build(void *context, const struct state *state, struct op_list *ops, struct err *err)
{
    struct writer *writer = context;
    const struct table_state *ads = state_find_table(state, "ads");
    writer->n_built++;
    if (writer->is_rolling_back) {
        if (!ads || !ads->previous)
            return err_set(err, -EALREADY, "nothing to go back to");
        writer->ops[0] = (struct op){
            .kind = OP_ROLLBACK, .table = "ads", .from = ads->current, .version = ads->previous};
        *ops = (struct op_list){writer->ops, 1};
        return 0;
    }
    uint64_t version = last_version(state, "ads") + 1;
    writer->ops[0] = (struct op){.kind = OP_PUBLISH, .table = "ads", .version = version};
    writer->ops[1] = (struct op){.kind = OP_ACTIVATE, .table = "ads", .version = version};
    *ops = (struct op_list){writer->ops, 2};
    return 0;
}

/* One call of the next append fails, or is done and its reply lost. */
static void arm(struct writer *writer, struct faulty *faulty)
{
    static const struct {
        enum faulty_mode mode;
        int code;
    } faults[] = {
        {FAULTY_LOSE, -EIO}, {FAULTY_LOSE, -EEXIST}, {FAULTY_LOSE, -ETIMEDOUT},
        {FAULTY_FAIL, -EIO}, {FAULTY_FAIL, -ENOSPC}, {FAULTY_FAIL, -ETIMEDOUT},
    };
    uint32_t which = random_below(writer, sizeof faults / sizeof *faults);
    faulty_arm(faulty, 1 + random_below(writer, 12), faults[which].mode, faults[which].code);
}

/* Between looking at the log and adding to it is where another should come in. */
static void let_others_in(void *context, const char *op, const char *path)
{
    if (strcmp(op, "link") == 0)
        sched_yield();
}

static void take_turns(struct writer *writer, struct manifest *manifest, struct faulty *faulty)
{
    for (unsigned i = 0; i < N_TURNS; i++) {
        struct told *told = &writer->told[i];
        char reason[64];
        struct err err = {0};
        snprintf(reason, sizeof reason, "%s %u", writer->name, i);
        if (writer->is_faulty)
            arm(writer, faulty);
        for (int tries = 0; tries == 0 || (told->ret == -EALREADY && tries < 1000); tries++) {
            sched_yield();
            told->ret = manifest_append(manifest, reason, build, writer, &told->seq, &err);
        }
        bool was_hit = faulty->was_hit;
        faulty_disarm(faulty);
        if (told->ret && told->ret != -EALREADY && !was_hit) {
            memcpy(writer->trouble, err.text, sizeof writer->trouble);
            return;
        }
    }
}

static void *run(void *context)
{
    struct writer *writer = context;
    struct faulty *faulty = faulty_new(writer->memory, true);
    struct store *store = NULL;
    struct manifest *manifest = NULL;
    struct err err = {0};
    faulty->before = let_others_in;
    int ret = store_open_backend(&faulty->backend, writer->name, &store, &err);
    if (!ret)
        ret = manifest_open(store, &manifest, &err);
    if (ret)
        memcpy(writer->trouble, err.text, sizeof writer->trouble);
    else
        take_turns(writer, manifest, faulty);
    manifest_close(manifest);
    store_close(store);
    return NULL;
}

/* Which writer's which turn a record is of. */
static struct told *teller(struct writer *writers, const struct record *record)
{
    for (size_t i = 0; i < N_WRITERS; i++) {
        size_t len = strlen(writers[i].name);
        if (strncmp(record->reason, writers[i].name, len) == 0 && record->reason[len] == ' ')
            return &writers[i].told[strtoull(record->reason + len, NULL, 10)];
    }
    return NULL;
}

/* Every record is of one turn that was told so, and every turn that was told so has its record. */
static void check_log(struct log_fixture *f, struct writer *writers)
{
    struct manifest *manifest = must_open(f->plain);
    struct state state = {0};
    uint64_t n_published = 0;
    uint64_t n_rolled_back = 0;
    uint64_t n_records = 0;
    unsigned n_built = 0;
    for (uint64_t seq = 1; seq <= manifest_state(manifest)->seq; seq++) {
        struct record record = {0};
        struct err err = {0};
        assert_int_equal(manifest_read_record(manifest, seq, &record, &err), 0);
        struct told *told = teller(writers, &record);
        assert_non_null(told);
        assert_int_equal(told->ret, 0);
        assert_int_equal(told->seq, seq); /* so no turn has two records */
        n_published += record.ops[0].kind == OP_PUBLISH;
        n_rolled_back += record.ops[0].kind == OP_ROLLBACK;
        assert_int_equal(state_apply(&state, &record, &err), 0);
        record_release(&record);
    }
    for (size_t i = 0; i < N_WRITERS; i++) {
        for (size_t j = 0; j < N_TURNS; j++)
            n_records += writers[i].told[j].ret == 0;
        n_built += writers[i].n_built;
    }
    assert_true(n_rolled_back > N_TURNS / 4);
    assert_true(n_built > n_records); /* they did get in each other's way */
    assert_int_equal(n_records, manifest_state(manifest)->seq);
    assert_int_equal(state_find_table(&state, "ads")->n_versions, n_published);
    /* What a newcomer reads, from a snapshot or not, is what the records say. */
    struct buf folded = {0};
    struct buf opened = {0};
    assert_int_equal(state_encode(&state, &folded, NULL), 0);
    assert_int_equal(state_encode(manifest_state(manifest), &opened, NULL), 0);
    assert_int_equal(folded.len, opened.len);
    assert_memory_equal(folded.data, opened.data, folded.len);
    buf_release(&folded);
    buf_release(&opened);
    state_release(&state);
    manifest_close(manifest);
}

static void check_leftovers(struct log_fixture *f)
{
    struct store_list list = {0};
    assert_int_equal(store_list(f->plain, "log", &list, NULL), 0);
    for (size_t i = 0; i < list.n_names; i++)
        assert_false(store_is_temporary(list.names[i]));
    store_list_release(&list);
}

static void race(bool is_faulty)
{
    static const char *const names[N_WRITERS] = {"ann", "bob", "eve"};
    static struct writer writers[N_WRITERS];
    struct log_fixture f;
    pthread_t threads[N_WRITERS];
    log_fixture_open(&f);
    for (size_t i = 0; i < N_WRITERS; i++) {
        writers[i] = (struct writer){.memory = f.memory,
                                     .name = names[i],
                                     .is_rolling_back = i == 2,
                                     .is_faulty = is_faulty,
                                     .seed = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, run, &writers[i]), 0);
    }
    for (size_t i = 0; i < N_WRITERS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < N_WRITERS; i++)
        assert_string_equal(writers[i].trouble, "");
    check_log(&f, writers);
    if (!is_faulty)
        check_leftovers(&f);
    log_fixture_close(&f);
}

static void race__loses_and_doubles_nothing(void **state)
{
    race(false);
}

static void race__loses_and_doubles_nothing_over_a_store_that_loses_replies(void **state)
{
    race(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(race__loses_and_doubles_nothing),
        cmocka_unit_test(race__loses_and_doubles_nothing_over_a_store_that_loses_replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
