/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records are found by hopping from head to head, and decoded where they lie: a key and a value are two pointers. A block
 * holds heads that were looked at when it was cut, and they are looked at again when it is decoded, as both are cheap.
 */
#include "builder/input_record.h"

#include "builder/input_format.h"

#include <errno.h>

static void record_cut(struct row_cut *cut, const char *data, size_t len)
{
    size_t at = cut->row_end;
    uint64_t n = 0;
    while (!cut->is_broken && len - at >= REC_HEAD_LEN) {
        uint64_t record = rec_len(data + at);
        cut->is_broken = record == 0;
        if (record == 0 || record > len - at)
            break;
        at += (size_t)record;
        n++;
        if (cut->first)
            break;
    }
    cut->scanned = len;
    cut->row_end = at;
    cut->lines += n;
}

static int record_next(const struct input_columns *columns, struct input_block *block,
                       struct input_row *row, struct err *err)
{
    size_t left = block->len - block->pos;
    if (left == 0)
        return 0;
    char *at = block->data + block->pos;
    uint64_t len = left < REC_HEAD_LEN ? 0 : rec_len(at);
    row->line = block->line++;
    block->row_begin = block->pos;
    if (len == 0 || len > left) {
        block->pos = block->len;
        return err_set(err, -EBADMSG, "expected a whole record, found damage");
    }
    size_t key_len = ((const struct rec_head *)at)->key_len;
    block->pos += (size_t)len;
    row->key = (struct field){FIELD_RAW, at + REC_HEAD_LEN, key_len};
    row->value = (struct field){FIELD_RAW, at + REC_HEAD_LEN + key_len,
                                (size_t)len - REC_HEAD_LEN - key_len};
    return 1;
}

static int record_columns(const struct input_options *options, char *header, size_t len,
                          struct input_columns *out, struct err *err)
{
    if (options->key_column || options->value_column)
        return err_set(err, -EINVAL,
                       "%s: a record file has no columns, only a key and a value each record",
                       options->key_column ? "--key-column" : "--value-column");
    *out = (struct input_columns){0};
    return 0;
}

static uint64_t record_row_len(const char *data, size_t len)
{
    return len < REC_HEAD_LEN ? 0 : rec_len(data);
}

static int record_fault(const char *data, size_t len, struct err *err)
{
    const struct rec_head *head = (const void *)data;
    if (head->magic != REC_MAGIC)
        return err_set(err, -EBADMSG,
                       "expected a record (magic 0x%02x), found 0x%02x; nothing behind it can be "
                       "read",
                       REC_MAGIC, head->magic);
    if (len > 1 && head->flag != 0)
        return err_set(err, -EBADMSG,
                       "expected a record with flag 0, found 0x%02x; nothing behind it can be read",
                       head->flag);
    if (len < REC_HEAD_LEN)
        return err_set(err, -EBADMSG,
                       "expected a record's head of %d bytes, found the file's end after %zu: it "
                       "was cut short",
                       (int)REC_HEAD_LEN, len);
    if (head->key_len == 0)
        return err_set(err, -EBADMSG,
                       "expected a record with a key of 1 to 255 bytes, found 0; nothing behind it "
                       "can be read");
    if (load_le32(&head->value_len) == 0)
        return err_set(err, -EBADMSG,
                       "expected a record with a value of 1 to 4294967295 bytes, found 0; nothing "
                       "behind it can be read");
    return err_set(err, -EBADMSG,
                   "expected a record of %llu bytes, found the file's end before that: it was cut "
                   "short",
                   (unsigned long long)rec_len(data));
}

const struct input_format_ops input_record = {.name = "record",
                                              .cut = record_cut,
                                              .next = record_next,
                                              .columns = record_columns,
                                              .row_len = record_row_len,
                                              .fault = record_fault,
                                              .border = record_border_find};
