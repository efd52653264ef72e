#include <cstdio>

#include "base/cpu.h"

int main() { std::printf("%s, %s\n", keyheads::cpu_name().c_str(), keyheads::isa_name(keyheads::detect_isa())); }
