/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMD_MATRIX_H
#define AMD_MATRIX_H

#include "amd_core.h"

/* Why a decoded matrix instruction cannot run (operands too small, modifiers out of range), or
 * NULL. */
const char *amd_matrix_problem(const amd_instruction *inst);

#endif
