// How fast the engine's own matrix product is at given shapes: what a whole run that is made of
// such products is judged by.
#pragma once

namespace keyheads::test {

// Arguments: f32 or bf16, then M N K for every shape. Prints [{"m":, "n":, "k":, "flops":}, ...].
void print_gemm_rates(int count, char** arguments);

}  // namespace keyheads::test
