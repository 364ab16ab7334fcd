/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "faulty_backend.h"
#include "manifest/heartbeat.h"
#include "memory_backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct node_version versions[] = {
    {.version = 43, .state = NODE_FETCHING, .done = 10, .total = 100, .since_ns = 55},
    {.version = 42, .state = NODE_SERVING, .done = 100, .total = 100},
    {.version = 41,
     .state = NODE_FAILED,
     .failures = 17,
     .reason = (char *)"part 3: \"bad\" checksum, süß"},
    {.version = 40, .state = NODE_READY},
    {.version = 39, .state = NODE_CACHED},
    {.version = 38, .state = NODE_LOADING},
};

static struct node_table tables[] = {
    {.name = "ads",
     .serving = 42,
     .local_pin = 42,
     .switched_ns = 77,
     .versions = versions,
     .n_versions = 6},
    {.name = "user"},
};

static struct heartbeat full_heartbeat(void)
{
    return (struct heartbeat){
        .node = "Host-1.example",
        .labels = {(char *)"canary", (char *)"EU"},
        .n_labels = 2,
        .host = "rack-7-süd",
        .fkvd = "0.1.0",
        .instance = "0123456789abcdef0123456789abcdef",
        .clock_ahead_ns = -3500000000,
        .poll_ns = 250000000,
        .cache_used = 1 << 20,
        .cache_limit = UINT64_MAX,
        .time_ns = 1700000000000000000,
        .started_ns = 1600000000000000000,
        .pid = 4711,
        .seq = 99,
        .memory_used = 1 << 30,
        .memory_budget = UINT64_MAX,
        .tables = tables,
        .n_tables = 2,
    };
}

static void heartbeat__round_trips(void **state)
{
    struct heartbeat in = full_heartbeat();
    struct heartbeat out = {0};
    struct buf text = {0};
    struct err err = {0};
    assert_int_equal(heartbeat_encode(&in, &text, &err), 0);
    assert_int_equal(heartbeat_decode(text.data, text.len, "h", &out, &err), 0);
    assert_string_equal(out.node, in.node);
    assert_int_equal(out.n_labels, 2);
    assert_string_equal(out.labels[0], "canary");
    assert_string_equal(out.labels[1], "EU");
    assert_int_equal(out.time_ns, in.time_ns);
    assert_int_equal(out.started_ns, in.started_ns);
    assert_int_equal(out.pid, 4711);
    assert_int_equal(out.seq, 99);
    assert_int_equal(out.memory_used, 1 << 30);
    assert_int_equal(out.memory_budget, INT64_MAX);
    assert_string_equal(out.host, in.host);
    assert_string_equal(out.fkvd, in.fkvd);
    assert_string_equal(out.instance, in.instance);
    assert_int_equal(out.clock_ahead_ns, -3500000000);
    assert_int_equal(out.poll_ns, 250000000);
    assert_int_equal(out.cache_used, 1 << 20);
    assert_int_equal(out.cache_limit, INT64_MAX);
    assert_int_equal(out.n_tables, 2);
    const struct node_table *ads = heartbeat_find_table(&out, "ads");
    assert_int_equal(ads->serving, 42);
    assert_int_equal(ads->local_pin, 42);
    assert_int_equal(ads->switched_ns, 77);
    assert_int_equal(ads->n_versions, 6);
    for (size_t i = 0; i < 6; i++) {
        const struct node_version *found = node_table_find_version(ads, versions[i].version);
        assert_int_equal(found->state, versions[i].state);
        assert_int_equal(found->done, versions[i].done);
        assert_int_equal(found->total, versions[i].total);
        assert_int_equal(found->failures, versions[i].failures);
        assert_int_equal(found->since_ns, versions[i].since_ns);
        assert_int_equal(found->reason != NULL, versions[i].reason != NULL);
    }
    assert_string_equal(node_table_find_version(ads, 41)->reason, versions[2].reason);
    assert_null(node_table_find_version(ads, 1));
    assert_null(heartbeat_find_table(&out, "ad"));
    heartbeat_release(&out);
    heartbeat_release(&out);
    heartbeat_release(NULL);
    buf_release(&text);
}

static void assert_reason(const char *reason, const char *expected)
{
    struct node_version version = {.version = 1, .state = NODE_FAILED, .reason = (char *)reason};
    struct node_table table = {.name = "t", .versions = &version, .n_versions = 1};
    struct heartbeat in = {.node = "h", .tables = &table, .n_tables = 1};
    struct heartbeat out = {0};
    struct buf text = {0};
    assert_int_equal(heartbeat_encode(&in, &text, NULL), 0);
    assert_int_equal(heartbeat_decode(text.data, text.len, "h", &out, NULL), 0);
    assert_string_equal(out.tables[0].versions[0].reason, expected);
    heartbeat_release(&out);
    buf_release(&text);
}

static void heartbeat__takes_any_reason(void **state)
{
    char long_reason[HEARTBEAT_REASON_MAX + 100];
    char cut[HEARTBEAT_REASON_MAX + 1];
    assert_reason("two\nlines\x1b[0m", "two lines [0m");
    assert_reason("bytes \xff\xfe", "bytes ??");
    assert_reason("", "");
    memset(long_reason, 'x', sizeof long_reason);
    long_reason[sizeof long_reason - 1] = '\0';
    memset(cut, 'x', sizeof cut);
    cut[sizeof cut - 1] = '\0';
    assert_reason(long_reason, cut);
    /* Cut within a character: still text. */
    memcpy(long_reason + HEARTBEAT_REASON_MAX - 1, "ü", 2);
    cut[sizeof cut - 2] = '?';
    assert_reason(long_reason, cut);
}

static void heartbeat__takes_any_host_name(void **state)
{
    struct heartbeat in = {.node = "h", .host = "a\tb\xff", .fkvd = "1\x7f"};
    struct heartbeat out = {0};
    struct buf text = {0};
    assert_int_equal(heartbeat_encode(&in, &text, NULL), 0);
    assert_int_equal(heartbeat_decode(text.data, text.len, "h", &out, NULL), 0);
    assert_string_equal(out.host, "a b?");
    assert_string_equal(out.fkvd, "1 ");
    assert_string_equal(out.instance, "");
    heartbeat_release(&out);
    buf_release(&text);
}

static void heartbeat__encode_refuses_bad_names(void **state)
{
    struct buf text = {0};
    struct heartbeat heartbeat = {.node = "h", .instance = "0123"};
    assert_int_equal(heartbeat_encode(&heartbeat, &text, NULL), -EINVAL);
    heartbeat = (struct heartbeat){.node = "../h"};
    struct node_table table = {.name = "No"};
    struct node_version version = {.version = 1, .state = (enum node_version_state)99};
    assert_int_equal(heartbeat_encode(&heartbeat, &text, NULL), -EINVAL);
    heartbeat = (struct heartbeat){.node = "h", .labels = {(char *)"a b"}, .n_labels = 1};
    assert_int_equal(heartbeat_encode(&heartbeat, &text, NULL), -EINVAL);
    heartbeat = (struct heartbeat){.node = "h", .n_labels = HEARTBEAT_LABELS_MAX + 1};
    assert_int_equal(heartbeat_encode(&heartbeat, &text, NULL), -EINVAL);
    heartbeat = (struct heartbeat){.node = "h", .tables = &table, .n_tables = 1};
    assert_int_equal(heartbeat_encode(&heartbeat, &text, NULL), -EINVAL);
    strcpy(table.name, "t");
    table.versions = &version;
    table.n_versions = 1;
    assert_int_equal(heartbeat_encode(&heartbeat, &text, NULL), -EINVAL);
    assert_int_equal(text.len, 0);
    assert_null(node_version_state_name((enum node_version_state)99));
    buf_release(&text);
}

#define HEAD                                                                                       \
    "{\"format\":1,\"node\":\"h\",\"time_ns\":1,\"started_ns\":1,\"pid\":1,\"seq\":1,"             \
    "\"memory_used\":1,\"memory_budget\":1,"
#define TABLES(text) HEAD "\"labels\":[],\"tables\":[" text "]}"
#define TABLE(text)                                                                                \
    TABLES("{\"name\":\"t\",\"serving\":1,\"local_pin\":0,\"switched_ns\":1,\"versions\":[" text   \
           "]}")

static void heartbeat__each_broken_rule_is_refused(void **state)
{
    static const struct {
        const char *text;
        const char *says;
        int code; /* 0: -EBADMSG */
    } cases[] = {
        {"", "JSON", 0},
        {"[]", "JSON object", 0},
        {"{}", "\"format\"", 0},
        {"{\"format\":2}", "format 2 is newer", -ENOTSUP},
        {"{\"format\":1}", "\"node\"", 0},
        {"{\"format\":1,\"node\":\"../h\"}", "node name", 0},
        {"{\"format\":1,\"node\":\"h\"}", "\"time_ns\"", 0},
        {"{\"format\":1,\"node\":\"h\",\"time_ns\":-1}", "\"time_ns\"", 0},
        {HEAD "\"host\":1}", "\"host\"", 0},
        {HEAD "\"host\":\"\\u0007\"}", "control character", 0},
        {HEAD "\"fkvd\":[]}", "\"fkvd\"", 0},
        {HEAD "\"instance\":\"0123\"}", "\"instance\": expected 32 hex digits", 0},
        {HEAD "\"instance\":7}", "\"instance\"", 0},
        {HEAD "\"ahead_ns\":1.5}", "\"ahead_ns\": expected an integer", 0},
        {HEAD "\"poll_ns\":-1}", "\"poll_ns\"", 0},
        {HEAD "\"cache_used\":-1}", "\"cache_used\"", 0},
        {HEAD "\"cache_limit\":\"1\"}", "\"cache_limit\"", 0},
        {HEAD "\"labels\":{}}", "\"labels\": expected an array", 0},
        {HEAD "\"labels\":[1]}", "\"labels\": expected names", 0},
        {HEAD "\"labels\":[\"/\"]}", "\"labels\": expected names", 0},
        {HEAD "\"labels\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}", "at most 16 entries", 0},
        {HEAD "\"labels\":[]}", "\"tables\"", 0},
        {TABLES("1"), "\"name\"", 0},
        {TABLES("{\"name\":\"T\"}"), "table name", 0},
        {TABLES("{\"name\":\"t\"}"), "\"serving\"", 0},
        {TABLES("{\"name\":\"t\",\"serving\":1,\"local_pin\":0,\"switched_ns\":1}"), "\"versions\"",
         0},
        {TABLE("1"), "\"version\"", 0},
        {TABLE("{\"version\":1,\"state\":\"dancing\"}"), "found \"dancing\"", 0},
        {TABLE("{\"version\":1,\"state\":\"ready\"}"), "\"done\"", 0},
        {TABLE("{\"version\":1,\"state\":\"failed\",\"done\":0,\"total\":0,\"failures\":-1}"),
         "\"failures\"", 0},
        {TABLE("{\"version\":1,\"state\":\"failed\",\"done\":0,\"total\":0,\"since_ns\":-1}"),
         "\"since_ns\"", 0},
        {TABLE("{\"version\":1,\"state\":\"failed\",\"done\":0,\"total\":0,\"reason\":7}"),
         "\"reason\"", 0},
        {TABLE(
             "{\"version\":1,\"state\":\"failed\",\"done\":0,\"total\":0,\"reason\":\"\\u001b\"}"),
         "control character", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct heartbeat out = {0};
        struct err err = {0};
        int ret =
            heartbeat_decode(cases[i].text, strlen(cases[i].text), "nodes/h.json", &out, &err);
        if (!strstr(err.text, cases[i].says))
            print_error("case %zu: %s\n", i, err.text);
        assert_int_equal(ret, cases[i].code ? cases[i].code : -EBADMSG);
        assert_memory_equal(err.text, "nodes/h.json: ", 14);
        assert_non_null(strstr(err.text, cases[i].says));
    }
    struct heartbeat out = {0};
    static const char newer[] =
        HEAD "\"labels\":[],\"tables\":[],\"cpu_load\":{\"x\":1}}"; /* ignored */
    assert_int_equal(heartbeat_decode(newer, sizeof newer - 1, "h", &out, NULL), 0);
    heartbeat_release(&out);
}

/* As fkvd wrote it before the fleet's members came. */
static void heartbeat__an_older_daemons_is_read(void **state)
{
    static const char older[] = TABLE("{\"version\":1,\"state\":\"ready\",\"done\":0,\"total\":0}");
    struct heartbeat out = {0};
    assert_int_equal(heartbeat_decode(older, sizeof older - 1, "h", &out, NULL), 0);
    assert_string_equal(out.host, "");
    assert_string_equal(out.instance, "");
    assert_int_equal(out.poll_ns, 0);
    assert_int_equal(out.clock_ahead_ns, 0);
    assert_int_equal(out.tables[0].versions[0].since_ns, 0);
    heartbeat_release(&out);
}

static void heartbeat__lives_thirty_seconds(void **state)
{
    const int64_t now = 1700000000000000000;
    struct heartbeat heartbeat = {.time_ns = now};
    assert_true(heartbeat_is_live(&heartbeat, now));
    assert_true(heartbeat_is_live(&heartbeat, now + HEARTBEAT_LIVE_NS - 1));
    assert_false(heartbeat_is_live(&heartbeat, now + HEARTBEAT_LIVE_NS));
    /* A clock a little ahead is live, one far ahead must not count for ever. */
    assert_true(heartbeat_is_live(&heartbeat, now - HEARTBEAT_LIVE_NS + 1));
    assert_false(heartbeat_is_live(&heartbeat, now - HEARTBEAT_LIVE_NS));
    heartbeat.time_ns = INT64_MIN;
    assert_false(heartbeat_is_live(&heartbeat, INT64_MAX));
    assert_false(heartbeat_is_live(&heartbeat, 1));
}

static void heartbeat__is_missed_for_an_hour_unless_it_stopped(void **state)
{
    const int64_t now = 1700000000000000000;
    struct heartbeat heartbeat = {.time_ns = now};
    assert_false(heartbeat_is_missed(&heartbeat, now + HEARTBEAT_LIVE_NS - 1));
    assert_true(heartbeat_is_missed(&heartbeat, now + HEARTBEAT_LIVE_NS));
    assert_true(heartbeat_is_missed(&heartbeat, now - HEARTBEAT_LIVE_NS));
    assert_true(heartbeat_is_missed(&heartbeat, now + HEARTBEAT_MISSED_NS - 1));
    assert_false(heartbeat_is_missed(&heartbeat, now + HEARTBEAT_MISSED_NS));
    assert_false(heartbeat_is_missed(&heartbeat, INT64_MIN));
    heartbeat.stopped = true;
    assert_false(heartbeat_is_live(&heartbeat, now));
    assert_false(heartbeat_is_missed(&heartbeat, now + HEARTBEAT_LIVE_NS));
}

static void heartbeat__is_abandoned_after_thirty_days(void **state)
{
    const int64_t now = 1700000000000000000;
    struct heartbeat heartbeat = {.time_ns = now};
    assert_false(heartbeat_is_abandoned(&heartbeat, now));
    assert_false(heartbeat_is_abandoned(&heartbeat, now + HEARTBEAT_LIVE_NS));
    assert_false(heartbeat_is_abandoned(&heartbeat, now + HEARTBEAT_ABANDONED_NS - 1));
    assert_true(heartbeat_is_abandoned(&heartbeat, now + HEARTBEAT_ABANDONED_NS));
    assert_true(heartbeat_is_abandoned(&heartbeat, now - HEARTBEAT_ABANDONED_NS));
    heartbeat.time_ns = INT64_MIN;
    assert_true(heartbeat_is_abandoned(&heartbeat, INT64_MAX));
}

static void heartbeat__list_leaves_bad_ones_out_and_counts_them(void **state)
{
    struct store *store = NULL;
    struct heartbeat_list list = {0};
    struct err err = {0};
    struct heartbeat a = {.node = "a"};
    struct heartbeat b = full_heartbeat();
    strcpy(b.node, "b");
    assert_int_equal(store_open_backend(memory_backend_new(), "memory:", &store, NULL), 0);
    assert_int_equal(heartbeat_list_read(store, &list, &err), -ENOENT);
    assert_int_equal(store_mkdir(store, "nodes", NULL), 0);
    assert_int_equal(heartbeat_list_read(store, &list, NULL), 0);
    assert_int_equal(list.n_nodes, 0);
    heartbeat_list_release(&list);
    assert_int_equal(heartbeat_put(store, &b, NULL), 0);
    assert_int_equal(heartbeat_put(store, &b, NULL), 0);
    assert_int_equal(heartbeat_put(store, &a, NULL), 0);
    assert_int_equal(store_put(store, "nodes/c.json", "{", 1, NULL), 0);
    assert_int_equal(store_link(store, "nodes/a.json", "nodes/d.json", NULL), 0); /* another's */
    assert_int_equal(store_mkdir(store, "nodes/e.json", NULL), 0);
    assert_int_equal(store_put(store, "nodes/README", "x", 1, NULL), 0);
    assert_int_equal(store_put(store, "nodes/.tmp-1-0123456789abcdef", "x", 1, NULL), 0);
    assert_int_equal(heartbeat_list_read(store, &list, NULL), 0);
    assert_int_equal(list.n_nodes, 2);
    assert_string_equal(list.nodes[0].node, "a");
    assert_string_equal(list.nodes[1].node, "b");
    assert_int_equal(list.nodes[1].n_tables, 2);
    assert_int_equal(list.n_bad, 3);
    assert_true(list.bad[0] >= 'c' && list.bad[0] <= 'e' && !list.bad[1]);
    heartbeat_list_release(&list);
    heartbeat_list_release(NULL);
    store_close(store);
}

/* A node that cannot be read just now is not one less to wait for. */
static void heartbeat__list_fails_when_the_store_does(void **state)
{
    static const int codes[] = {-EIO, -ETIMEDOUT, -EAGAIN, -ESTALE, -ENOMEM, -EACCES};
    struct faulty *faulty = faulty_new(memory_backend_new(), false);
    struct store *store = NULL;
    struct heartbeat a = {.node = "a"}, b = {.node = "b"};
    assert_int_equal(store_open_backend(&faulty->backend, "faulty:", &store, NULL), 0);
    assert_int_equal(store_mkdir(store, "nodes", NULL), 0);
    assert_int_equal(heartbeat_put(store, &a, NULL), 0);
    assert_int_equal(heartbeat_put(store, &b, NULL), 0);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        unsigned n_failed = 0;
        for (unsigned nth = 1;; nth++) {
            struct heartbeat_list list = {0};
            struct err err = {0};
            faulty_arm(faulty, nth, FAULTY_FAIL, codes[i]);
            int ret = heartbeat_list_read(store, &list, &err);
            faulty_disarm(faulty);
            n_failed += ret != 0;
            assert_true(ret == 0 || ret == codes[i]);
            assert_true(ret == 0 || (err.text[0] && !list.nodes));
            assert_int_equal(list.n_nodes, ret ? 0 : 2);
            assert_int_equal(list.n_bad, 0);
            heartbeat_list_release(&list);
            if (!ret)
                break;
        }
        /* The listing, and each of the two; a stale handle is opened anew. */
        assert_true(n_failed >= (codes[i] == -ESTALE ? 1 : 3));
    }
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heartbeat__round_trips),
        cmocka_unit_test(heartbeat__takes_any_reason),
        cmocka_unit_test(heartbeat__takes_any_host_name),
        cmocka_unit_test(heartbeat__encode_refuses_bad_names),
        cmocka_unit_test(heartbeat__each_broken_rule_is_refused),
        cmocka_unit_test(heartbeat__an_older_daemons_is_read),
        cmocka_unit_test(heartbeat__lives_thirty_seconds),
        cmocka_unit_test(heartbeat__is_missed_for_an_hour_unless_it_stopped),
        cmocka_unit_test(heartbeat__is_abandoned_after_thirty_days),
        cmocka_unit_test(heartbeat__list_leaves_bad_ones_out_and_counts_them),
        cmocka_unit_test(heartbeat__list_fails_when_the_store_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
