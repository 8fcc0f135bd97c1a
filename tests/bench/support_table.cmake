# SPDX-License-Identifier: Apache-2.0
# BENCH (a command) prints the support table of LIBRARY; TABLE must be the same.
execute_process(COMMAND ${BENCH} --lib=${LIBRARY} --mode=S OUTPUT_VARIABLE printed COMMAND_ERROR_IS_FATAL ANY)
file(READ ${TABLE} kept)
if(NOT printed STREQUAL kept)
    message(FATAL_ERROR "${TABLE} is not what this build prints. Run:\n    build-aarch64's tenonbench --lib=build-aarch64/libtenon.so --mode=S > backends/SUPPORT_aarch64.md")
endif()
