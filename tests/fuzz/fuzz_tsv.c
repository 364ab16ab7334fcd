/* SPDX-License-Identifier: Apache-2.0 */
/* TSV rows from any bytes. */
#include "fuzz_rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    rows_try(&input_tsv, data, len);
    rows_try_pieces(INPUT_TSV, data, len);
    rows_try_header(&input_tsv, data, len);
    return 0;
}
