/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/release_report.h"

#include "builder/cli/text.h"
#include "builder/validation.h"

#include <inttypes.h>
#include <stdio.h>

void report_print(const struct validate_report *report)
{
    static const char *const marks[] = {
        [VALIDATE_PASSED] = "ok  ", [VALIDATE_SKIPPED] = "skip", [VALIDATE_FAILED] = "FAIL"};
    for (size_t i = 0; i < report->n_findings; i++)
        printf("  %s  %s\n", marks[report->findings[i].verdict], report->findings[i].text);
}

void release_show_reports(const struct publish_version *versions, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!versions[i].validated)
            continue;
        printf("%s: build %s\n", versions[i].table, versions[i].task);
        report_print(&versions[i].report);
    }
}

void release_show_published(const struct publish_version *versions, size_t n, uint64_t seq)
{
    for (size_t i = 0; i < n; i++) {
        const struct publish_version *v = &versions[i];
        char keys[TEXT_MAX], size[TEXT_MAX];
        text_count(v->n_keys, keys);
        text_size(v->len, size);
        printf("published %s version %" PRIu64, v->table, v->version);
        if (v->base)
            printf(" (a delta on %" PRIu64 ")", v->base);
        printf(": %s keys, %s; record %" PRIu64 "\n", keys, size, seq);
    }
    fflush(stdout);
}

json_t *release_json(const struct publish_version *versions, size_t n, bool activated,
                     json_t *rollout)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct publish_version *v = &versions[i];
        json_t *one = json_object();
        json_put_string(one, "table", v->table);
        json_put_string(one, "task", v->task);
        json_put_u64(one, "version", v->version);
        json_put_u64(one, "base", v->base);
        json_put_u64(one, "n_keys", v->n_keys);
        json_put_u64(one, "bytes", v->len);
        json_put_bool(one, "activated", activated);
        if (v->validated)
            json_put(one, "validators", validation_findings_encode(&v->report));
        if (rollout)
            json_put(one, "rollout", json_incref(rollout));
        json_append(list, one);
    }
    json_decref(rollout);
    return list;
}
