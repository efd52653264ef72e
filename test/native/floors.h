// What no program on this machine can beat: fused multiply-adds and bytes read from memory a
// second, on all threads. Benchmarks print it beside their figures.
#pragma once

namespace keyheads::test {

// Prints {"threads": ..., "flops": ..., "bytesRead": ...}.
void print_floors();

}  // namespace keyheads::test
