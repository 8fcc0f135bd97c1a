/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_scalar.h"

#include "row_convert.h"

#include "row_convert.inl"

ROW_CONVERTERS(tenon_row_converters_scalar);
