# SPDX-License-Identifier: Apache-2.0
# The number formats: exhaustive checks in C.
add_executable(test_formats ${CMAKE_CURRENT_LIST_DIR}/test_formats.c)
target_include_directories(test_formats PRIVATE ${PROJECT_SOURCE_DIR}/abi ${PROJECT_SOURCE_DIR}/backends/common)
target_link_libraries(test_formats PRIVATE m)
add_test(NAME test_formats COMMAND test_formats)
