/* SPDX-License-Identifier: Apache-2.0 */
#include "op_check.h"

int32_t tenon_check_moe_combine(const void *args, tenon_error *error) {
    const tenon_moe_combine_args *a = args;
    TENON_REQUIRE(moe_combine, pair_rows, a->pair_rows->shape[1] >= 1,
                  "k=%lld, expected at least 1", (long long)a->pair_rows->shape[1]);
    if (a->y->ndim == 3)
        TENON_SUPPORT(moe_combine, y,
                      a->y->shape[0] == 0 || a->y->shape[1] <= INT32_MAX / a->y->shape[0],
                      "%lld local experts x %lld rows: rows are numbered in 32 bits",
                      (long long)a->y->shape[0], (long long)a->y->shape[1]);
    return TENON_OK;
}
