#ifdef __x86_64__
#include <cpuid.h>

#include <algorithm>
#include <cstring>

#include "base/cpu.h"

namespace keyheads {
namespace {

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(unsigned leaf, unsigned part = 0) {
  Registers r;
  __get_cpuid_count(leaf, part, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;  // zeros where the processor does not know the leaf
}

constexpr bool all(unsigned value, unsigned bits) { return (value & bits) == bits; }

// What the operating system saves of the registers when it switches threads.
unsigned saved_state() {
  if (!all(cpuid(1).ecx, bit_OSXSAVE)) return 0;
  unsigned low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

constexpr unsigned kAvxState = 0x6, kAvx512State = 0xe6;

// The levels of the x86-64 psABI, as far as compilers use them.
bool v2() { return all(cpuid(1).ecx, bit_SSE3 | bit_SSSE3 | bit_SSE4_1 | bit_SSE4_2 | bit_POPCNT); }

bool v3() {
  return v2() && all(saved_state(), kAvxState) &&
         all(cpuid(1).ecx, bit_AVX | bit_FMA | bit_F16C | bit_MOVBE) &&
         all(cpuid(7).ebx, bit_AVX2 | bit_BMI | bit_BMI2) && all(cpuid(0x80000001).ecx, bit_LZCNT);
}

bool v4() {
  return v3() && all(saved_state(), kAvx512State) &&
         all(cpuid(7).ebx, bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL);
}

}  // namespace

bool has_isa(Isa isa) {
  switch (isa) {
    case Isa::v4_bf16:
      return v4() && all(cpuid(7, 1).eax, bit_AVX512BF16);
    case Isa::v4:
      return v4();
    case Isa::v3:
      return v3();
    case Isa::v2:
      return v2();
    default:
      return false;
  }
}

CpuBrand cpu_brand() {
  unsigned regs[12] = {};
  for (unsigned leaf = 0; leaf < 3; ++leaf) {
    unsigned* r = regs + 4 * leaf;
    if (!__get_cpuid(0x80000002u + leaf, r, r + 1, r + 2, r + 3)) return {"unknown"};
  }
  CpuBrand brand{};
  std::memcpy(brand.text, regs, sizeof regs);
  return brand;
}

std::string cpu_name() {
  std::string name(cpu_brand().text);
  name.erase(0, std::min(name.find_first_not_of(' '), name.size()));
  name.erase(name.find_last_not_of(' ') + 1);
  return name;
}

}  // namespace keyheads
#endif
