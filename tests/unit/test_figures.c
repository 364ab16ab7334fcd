/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "build_fixture.h"
#include "builder/figures_json.h"
#include "codec/vector.h"
#include "codec/vector_norm.h"

#include <errno.h>
#include <math.h>

/* ---- norms ---- */

static double naive(const float *x, uint32_t dim)
{
    double sum = 0;
    for (uint32_t i = 0; i < dim; i++)
        sum += (double)x[i] * x[i];
    return sum;
}

static void vector_norm__is_that_of_the_stored_elements(void **state)
{
    static const enum elem elems[] = {ELEM_F32, ELEM_F16, ELEM_BF16, ELEM_I8};
    static const uint32_t dims[] = {1, 7, 8, 100, 255, 256, 257, 1000};
    float x[1000], back[1000];
    uint8_t stored[4 * 1000 + 4];
    for (size_t e = 0; e < sizeof elems / sizeof *elems; e++) {
        for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
            for (uint32_t i = 0; i < dims[d]; i++)
                x[i] = (float)((i * 37 + d) % 101) / 25 - 2;
            assert_int_equal(vector_encode(elems[e], x, dims[d], stored), 0);
            vector_decoder(elems[e])(stored, dims[d], back);
            double found = vector_square_sum(elems[e], stored, dims[d]);
            assert_true(fabs(found - naive(back, dims[d])) <= 1e-6 * (found + 1));
        }
    }
}

/* Sixteen sums, folded in halves: figures of one build are the same wherever they are counted. */
static void vector_norm__is_added_up_in_one_order(void **state)
{
    float x[256];
    for (uint32_t i = 0; i < 256; i++)
        x[i] = (float)((i * 7919 + 13) % 1009) / 97 - 5;
    for (uint32_t dim = 1; dim <= 256; dim++) {
        float sums[16] = {0};
        for (uint32_t i = 0; i < dim; i++)
            sums[i % 16] += x[i] * x[i];
        for (uint32_t width = 8; width > 0; width /= 2) {
            for (uint32_t lane = 0; lane < width; lane++)
                sums[lane] += sums[lane + width];
        }
        assert_true(vector_square_sum(ELEM_F32, x, dim) == (double)sums[0]);
    }
}

static void vector_norm__is_not_finite_when_an_element_is_not(void **state)
{
    static const enum elem elems[] = {ELEM_F32, ELEM_F16, ELEM_BF16};
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    float x[300] = {0};
    uint8_t stored[4 * 300];
    for (size_t e = 0; e < 3; e++) {
        for (size_t b = 0; b < 3; b++) {
            x[299] = bad[b];
            assert_int_equal(vector_encode(elems[e], x, 300, stored), 0);
            assert_false(isfinite(vector_square_sum(elems[e], stored, 300)));
        }
    }
    for (int i = 0; i < 300; i++)
        x[i] = 3.4e38f;
    assert_true(isfinite(vector_square_sum(ELEM_F32, x, 300)));
    for (size_t b = 0; b < 3; b++) {
        uint8_t scaled[8] = {0};
        memcpy(scaled, &bad[b], 4);
        assert_false(isfinite(vector_square_sum(ELEM_I8, scaled, 4)));
    }
}

/* ---- counting ---- */

static void add_norm(struct build_figures *figures, float norm)
{
    struct schema schema = fixture_schema(KEY_U64, "f32[2]", 1);
    float vector[2] = {norm, 0};
    struct part_entry entry = fixture_u64(&schema, 1, vector, sizeof vector);
    figures_add(figures, &schema, &entry);
}

static void figures__count_keys_tombstones_and_empty_values(void **state)
{
    struct schema schema = fixture_schema(KEY_U64, "bytes", 1);
    struct build_figures figures = {0};
    struct part_entry entries[] = {
        fixture_u64(&schema, 1, "a", 1),
        fixture_u64(&schema, 2, "", 0),
        fixture_u64(&schema, 3, NULL, 0),
    };
    assert_true(entries[2].tombstone);
    for (int i = 0; i < 3; i++)
        figures_add(&figures, &schema, &entries[i]);
    assert_int_equal(figures.keys, 2);
    assert_int_equal(figures.tombstones, 1);
    assert_int_equal(figures.empty_values, 1);
    assert_false(figures.has_vectors);
}

static void figures__put_norms_into_buckets_around_powers_of_two(void **state)
{
    const struct {
        float norm;
        size_t bucket;
    } cases[] = {
        {0, 0},
        {1e-30f, 0},
        {1, NORM_ZERO},
        {0.98f, NORM_ZERO},
        {1.02f, NORM_ZERO},
        {0.97f, NORM_ZERO - 1},
        {1.03f, NORM_ZERO + 1},
        {2, NORM_ZERO + NORM_STEPS},
        {0.5f, NORM_ZERO - NORM_STEPS},
        {4294967296.0f, NORM_BUCKETS - 2},
        {2.3283064e-10f, 1},
        {1e30f, NORM_BUCKETS - 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct build_figures figures = {0};
        add_norm(&figures, cases[i].norm);
        assert_int_equal(figures.norm.buckets[cases[i].bucket], 1);
        assert_int_equal(figures.empty_values, cases[i].norm > 0 ? 0 : 1);
    }
}

static void figures__leave_vectors_that_are_not_finite_out_of_the_norms(void **state)
{
    struct build_figures figures = {0};
    add_norm(&figures, 3);
    add_norm(&figures, NAN);
    add_norm(&figures, INFINITY);
    assert_int_equal(figures.keys, 3);
    assert_int_equal(figures.not_finite, 2);
    assert_int_equal(figures.norm.count, 1);
    assert_true(figures.norm.mean == 3 && figures.norm.min == 3 && figures.norm.max == 3);
}

/* A sample that is different for each seed, and the same each time. */
static void fill(struct build_figures *figures, uint64_t seed, size_t n, double scale)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        add_norm(figures, (float)(scale * (1 + (double)(seed >> 40) / (1 << 24))));
    }
}

static void figures__of_shards_add_up_to_those_of_the_whole(void **state)
{
    static struct build_figures parts[8], ascending, again, descending, whole;
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < 8; i++) {
        fill(&parts[i], i, 100 * i, 1 + (double)i);
        figures_merge(&ascending, &parts[i]);
        fill(&whole, i, 100 * i, 1 + (double)i);
    }
    for (size_t i = 0; i < 8; i++) {
        figures_merge(&again, &parts[i]);
        figures_merge(&descending, &parts[7 - i]);
    }
    assert_memory_equal(&ascending, &again, sizeof again);
    assert_memory_equal(ascending.norm.buckets, descending.norm.buckets,
                        sizeof ascending.norm.buckets);
    assert_memory_equal(ascending.norm.buckets, whole.norm.buckets, sizeof whole.norm.buckets);
    assert_int_equal(ascending.norm.count, 2800);
    assert_true(ascending.norm.min == whole.norm.min && ascending.norm.max == whole.norm.max);
    assert_true(fabs(ascending.norm.mean - whole.norm.mean) < 1e-12);
    assert_true(fabs(norm_deviation(&ascending.norm) - norm_deviation(&whole.norm)) < 1e-12);
    for (int i = 0; i < 2; i++) {
        sum += i ? 3 : 1;
        squares += i ? 9 : 1;
    }
    struct build_figures two = {0};
    add_norm(&two, 1);
    add_norm(&two, 3);
    assert_true(two.norm.mean == sum / 2);
    assert_true(fabs(norm_deviation(&two.norm) - sqrt(squares / 2 - 4)) < 1e-15);
}

/* ---- distributions ---- */

static void norm_distance__is_the_largest_gap_between_shares(void **state)
{
    static struct build_figures a, b, c, none;
    for (int i = 0; i < 100; i++) {
        add_norm(&a, 1);
        add_norm(&b, i < 75 ? 1 : 2);
        add_norm(&c, 8);
    }
    assert_true(norm_distance(&a.norm, &a.norm) == 0);
    assert_true(norm_distance(&a.norm, &b.norm) == 0.25);
    assert_true(norm_distance(&b.norm, &a.norm) == 0.25);
    assert_true(norm_distance(&a.norm, &c.norm) == 1);
    assert_true(norm_distance(&a.norm, &none.norm) == 0);
}

static void norm_distance__of_two_samples_of_one_source_is_small(void **state)
{
    static struct build_figures a, b, c;
    fill(&a, 1, 10000, 1);
    fill(&b, 2, 10000, 1);
    fill(&c, 3, 10000, 1.2);
    assert_true(norm_distance(&a.norm, &b.norm) < 0.03);
    assert_true(norm_distance(&a.norm, &c.norm) > 0.1);
}

static void norm_quantile__lies_within_the_bucket_width(void **state)
{
    static struct build_figures a;
    fill(&a, 1, 10000, 1);
    assert_true(fabs(norm_quantile(&a.norm, 0.5) - 1.5) < 0.08);
    assert_true(fabs(norm_quantile(&a.norm, 0.1) - 1.1) < 0.06);
    assert_true(norm_quantile(&a.norm, 0) >= a.norm.min);
    assert_true(norm_quantile(&a.norm, 1) <= a.norm.max);
    assert_true(norm_quantile(&(struct norm_figures){0}, 0.5) == 0);
}

/* ---- as JSON ---- */

static void figures_json__gives_back_the_same_bits(void **state)
{
    static struct build_figures made, back;
    struct buf text = {0};
    struct err err = {0};
    fill(&made, 7, 1000, 0.3);
    add_norm(&made, NAN);
    add_norm(&made, 0);
    made.rows = 1100;
    made.bad_rows = 3;
    made.duplicates = 95;
    assert_int_equal(figures_text(&made, &text, &err), 0);
    assert_true(text.len < FIGURES_JSON_MAX);
    assert_int_equal(figures_parse(text.data, text.len, "figures.json", &back, &err), 0);
    assert_memory_equal(&made, &back, sizeof made);
    buf_release(&text);
    /* Every bucket in use, with counts of as many digits as there may be. */
    struct build_figures *full = calloc(1, sizeof *full);
    assert_non_null(full);
    *full = (struct build_figures){.has_vectors = true, .norm = {.min = 1, .mean = 2, .max = 3}};
    for (size_t i = 0; i < NORM_BUCKETS; i++)
        full->norm.buckets[i] = FIGURES_MAX / NORM_BUCKETS;
    full->keys = full->norm.count = FIGURES_MAX / NORM_BUCKETS * NORM_BUCKETS;
    assert_int_equal(figures_text(full, &text, &err), 0);
    assert_true(text.len < FIGURES_JSON_MAX);
    assert_int_equal(figures_parse(text.data, text.len, "figures.json", &back, &err), 0);
    buf_release(&text);
    free(full);
}

#define COUNTS                                                                                     \
    "\"format\":1,\"rows\":9,\"bad_rows\":1,\"duplicates\":2,\"keys\":3,\"tombstones\":0,"         \
    "\"empty_values\":0,\"not_finite\":1"
#define NORM(count, mean, m2, min, max, histogram)                                                 \
    ",\"norm\":{\"count\":" count ",\"mean\":" mean ",\"m2\":" m2 ",\"min\":" min ",\"max\":" max  \
    ",\"histogram\":" histogram "}"

static int parse(const char *text)
{
    struct build_figures out;
    struct err err = {0};
    memset(&out, 0x5A, sizeof out);
    int rc = figures_parse(text, strlen(text), "figures.json", &out, &err);
    if (rc) {
        const uint8_t *bytes = (const uint8_t *)&out;
        for (size_t i = 0; i < sizeof out; i++)
            assert_int_equal(bytes[i], 0x5A);
        assert_non_null(strstr(err.text, "figures.json"));
    }
    return rc;
}

static void figures_json__refuses_what_does_not_go_together(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{" COUNTS "}",                                          /* not_finite without vectors */
        "{" COUNTS NORM("2", "1", "0", "1", "1", "[[0,1]]") "}", /* too few in the histogram */
        "{" COUNTS NORM("2", "1", "0", "1", "1", "[[0,3]]") "}",
        "{" COUNTS NORM("2", "1", "0", "1", "1", "[[0,1],[0,1]]") "}",
        "{" COUNTS NORM("2", "1", "0", "1", "1", "[[1,1],[0,1]]") "}",
        "{" COUNTS NORM("2", "1", "0", "1", "1", "[[514,2]]") "}",
        "{" COUNTS NORM("2", "1", "0", "1", "1", "[[-514,2]]") "}",
        "{" COUNTS NORM("2", "1", "0", "1", "1", "[[0,2],[1,0]]") "}",
        "{" COUNTS NORM("2", "1", "0", "1", "1", "[[0,-1],[1,3]]") "}",
        "{" COUNTS NORM("2", "1", "0", "1", "1",
                        "[[0,9223372036854775807],[1,9223372036854775807]]") "}",
        "{" COUNTS NORM("2", "1", "0", "1", "1", "[[0,2,0]]") "}",
        "{" COUNTS NORM("2", "1", "0", "1", "1", "[0,2]") "}",
        "{" COUNTS NORM("2", "1", "0", "1", "1", "[[0.5,2]]") "}",
        "{" COUNTS NORM("2", "2", "0", "1", "1", "[[0,2]]") "}",
        "{" COUNTS NORM("2", "1", "-1", "1", "1", "[[0,2]]") "}",
        "{" COUNTS NORM("2", "1", "0", "1", "1e999", "[[0,2]]") "}",
        "{" COUNTS NORM("2", "1", "0", "\"1\"", "1", "[[0,2]]") "}",
        "{" COUNTS NORM("3", "1", "0", "1", "1", "[[0,3]]") "}", /* as many as keys */
        "{" COUNTS ",\"more\":1" NORM("2", "1", "0", "1", "1", "[[0,2]]") "}",
        "{\"format\":1,\"rows\":1,\"bad_rows\":2,\"duplicates\":0,\"keys\":0,\"tombstones\":0,"
        "\"empty_values\":0,\"not_finite\":0}",
        "{\"format\":1,\"rows\":1,\"bad_rows\":0,\"duplicates\":0,\"keys\":0,\"tombstones\":0,"
        "\"empty_values\":1,\"not_finite\":0}",
        "{\"format\":1,\"rows\":-1,\"bad_rows\":0,\"duplicates\":0,\"keys\":0,\"tombstones\":0,"
        "\"empty_values\":0,\"not_finite\":0}",
        "{\"format\":1,\"rows\":1,\"bad_rows\":0,\"duplicates\":0,\"keys\":0,\"tombstones\":0,"
        "\"empty_values\":0,\"not_finite\":0,\"norm\":{\"count\":0,\"mean\":0,\"m2\":0,\"min\":0,"
        "\"max\":9,"
        "\"histogram\":[]}}",
    };
    assert_int_equal(parse("{" COUNTS NORM("2", "1", "0", "1", "1", "[[0,2]]") "}"), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (parse(bad[i]) != -EBADMSG)
            fail_msg("taken: %s", bad[i]);
    }
    assert_int_equal(parse("{\"format\":2,\"new\":1}"), -ENOTSUP);
}

/* ---- of builds ---- */

static void read_figures(struct build_fixture *f, const struct build_result *result,
                         struct build_figures *out)
{
    char dir[STORE_PATH_MAX];
    struct err err = {0};
    snprintf(dir, sizeof dir, "tables/t/staging/%s", result->task);
    if (figures_read(f->store, dir, out, &err))
        fail_msg("%s", err.text);
}

static void build_fixture_vectors(struct build_fixture *f, int n)
{
    struct buf text = {0};
    for (int i = 0; i < n; i++)
        buf_printf(&text, "%d\t%d.5,%d,0.25,1\n", i * 7, i % 13, i % 5);
    buf_printf(&text, "0\t1,1,1,1\n7\tinf,0,0,0\n14\tnot a vector\n");
    build_fixture_input(f, "v.tsv", text.data, text.len);
    buf_release(&text);
}

static void figures__of_a_build_do_not_depend_on_threads_or_kinds(void **state)
{
    static const enum table_kind kinds[] = {KIND_MEM, KIND_BLK, KIND_IDX};
    static struct build_figures first, found;
    for (size_t k = 0; k < 3; k++) {
        struct build_figures of_kind = {0};
        for (uint32_t n_threads = 1; n_threads <= 4; n_threads++) {
            struct build_fixture f;
            struct build_result result = {0};
            struct err err = {0};
            build_fixture_init(&f);
            build_fixture_vectors(&f, 3000);
            struct job job = build_fixture_job(&f, KEY_U64, "f16[4]");
            job.schema.kind = kinds[k];
            job.schema.n_shards = 7;
            job.n_threads = n_threads;
            job.duplicates = DUPLICATE_LAST;
            job.max_bad = 1;
            if (build_fixture_run(&f, &job, &result, &err))
                fail_msg("%s", err.text);
            read_figures(&f, &result, &found);
            assert_memory_equal(&found, &result.figures, sizeof found);
            if (n_threads == 1)
                of_kind = found;
            assert_memory_equal(&found, &of_kind, sizeof found);
            build_fixture_release(&f);
        }
        if (k == 0)
            first = of_kind;
        /* Kinds order entries in ways of their own, so sums of doubles may differ by a bit. */
        assert_memory_equal(first.norm.buckets, of_kind.norm.buckets, sizeof first.norm.buckets);
        assert_true(fabs(first.norm.mean - of_kind.norm.mean) < 1e-9);
    }
    assert_int_equal(first.rows, 3003);
    assert_int_equal(first.bad_rows, 1);
    assert_int_equal(first.duplicates, 2);
    assert_int_equal(first.keys, 3000);
    assert_int_equal(first.not_finite, 1);
    assert_int_equal(first.norm.count, 2999);
}

static void figures__of_a_delta_are_those_of_its_own_level(void **state)
{
    struct build_fixture f;
    struct build_result result = {0};
    struct build_figures found;
    struct err err = {0};
    build_fixture_init(&f);
    build_fixture_text(&f, "full.tsv", "1\ta\n2\t\n3\tc\n");
    struct job job = build_fixture_job(&f, KEY_U64, "bytes");
    if (build_fixture_run(&f, &job, &result, &err))
        fail_msg("%s", err.text);
    read_figures(&f, &result, &found);
    assert_int_equal(found.keys, 3);
    assert_int_equal(found.empty_values, 1);
    build_fixture_publish(&f, &result);
    build_fixture_no_inputs(&f);
    build_fixture_text(&f, "delta.tsv", "2\n3\tnew\n");
    job = build_fixture_job(&f, KEY_U64, "bytes");
    job.is_delta = true;
    job.tombstones_file_mode = true;
    if (build_fixture_run(&f, &job, &result, &err))
        fail_msg("%s", err.text);
    read_figures(&f, &result, &found);
    assert_int_equal(found.rows, 2);
    assert_int_equal(found.keys, 1);
    assert_int_equal(found.tombstones, 1);
    assert_int_equal(found.empty_values, 0);
    build_fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vector_norm__is_that_of_the_stored_elements),
        cmocka_unit_test(vector_norm__is_added_up_in_one_order),
        cmocka_unit_test(vector_norm__is_not_finite_when_an_element_is_not),
        cmocka_unit_test(figures__count_keys_tombstones_and_empty_values),
        cmocka_unit_test(figures__put_norms_into_buckets_around_powers_of_two),
        cmocka_unit_test(figures__leave_vectors_that_are_not_finite_out_of_the_norms),
        cmocka_unit_test(figures__of_shards_add_up_to_those_of_the_whole),
        cmocka_unit_test(norm_distance__is_the_largest_gap_between_shares),
        cmocka_unit_test(norm_distance__of_two_samples_of_one_source_is_small),
        cmocka_unit_test(norm_quantile__lies_within_the_bucket_width),
        cmocka_unit_test(figures_json__gives_back_the_same_bits),
        cmocka_unit_test(figures_json__refuses_what_does_not_go_together),
        cmocka_unit_test(figures__of_a_build_do_not_depend_on_threads_or_kinds),
        cmocka_unit_test(figures__of_a_delta_are_those_of_its_own_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
