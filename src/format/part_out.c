/* SPDX-License-Identifier: Apache-2.0 */
#include "format/part_out.h"

#include <errno.h>

enum { STAGE_LEN = 1 << 20 };

void part_out_init(struct part_out *out, struct part_sink sink)
{
    *out = (struct part_out){.sink = sink};
}

void part_out_release(struct part_out *out)
{
    buf_release(&out->stage);
    digest_state_free(out->digest);
    out->digest = NULL;
}

int part_out_flush(struct part_out *out, struct err *err)
{
    int ret = 0;
    if (out->stage.len)
        ret = out->sink.append(out->sink.context, out->stage.data, out->stage.len, err);
    buf_clear(&out->stage);
    return ret;
}

int part_out_add(struct part_out *out, const void *data, size_t len, struct err *err)
{
    int ret = 0;
    if (len == 0)
        return 0;
    out->off += len;
    if (out->digest)
        digest_state_update(out->digest, data, len);
    if (out->stage.len + len > STAGE_LEN && (ret = part_out_flush(out, err)))
        return ret;
    if (len >= STAGE_LEN)
        return out->sink.append(out->sink.context, data, len, err);
    if (buf_add(&out->stage, data, len))
        return err_sys(err, -ENOMEM, "part writer");
    return 0;
}

int part_out_pad(struct part_out *out, uint64_t align, struct err *err)
{
    static const uint8_t zeros[PART_ALIGN];
    return part_out_add(out, zeros, align_up(out->off, align) - out->off, err);
}

int part_out_section(struct part_out *out, const void *data, size_t len,
                     struct part_section *section, struct err *err)
{
    int ret = part_out_pad(out, PART_SECTION_ALIGN, err);
    if (ret)
        return ret;
    store_le64(&section->off, out->off);
    store_le64(&section->len, len);
    return part_out_add(out, data, len, err);
}

int part_out_digest_begin(struct part_out *out, struct err *err)
{
    out->digest = digest_state_new();
    return out->digest ? 0 : err_sys(err, -ENOMEM, "part writer");
}

void part_out_digest_end(struct part_out *out, struct digest *digest)
{
    digest_state_finish(out->digest, digest);
    digest_state_free(out->digest);
    out->digest = NULL;
}
