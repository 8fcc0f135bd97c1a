/* SPDX-License-Identifier: Apache-2.0 */
/* Head dims up to 128 and 128. */
#include "attention_finish.h"
#include "attention_rows.h"

#define D_QK 128
#define D_V  128

#define KERNEL_NAME attention_d128_bf16_same
#define IS_F16      false
#define IS_BYTES    0
#include "attention_kernel.inl"

#define KERNEL_NAME attention_d128_bf16_bytes
#define IS_F16      false
#define IS_BYTES    1
#include "attention_kernel.inl"

#define KERNEL_NAME attention_d128_f16_same
#define IS_F16      true
#define IS_BYTES    0
#include "attention_kernel.inl"

#define KERNEL_NAME attention_d128_f16_bytes
#define IS_F16      true
#define IS_BYTES    1
#include "attention_kernel.inl"
