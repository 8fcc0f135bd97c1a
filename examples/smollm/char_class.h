/* SPDX-License-Identifier: Apache-2.0 */
/* The three Unicode classes that byte-level BPE splits text by: \p{L}, \p{N} and \s. */
#ifndef SMOLLM_CHAR_CLASS_H
#define SMOLLM_CHAR_CLASS_H

#include <stdint.h>

typedef enum char_class { CHAR_OTHER, CHAR_LETTER, CHAR_NUMBER, CHAR_SPACE } char_class;

char_class char_class_of(uint32_t codepoint);

#endif
