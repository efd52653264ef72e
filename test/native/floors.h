// What no program on this machine can beat: fused multiply-adds, of floats and of bfloat16 numbers,
// and bytes read from memory a second, on all threads. Benchmarks print it beside their figures.
#pragma once

namespace keyheads::test {

// Prints {"threads": ..., "flops": ..., "bf16Flops": ..., "bytesRead": ...}.
void print_floors();

}  // namespace keyheads::test
