/* SPDX-License-Identifier: Apache-2.0 */
/* The disk cache and its state. */
#include "unit.h"

#include "fetch_fixture.h"
#include "node/cache_state.h"

#include <errno.h>
#include <sys/stat.h>

enum { TAIL = 8192, PART_LEN = 2 * PART_CHUNK_LEN + TAIL };

static int setup(void **state)
{
    static const uint64_t lens[] = {PART_LEN, TAIL};
    *state = fetching_new(lens, 2, false);
    return 0;
}

static int teardown(void **state)
{
    fetching_release(*state);
    return 0;
}

static void cache__has_one_owner(void **state)
{
    struct fetching *fetching = *state;
    struct cache *second = NULL;
    struct err err = {0};
    assert_int_equal(cache_open(cache_dir(fetching->cache), &second, &err), -EBUSY);
    assert_non_null(strstr(err.text, "in use by another fkvd"));
    assert_null(second);
}

static void cache__unusable_directory_is_named(void **state)
{
    struct fetching *fetching = *state;
    struct cache *cache = NULL;
    struct err err = {0};
    char path[TEMP_DIR_MAX + 16];
    snprintf(path, sizeof path, "%s/a/file", fetching->dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(cache_open(path, &cache, &err), -ENOTDIR);
    assert_non_null(strstr(err.text, path));
    assert_null(cache);
}

static bool keep_second(void *context, const struct digest *digest)
{
    const struct fetching *fetching = context;
    return digest_equal(digest, &fetching->desc.parts[1].digest);
}

static void cache__sweeps_what_is_not_kept(void **state)
{
    struct fetching *fetching = *state;
    char path[512];
    assert_int_equal(fetching_run(fetching, NULL), 0);
    snprintf(path, sizeof path, "%s/a/cache/parts/stray", fetching->dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(cache_parts_sweep(fetching->cache, keep_second, fetching, NULL), 0);
    assert_false(cache_part_is_there(fetching->cache, &fetching->desc.parts[0].digest, PART_LEN));
    assert_true(cache_part_is_there(fetching->cache, &fetching->desc.parts[1].digest, TAIL));
    assert_int_not_equal(access(path, F_OK), 0);
}

static void cache__old_temporary_files_go_at_the_start(void **state)
{
    struct fetching *fetching = *state;
    char path[512];
    snprintf(path, sizeof path, "%s/a/cache/.tmp-1234-0123456789abcdef", fetching->dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    cache_close(fetching->cache);
    fetching_open_cache(fetching);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void cache_state__round_trips(void **state)
{
    struct cached_version versions[2] = {{.id = 4}, {.id = 5}};
    struct cached_table tables[1] = {{.name = "ads",
                                      .serving = 5,
                                      .previous = 4,
                                      .local_pin = 5,
                                      .pin_seq = 77,
                                      .pin_ns = 78,
                                      .switched_ns = 123456789,
                                      .versions = versions,
                                      .n_versions = 2}};
    struct cache_state in = {
        .store_id = "abc", .seq = 80, .contact_ns = 99, .tables = tables, .n_tables = 1};
    struct cache_state out = {0};
    struct buf json = {0};
    digest_of("x", 1, &versions[1].digest);
    assert_int_equal(cache_state_encode(&in, &json), 0);
    assert_int_equal(cache_state_decode(json.data, json.len, "s", &out, NULL), 0);
    assert_string_equal(out.store_id, "abc");
    assert_int_equal(out.seq, 80);
    assert_int_equal(out.contact_ns, 99);
    assert_int_equal(out.n_tables, 1);
    assert_string_equal(out.tables[0].name, "ads");
    assert_int_equal(out.tables[0].local_pin, 5);
    assert_int_equal(out.tables[0].pin_seq, 77);
    assert_int_equal(out.tables[0].pin_ns, 78);
    assert_int_equal(out.tables[0].n_versions, 2);
    assert_true(digest_equal(&out.tables[0].versions[1].digest, &versions[1].digest));
    cache_state_release(&out);
    /* Cut anywhere it is refused, and nothing leaks. */
    for (size_t len = 0; len + 2 < json.len; len++)
        assert_int_equal(cache_state_decode(json.data, len, "s", &out, NULL), -EBADMSG);
    buf_release(&json);
}

static void cache_state__forged_ones_are_refused(void **state)
{
    static const struct {
        const char *text;
        int code;
    } forged[] = {
        {"{\"format\":2}", -ENOTSUP},
        {"{\"format\":1}", -EBADMSG},
        {"{\"format\":1,\"store_id\":\"\",\"seq\":-1,\"contact_ns\":0,\"tables\":[]}", -EBADMSG},
        {"{\"format\":1,\"store_id\":\"\",\"seq\":1,\"contact_ns\":0,\"tables\":[7]}", -EBADMSG},
        {"{\"format\":1,\"store_id\":\"\",\"seq\":1,\"contact_ns\":0,\"tables\":[{\"name\":\"../"
         "x\","
         "\"serving\":1,\"previous\":0,\"local_pin\":0,\"pin_seq\":0,\"switched_ns\":0,"
         "\"versions\":[]}]}",
         -EBADMSG},
        {"{\"format\":1,\"store_id\":\"\",\"seq\":1,\"contact_ns\":0,\"tables\":[{\"name\":\"x\","
         "\"serving\":1,\"previous\":0,\"local_pin\":0,\"pin_seq\":0,\"switched_ns\":0,"
         "\"versions\":[{\"version\":1,\"digest\":\"zz\"}]}]}",
         -EBADMSG},
    };
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        struct cache_state out = {0};
        struct err err = {0};
        assert_int_equal(
            cache_state_decode(forged[i].text, strlen(forged[i].text), "s", &out, &err),
            forged[i].code);
        assert_true(err.text[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CACHE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CACHE_TEST(cache__has_one_owner),
        CACHE_TEST(cache__unusable_directory_is_named),
        CACHE_TEST(cache__sweeps_what_is_not_kept),
        CACHE_TEST(cache__old_temporary_files_go_at_the_start),
        cmocka_unit_test(cache_state__round_trips),
        cmocka_unit_test(cache_state__forged_ones_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
