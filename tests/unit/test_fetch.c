/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a version from the store into the cache, by several threads; meant for ThreadSanitizer too. */
#include "unit.h"

#include "fetch_fixture.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

enum { TAIL = 8192, N_CHUNKS = 4, PART_LEN = (N_CHUNKS - 1) * PART_CHUNK_LEN + TAIL, N_TINY = 24 };

#define SECOND_NS 1000000000LL

static int setup(void **state)
{
    static const uint64_t lens[] = {PART_LEN, TAIL};
    *state = fetching_new(lens, 2, true);
    return 0;
}

static int setup_disk(void **state)
{
    static const uint64_t lens[] = {PART_LEN, TAIL};
    *state = fetching_new(lens, 2, false);
    return 0;
}

static int setup_tiny(void **state)
{
    uint64_t lens[N_TINY + 1];
    for (size_t i = 0; i < N_TINY; i++)
        lens[i] = 4096 * (1 + i % 5);
    lens[N_TINY] = 2 * PART_CHUNK_LEN;
    *state = fetching_new(lens, N_TINY + 1, true);
    return 0;
}

static int teardown(void **state)
{
    fetching_release(*state);
    return 0;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static uint64_t whole_len(const struct fetching *fetching)
{
    return version_desc_len(&fetching->desc);
}

static void assert_part(struct fetching *fetching, size_t i)
{
    const struct part_desc *part = &fetching->desc.parts[i];
    uint8_t *expected = fetching_content(i, part->len);
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

static bool is_json_cached(struct fetching *fetching)
{
    struct buf json = {0};
    int ret = cache_version_get(fetching->cache, "ads", 1, &fetching->digest, &json, NULL);
    buf_release(&json);
    return ret == 0;
}

static void assert_cached(struct fetching *fetching)
{
    assert_true(is_json_cached(fetching));
    for (size_t i = 0; i < fetching->desc.n_parts; i++)
        assert_part(fetching, i);
}

static void fetch_well(struct fetching *fetching)
{
    struct err err = {0};
    int ret = fetching_run(fetching, &err);
    if (ret)
        fail_msg("fetch: %s", err_text(&err, ret));
    assert_cached(fetching);
    assert_int_equal(fetching->progress.done, whole_len(fetching));
    assert_int_equal(fetching->progress.total, whole_len(fetching));
}

static void fetch__brings_a_version_and_then_has_nothing_to_do(void **state)
{
    struct fetching *fetching = *state;
    fetch_well(fetching);
    assert_int_equal(fetching->fetched, whole_len(fetching));
    fetch_well(fetching);
    assert_int_equal(fetching->fetched, 0);
}

static void fetch__part_that_is_here_by_digest_is_not_fetched(void **state)
{
    struct fetching *fetching = *state;
    fetch_well(fetching);
    cache_part_remove(fetching->cache, &fetching->desc.parts[3].digest);
    cache_part_remove(fetching->cache, &fetching->desc.parts[N_TINY].digest);
    fetch_well(fetching);
    assert_int_equal(fetching->fetched,
                     fetching->desc.parts[3].len + fetching->desc.parts[N_TINY].len);
}

static void fetch__parts_of_one_digest_are_fetched_once(void **state)
{
    struct fetching *fetching = *state;
    struct part_desc *twin = &fetching->desc.parts[1];
    uint8_t *bytes = fetching_content(6, fetching->desc.parts[6].len);
    char path[256];
    twin->len = fetching->desc.parts[6].len;
    twin->digest = fetching->desc.parts[6].digest;
    twin->chunks[0] = fetching->desc.parts[6].chunks[0];
    fetching_part_path(fetching, 1, path);
    fetching_put(fetching, path, bytes, twin->len);
    fetching_put_json(fetching);
    assert_int_equal(fetching_run(fetching, NULL), 0);
    assert_int_equal(fetching->fetched, whole_len(fetching) - twin->len);
    assert_part(fetching, 6);
    free(bytes);
}

static void partial_path(struct fetching *fetching, size_t i, char out[512])
{
    char hex[DIGEST_HEX_LEN + 1];
    digest_to_hex(&fetching->desc.parts[i].digest, hex);
    snprintf(out, 512, "%s/a/cache/parts/%s.partial", fetching->dir, hex);
}

/* What a killed daemon may leave of part 0: those chunks, holes between them. */
static void leave_chunks(struct fetching *fetching, unsigned mask)
{
    char path[512];
    uint8_t *bytes = fetching_content(0, PART_LEN);
    partial_path(fetching, 0, path);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (size_t i = 0; i < N_CHUNKS; i++) {
        size_t off = i * PART_CHUNK_LEN;
        size_t len = i + 1 == N_CHUNKS ? TAIL : PART_CHUNK_LEN;
        if (mask >> i & 1)
            assert_int_equal(pwrite(fd, bytes + off, len, (off_t)off), (ssize_t)len);
    }
    close(fd);
    free(bytes);
}

static void fetch__resumes_with_any_chunk_that_is_good(void **state)
{
    static const unsigned masks[] = {0x1, 0x3, 0x7, 0xf, 0xa, 0x5, 0x8};
    struct fetching *fetching = *state;
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        cache_part_remove(fetching->cache, &fetching->desc.parts[0].digest);
        leave_chunks(fetching, masks[i]);
        cache_close(fetching->cache); /* as a killed daemon would leave it */
        fetching_open_cache(fetching);
        fetch_well(fetching);
        uint64_t here = (uint64_t)__builtin_popcount(masks[i] & 0x7) * PART_CHUNK_LEN +
                        (masks[i] >> 3 ? TAIL : 0);
        assert_int_equal(fetching->fetched, PART_LEN - here + (i == 0 ? TAIL : 0));
    }
}

static void fetch__trusts_no_half_part(void **state)
{
    struct fetching *fetching = *state;
    char path[512];
    leave_chunks(fetching, 0x7);
    partial_path(fetching, 0, path);
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "?", 1, PART_CHUNK_LEN + 5), 1); /* the second chunk went bad */
    assert_int_equal(ftruncate(fd, PART_LEN + 99999), 0);        /* and the file is too long */
    close(fd);
    fetch_well(fetching);
    assert_int_equal(fetching->fetched, PART_LEN + TAIL - 2 * PART_CHUNK_LEN);
}

/* Asks to stop when so much has been fetched. */
struct stopper {
    struct fetching *fetching;
    unsigned after;
    _Atomic unsigned n_reads;
};

static void stop_after(void *context, const char *op, const char *path)
{
    struct stopper *stopper = context;
    if (strcmp(op, "read") == 0 && atomic_fetch_add(&stopper->n_reads, 1) == stopper->after)
        atomic_store(&stopper->fetching->is_stopped, true);
}

static void fetch__stops_when_asked_and_goes_on_later(void **state)
{
    struct fetching *fetching = *state;
    struct limiter limiter;
    limiter_init(&limiter, 8 << 20); /* so slow that it cannot end before it is asked */
    for (unsigned after = 1; after < 40; after += 13) {
        struct stopper stopper = {.fetching = fetching, .after = after};
        cache_part_remove(fetching->cache, &fetching->desc.parts[0].digest);
        fetching->limiter = &limiter;
        fetching->faulty->before = stop_after;
        fetching->faulty->context = &stopper;
        assert_int_equal(fetching_run(fetching, NULL), -ECANCELED);
        fetching->faulty->before = NULL;
        fetching->limiter = NULL;
        atomic_store(&fetching->is_stopped, false);
        fetch_well(fetching);
    }
    limiter_release(&limiter);
}

static void fetch__asked_to_stop_at_once_fetches_little(void **state)
{
    struct fetching *fetching = *state;
    struct limiter limiter;
    limiter_init(&limiter, 1 << 20);
    fetching->limiter = &limiter;
    atomic_store(&fetching->is_stopped, true);
    int64_t start_ns = now_ns();
    assert_int_equal(fetching_run(fetching, NULL), -ECANCELED);
    assert_true(now_ns() - start_ns < 5 * SECOND_NS);
    assert_true(fetching->fetched < PART_LEN / 4);
    assert_int_equal(fetching->progress.done, fetching->fetched); /* seen slice by slice */
    assert_false(is_json_cached(fetching));
    limiter_release(&limiter);
}

/* Turns over a byte of a part in the store. */
static void damage(struct fetching *fetching, size_t i, size_t off)
{
    char path[256];
    size_t len = fetching->desc.parts[i].len;
    uint8_t *bytes = fetching_content(i, len);
    bytes[off] ^= 1;
    fetching_part_path(fetching, i, path);
    fetching_put(fetching, path, bytes, len);
    free(bytes);
}

static void repair(struct fetching *fetching, size_t i)
{
    char path[256];
    uint8_t *bytes = fetching_content(i, fetching->desc.parts[i].len);
    fetching_part_path(fetching, i, path);
    fetching_put(fetching, path, bytes, fetching->desc.parts[i].len);
    free(bytes);
}

static void fetch__any_bad_chunk_is_named_after_several_tries(void **state)
{
    struct fetching *fetching = *state;
    for (unsigned i = 0; i < N_CHUNKS; i++) {
        struct err err = {0};
        char named[64];
        cache_part_remove(fetching->cache, &fetching->desc.parts[0].digest);
        damage(fetching, 0, (size_t)i * PART_CHUNK_LEN + 77);
        assert_int_equal(fetching_run(fetching, &err), -EBADMSG);
        snprintf(named, sizeof named, "chunk %u of %d is corrupt", i, N_CHUNKS);
        assert_non_null(strstr(err.text, "tables/ads/v/1/parts/L00-S0000-"));
        assert_non_null(strstr(err.text, named));
        assert_int_equal(fetching->bad, 3);
        assert_false(is_json_cached(fetching));
        repair(fetching, 0);
        fetch_well(fetching);
        for (size_t k = 0; k < 2; k++)
            cache_part_remove(fetching->cache, &fetching->desc.parts[k].digest);
        cache_version_remove(fetching->cache, "ads", 1, NULL);
    }
}

static void mend_when_noticed(void *context, const char *op, const char *path)
{
    struct fetching *fetching = context;
    uint64_t noticed = 1;
    if (strcmp(op, "read") == 0 && atomic_compare_exchange_strong(&fetching->bad, &noticed, 2))
        repair(fetching, 0);
}

static void fetch__chunk_damaged_on_the_way_is_read_again(void **state)
{
    struct fetching *fetching = *state;
    damage(fetching, 0, 2 * PART_CHUNK_LEN + 5);
    fetching->faulty->before = mend_when_noticed;
    fetching->faulty->context = fetching;
    /* A reader that was open keeps the bad bytes: the fixture's store is as a replaced file is. */
    int ret = fetching_run(fetching, NULL);
    fetching->faulty->before = NULL;
    assert_true(ret == 0 || ret == -EBADMSG);
    assert_true(fetching->bad >= 2);
    fetch_well(fetching);
}

static void fetch__cut_missing_and_longer_parts_are_refused(void **state)
{
    struct fetching *fetching = *state;
    struct err err = {0};
    char path[256];
    char said[384];
    uint8_t *bytes = calloc(1, PART_LEN + 1);
    fetching_part_path(fetching, 0, path);
    fetching_put(fetching, path, bytes, PART_LEN - 1);
    assert_int_equal(fetching_run(fetching, &err), -EBADMSG);
    snprintf(said, sizeof said, "%s in the store: expected %d bytes, found %d", path, PART_LEN,
             PART_LEN - 1);
    assert_non_null(strstr(err.text, said));
    fetching_put(fetching, path, bytes, PART_LEN + 1);
    assert_int_equal(fetching_run(fetching, &err), -EBADMSG);
    store_remove(fetching->store, path, NULL);
    assert_int_equal(fetching_run(fetching, &err), -ENOENT);
    assert_false(is_json_cached(fetching));
    free(bytes);
}

static void fetch__whole_digest_is_checked_too(void **state)
{
    struct fetching *fetching = *state;
    struct err err = {0};
    struct digest good = fetching->desc.parts[0].digest;
    char path[256];
    uint8_t *bytes = fetching_content(0, PART_LEN);
    fetching->desc.parts[0].digest.b[0] ^= 1;
    fetching_part_path(fetching, 0, path);
    fetching_put(fetching, path, bytes, PART_LEN);
    fetching_put_json(fetching);
    assert_int_equal(fetching_run(fetching, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "but not the whole"));
    assert_non_null(strstr(err.text, path));
    assert_false(cache_part_is_there(fetching->cache, &fetching->desc.parts[0].digest, PART_LEN));
    assert_false(cache_part_is_there(fetching->cache, &good, PART_LEN));
    assert_false(is_json_cached(fetching));
    free(bytes);
}

static void fetch__version_json_must_be_the_one_the_manifest_names(void **state)
{
    struct fetching *fetching = *state;
    struct err err = {0};
    fetching->digest.b[3] ^= 1;
    assert_int_equal(fetching_run(fetching, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "from the manifest"));
    assert_int_equal(fetching->fetched, 0);
}

static void fetch__full_disk_is_refused_before_the_first_byte(void **state)
{
    struct fetching *fetching = *state;
    struct err err = {0};
    struct part_desc *part = &fetching->desc.parts[0];
    uint64_t free_bytes = 0;
    free_bytes = cache_capacity(fetching->cache, 0);
    if (free_bytes > 4ULL << 40)
        skip(); /* version.json would be longer than may be */
    /* Others may be freeing space meanwhile: well over what there is. */
    part->len =
        (free_bytes / PART_CHUNK_LEN + free_bytes / PART_CHUNK_LEN / 4 + 256) * PART_CHUNK_LEN;
    part->n_chunks = (uint32_t)(part->len / PART_CHUNK_LEN);
    part->chunks = realloc(part->chunks, part->n_chunks * sizeof *part->chunks);
    memset(part->chunks, 7, part->n_chunks * sizeof *part->chunks);
    fetching_put_json(fetching);
    int ret = fetching_run(fetching, &err);
    if (ret != -ENOSPC)
        fail_msg("expected -ENOSPC, found: %s", err_text(&err, ret));
    assert_non_null(strstr(err.text, "over by"));
    assert_int_equal(fetching->fetched, 0);
}

/* Whichever call to the store fails, the fetch says so, and the next one goes on from there. */
static void fail_each(struct fetching *fetching, unsigned n_expected)
{
    unsigned n_failed = 0;
    for (unsigned nth = 1;; nth++) {
        struct err err = {0};
        for (size_t i = 0; i < fetching->desc.n_parts; i++)
            cache_part_remove(fetching->cache, &fetching->desc.parts[i].digest);
        faulty_arm(fetching->faulty, nth, FAULTY_FAIL, -EIO);
        int ret = fetching_run(fetching, &err);
        faulty_disarm(fetching->faulty);
        if (!fetching->faulty->was_hit) {
            assert_int_equal(ret, 0);
            break;
        }
        assert_int_equal(ret, -EIO);
        assert_true(err.text[0]);
        n_failed++;
        fetch_well(fetching);
    }
    assert_true(n_failed >= n_expected);
}

static void fetch__any_failing_call_fails_it_and_the_next_try_ends_well(void **state)
{
    fail_each(*state, 2 + N_CHUNKS + 2); /* version.json, readers, chunks */
}

static void fetch__any_failing_call_among_tiny_parts_fails_it_too(void **state)
{
    fail_each(*state, 2 + 2 * N_TINY);
}

static void fetch__store_that_dies_fails_it_once(void **state)
{
    struct fetching *fetching = *state;
    for (unsigned nth = 1; nth < 12; nth++) {
        struct err err = {0};
        for (size_t i = 0; i < fetching->desc.n_parts; i++)
            cache_part_remove(fetching->cache, &fetching->desc.parts[i].digest);
        faulty_arm(fetching->faulty, nth, FAULTY_DIE, -ECONNRESET);
        assert_int_equal(fetching_run(fetching, &err), -ECONNRESET);
        faulty_disarm(fetching->faulty);
        fetch_well(fetching);
    }
}

/* Pages of a part that are in the page cache; -1 where the file system is nothing but that. */
static long cached_pages(struct fetching *fetching, size_t i)
{
    const struct part_desc *part = &fetching->desc.parts[i];
    unsigned char *in_core = calloc(1, part->len / 4096 + 1);
    struct statfs fs;
    long n = 0;
    int fd = cache_part_open(fetching->cache, &part->digest);
    assert_true(fd >= 0);
    assert_int_equal(fstatfs(fd, &fs), 0);
    void *map = mmap(NULL, part->len, PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    assert_int_equal(mincore(map, part->len, in_core), 0);
    for (size_t page = 0; page < part->len / 4096; page++)
        n += in_core[page] & 1;
    munmap(map, part->len);
    close(fd);
    free(in_core);
    return fs.f_type == 0x01021994 ? -1 : n; /* TMPFS_MAGIC */
}

static void fetch__leaves_the_page_cache_alone(void **state)
{
    struct fetching *fetching = *state;
    assert_int_equal(fetching_run(fetching, NULL), 0);
    long n = cached_pages(fetching, 0);
    if (n < 0)
        skip();
    assert_true(n <= 2 * PART_CHUNK_LEN / 4096 / 64); /* nothing but an odd end */
}

static void fetch__limit_holds_over_all_threads_and_from_the_start(void **state)
{
    struct fetching *fetching = *state;
    struct limiter limiter;
    limiter_init(&limiter, 40 << 20);
    fetching->limiter = &limiter;
    int64_t start_ns = now_ns();
    fetch_well(fetching);
    double seconds = (double)(now_ns() - start_ns) / 1e9;
    double expected = (double)whole_len(fetching) / (40 << 20);
    assert_true(seconds > expected * 0.9);
    assert_true(seconds < expected * 3 + 2);
    limiter_release(&limiter);
}

static void limiter__low_rate_takes_few_threads_and_gives_back(void **state)
{
    struct limiter limiter;
    limiter_init(&limiter, 1 << 20);
    assert_int_equal(limiter_threads(&limiter, PART_CHUNK_LEN, 8), 1);
    int64_t at_ns = 100 * SECOND_NS;
    limiter_book(&limiter, 1 << 20, at_ns);
    limiter_return(&limiter, 1 << 20);
    assert_true(limiter_book(&limiter, 1, at_ns) <= at_ns); /* nobody waits for what is not sent */
    limiter_release(&limiter);
    limiter_init(&limiter, 9 << 20);
    assert_int_equal(limiter_threads(&limiter, PART_CHUNK_LEN, 8), 2);
    limiter_release(&limiter);
    limiter_init(&limiter, 0);
    assert_int_equal(limiter_threads(&limiter, PART_CHUNK_LEN, 8), 8);
    limiter_return(&limiter, 1);
    limiter_release(&limiter);
}

static void limiter__spaces_bytes_evenly(void **state)
{
    struct limiter limiter;
    int64_t at_ns = 100 * SECOND_NS;
    limiter_init(&limiter, 100 << 20);
    size_t slice = limiter_slice(&limiter, PART_CHUNK_LEN);
    assert_true(slice >= 512 << 10 && slice <= 1 << 20); /* some milliseconds' worth */
    /* A caller who comes back at once each time, for one second of this rate. */
    uint64_t sent = 0;
    int64_t from_ns = 0;
    for (; sent < 100 << 20; sent += slice)
        from_ns = limiter_book(&limiter, slice, at_ns);
    assert_in_range(from_ns, at_ns + SECOND_NS * 95 / 100, at_ns + SECOND_NS);
    limiter_release(&limiter);
}

static void limiter__saves_nothing_up(void **state)
{
    struct limiter limiter;
    limiter_init(&limiter, 1000);
    assert_true(limiter_book(&limiter, 1000, 100 * SECOND_NS) <= 100 * SECOND_NS);
    /* A day later: a moment's worth at once, not a day's. */
    int64_t at_ns = 86400 * SECOND_NS;
    assert_true(limiter_book(&limiter, 1000, at_ns) <= at_ns);
    assert_true(limiter_book(&limiter, 1000, at_ns) >= at_ns + SECOND_NS * 9 / 10);
    limiter_release(&limiter);
}

static void limiter__knows_extremes(void **state)
{
    struct limiter limiter;
    limiter_init(&limiter, 0);
    assert_int_equal(limiter_slice(&limiter, PART_CHUNK_LEN), PART_CHUNK_LEN);
    assert_int_equal(limiter_book(&limiter, PART_CHUNK_LEN, 7), 7);
    limiter_release(&limiter);
    limiter_init(&limiter, 1);
    assert_int_equal(limiter_slice(&limiter, PART_CHUNK_LEN), 64 << 10);
    limiter_release(&limiter);
    limiter_init(&limiter, UINT64_MAX);
    assert_int_equal(limiter_slice(&limiter, PART_CHUNK_LEN), PART_CHUNK_LEN);
    assert_true(limiter_book(&limiter, PART_CHUNK_LEN, SECOND_NS) <= SECOND_NS);
    assert_true(limiter_book(&limiter, PART_CHUNK_LEN, SECOND_NS) <= SECOND_NS);
    limiter_release(&limiter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define FETCH_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define DISK_TEST(name)  cmocka_unit_test_setup_teardown(name, setup_disk, teardown)
#define TINY_TEST(name)  cmocka_unit_test_setup_teardown(name, setup_tiny, teardown)
        FETCH_TEST(fetch__brings_a_version_and_then_has_nothing_to_do),
        TINY_TEST(fetch__brings_a_version_and_then_has_nothing_to_do),
        TINY_TEST(fetch__part_that_is_here_by_digest_is_not_fetched),
        TINY_TEST(fetch__parts_of_one_digest_are_fetched_once),
        FETCH_TEST(fetch__resumes_with_any_chunk_that_is_good),
        FETCH_TEST(fetch__trusts_no_half_part),
        FETCH_TEST(fetch__stops_when_asked_and_goes_on_later),
        FETCH_TEST(fetch__asked_to_stop_at_once_fetches_little),
        FETCH_TEST(fetch__any_bad_chunk_is_named_after_several_tries),
        FETCH_TEST(fetch__chunk_damaged_on_the_way_is_read_again),
        FETCH_TEST(fetch__cut_missing_and_longer_parts_are_refused),
        FETCH_TEST(fetch__whole_digest_is_checked_too),
        FETCH_TEST(fetch__version_json_must_be_the_one_the_manifest_names),
        FETCH_TEST(fetch__full_disk_is_refused_before_the_first_byte),
        FETCH_TEST(fetch__any_failing_call_fails_it_and_the_next_try_ends_well),
        TINY_TEST(fetch__any_failing_call_among_tiny_parts_fails_it_too),
        FETCH_TEST(fetch__store_that_dies_fails_it_once),
        DISK_TEST(fetch__leaves_the_page_cache_alone),
        DISK_TEST(fetch__resumes_with_any_chunk_that_is_good),
        FETCH_TEST(fetch__limit_holds_over_all_threads_and_from_the_start),
        cmocka_unit_test(limiter__low_rate_takes_few_threads_and_gives_back),
        cmocka_unit_test(limiter__spaces_bytes_evenly),
        cmocka_unit_test(limiter__saves_nothing_up),
        cmocka_unit_test(limiter__knows_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
