/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/input_stamp.h"

#include "builder/input.h"
#include "builder/source.h"
#include "builder/stream.h"

#include <errno.h>
#include <string.h>

int input_stamp_take(const char *input, enum input_format format, struct input_stamp *out,
                     struct err *err)
{
    struct source *source = NULL;
    *out = (struct input_stamp){0};
    if (format == INPUT_SQL)
        return 0;
    int ret = source_open(input, &source, err);
    if (ret)
        return ret;
    if (source_is_file(source))
        *out = (struct input_stamp){source_len(source), source_mtime_ns(source)};
    else
        ret =
            err_set(err, -EINVAL,
                    "%s: expected a file, which another host can read, found a pipe or device; use "
                    "fkv build for it",
                    input);
    source_close(source);
    return ret;
}

int input_stamp_check(const char *input, enum input_format format, const struct input_stamp *stamp,
                      struct err *err)
{
    struct input_stamp now;
    int ret = input_stamp_take(input, format, &now, err);
    if (ret || (now.len == stamp->len && now.mtime_ns == stamp->mtime_ns))
        return ret;
    return err_set(
        err, -ESTALE,
        "%s: changed since the task was planned: expected %llu bytes, written at %lld.%09lld, "
        "found %llu bytes, written at %lld.%09lld; submit a new task when it is complete",
        input, (unsigned long long)stamp->len, (long long)(stamp->mtime_ns / 1000000000),
        (long long)(stamp->mtime_ns % 1000000000), (unsigned long long)now.len,
        (long long)(now.mtime_ns / 1000000000), (long long)(now.mtime_ns % 1000000000));
}

static enum input_format format_of(const char *input, enum input_format asked)
{
    enum input_format format = INPUT_AUTO;
    input_format_of(input, asked, &format, NULL);
    return format;
}

bool input_can_be_cut(const char *input, enum input_format format)
{
    switch (format_of(input, format)) {
    case INPUT_TSV:
    case INPUT_CSV:
    case INPUT_JSONL:
    case INPUT_RECORD:
        return stream_plain_name_len(input) == source_name_len(input);
    case INPUT_PARQUET:
    case INPUT_SQL:
    case INPUT_AUTO:
        break;
    }
    return false;
}

bool input_border_is_guess(const char *input, enum input_format format)
{
    enum input_format is = format_of(input, format);
    return is == INPUT_CSV || is == INPUT_RECORD;
}
