/* SPDX-License-Identifier: Apache-2.0 */
/* Record rows from any bytes. */
#include "fuzz_rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    rows_try(&input_record, data, len);
    rows_try_pieces(INPUT_RECORD, data, len);
    return 0;
}
