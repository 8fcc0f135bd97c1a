/* SPDX-License-Identifier: Apache-2.0 */
/* Head dims up to 192 and 128. */
#include "attention_finish.h"
#include "attention_rows.h"

#define D_QK 192
#define D_V  128

#define KERNEL_NAME attention_d192_bf16_same
#define IS_F16      false
#define IS_BYTES    0
#include "attention_kernel.inl"

#define KERNEL_NAME attention_d192_f16_same
#define IS_F16      true
#define IS_BYTES    0
#include "attention_kernel.inl"
