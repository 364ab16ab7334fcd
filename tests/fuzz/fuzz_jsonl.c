/* SPDX-License-Identifier: Apache-2.0 */
/* JSONL rows from any bytes. */
#include "fuzz_rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    rows_try(&input_jsonl, data, len);
    rows_try_pieces(INPUT_JSONL, data, len);
    rows_try_header(&input_jsonl, data, len);
    return 0;
}
