/* SPDX-License-Identifier: Apache-2.0 */
/* Checks that moe_matmul and moe share: a weight's logical extents, whatever its format; the clamp
 * of an activation. */
#ifndef TENON_EXPERT_WEIGHT_H
#define TENON_EXPERT_WEIGHT_H

#include "op_check.h"

/* Logical extents. experts 0: a weight without that dimension. */
typedef struct tenon_expert_weight {
    int64_t experts, n, k;
} tenon_expert_weight;

/* Fills *out, or fails with the field's name and the reason. */
int32_t tenon_expert_weight_of(const char *op, const char *name, int32_t field, const DLTensor *w,
                               const tenon_quant *quant, tenon_expert_weight *out,
                               tenon_error *error);
/* Compares with what the operation needs; an expected extent of -1 may be anything. */
int32_t tenon_expert_weight_expect(const char *op, const char *name, int32_t field,
                                   const tenon_expert_weight *weight, int64_t experts, int64_t n,
                                   int64_t k, tenon_error *error);

/* A limit is an error where the activation would not clamp. */
int32_t tenon_check_moe_limit(const char *op, int32_t field, int32_t activation, float limit,
                              tenon_error *error);

#endif /* TENON_EXPERT_WEIGHT_H */
