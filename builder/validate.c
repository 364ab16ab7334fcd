/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The figures of a build come from one walk over everything a reader could find in it:
 *
 *   every live entry is looked up the way a lookup would; it must be found, at the very bytes the walk stands on. A key
 *   stored twice in one part can be found in one place only, so the other place shows up as a duplicate.
 *   every tombstone of the newest level must not be found.
 *
 * The rules then judge the figures. Checksums were compared when the reader opened the build.
 */
#include "builder/validate.h"

#include "base/bytes.h"
#include "builder/layout.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

struct figures {
    uint64_t n_live;
    uint64_t n_lost;       /* live entries that a lookup does not find */
    uint64_t n_duplicates; /* live entries that a lookup finds elsewhere */
    uint64_t n_undead;     /* deleted keys that a lookup finds */
    uint64_t n_not_finite;
};

void validate_limits_default(struct validate_limits *limits)
{
    *limits = (struct validate_limits){.max_change_pct = 20, .min_rows = 1};
}

/* NaN and infinities are what has all exponent bits set. */
static bool has_all_16(const uint8_t *value, size_t n, uint16_t exponent)
{
    for (size_t i = 0; i < n; i++) {
        if ((load_le16(value + 2 * i) & exponent) == exponent)
            return true;
    }
    return false;
}

static bool has_all_32(const uint8_t *value, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((load_le32(value + 4 * i) & 0x7f800000) == 0x7f800000)
            return true;
    }
    return false;
}

static bool is_not_finite(const struct schema *schema, const uint8_t *value)
{
    switch (schema->elem) {
    case ELEM_F32:
        return has_all_32(value, schema->dim);
    case ELEM_F16:
        return has_all_16(value, schema->dim, 0x7c00);
    case ELEM_BF16:
        return has_all_16(value, schema->dim, 0x7f80);
    case ELEM_I8: /* only the scale can be */
        return has_all_32(value, 1);
    case ELEM_NONE:
        break;
    }
    return false;
}

static int walk_live(const struct version_reader *build, struct figures *sum)
{
    const struct schema *schema = &version_reader_desc(build)->schema;
    struct version_cursor cursor = {0};
    struct part_entry entry;
    int rc;
    while ((rc = version_reader_next(build, &cursor, &entry)) > 0) {
        const struct part_entry *stored = &cursor.stored;
        struct part_entry found;
        sum->n_live++;
        if (version_reader_find_stored(build, stored, &found) != 1)
            sum->n_lost++;
        else if (found.value_len != stored->value_len ||
                 (found.value_len && found.value != stored->value))
            sum->n_duplicates++;
        else if (schema->elem != ELEM_NONE && is_not_finite(schema, entry.value))
            sum->n_not_finite++;
    }
    version_cursor_release(&cursor);
    return rc;
}

static int walk_tombstones(const struct version_reader *build, struct figures *sum)
{
    const struct version_desc *desc = version_reader_desc(build);
    for (uint32_t shard = 0; shard < desc->schema.n_shards; shard++) {
        const struct any_part *part = version_reader_part(build, desc->n_levels - 1, shard);
        struct any_cursor cursor = {0};
        struct part_entry entry;
        struct part_entry found;
        int rc;
        while ((rc = any_part_next(part, &cursor, &entry)) > 0) {
            if (entry.tombstone && version_reader_find_stored(build, &entry, &found) == 1)
                sum->n_undead++;
        }
        if (rc)
            return rc;
    }
    return 0;
}

#define FINDING(f, ok, ...)                                                                        \
    do {                                                                                           \
        (f)->passed = (ok);                                                                        \
        snprintf((f)->text, sizeof(f)->text, __VA_ARGS__);                                         \
    } while (0)

static void skip(struct validate_finding *finding, const char *text)
{
    finding->passed = finding->skipped = true;
    snprintf(finding->text, sizeof finding->text, "%s", text);
}

static void judge_walk(const struct version_desc *desc, const struct figures *sum,
                       const struct validate_limits *limits, struct validate_finding *findings)
{
    FINDING(&findings[RULE_READ_BACK],
            !sum->n_lost && !sum->n_undead && sum->n_live == desc->n_keys,
            "read-back: %" PRIu64 " of %" PRIu64 " keys found in %zu parts, %" PRIu64
            " lost, %" PRIu64 " deleted but found",
            sum->n_live - sum->n_lost, desc->n_keys, desc->n_parts, sum->n_lost, sum->n_undead);
    FINDING(&findings[RULE_DUPLICATES], !sum->n_duplicates, "duplicate keys: %" PRIu64 " (limit 0)",
            sum->n_duplicates);
    FINDING(&findings[RULE_MIN_ROWS], sum->n_live >= limits->min_rows,
            "rows: %" PRIu64 " (at least %" PRIu64 ")", sum->n_live, limits->min_rows);
    if (desc->schema.elem == ELEM_NONE)
        skip(&findings[RULE_NOT_FINITE], "NaN or Inf: values are not vectors");
    else
        FINDING(&findings[RULE_NOT_FINITE], sum->n_not_finite <= limits->max_not_finite,
                "NaN or Inf: %" PRIu64 " vectors (limit %" PRIu64 ")", sum->n_not_finite,
                limits->max_not_finite);
}

static void judge_change(uint64_t n_keys, const struct version_entry *last,
                         const struct validate_limits *limits, struct validate_finding *finding)
{
    if (!last) {
        skip(finding, "row change: no version to compare with");
        return;
    }
    double change = last->n_keys
                        ? 100.0 * ((double)n_keys - (double)last->n_keys) / (double)last->n_keys
                    : n_keys ? 100.0
                             : 0.0;
    double size = change < 0 ? -change : change;
    if (limits->max_change_pct <= 0) {
        FINDING(finding, true, "row change: %+.1f %% since version %" PRIu64 " (no limit)", change,
                last->version);
        return;
    }
    FINDING(finding, size <= limits->max_change_pct,
            "row change: %+.1f %% since version %" PRIu64 " with %" PRIu64 " rows (limit %g %%)",
            change, last->version, last->n_keys, limits->max_change_pct);
}

static int judge_schema(struct store *store, const struct schema *schema, const char *table,
                        const struct version_entry *last, const struct validate_limits *limits,
                        struct validate_finding *finding, struct err *err)
{
    if (!last) {
        skip(finding, "schema: no version to compare with");
        return 0;
    }
    char dir[LAYOUT_PATH_MAX], was[VALUE_TEXT_MAX], is[VALUE_TEXT_MAX];
    struct version_desc desc = {0};
    layout_version_dir(table, last->version, dir);
    int rc = version_desc_read(store, dir, &last->digest, &desc, err);
    if (rc)
        return err_wrap(err, rc, "comparing schemas with version %" PRIu64, last->version);
    bool same = desc.schema.kind == schema->kind && desc.schema.key_type == schema->key_type &&
                desc.schema.elem == schema->elem && desc.schema.dim == schema->dim &&
                desc.schema.value_len == schema->value_len;
    schema_value_text(&desc.schema, was);
    schema_value_text(schema, is);
    if (same)
        FINDING(finding, true, "schema: %s -> %s, as in version %" PRIu64,
                key_type_name(schema->key_type), is, last->version);
    else
        FINDING(finding, limits->allow_schema_change,
                "schema: %s -> %s, but %s -> %s in version %" PRIu64 " (%s)",
                key_type_name(schema->key_type), is, key_type_name(desc.schema.key_type), was,
                last->version, limits->allow_schema_change ? "allowed" : "a change is not allowed");
    version_desc_release(&desc);
    return 0;
}

/* What a build is compared with: the version now current, else the newest. */
static const struct version_entry *last_version(const struct table_state *table)
{
    if (!table)
        return NULL;
    return table_state_find(table, table->current ? table->current : table_state_newest(table));
}

int validate_run(struct store *store, const struct version_reader *build,
                 const struct table_state *table, const struct validate_limits *limits,
                 struct validate_report *report, struct err *err)
{
    const struct version_desc *desc = version_reader_desc(build);
    const struct version_entry *last = last_version(table);
    struct validate_report out = {.passed = true};
    struct figures sum = {0};
    int rc = walk_live(build, &sum);
    if (!rc)
        rc = walk_tombstones(build, &sum);
    if (rc < 0)
        return err_set(err, rc, "reading every key back failed");
    judge_walk(desc, &sum, limits, out.findings);
    judge_change(sum.n_live, last, limits, &out.findings[RULE_ROW_CHANGE]);
    rc = judge_schema(store, &desc->schema, table ? table->name : "", last, limits,
                      &out.findings[RULE_SCHEMA], err);
    if (rc)
        return rc;
    for (int rule = 0; rule < RULE_COUNT; rule++)
        out.passed = out.passed && out.findings[rule].passed;
    *report = out;
    return 0;
}
