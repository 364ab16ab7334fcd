/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/rows.h"

#include "builder/cli/cli.h"
#include "builder/cli/value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FLUSH_LEN = 256 << 10 };

int rows_begin(struct rows *rows, uint64_t version, struct err *err)
{
    rows->floats = calloc((size_t)rows->schema.dim + 1, sizeof *rows->floats);
    int rc = rows->floats ? 0 : -ENOMEM;
    if (!rc && rows->json)
        rc = buf_printf(&rows->text, "{\"table\": \"%s\", \"version\": %" PRIu64 ", \"entries\": [",
                        rows->table, version);
    return rc ? err_sys(err, rc, "printing") : 0;
}

static int write_out(struct rows *rows, struct err *err)
{
    struct buf *text = &rows->text;
    if (text->len && fwrite(text->data, 1, text->len, stdout) != text->len)
        return err_sys(err, errno ? -errno : -EIO, "writing to standard output");
    buf_clear(text);
    return 0;
}

static int add_value(struct rows *rows, const struct part_entry *entry, bool json)
{
    const struct schema *schema = &rows->schema;
    if (schema->elem == ELEM_NONE || !rows->is_decoded)
        return value_add_stored(&rows->text, schema, entry->value, entry->value_len, rows->floats,
                                json);
    memcpy(rows->floats, entry->value, sizeof(float) * schema->dim);
    return value_add_floats(&rows->text, rows->floats, schema->dim, json ? "[" : "",
                            json ? "]" : "");
}

int rows_add(struct rows *rows, const struct part_entry *entry, struct err *err)
{
    struct buf *out = &rows->text;
    bool json = rows->json || rows->jsonl;
    int rc = rows->json ? buf_printf(out, "%s\n  ", rows->n ? "," : "") : 0;
    if (!rc && json)
        rc = buf_printf(out, "{\"key\": ");
    if (!rc)
        rc = value_add_key(out, &rows->schema, entry, json);
    if (!rc)
        rc = buf_printf(out, json ? ", \"value\": " : "\t");
    if (!rc)
        rc = add_value(rows, entry, json);
    if (!rc)
        rc = buf_printf(out, "%s%s", json ? "}" : "", rows->json ? "" : "\n");
    if (rc)
        return err_sys(err, rc, "printing");
    rows->n++;
    return out->len < FLUSH_LEN ? 0 : write_out(rows, err);
}

int rows_finish(struct rows *rows, struct err *err)
{
    int rc = rows->json ? buf_printf(&rows->text, "\n]}\n") : 0;
    rc = rc ? err_sys(err, rc, "printing") : write_out(rows, err);
    if (!rc)
        rc = cli_flush(err);
    if (rc || !rows->n_failed)
        return rc;
    return err_set(err, -EIO,
                   "%s: the values of %" PRIu64 " keys could not be read, and are left out",
                   rows->table, rows->n_failed);
}

void rows_release(struct rows *rows)
{
    free(rows->floats);
    buf_release(&rows->text);
}
