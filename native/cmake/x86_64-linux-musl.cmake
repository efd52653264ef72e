# zig c++: clang, with its own musl and libc++. ZIG names the program.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_CXX_COMPILER ${CMAKE_CURRENT_LIST_DIR}/zig-c++)
set(KEYHEADS_BF16 OFF CACHE BOOL "")  # clang 16 crashes at these kernels
