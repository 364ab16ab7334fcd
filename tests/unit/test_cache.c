/* SPDX-License-Identifier: Apache-2.0 */
/* The disk cache, its state, and the way of a version into it. */
#include "unit.h"

#include "faulty_backend.h"
#include "format/version.h"
#include "memory_backend.h"
#include "node/cache_state.h"
#include "node/fetch.h"
#include "temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAIL = 8192, N_CHUNKS = 3, PART_LEN = (N_CHUNKS - 1) * PART_CHUNK_LEN + TAIL };

/* A store in memory with version 1 of "ads": two parts, of three chunks and of one. Their content is no table: fetching does not care. */
struct fetching {
    char dir[TEMP_DIR_MAX];
    struct backend *memory;
    struct faulty *faulty;
    struct store *store;
    struct cache *cache;
    struct version_desc desc;
    struct digest digest;
    struct progress progress;
    _Atomic uint64_t fetched;
    _Atomic uint64_t bad;
    int stop_after; /* chunks; -1: never */
};

static int stop(void *context)
{
    struct fetching *fetching = context;
    return fetching->stop_after >= 0 && fetching->stop_after-- == 0 ? -ECANCELED : 0;
}

static void part_path(const struct fetching *fetching, size_t i, char out[256])
{
    char name[PART_FILE_NAME_MAX];
    part_file_name(&fetching->desc.parts[i], name);
    snprintf(out, 256, "tables/ads/v/1/parts/%s", name);
}

static uint8_t *content(size_t i, size_t len)
{
    uint8_t *bytes = malloc(len);
    for (size_t k = 0; k < len; k++)
        bytes[k] = (uint8_t)((k * 31 + i * 7) >> 5);
    return bytes;
}

static void put(struct fetching *fetching, const char *path, const void *data, size_t len)
{
    struct err err = {0};
    store_remove(fetching->store, path, NULL);
    int ret = store_put_new(fetching->store, path, data, len, &err);
    if (ret)
        fail_msg("%s: %s", path, err_text(&err, ret));
}

static void make_part(struct fetching *fetching, size_t i, uint64_t len)
{
    struct part_desc *part = &fetching->desc.parts[i];
    uint8_t *bytes = content(i, len);
    char path[256];
    *part = (struct part_desc){.shard = (uint32_t)i, .len = len, .n_keys = 5};
    digest_of(bytes, len, &part->digest);
    part->n_chunks = (uint32_t)((len + PART_CHUNK_LEN - 1) / PART_CHUNK_LEN);
    part->chunks = calloc(part->n_chunks, sizeof *part->chunks);
    for (uint32_t c = 0; c < part->n_chunks; c++) {
        size_t left = len - (size_t)c * PART_CHUNK_LEN;
        digest_of(bytes + (size_t)c * PART_CHUNK_LEN, left < PART_CHUNK_LEN ? left : PART_CHUNK_LEN,
                  &part->chunks[c]);
    }
    part_path(fetching, i, path);
    put(fetching, path, bytes, len);
    free(bytes);
}

static void put_json(struct fetching *fetching)
{
    struct buf json = {0};
    struct err err = {0};
    int ret = version_desc_encode(&fetching->desc, &json, &err);
    if (ret)
        fail_msg("version.json: %s", err_text(&err, ret));
    digest_of(json.data, json.len, &fetching->digest);
    put(fetching, "tables/ads/v/1/version.json", json.data, json.len);
    buf_release(&json);
}

static void open_cache(struct fetching *fetching)
{
    char dir[TEMP_DIR_MAX + 16];
    struct err err = {0};
    snprintf(dir, sizeof dir, "%s/a/cache", fetching->dir);
    int ret = cache_open(dir, &fetching->cache, &err);
    if (ret)
        fail_msg("cache_open: %s", err_text(&err, ret));
}

static int setup(void **state)
{
    struct fetching *fetching = calloc(1, sizeof *fetching);
    struct version_desc *desc = &fetching->desc;
    temp_dir_make(fetching->dir);
    fetching->stop_after = -1;
    fetching->faulty = faulty_new(memory_backend_new(), false);
    assert_int_equal(
        store_open_backend(&fetching->faulty->backend, "memory:", &fetching->store, NULL), 0);
    assert_int_equal(store_mkdir(fetching->store, "tables/ads/v/1/parts", NULL), 0);
    *desc = (struct version_desc){.version = 1, .n_levels = 1, .n_keys = 10, .n_entries = 10};
    desc->schema = (struct schema){
        .kind = KIND_MEM, .key_type = KEY_U64, .n_shards = 2, .hash_seed = 1, .mode = 0444};
    assert_int_equal(schema_set_value(&desc->schema, "bytes", NULL), 0);
    desc->task = strdup("t");
    desc->builder = strdup("b");
    desc->author = strdup("a@b");
    desc->created = strdup("2026-01-02T03:04:05Z");
    desc->source = strdup("s");
    desc->parts = calloc(2, sizeof *desc->parts);
    desc->n_parts = 2;
    make_part(fetching, 0, PART_LEN);
    make_part(fetching, 1, TAIL);
    put_json(fetching);
    open_cache(fetching);
    *state = fetching;
    return 0;
}

static int teardown(void **state)
{
    struct fetching *fetching = *state;
    cache_close(fetching->cache);
    store_close(fetching->store);
    version_desc_release(&fetching->desc);
    temp_dir_remove(fetching->dir);
    free(fetching);
    return 0;
}

static int fetch(struct fetching *fetching, struct err *err)
{
    struct fetch_job job = {.store = fetching->store,
                            .cache = fetching->cache,
                            .table = "ads",
                            .id = 1,
                            .digest = fetching->digest,
                            .stop = {stop, fetching},
                            .progress = &fetching->progress,
                            .fetched_bytes = &fetching->fetched,
                            .bad_chunks = &fetching->bad};
    fetching->fetched = 0;
    fetching->bad = 0;
    return fetch_version(&job, err);
}

static void assert_cached(struct fetching *fetching)
{
    struct buf json = {0};
    assert_int_equal(cache_version_get(fetching->cache, "ads", 1, &fetching->digest, &json, NULL),
                     0);
    buf_release(&json);
    for (size_t i = 0; i < 2; i++) {
        const struct part_desc *part = &fetching->desc.parts[i];
        uint8_t *expected = content(i, part->len);
        uint8_t *found = malloc(part->len);
        int fd = cache_part_open(fetching->cache, &part->digest);
        assert_true(fd >= 0);
        assert_true(cache_part_is_there(fetching->cache, &part->digest, part->len));
        assert_int_equal(read(fd, found, part->len), (ssize_t)part->len);
        assert_memory_equal(found, expected, part->len);
        assert_int_equal(lseek(fd, 0, SEEK_END), (off_t)part->len);
        assert_int_equal(cache_partial_len(fetching->cache, &part->digest), 0);
        close(fd);
        free(expected);
        free(found);
    }
}

static bool is_json_cached(struct fetching *fetching)
{
    struct buf json = {0};
    int ret = cache_version_get(fetching->cache, "ads", 1, &fetching->digest, &json, NULL);
    buf_release(&json);
    return ret == 0;
}

static void fetch__brings_a_version_and_then_has_nothing_to_do(void **state)
{
    struct fetching *fetching = *state;
    struct err err = {0};
    assert_int_equal(fetch(fetching, &err), 0);
    assert_cached(fetching);
    assert_int_equal(fetching->fetched, PART_LEN + TAIL);
    assert_int_equal(fetching->progress.done, PART_LEN + TAIL);
    assert_int_equal(fetching->progress.total, PART_LEN + TAIL);
    assert_int_equal(fetch(fetching, &err), 0);
    assert_int_equal(fetching->fetched, 0);
    assert_int_equal(fetching->progress.done, PART_LEN + TAIL);
}

static void fetch__resumes_after_the_last_good_chunk(void **state)
{
    struct fetching *fetching = *state;
    struct err err = {0};
    fetching->stop_after = 2;
    assert_int_equal(fetch(fetching, &err), -ECANCELED);
    assert_int_equal(fetching->fetched, 2 * PART_CHUNK_LEN);
    assert_false(is_json_cached(fetching)); /* not a whole version yet */
    cache_close(fetching->cache);           /* as a killed daemon would leave it */
    open_cache(fetching);
    assert_int_equal(fetch(fetching, &err), 0);
    assert_int_equal(fetching->fetched, 2 * TAIL);
    assert_cached(fetching);
}

static void partial_path(struct fetching *fetching, size_t i, char out[512])
{
    char hex[DIGEST_HEX_LEN + 1];
    digest_to_hex(&fetching->desc.parts[i].digest, hex);
    snprintf(out, 512, "%s/a/cache/parts/%s.partial", fetching->dir, hex);
}

static void fetch__stops_while_it_checks_what_is_there(void **state)
{
    struct fetching *fetching = *state;
    struct err err = {0};
    fetching->stop_after = 2;
    assert_int_equal(fetch(fetching, &err), -ECANCELED);
    fetching->stop_after = 1;
    assert_int_equal(fetch(fetching, &err), -ECANCELED);
    assert_int_equal(fetching->fetched, 0);
    assert_int_equal(fetching->progress.done, 2 * PART_CHUNK_LEN);
    assert_int_equal(fetch(fetching, &err), 0);
    assert_int_equal(fetching->fetched, 2 * TAIL); /* nothing was lost by it */
    assert_cached(fetching);
}

static void fetch__trusts_no_half_part(void **state)
{
    struct fetching *fetching = *state;
    struct err err = {0};
    char path[512];
    fetching->stop_after = 2;
    assert_int_equal(fetch(fetching, &err), -ECANCELED);
    partial_path(fetching, 0, path);
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "?", 1, PART_CHUNK_LEN + 5), 1); /* the second chunk went bad */
    assert_int_equal(ftruncate(fd, PART_LEN + 99999), 0);        /* and the file is too long */
    close(fd);
    assert_int_equal(fetch(fetching, &err), 0);
    assert_int_equal(fetching->fetched, PART_CHUNK_LEN + 2 * TAIL);
    assert_cached(fetching);
}

/* Turns over a byte of a part in the store. */
static void damage(struct fetching *fetching, size_t i, size_t off)
{
    char path[256];
    size_t len = fetching->desc.parts[i].len;
    uint8_t *bytes = content(i, len);
    bytes[off] ^= 1;
    part_path(fetching, i, path);
    put(fetching, path, bytes, len);
    free(bytes);
}

static void fetch__bad_chunk_is_named_after_several_tries(void **state)
{
    struct fetching *fetching = *state;
    struct err err = {0};
    damage(fetching, 0, PART_CHUNK_LEN + 77);
    assert_int_equal(fetch(fetching, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "L00-S0000-"));
    assert_non_null(strstr(err.text, "chunk 1 of 3 is corrupt"));
    assert_int_equal(fetching->bad, 3);
    assert_int_equal(fetching->fetched, 4 * (uint64_t)PART_CHUNK_LEN);
    damage(fetching, 0, 0); /* the byte above is good again, chunk 0 is not, but we have that one */
    assert_int_equal(fetch(fetching, &err), 0);
    assert_cached(fetching);
}

static void fetch__cut_missing_and_longer_parts_are_refused(void **state)
{
    struct fetching *fetching = *state;
    struct err err = {0};
    char path[256];
    uint8_t *bytes = calloc(1, PART_LEN + 1);
    part_path(fetching, 0, path);
    put(fetching, path, bytes, PART_LEN - 1);
    assert_int_equal(fetch(fetching, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "expected 8396800 bytes, found 8396799"));
    put(fetching, path, bytes, PART_LEN + 1);
    assert_int_equal(fetch(fetching, &err), -EBADMSG);
    store_remove(fetching->store, path, NULL);
    assert_int_equal(fetch(fetching, &err), -ENOENT);
    assert_false(is_json_cached(fetching));
    free(bytes);
}

static void fetch__whole_digest_is_checked_too(void **state)
{
    struct fetching *fetching = *state;
    struct err err = {0};
    struct digest good = fetching->desc.parts[1].digest;
    char path[256];
    uint8_t *bytes = content(1, TAIL);
    fetching->desc.parts[1].digest.b[0] ^= 1;
    part_path(fetching, 1, path);
    put(fetching, path, bytes, TAIL);
    put_json(fetching);
    assert_int_equal(fetch(fetching, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "but not the whole"));
    assert_false(cache_part_is_there(fetching->cache, &fetching->desc.parts[1].digest, TAIL));
    assert_false(cache_part_is_there(fetching->cache, &good, TAIL));
    free(bytes);
}

static void fetch__version_json_must_be_the_one_the_manifest_names(void **state)
{
    struct fetching *fetching = *state;
    struct err err = {0};
    fetching->digest.b[3] ^= 1;
    assert_int_equal(fetch(fetching, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "from the manifest"));
    assert_int_equal(fetching->fetched, 0);
}

static void fetch__full_disk_is_refused_before_the_first_byte(void **state)
{
    struct fetching *fetching = *state;
    struct err err = {0};
    struct part_desc *part = &fetching->desc.parts[0];
    uint64_t free_bytes = 0;
    assert_int_equal(cache_free_bytes(fetching->cache, &free_bytes, &err), 0);
    if (free_bytes > 4ULL << 40)
        skip(); /* version.json would be longer than may be */
    /* Others may be freeing space meanwhile: well over what there is. */
    part->len =
        (free_bytes / PART_CHUNK_LEN + free_bytes / PART_CHUNK_LEN / 4 + 256) * PART_CHUNK_LEN;
    part->n_chunks = (uint32_t)(part->len / PART_CHUNK_LEN);
    part->chunks = realloc(part->chunks, part->n_chunks * sizeof *part->chunks);
    memset(part->chunks, 7, part->n_chunks * sizeof *part->chunks);
    put_json(fetching);
    int ret = fetch(fetching, &err);
    if (ret != -ENOSPC)
        fail_msg("expected -ENOSPC, found: %s", err_text(&err, ret));
    assert_non_null(strstr(err.text, "over by"));
    assert_int_equal(fetching->fetched, 0);
}

/* Whichever call to the store fails, the fetch says so, and the next one goes on from there. */
static void fetch__any_failing_call_fails_it_and_the_next_try_ends_well(void **state)
{
    struct fetching *fetching = *state;
    unsigned n_failed = 0;
    for (unsigned nth = 1;; nth++) {
        struct err err = {0};
        for (size_t i = 0; i < 2; i++)
            cache_part_remove(fetching->cache, &fetching->desc.parts[i].digest);
        faulty_arm(fetching->faulty, nth, FAULTY_FAIL, -EIO);
        int ret = fetch(fetching, &err);
        faulty_disarm(fetching->faulty);
        if (!fetching->faulty->was_hit) {
            assert_int_equal(ret, 0);
            break;
        }
        assert_int_equal(ret, -EIO);
        assert_true(err.text[0]);
        n_failed++;
        assert_int_equal(fetch(fetching, &err), 0);
        assert_cached(fetching);
    }
    assert_true(n_failed >= 7);
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
    assert_int_equal(fetch(fetching, NULL), 0);
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
    open_cache(fetching);
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
#define FETCH_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        FETCH_TEST(fetch__brings_a_version_and_then_has_nothing_to_do),
        FETCH_TEST(fetch__resumes_after_the_last_good_chunk),
        FETCH_TEST(fetch__stops_while_it_checks_what_is_there),
        FETCH_TEST(fetch__trusts_no_half_part),
        FETCH_TEST(fetch__bad_chunk_is_named_after_several_tries),
        FETCH_TEST(fetch__cut_missing_and_longer_parts_are_refused),
        FETCH_TEST(fetch__whole_digest_is_checked_too),
        FETCH_TEST(fetch__version_json_must_be_the_one_the_manifest_names),
        FETCH_TEST(fetch__full_disk_is_refused_before_the_first_byte),
        FETCH_TEST(fetch__any_failing_call_fails_it_and_the_next_try_ends_well),
        FETCH_TEST(cache__has_one_owner),
        FETCH_TEST(cache__unusable_directory_is_named),
        FETCH_TEST(cache__sweeps_what_is_not_kept),
        FETCH_TEST(cache__old_temporary_files_go_at_the_start),
        cmocka_unit_test(cache_state__round_trips),
        cmocka_unit_test(cache_state__forged_ones_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
