// What the processor can do, and what it is called.
#pragma once
#include <string>
#include <vector>

#include "base/context.h"

namespace keyheads {

// The best instruction set that the processor and the operating system support.
// KEYHEADS_ISA=v2|v3|v4|v4-bf16 in the environment asks for another one; throws BAD_ARGUMENT if it
// is not there.
Isa detect_isa();

// Whether processor and operating system can run it; supported_isas() also asks the build.
bool has_isa(Isa isa);

// All instruction sets that can run here, ascending.
std::vector<Isa> supported_isas();

const char* isa_name(Isa isa);  // "x86-64-v3", "arm64-neon"

std::string cpu_name();  // as the processor reports it

#ifdef __x86_64__
// What cpu_name() is made of, without anything of the C++ library (see addon/entry.cc).
struct CpuBrand {
  char text[49];
};
CpuBrand cpu_brand();
#endif

// CPUs that this process may use, as it was when first asked: pinning a thread comes later.
const std::vector<int>& allowed_cpus();

// Compute threads to use when nobody says: the allowed CPUs, or fewer under a cgroup's CPU quota.
int default_threads();

}  // namespace keyheads
